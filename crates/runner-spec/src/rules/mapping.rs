//! Field mappings: their direction, and what rules, keys and the contract expect of them.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::{Context, endpoint_path, provider_path, texts};
use crate::Code;
use crate::diagnostic::{Diagnostic, MAX_FINDINGS};
use crate::model::{Contract, Endpoint, ForEach, Masking, ValidationRules};
use crate::names::nearest;
use crate::path::FieldPath;
use crate::tree::Node;
use crate::values::{is_template, references};

/// Whether a mapping is written as column → source: its keys are names of the contract, or of rules, and its values are not.
///
/// A document alone can't tell in every case; where it can't, the first rows do.
pub fn is_reversed(
    mapping: &IndexMap<String, String>,
    contract: Option<&Contract>,
    rules: &ValidationRules,
) -> bool {
    let pairs: Vec<(&str, &str)> = mapping
        .iter()
        .filter(|(source, target)| !is_template(target) && source != target)
        .map(|(source, target)| (source.as_str(), target.as_str()))
        .collect();
    if pairs.is_empty() {
        return false;
    }
    let is_path = |text: &str| text.starts_with('$');
    if pairs.iter().any(|(_, target)| is_path(target))
        && !pairs.iter().any(|(source, _)| is_path(source))
    {
        return true;
    }
    if let Some(contract) = contract.filter(|contract| !contract.properties.is_empty()) {
        let names = |name: &str| contract.properties.contains_key(name);
        let forward = pairs.iter().filter(|(_, target)| names(target)).count();
        return forward == 0 && pairs.iter().all(|(source, _)| names(source));
    }
    // A rule may name a field by its source as well, so that only long names mapped to short ones are evidence.
    let checked: HashSet<&str> = rules
        .required_fields
        .iter()
        .chain(rules.numeric_ranges.keys())
        .map(String::as_str)
        .collect();
    let keys_ruled = pairs
        .iter()
        .filter(|(source, _)| checked.contains(source))
        .count();
    let values_ruled = pairs.iter().any(|(_, target)| checked.contains(target));
    keys_ruled > 0
        && !values_ruled
        && pairs
            .iter()
            .all(|(source, target)| target.len() < source.len())
}

pub(super) fn run(context: &mut Context<'_>) {
    let contract = context.spec.provider.schema_contract.as_ref();
    for (index, endpoint) in context.spec.provider.endpoints.iter().enumerate() {
        if endpoint.field_mapping.is_empty() {
            masked_keys(context, index, endpoint);
            continue;
        }
        let reversed = is_reversed(
            &endpoint.field_mapping,
            contract,
            &endpoint.validation_rules,
        );
        if reversed {
            let (column, source) = endpoint
                .field_mapping
                .iter()
                .find(|(_, target)| !is_template(target))
                .map_or(("", ""), |(key, value)| (key, value));
            let diagnostic = Diagnostic::warning(
                Code::ReversedMapping,
                endpoint_path(index).key("field_mapping"),
                "this mapping is written the other way round, column first; it is turned round",
            );
            context.report(
                diagnostic.help(format!("write the source first: `\"{source}\": {column}`")),
            );
        }
        templates_as_fields(context, index);
        duplicate_targets(context, index, endpoint, reversed);
        let fields = Fields::of(context, index, endpoint, reversed);
        ruled_fields(context, index, endpoint, &fields);
        keys(context, index, endpoint, &fields);
        masked_keys(context, index, endpoint);
    }
    required_by_contract(context);
}

/// What a row of a stream has, by either name.
struct Fields {
    sources: HashSet<String>,
    columns: HashSet<String>,
}

impl Fields {
    fn of(context: &Context<'_>, index: usize, endpoint: &Endpoint, reversed: bool) -> Self {
        let mut fields = Self {
            sources: HashSet::new(),
            columns: variables(context, index, endpoint),
        };
        for (source, target) in &endpoint.field_mapping {
            let (source, column) = match (is_template(target), reversed) {
                (true, _) => (None, source),
                (false, true) => (Some(target), source),
                (false, false) => (Some(source), target),
            };
            fields.columns.insert(column.clone());
            if let Some(source) = source {
                fields
                    .sources
                    .insert(source.trim_start_matches("$.").to_owned());
            }
        }
        fields
    }

