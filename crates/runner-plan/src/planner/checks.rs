//! Rules and the contract as checks of columns.

use runner_spec::model::{Constraints, Contract, Property};
use runner_spec::{Code, FieldPath};

use super::drafts::Draft;
use super::findings::{Findings, at, did_you_mean, list};
use crate::model::{Check, CheckKind, CheckOrigin, Columns};

/// The endpoint's own rules.
pub(crate) fn rules(draft: &Draft<'_>, columns: &Columns, findings: &mut Findings) -> Vec<Check> {
    let rules = &draft.endpoint.validation_rules;
    let path = draft.path.key("validation_rules");
    let mut checks = Vec::new();
    for (index, field) in rules.required_fields.iter().enumerate() {
        let path = path.key("required_fields").index(index);
        if let Some(column) = column(draft, columns, field, &path, findings) {
            checks.push(check(column, CheckKind::Required, CheckOrigin::Rule, &path));
        }
    }
    for (field, (minimum, maximum)) in &rules.numeric_ranges {
        let path = path.key("numeric_ranges").key(field);
        if let Some(column) = column(draft, columns, field, &path, findings) {
            let kind = CheckKind::Range {
                minimum: *minimum,
                maximum: *maximum,
            };
            checks.push(check(column, kind, CheckOrigin::Rule, &path));
        }
    }
    checks
}

/// A rule names a field by its source or its mapped name.
fn column(
    draft: &Draft<'_>,
    columns: &Columns,
    field: &str,
    path: &FieldPath,
    findings: &mut Findings,
) -> Option<String> {
    if columns.known.iter().any(|column| column.name == field) {
        return Some(field.to_owned());
    }
    let found = draft.mapping.column_of(field);
    if found.is_none() {
        let known: Vec<&str> = columns
            .known
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        findings.error(
            Code::FieldNotFound,
            path,
            format!("`{field}` is no field that the mapping of `{}` takes over, so that no row could pass", draft.name()),
            did_you_mean(field, known.iter().copied(), format!("its columns are {}", list(&known))),
        );
    }
    found
}

/// The contract's checks of the columns that rows have.
pub(crate) fn contract(contract: &Contract) -> Vec<Check> {
    let path = at::provider().key("schema_contract");
    let mut checks = Vec::new();
    for (index, name) in contract.required.iter().enumerate() {
        // A property that may be null is required to be there, which a column always is.
        let may_be_null = contract
            .properties
            .get(name)
            .is_some_and(|property| property.nullable);
        if !may_be_null {
            let path = path.key("required").index(index);
            checks.push(check(
                name.clone(),
                CheckKind::Required,
                CheckOrigin::Contract,
                &path,
            ));
        }
    }
    for (name, property) in &contract.properties {
        property_checks(
            name,
            property,
            &path.key("properties").key(name),
            &mut checks,
        );
    }
    checks
}

fn property_checks(column: &str, property: &Property, path: &FieldPath, checks: &mut Vec<Check>) {
    for (key, kind) in constraints(property) {
        checks.push(check(
            column.to_owned(),
            kind,
            CheckOrigin::Contract,
            &path.key(key),
        ));
    }
    for (index, name) in property.required.iter().enumerate() {
        let may_be_null = property
            .properties
            .get(name)
            .is_some_and(|property| property.nullable);
        if !may_be_null {
            let path = path.key("required").index(index);
            checks.push(check(
                format!("{column}.{name}"),
                CheckKind::Required,
                CheckOrigin::Contract,
                &path,
            ));
        }
    }
    for (name, field) in &property.properties {
        property_checks(
            &format!("{column}.{name}"),
            field,
            &path.key("properties").key(name),
            checks,
        );
    }
    if let Some(items) = &property.items {
        property_checks(&format!("{column}[]"), items, &path.key("items"), checks);
    }
}

/// The constraints of one property, by the key that states them.
fn constraints(property: &Property) -> Vec<(&'static str, CheckKind)> {
    let given = &property.constraints;
    let mut kinds = bounds(given);
    if let Some(divisor) = given.multiple_of {
        kinds.push(("multipleOf", CheckKind::MultipleOf(divisor)));
    }
    if let Some(pattern) = &given.pattern {
        kinds.push(("pattern", CheckKind::Pattern(pattern.clone())));
    }
    if let Some(format) = &given.format {
        kinds.push(("format", CheckKind::Format(format.clone())));
    }
    if let Some(values) = &given.enumeration {
        kinds.push(("enum", CheckKind::Enumeration(values.clone())));
    }
    if let Some(value) = &given.constant {
        kinds.push(("const", CheckKind::Enumeration(vec![value.clone()])));
    }
    kinds
}

/// Constraints with a lower and an upper end, by the key of the first that is given.
fn bounds(given: &Constraints) -> Vec<(&'static str, CheckKind)> {
    let key = |has_lower: bool, has_upper: bool, keys: [&'static str; 2]| {
        let [lower, upper] = keys;
        (has_lower || has_upper).then_some(if has_lower { lower } else { upper })
    };
    let range = CheckKind::Range {
        minimum: given.minimum,
        maximum: given.maximum,
    };
    let exclusive = CheckKind::ExclusiveRange {
        minimum: given.exclusive_minimum,
        maximum: given.exclusive_maximum,
    };
    let length = CheckKind::Length {
        minimum: given.min_length,
        maximum: given.max_length,
    };
    let items = CheckKind::Items {
        minimum: given.min_items,
        maximum: given.max_items,
        unique: given.unique_items,
    };
    let range_key = key(
        given.minimum.is_some(),
        given.maximum.is_some(),
        ["minimum", "maximum"],
    );
    let exclusive_key = key(
        given.exclusive_minimum.is_some(),
        given.exclusive_maximum.is_some(),
        ["exclusiveMinimum", "exclusiveMaximum"],
    );
    let length_key = key(
        given.min_length.is_some(),
        given.max_length.is_some(),
        ["minLength", "maxLength"],
    );
    let items_key = key(
        given.min_items.is_some(),
        given.max_items.is_some() || given.unique_items,
        ["minItems", "maxItems"],
    );
    [
        (range_key, range),
        (exclusive_key, exclusive),
        (length_key, length),
        (items_key, items),
    ]
    .into_iter()
    .filter_map(|(key, kind)| Some((key?, kind)))
    .collect()
}

/// A null key or cursor can't be loaded.
pub(crate) fn presence(
    columns: &[String],
    origin: CheckOrigin,
    path: &FieldPath,
    checks: &mut Vec<Check>,
) {
    for column in columns {
        checks.push(check(column.clone(), CheckKind::Required, origin, path));
    }
}

fn check(column: String, kind: CheckKind, origin: CheckOrigin, path: &FieldPath) -> Check {
    Check {
        column,
        kind,
        origin,
        path: path.to_string(),
    }
}
