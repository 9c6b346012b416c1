//! One property of the contract, or the items of an array.

use super::keywords::{self, CHECKED_FORMATS};
use super::{MAX_PROPERTIES, Reader};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Property, PropertyType};
use crate::names::{nearest, one_of};
use crate::path::FieldPath;
use crate::tree::{Node, Value};

const TYPES: [&str; 7] = [
    "string", "integer", "number", "boolean", "array", "object", "null",
];

impl Reader<'_> {
    pub(super) fn property(&mut self, node: &Node, path: &FieldPath) -> Property {
        self.properties += 1;
        if self.properties > MAX_PROPERTIES {
            if self.properties == MAX_PROPERTIES + 1 {
                let message = format!(
                    "with its references followed the contract has more than {MAX_PROPERTIES} properties"
                );
                self.diagnostics.push(Diagnostic::error(
                    Code::ContractReference,
                    path.clone(),
                    message,
                ));
            }
            return Property::default();
        }
        let entries = match &node.value {
            Value::Object(entries) => entries,
            // `true` is the schema that everything satisfies.
            Value::Boolean(true) | Value::Null => return Property::default(),
            _ => {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path.clone(),
                    "a property takes an object: its schema",
                );
                let help = match node.as_text() {
                    Some(kind) if TYPES.contains(&kind) => format!(
                        "write `{}: {{type: {kind}}}`",
                        path.last_key().unwrap_or_default()
                    ),
                    _ => format!(
                        "write `{}: {{type: string}}`",
                        path.last_key().unwrap_or_default()
                    ),
                };
                self.diagnostics.push(diagnostic.help(help));
                return Property::default();
            }
        };
        if let Some(reference) = node.get("$ref") {
            let mut property = self.reference(reference, &path.key("$ref"));
            property.description = description(node).or(property.description);
            for entry in entries.iter().filter(|entry| entry.key != "$ref") {
                self.keyword(entry, &[], "a property with `$ref`", path);
            }
            return property;
        }
        if let Some(property) = self.union_with_null(node, path) {
            return property;
        }
        for entry in entries {
            self.keyword(entry, keywords::of_properties(), "a property", path);
        }
        self.plain(node, path)
    }

    fn plain(&mut self, node: &Node, path: &FieldPath) -> Property {
        let (kind, mut nullable) = self.kind(node, path);
        nullable |= self.flag(node, "nullable", path);
        if node.get("type").is_none()
            && let Some(format) = node.get("format").and_then(Node::as_text)
            && !CHECKED_FORMATS.contains(&format)
        {
            let diagnostic = Diagnostic::warning(
                Code::ContractKeyword,
                path.key("format"),
                format!("the format `{format}` is not checked of a property without a `type`"),
            );
            self.diagnostics
                .push(diagnostic.help("write `type: string` beside it"));
        }
        if let Some(kind) = kind {
            for entry in node
                .as_object()
                .unwrap_or_default()
                .iter()
                .filter(|entry| keywords::has_no_effect(&entry.key, kind))
            {
                let message = format!("`{}` says nothing about values of this type", entry.key);
                let diagnostic = Diagnostic::warning(
                    Code::FieldWithoutEffect,
                    path.key(entry.key.as_str()),
                    message,
                )
                .at_key();
                self.diagnostics
                    .push(diagnostic.help("remove it, or correct the `type`"));
            }
        }
        let required = self.required(node, path);
        Property {
            kind,
            nullable,
            description: description(node),
            constraints: self.constraints(node, kind, path),
            items: node
                .get("items")
                .filter(|items| !items.is_null())
                .map(|items| Box::new(self.property(items, &path.key("items")))),
            properties: self.properties(node, &required, path),
            required,
        }
    }

    /// `type` with the `format` that makes it a narrower one, and whether it takes null.
    fn kind(&mut self, node: &Node, path: &FieldPath) -> (Option<PropertyType>, bool) {
        let Some(kind) = node.get("type").filter(|kind| !kind.is_null()) else {
            return (None, false);
        };
        let type_path = path.key("type");
        let mut names = Vec::new();
        match &kind.value {
            Value::Text(text) => names.extend(self.type_name(&text.value, &type_path)),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    match item.as_text() {
                        Some(text) => names.extend(self.type_name(text, &type_path.index(index))),
                        // `[string, null]` without quotes: YAML's null, and what is meant is clear.
                        None if item.is_null() => names.push("null"),
                        None => self.wrong_type_name(&type_path.index(index)),
                    }
                }
            }
            _ => self.wrong_type_name(&type_path),
        }
        let nullable = names.contains(&"null");
        names.retain(|name| *name != "null");
        let kind = match names.as_slice() {
            [] => return (None, true),
            ["integer", "number"] | ["number", "integer"] => PropertyType::Number,
            [name] => self.with_format(name, node, path),
            several => {
                let message = format!("a column has one type, and these are {}", several.len());
                let diagnostic = Diagnostic::warning(Code::ContractKeyword, type_path, message);
                self.diagnostics.push(diagnostic.help("write one type beside `\"null\"`; the type of the column is taken from the rows now"));
                return (None, nullable);
            }
        };
        (Some(kind), nullable)
    }

    fn type_name(&mut self, text: &str, path: &FieldPath) -> Option<&'static str> {
        let found = TYPES.into_iter().find(|name| *name == text);
        if found.is_none() {
            let meant = match text {
                "str" | "text" | "varchar" => Some("string"),
                "int" | "long" | "bigint" => Some("integer"),
                "float" | "double" | "decimal" | "numeric" => Some("number"),
                "bool" => Some("boolean"),
                "list" => Some("array"),
                "dict" | "struct" | "map" => Some("object"),
                _ => nearest(text, TYPES),
            };
            let diagnostic = Diagnostic::error(
                Code::UnknownValue,
                path.clone(),
                format!("`{text}` is no type"),
            );
            self.diagnostics.push(match (text, meant) {
                ("date" | "time" | "date-time" | "datetime" | "timestamp" | "uuid", _) => {
                    let format = if matches!(text, "datetime" | "timestamp") {
                        "date-time"
                    } else {
                        text
                    };
                    diagnostic.help(format!("write `type: string` with `format: {format}`"))
                }
                (_, Some(meant)) => diagnostic.help(format!(
                    "did you mean `{meant}`? known are {}",
                    one_of(TYPES)
                )),
                (_, None) => diagnostic.help(format!("write {}", one_of(TYPES))),
            });
        }
        found
    }

    fn wrong_type_name(&mut self, path: &FieldPath) {
        let diagnostic = Diagnostic::error(
            Code::WrongType,
            path.clone(),
            "`type` takes the name of a type, or a list of them",
        );
        self.diagnostics
            .push(diagnostic.help("write `type: string`, or `type: [string, \"null\"]`"));
    }

    fn with_format(&mut self, name: &str, node: &Node, path: &FieldPath) -> PropertyType {
        let format = node.get("format").and_then(Node::as_text);
        match name {
            "integer" => PropertyType::Integer,
            "number" => PropertyType::Number,
            "boolean" => PropertyType::Boolean,
            "array" => PropertyType::Array,
            "object" => PropertyType::Object,
            _ => match format {
                Some("date") => PropertyType::Date,
                Some("date-time") => PropertyType::DateTime,
                Some("time") => PropertyType::Time,
                Some("uuid") => PropertyType::Uuid,
                Some(other) if !CHECKED_FORMATS.contains(&other) => {
                    let known = ["date", "date-time", "time", "uuid"]
                        .into_iter()
                        .chain(CHECKED_FORMATS);
                    let help = nearest(other, known.clone()).map_or_else(
                        || format!("known are {}", one_of(known)),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    let message = format!("the format `{other}` is not checked");
                    self.diagnostics.push(
                        Diagnostic::warning(Code::ContractKeyword, path.key("format"), message)
                            .help(help),
                    );
                    PropertyType::String
                }
                Some(_) | None => PropertyType::String,
            },
        }
    }

    /// `anyOf: [{…}, {type: "null"}]` is how generators write a type that takes null.
    fn union_with_null(&mut self, node: &Node, path: &FieldPath) -> Option<Property> {
        let (keyword, members) = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|keyword| Some((keyword, node.get(keyword)?.as_list()?)))?;
        let is_null = |member: &Node| {
            member
                .get("type")
                .is_some_and(|kind| kind.is_null() || kind.as_text() == Some("null"))
        };
        let others: Vec<(usize, &Node)> = members
            .iter()
            .enumerate()
            .filter(|(_, member)| !is_null(member))
            .collect();
        let [(index, other)] = others.as_slice() else {
            return None;
        };
        let mut property = self.property(other, &path.key(keyword).index(*index));
        property.nullable |= others.len() < members.len();
        property.description = description(node).or(property.description);
        for entry in node
            .as_object()
            .unwrap_or_default()
            .iter()
            .filter(|entry| entry.key != keyword)
        {
            self.keyword(entry, &[], &format!("a property with `{keyword}`"), path);
        }
        Some(property)
    }

    fn reference(&mut self, reference: &Node, path: &FieldPath) -> Property {
        let refuse = |message: String, help: &str| {
            Diagnostic::error(Code::ContractReference, path.clone(), message).help(help)
        };
        let Some(target) = reference.as_text() else {
            self.diagnostics.push(refuse(
                "`$ref` takes a text".to_owned(),
                "write `$ref: \"#/$defs/name\"`",
            ));
            return Property::default();
        };
        let Some(pointer) = target.strip_prefix('#') else {
            self.diagnostics.push(refuse(
                format!("`{target}` is outside the contract, and is not fetched"),
                "copy the schema into `$defs` of the contract",
            ));
            return Property::default();
        };
        if self.references.iter().any(|followed| followed == target) {
            self.diagnostics.push(refuse(
                format!("`{target}` contains itself, and a column can't"),
                "write the levels that are needed one by one",
            ));
            return Property::default();
        }
        let root = self.root;
        let found = pointer.split('/').skip(1).try_fold(root, |node, part| {
            let key = part.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::List(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => node.get(&key),
            }
        });
        let Some(found) = found.filter(|_| pointer.is_empty() || pointer.starts_with('/')) else {
            self.diagnostics.push(refuse(
                format!("the contract has nothing at `{target}`"),
                "references begin at the contract: `#/$defs/name`",
            ));
            return Property::default();
        };
        self.references.push(target.to_owned());
        let property = self.property(found, path);
        self.references.pop();
        property
    }
}

fn description(node: &Node) -> Option<String> {
    node.get("description")
        .and_then(Node::as_text)
        .map(str::to_owned)
}