    fn has(&self, name: &str) -> bool {
        self.columns.contains(name) || self.sources.contains(name.trim_start_matches("$."))
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        nearest(
            name,
            self.columns.iter().chain(&self.sources).map(String::as_str),
        )
    }
}

/// Variables that the requests use: the contract can make columns of them.
fn variables(context: &Context<'_>, index: usize, endpoint: &Endpoint) -> HashSet<String> {
    let mut found = Vec::new();
    if let Some(node) = context.node(&endpoint_path(index)) {
        texts(node, &FieldPath::root(), &mut found);
    }
    let mut names: HashSet<String> = found
        .iter()
        .flat_map(|(_, text)| references(text))
        .map(|reference| reference.root().to_owned())
        .collect();
    match &endpoint.for_each {
        Some(ForEach::Parent {
            variable, field, ..
        }) => {
            names.extend(variable.clone());
            names.insert(field.clone());
        }
        Some(ForEach::List { variable, .. } | ForEach::Range { variable, .. }) => {
            names.extend(variable.clone());
        }
        None => {}
    }
    names
}

/// Entries whose key is a template: they were turned round when the document was read.
fn templates_as_fields(context: &mut Context<'_>, index: usize) {
    let path = endpoint_path(index).key("field_mapping");
    let Some(entries) = context.node(&path).and_then(Node::as_object) else {
        return;
    };
    let found: Vec<(String, String)> = entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.to_owned())))
        .filter(|(key, value)| is_template(key) && !is_template(value))
        .collect();
    for (key, column) in found {
        let diagnostic = Diagnostic::warning(
            Code::ReversedMapping,
            path.key(key.as_str()),
            "a template is a value and no field; this entry is turned round",
        );
        context.report(
            diagnostic
                .at_key()
                .help(format!("write the column first: `{column}: \"{key}\"`")),
        );
    }
}

fn duplicate_targets(context: &mut Context<'_>, index: usize, endpoint: &Endpoint, reversed: bool) {
    if reversed {
        return;
    }
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (source, target) in endpoint
        .field_mapping
        .iter()
        .filter(|(_, target)| !is_template(target))
    {
        if let Some(first) = seen.insert(target, source) {
            let path = endpoint_path(index)
                .key("field_mapping")
                .key(source.as_str());
            let message = format!("`{source}` and `{first}` are both mapped to `{target}`");
            context.report(
                Diagnostic::error(Code::DuplicateTarget, path, message)
                    .help("give each column one source"),
            );
        }
    }
}

fn ruled_fields(context: &mut Context<'_>, index: usize, endpoint: &Endpoint, fields: &Fields) {
    let path = endpoint_path(index).key("validation_rules");
    let missing = |name: &str, code, path: FieldPath, what: &str| {
        let message = format!("{what} `{name}`, and `field_mapping` yields no such field");
        // No row could pass, and the plan refuses it for that.
        let diagnostic = Diagnostic::error(code, path, message);
        match fields.nearest(name) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help(format!(
                "add `{name}` to `field_mapping`: fields that it doesn't name are dropped"
            )),
        }
    };
    for (position, name) in endpoint.validation_rules.required_fields.iter().enumerate() {
        if !fields.has(name) && !context.is_full() {
            context.report(missing(
                name,
                Code::RequiredFieldUnmapped,
                path.key("required_fields").index(position),
                "every row needs",
            ));
        }
    }
    for name in endpoint.validation_rules.numeric_ranges.keys() {
        if !fields.has(name) && !context.is_full() {
            context.report(
                missing(
                    name,
                    Code::RangeOnUnmappedField,
                    path.key("numeric_ranges").key(name.as_str()),
                    "a range checks",
                )
                .at_key(),
            );
        }
    }
}

