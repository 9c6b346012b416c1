//! The JSON Schema of the documents that are accepted, for editors: made from the table of fields.

use serde_json::{Map, Value, json};

use crate::fields::{ByKind, DOCUMENT, Extra, Field, Object, Shape, Text};
use crate::names::to_camel_case;

/// JSON Schema (draft 2020-12) of a document that has no unknown keys.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    let mut schema = object(&DOCUMENT, &mut definitions);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        schema.insert("title".to_owned(), json!("Unified Ingestion Spec"));
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn object(object: &'static Object, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut conditions = Vec::new();
    for field in object.fields {
        let value = property(field, definitions);
        let camel = to_camel_case(field.name);
        if camel != field.name {
            properties.insert(camel, value.clone());
        }
        properties.insert(field.name.to_owned(), value);
        if let Shape::ByKind(by_kind) = field.shape {
            conditions.extend(kinds(field, by_kind, definitions));
        }
        if field.required {
            conditions.push(required(field.name));
        }
    }
    let mut schema =
        json!({"type": "object", "description": object.description, "properties": properties});
    match object.extra {
        Extra::Refused => schema["additionalProperties"] = json!(false),
        Extra::Extensions => {
            schema["additionalProperties"] = json!(false);
            schema["patternProperties"] = json!({"^x-": true});
        }
        Extra::Settings => {}
    }
    if !conditions.is_empty() {
        schema["allOf"] = Value::Array(conditions);
    }
    schema
}

/// A field is there in one of its spellings.
fn required(name: &str) -> Value {
    let camel = to_camel_case(name);
    if camel == name {
        json!({"required": [name]})
    } else {
        json!({"anyOf": [{"required": [name]}, {"required": [camel]}]})
    }
}

/// Which object a field takes, by the value of its sibling.
fn kinds(
    field: &Field,
    by_kind: &'static ByKind,
    definitions: &mut Map<String, Value>,
) -> Vec<Value> {
    let camel = to_camel_case(field.name);
    by_kind
        .objects
        .iter()
        .map(|(kind, object)| {
            let reference = reference(object, definitions);
            let mut condition = json!({"properties": {by_kind.sibling: {"const": kind}}});
            if by_kind.default != Some(*kind) {
                condition["required"] = json!([by_kind.sibling]);
            }
            json!({"if": condition, "then": {"properties": {field.name: nullable(&reference), &camel: nullable(&reference)}}})
        })
        .collect()
}

fn property(field: &'static Field, definitions: &mut Map<String, Value>) -> Value {
    let value = shape(&field.shape, definitions);
    let mut value = if field.required {
        value
    } else {
        nullable(&value)
    };
    if let Some(value) = value.as_object_mut() {
        value.insert("description".to_owned(), json!(field.description));
        if let Some(default) = field
            .default
            .and_then(|default| serde_json::from_str::<Value>(default).ok())
        {
            value.insert("default".to_owned(), default);
        }
    }
    value
}

/// Null stands for an absent field.
fn nullable(value: &Value) -> Value {
    json!({"anyOf": [value, {"type": "null"}]})
}

fn reference(definition: &'static Object, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(definition.name) {
        // Its place is taken before its fields are looked at, so that nothing is defined twice.
        definitions.insert(definition.name.to_owned(), Value::Null);
        let schema = object(definition, definitions);
        definitions.insert(definition.name.to_owned(), schema);
    }
    json!({"$ref": format!("#/$defs/{}", definition.name)})
}

