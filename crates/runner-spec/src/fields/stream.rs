//! The smaller objects of an endpoint: rules, windows, streaming settings, masking, statuses.

use super::{Choices, Extra, Object, Shape, Text, choices, field};

pub(super) static VALIDATION_RULES: Object = Object {
    name: "validation_rules",
    description: "What every row of a stream must satisfy; fields are named by their source or their mapped name",
    extra: Extra::Refused,
    fields: &[
        field(
            "required_fields",
            Shape::Texts(Text::FieldPath),
            "Fields that must not be null",
        ),
        field(
            "numeric_ranges",
            Shape::Map(Text::FieldPath, &Shape::Range),
            "Field: [minimum or null, maximum or null]",
        ),
    ],
};

pub(super) static INCREMENTAL: Object = Object {
    name: "incremental",
    description: "Read only what is new",
    extra: Extra::Refused,
    fields: &[
        field(
            "cursor_field",
            Shape::Text(Text::FieldPath),
            "The field that grows",
        )
        .required(),
        field(
            "initial",
            Shape::Text(Text::Initial),
            "Where the first run begins",
        ),
        field(
            "lookback",
            Shape::Text(Text::Duration),
            "How far back of the cursor each run reads again",
        ),
        field(
            "settle",
            Shape::Text(Text::Duration),
            "How long before the run's start a window ends",
        )
        .default("\"0s\""),
        field(
            "from_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter of the window's start",
        ),
        field(
            "to_param",
            Shape::Text(Text::NonEmpty),
            "Query parameter of the window's end",
        ),
        field(
            "window",
            Shape::Text(Text::Duration),
            "Length of the windows that the range is read in",
        ),
        field(
            "format",
            Shape::Text(Text::TimeFormat),
            "How bounds are written: a strftime pattern, `epoch_s` or `epoch_ms`",
        ),
    ],
};

pub(super) static EVENT_TIME: Object = Object {
    name: "event_time",
    description: "The watermark of a streaming feed; rows later than it go to the quarantine",
    extra: Extra::Refused,
    fields: &[
        field(
            "field",
            Shape::Text(Text::FieldPath),
            "The field that says when something happened",
        )
        .required(),
        field(
            "max_out_of_orderness",
            Shape::Text(Text::Duration),
            "How late a row may be",
        ),
        field(
            "idle_timeout",
            Shape::Text(Text::Duration),
            "After which silence a source no longer holds the watermark back",
        ),
    ],
};

pub(super) static DEDUPE: Object = Object {
    name: "dedupe",
    description: "Of rows with equal keys the first counts",
    extra: Extra::Refused,
    fields: &[
        field(
            "keys",
            Shape::OneOrMore(Text::FieldPath),
            "Fields that make rows equal",
        )
        .required(),
        field(
            "ttl",
            Shape::Text(Text::Duration),
            "How long a key is remembered",
        ),
    ],
};

pub(super) static MASKINGS: Choices = choices(&[
    ("drop", "the field is left out"),
    ("hash", "a hash takes the value's place"),
    ("redact", "`***` takes the value's place"),
    ("partial", "only the last characters are kept"),
]);

pub(super) static STATUS_MEANINGS: Choices = choices(&[
    ("skip", "the chain ends without rows, and its cursor stays"),
    ("empty", "the response is an empty page"),
    ("retry", "the request is tried again"),
    ("fail", "the run fails"),
]);
