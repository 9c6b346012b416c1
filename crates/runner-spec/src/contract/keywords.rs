//! Which keywords of JSON Schema mean something here.

use crate::model::PropertyType;

/// Keywords that only describe.
pub(super) const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
];

/// Keywords of JSON Schema that are known and not checked.
pub(super) const UNCHECKED: [&str; 20] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "minProperties",
    "maxProperties",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "additionalItems",
    "additionalProperties",
    "unevaluatedProperties",
];

const NUMBERS: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];
const TEXTS: [&str; 3] = ["minLength", "maxLength", "pattern"];
const ARRAYS: [&str; 4] = ["items", "minItems", "maxItems", "uniqueItems"];
const OBJECTS: [&str; 2] = ["properties", "required"];

/// Formats of texts that are checked without being types of their own.
pub(super) const CHECKED_FORMATS: [&str; 5] = ["email", "uri", "ipv4", "ipv6", "hostname"];

pub(super) fn of_objects() -> &'static [&'static str] {
    &["type", "properties", "required", "additionalProperties"]
}

pub(super) fn of_properties() -> &'static [&'static str] {
    &[
        "type",
        "format",
        "enum",
        "const",
        "nullable",
        "$ref",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "properties",
        "required",
    ]
}

/// Whether a keyword says nothing about values of a type.
pub(super) fn has_no_effect(keyword: &str, kind: PropertyType) -> bool {
    let is_number = matches!(kind, PropertyType::Integer | PropertyType::Number);
    let is_text = matches!(kind, PropertyType::String | PropertyType::Uuid);
    // Dates and times are texts in the rows, and values of their own once they are read.
    let is_time = matches!(
        kind,
        PropertyType::Date | PropertyType::DateTime | PropertyType::Time
    );
    (NUMBERS.contains(&keyword) && !is_number)
        || (TEXTS.contains(&keyword) && !is_text)
        || (keyword == "format" && !is_text && !is_time)
        || (ARRAYS.contains(&keyword) && kind != PropertyType::Array)
        || (OBJECTS.contains(&keyword) && kind != PropertyType::Object)
}