fn shape(shape_of: &'static Shape, definitions: &mut Map<String, Value>) -> Value {
    match shape_of {
        Shape::Text(kind) => text(*kind),
        Shape::Flag => json!({"anyOf": [{"type": "boolean"}, setting()]}),
        Shape::Whole(whole) => {
            let mut number = json!({"type": "integer", "minimum": whole.minimum});
            if whole.maximum != i64::MAX {
                number["maximum"] = json!(whole.maximum);
            }
            let late = if whole.late {
                json!({"type": "string", "pattern": r"\{\{|\{%"})
            } else {
                setting()
            };
            json!({"anyOf": [number, {"type": "string", "pattern": r"^\s*[-+]?[0-9]+\s*$"}, late]})
        }
        Shape::Real(real) => {
            let minimum = if real.above {
                "exclusiveMinimum"
            } else {
                "minimum"
            };
            let mut number = json!({"type": "number", minimum: real.minimum});
            if real.maximum < f64::MAX {
                number["maximum"] = json!(real.maximum);
            }
            json!({"anyOf": [number, {"type": "string", "pattern": r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"}, setting()]})
        }
        Shape::Choice(choices) if choices.any_case => {
            let names: Vec<&str> = choices.names().collect();
            json!({"type": "string", "pattern": format!("^(?:{})$", any_case(&names)), "examples": names})
        }
        Shape::Choice(choices) => {
            let values: Vec<Value> = choices
                .values
                .iter()
                .map(|(name, description)| json!({"const": name, "description": description}))
                .collect();
            json!({"oneOf": values})
        }
        Shape::Texts(kind) => json!({"type": "array", "items": text(*kind)}),
        Shape::OneOrMore(kind) => {
            json!({"anyOf": [text(*kind), {"type": "array", "items": text(*kind)}]})
        }
        Shape::List(object) => {
            let minimum = usize::from(object.name == "sink");
            json!({"type": "array", "items": reference(object, definitions), "minItems": minimum})
        }
        Shape::Object(object) => reference(object, definitions),
        Shape::ByKind(_) | Shape::Settings => json!({"type": "object"}),
        Shape::Map(_, values) => {
            // A null value is an absent one only where a table names the key.
            json!({"type": "object", "additionalProperties": shape(values, definitions)})
        }
        Shape::Body => json!({"type": ["string", "object", "array"]}),
        Shape::Range => {
            let end = json!({"anyOf": [{"type": ["number", "null"]}, {"type": "string", "pattern": r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*$"}]});
            json!({"type": "array", "prefixItems": [end.clone(), end], "minItems": 2, "maxItems": 2})
        }
        Shape::ForEach => for_each(),
        Shape::Contract => contract(),
        Shape::Version => json!({"anyOf": [
            {"type": "string", "pattern": r"^\s*1\.[0-9]+\s*$", "examples": ["1.0", "1.1", "1.2"]},
            {"type": "number", "minimum": 1, "exclusiveMaximum": 2},
        ]}),
    }
}

/// A template of a setting, which a number or a flag may be.
fn setting() -> Value {
    json!({"type": "string", "pattern": r"^\s*\{\{\s*config\.[^{}]+\}\}\s*$"})
}

fn any_case(names: &[&str]) -> String {
    let letters = |name: &&str| {
        name.chars()
            .map(|letter| {
                if letter.is_ascii_alphabetic() {
                    format!(
                        "[{}{}]",
                        letter.to_ascii_lowercase(),
                        letter.to_ascii_uppercase()
                    )
                } else {
                    letter.to_string()
                }
            })
            .collect::<String>()
    };
    names.iter().map(letters).collect::<Vec<_>>().join("|")
}

fn text(kind: Text) -> Value {
    if kind == Text::Duration {
        return duration();
    }
    let types = if kind.takes_scalars() {
        json!(["string", "number", "boolean"])
    } else {
        json!("string")
    };
    let pattern = match kind {
        Text::Name => Some("^[a-z0-9][a-z0-9_-]*$"),
        Text::StreamName => Some("^[A-Za-z0-9_][A-Za-z0-9_-]*$"),
        Text::Variable => Some("^[A-Za-z_][A-Za-z0-9_]*$"),
        Text::SecretBundle => Some("^vault://[^#\\s]+(#[^#\\s]+)?$"),
        Text::SecretReference => Some("^vault://[^#\\s]+#[^#\\s]+$"),
        Text::JsonPath => Some(r"^\$"),
        Text::Url => Some("://|\\{\\{"),
        Text::NonEmpty
        | Text::RequestPath
        | Text::Column
        | Text::MappingTarget
        | Text::FieldPath
        | Text::TableName
        | Text::Partition
        | Text::Initial
        | Text::Address
        | Text::Host
        | Text::TimeFormat
        | Text::HeaderName => Some(r"\S"),
        Text::Plain
        | Text::Template
        | Text::Secret
        | Text::Cron
        | Text::TimeZone
        | Text::Timestamp
        | Text::Status
        | Text::RetryCause
        | Text::Duration => None,
    };
    let examples = match kind {
        Text::Cron => json!(["30 6 * * 1-5"]),
        Text::TimeZone => json!(["UTC", "Europe/Berlin"]),
        Text::SecretReference => json!(["vault://team/service#key"]),
        Text::Partition => json!(["ingestion_date", "day(event_time)", "bucket(16, id)"]),
        Text::RetryCause => json!(["503", "5xx", "timeout", "connection"]),
        _ => Value::Null,
    };
    let mut schema = json!({"type": types});
    if let Some(pattern) = pattern {
        schema["pattern"] = json!(pattern);
    }
    if !examples.is_null() {
        schema["examples"] = examples;
    }
    schema
}

fn duration() -> Value {
    let units = r"^\s*([0-9]+\s*(ms|s|m|h|d|w)\s*)+$|^0$";
    json!({"anyOf": [
        {"type": "string", "pattern": units, "examples": ["90s", "15m", "1h", "7d"]},
        {"const": 0},
        setting(),
    ]})
}

fn for_each() -> Value {
    let scalar = json!({"type": ["string", "number", "boolean"]});
    let list = json!({"type": "array", "items": scalar, "minItems": 1});
    let whole = json!({"type": ["integer", "string"]});
    let forms = json!([
        list,
        setting(),
        {"type": "object", "required": ["values"], "properties": {"variable": {"type": "string"}, "values": list}, "additionalProperties": false},
        {"type": "object", "required": ["from", "to"], "properties": {"variable": {"type": "string"}, "from": whole, "to": whole, "step": whole}, "additionalProperties": false},
        {"type": "object", "required": ["endpoint", "field"], "properties": {
            "variable": {"type": "string"}, "endpoint": {"type": "string"}, "field": {"type": "string"}, "incremental": {"type": "boolean"}
        }, "additionalProperties": false},
    ]);
    let mut all = forms.as_array().cloned().unwrap_or_default();
    all.push(json!({
        "type": "object",
        "description": "The name of the variable, and what it goes through",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {"not": {"enum": ["values", "from", "to", "step", "endpoint", "field", "incremental", "variable"]}},
        "additionalProperties": {"anyOf": forms},
    }));
    json!({"anyOf": all})
}

fn contract() -> Value {
    json!({
        "type": "object",
        "required": ["properties"],
        "properties": {
            "type": {"const": "object"},
            "properties": {"type": "object", "minProperties": 1, "additionalProperties": {"type": ["object", "boolean"]}},
            "required": {"type": "array", "items": {"type": "string"}},
            "additionalProperties": {"type": ["boolean", "object"]},
        },
    })
}
