//! A transform: what is done to rows on their way.

use super::{Choices, Extra, Object, Shape, Text, choices, field};

pub(super) static TRANSFORM: Object = Object {
    name: "transform",
    description: "What is done to rows on their way; its output is a view for the next one",
    extra: Extra::Refused,
    fields: &[
        field(
            "name",
            Shape::Text(Text::StreamName),
            "Name of the output as a view",
        ),
        field(
            "type",
            Shape::Choice(&TRANSFORM_TYPES),
            "Language of the transform",
        )
        .required(),
        field(
            "sql_query",
            Shape::Text(Text::NonEmpty),
            "For sql, spark and flink: one query over the views",
        ),
        field(
            "python_module",
            Shape::Text(Text::NonEmpty),
            "For python: the module",
        ),
        field(
            "python_function",
            Shape::Text(Text::NonEmpty),
            "For python: the function",
        ),
        field(
            "wasm_module",
            Shape::Text(Text::NonEmpty),
            "For wasm: the file of the module",
        ),
        field(
            "wasm_function",
            Shape::Text(Text::NonEmpty),
            "For wasm: the function",
        ),
        field(
            "parameters",
            Shape::Object(&PARAMETERS),
            "Views, streams and further parameters",
        ),
    ],
};

static PARAMETERS: Object = Object {
    name: "transform_parameters",
    description: "Parameters of a transform; any further ones are passed to it",
    extra: Extra::Settings,
    fields: &[
        field(
            "target_endpoints",
            Shape::OneOrMore(Text::NonEmpty),
            "The streams that the transform works on; all of them where absent",
        ),
        field(
            "views",
            Shape::Map(Text::Column, &Shape::Text(Text::NonEmpty)),
            "Further names of views: alias → view",
        ),
    ],
};

static TRANSFORM_TYPES: Choices = choices(&[
    ("sql", "portable SQL: the same rows on every engine"),
    ("spark", "SQL of Spark"),
    ("flink", "SQL of Flink"),
    ("python", "a Python function on Arrow batches"),
    ("wasm", "a WebAssembly function on Arrow batches"),
]);
