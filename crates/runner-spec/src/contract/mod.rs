//! `schema_contract`: the part of JSON Schema that says what a table's rows look like.
//!
//! What the runner doesn't check is named in a warning, keyword by keyword, so that nobody relies on it.

mod constraints;
mod keywords;
mod property;

use indexmap::IndexMap;

use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Contract, Property};
use crate::names::nearest;
use crate::path::FieldPath;
use crate::tree::{Node, Value};

/// The most properties that a contract has with its references followed.
const MAX_PROPERTIES: usize = 10_000;

/// Reads a contract; what is wrong in it is left out and reported.
pub(crate) fn lower(node: &Node, path: &FieldPath, diagnostics: &mut Vec<Diagnostic>) -> Contract {
    let mut reader = Reader {
        root: node,
        diagnostics,
        references: Vec::new(),
        properties: 0,
    };
    let mut contract = Contract {
        additional_properties: true,
        ..Contract::default()
    };
    let Some(entries) = node.as_object() else {
        let diagnostic = Diagnostic::error(
            Code::WrongType,
            path.clone(),
            "`schema_contract` takes an object: a JSON Schema",
        );
        reader.diagnostics.push(
            diagnostic.help("write `type: object`, `properties: {…}` and `required: […]` below it"),
        );
        return contract;
    };
    for entry in entries {
        reader.keyword(entry, keywords::of_objects(), "the contract", path);
    }
    if let Some(kind) = node
        .get("type")
        .filter(|kind| kind.as_text() != Some("object"))
    {
        let found = kind
            .as_text()
            .map_or("another type".to_owned(), |kind| format!("`{kind}`"));
        let diagnostic = Diagnostic::error(
            Code::ContractShape,
            path.key("type"),
            format!("the contract describes {found}, and rows are objects"),
        );
        reader
            .diagnostics
            .push(diagnostic.help("write `type: object`, with the columns as its properties"));
    }
    contract.required = reader.required(node, path);
    contract.properties = reader.properties(node, &contract.required, path);
    if contract.properties.is_empty()
        && node
            .get("properties")
            .is_none_or(|properties| properties.as_object().is_some())
    {
        let diagnostic = Diagnostic::error(
            Code::ContractShape,
            path.clone(),
            "the contract has no properties, and so describes no column",
        );
        reader.diagnostics.push(
            diagnostic.help("write one property a column: `properties: {id: {type: integer}}`"),
        );
    }
    contract.additional_properties = reader.additional_properties(node, path);
    contract
}

struct Reader<'a> {
    /// What references are relative to.
    root: &'a Node,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// References that are being followed, to find loops.
    references: Vec<String>,
    properties: usize,
}

impl Reader<'_> {
    fn required(&mut self, node: &Node, path: &FieldPath) -> Vec<String> {
        let Some(required) = node.get("required").filter(|required| !required.is_null()) else {
            return Vec::new();
        };
        let path = path.key("required");
        let Some(items) = required.as_list() else {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path,
                "`required` takes a list of names of properties",
            );
            self.diagnostics.push(
                diagnostic.help("write it beside `properties`, as in `required: [id, name]`"),
            );
            return Vec::new();
        };
        let names: Vec<&str> = node
            .get("properties")
            .and_then(Node::as_object)
            .unwrap_or_default()
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = path.index(index);
            let Some(name) = item.as_text() else {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path,
                    "an element of `required` takes the name of a property",
                );
                self.diagnostics
                    .push(diagnostic.help("write names only, as in `required: [id, name]`"));
                continue;
            };
            if !names.contains(&name) {
                let help = nearest(name, names.iter().copied()).map_or_else(
                    || "add it to `properties`".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                let message = format!("`required` names `{name}`, which is no property");
                self.diagnostics
                    .push(Diagnostic::warning(Code::ContractShape, path, message).help(help));
            }
            found.push(name.to_owned());
        }
        found
    }

    fn properties(
        &mut self,
        node: &Node,
        required: &[String],
        path: &FieldPath,
    ) -> IndexMap<String, Property> {
        let Some(properties) = node
            .get("properties")
            .filter(|properties| !properties.is_null())
        else {
            return IndexMap::new();
        };
        let path = path.key("properties");
        let Some(entries) = properties.as_object() else {
            let diagnostic = Diagnostic::error(
                Code::WrongType,
                path,
                "`properties` takes an object: a name and a schema for each column",
            );
            self.diagnostics
                .push(diagnostic.help("write `id: {type: integer}` below it"));
            return IndexMap::new();
        };
        entries
            .iter()
            .map(|entry| {
                let mut property = self.property(&entry.value, &path.key(entry.key.as_str()));
                property.nullable |= !required.contains(&entry.key);
                (entry.key.clone(), property)
            })
            .collect()
    }

    fn additional_properties(&mut self, node: &Node, path: &FieldPath) -> bool {
        match node.get("additionalProperties").map(|node| &node.value) {
            None | Some(Value::Null) => true,
            Some(Value::Object(_)) => {
                let diagnostic = Diagnostic::warning(
                    Code::ContractKeyword,
                    path.key("additionalProperties"),
                    "a schema in `additionalProperties` of the contract is not checked",
                );
                self.diagnostics.push(
                    diagnostic
                        .at_key()
                        .help("name the columns one by one in `properties`"),
                );
                true
            }
            Some(Value::Boolean(allowed)) => *allowed,
            Some(_) => {
                let diagnostic = Diagnostic::error(
                    Code::WrongType,
                    path.key("additionalProperties"),
                    "`additionalProperties` takes `true` or `false`",
                );
                self.diagnostics.push(diagnostic.help("write `additionalProperties: false` to refuse columns that the contract doesn't name"));
                true
            }
        }
    }

    /// Warns of a keyword that is not checked.
    fn keyword(
        &mut self,
        entry: &crate::tree::Entry,
        known: &[&str],
        holder: &str,
        path: &FieldPath,
    ) {
        let key = entry.key.as_str();
        let allows_all = key == "additionalProperties"
            && matches!(entry.value.value, Value::Null | Value::Boolean(true));
        if allows_all {
            return;
        }
        if known.contains(&key) || keywords::ANNOTATIONS.contains(&key) || key.starts_with("x-") {
            return;
        }
        let diagnostic = Diagnostic::warning(
            Code::ContractKeyword,
            path.key(key),
            format!("`{key}` of {holder} is not checked"),
        )
        .at_key();
        self.diagnostics.push(match nearest(key, known.iter().copied()).filter(|_| !keywords::UNCHECKED.contains(&key)) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help("express it with types, ranges, patterns and `enum`, or check it in a transform"),
        });
    }
}