fn keys(context: &mut Context<'_>, index: usize, endpoint: &Endpoint, fields: &Fields) {
    let path = endpoint_path(index).key("primary_key");
    let is_list = context
        .node(&path)
        .is_some_and(|node| node.as_list().is_some());
    for (position, name) in endpoint
        .load
        .primary_key
        .iter()
        .enumerate()
        .filter(|(_, name)| !fields.columns.contains(*name))
        .take(MAX_FINDINGS)
    {
        let path = if is_list {
            path.index(position)
        } else {
            path.clone()
        };
        let diagnostic = Diagnostic::warning(
            Code::KeyUnmapped,
            path,
            format!("the key column `{name}` is yielded by no field of `field_mapping`"),
        );
        context.diagnostics.push(match fields.nearest(name) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help(format!("map a field to `{name}`")),
        });
    }
}

fn masked_keys(context: &mut Context<'_>, index: usize, endpoint: &Endpoint) {
    for (field, masking) in &endpoint.masking {
        let column = endpoint.field_mapping.get(field).unwrap_or(field);
        let is_key = endpoint
            .load
            .primary_key
            .iter()
            .any(|key| key == column || key == field);
        let is_cursor = endpoint.incremental.as_ref().is_some_and(|incremental| {
            incremental.cursor_field == *field || incremental.cursor_field == *column
        });
        // A hash still tells rows apart; it doesn't tell which is newer.
        let harmful = (is_key && *masking != Masking::Hash) || is_cursor;
        if harmful {
            let path = endpoint_path(index).key("masking").key(field.as_str());
            let role = if is_cursor {
                "the cursor"
            } else {
                "part of the primary key"
            };
            let diagnostic = Diagnostic::warning(
                Code::MaskedKey,
                path,
                format!("`{field}` is {role}, and masking takes its value away"),
            );
            context.report(diagnostic.help(if is_cursor {
                "leave it unmasked"
            } else {
                "use `hash`, which keeps rows apart"
            }));
        }
    }
}

/// The contract's required columns, where a mapping decides the columns of every stream and no transform makes others.
fn required_by_contract(context: &mut Context<'_>) {
    let provider = &context.spec.provider;
    let Some(contract) = provider
        .schema_contract
        .as_ref()
        .filter(|_| provider.transforms.is_empty())
    else {
        return;
    };
    let active: Vec<(usize, &Endpoint)> = provider
        .endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| endpoint.is_active)
        .collect();
    if active.is_empty()
        || active
            .iter()
            .any(|(_, endpoint)| endpoint.field_mapping.is_empty())
    {
        return;
    }
    let is_alone = active.len() == 1;
    let missing = active.iter().map(|(index, endpoint)| {
        let reversed = is_reversed(
            &endpoint.field_mapping,
            Some(contract),
            &endpoint.validation_rules,
        );
        let fields = Fields::of(context, *index, endpoint, reversed);
        let missing: Vec<usize> = (0..contract.required.len())
            .filter(|position| {
                let name = &contract.required[*position];
                // A name that is no property has been reported as such.
                contract.properties.contains_key(name) && !fields.columns.contains(name)
            })
            .collect();
        (missing, endpoint.name.as_str(), fields)
    });
    let Some((missing, endpoint, fields)) = missing.min_by_key(|(missing, ..)| missing.len())
    else {
        return;
    };
    for position in missing.into_iter().take(MAX_FINDINGS) {
        let name = &contract.required[position];
        let path = provider_path()
            .keys(["schema_contract", "required"])
            .index(position);
        let message = format!(
            "the contract requires `{name}`, and the mapping of `{endpoint}` yields no such column"
        );
        // Of one endpoint no row could pass, and the plan refuses it. Of several, `config.endpoints` may choose others.
        let diagnostic = if is_alone {
            Diagnostic::error(Code::RequiredFieldUnmapped, path, message)
        } else {
            Diagnostic::warning(Code::RequiredFieldUnmapped, path, message)
        };
        context.diagnostics.push(match fields.nearest(name) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help(format!(
                "map a field to `{name}`, or take it out of `required`"
            )),
        });
    }
}
