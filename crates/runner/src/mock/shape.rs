//! What the server knows of an endpoint, taken from the document.

use std::collections::BTreeSet;

use regex::Regex;
use runner_core::{Error, ErrorKind, Result};
use runner_spec::Spec;
use runner_spec::model::{
    AuthKind, Constraints, Contract, Endpoint, ForEach, Pagination, Property, PropertyType,
    ProviderType,
};

/// An endpoint as it is served.
#[derive(Debug)]
pub(crate) struct EndpointShape {
    pub(crate) path: String,
    route: Regex,
    /// Names of the path's variables, in order.
    names: Vec<String>,
    pub(crate) auth: AuthKind,
    pub(crate) pagination: Pagination,
    pub(crate) rate_group: String,
    pub(crate) per_second: Option<f64>,
    pub(crate) response_path: String,
    pub(crate) fields: Vec<Field>,
    /// Rows of a parent are its distinct values.
    pub(crate) is_parent: bool,
    pub(crate) from_param: Option<String>,
    pub(crate) to_param: Option<String>,
}

/// A field of a raw row.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Dotted path in the raw row.
    pub(crate) name: String,
    pub(crate) kind: PropertyType,
    pub(crate) constraints: Constraints,
    /// Of an array.
    pub(crate) items: Option<Box<Field>>,
    /// Of an object.
    pub(crate) members: Vec<Field>,
    /// No two rows of a chain share a value.
    pub(crate) is_unique: bool,
    /// Grows from row to row.
    pub(crate) is_cursor: bool,
    /// Written as a number: an epoch, which is what short names in market data hold.
    pub(crate) is_epoch: bool,
    /// Takes the value of this variable of the path.
    pub(crate) variable: Option<String>,
}

impl EndpointShape {
    /// The variables of a path that is this endpoint's.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let captures = self.route.captures(path)?;
        let decode = |text: &str| percent_decode(text);
        let values = captures.iter().skip(1).map(|value| {
            value
                .map(|value| decode(value.as_str()))
                .unwrap_or_default()
        });
        Some(self.names.iter().cloned().zip(values).collect())
    }
}

pub(crate) fn endpoints(spec: &Spec) -> Result<Vec<EndpointShape>> {
    if !matches!(
        spec.provider.provider_type,
        ProviderType::RestApi | ProviderType::Graphql
    ) {
        return Ok(Vec::new());
    }
    let prefix = spec
        .provider
        .base_url
        .as_deref()
        .and_then(|base| url::Url::parse(base).ok())
        .map(|base| base.path().trim_end_matches('/').to_owned())
        .unwrap_or_default();
    let wanted = wanted_variables(spec);
    spec.provider
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.is_active)
        .map(|endpoint| shape(spec, endpoint, &prefix, &wanted))
        .collect()
}

/// Paths of the token endpoints, so that OAuth2 can be tried too.
pub(crate) fn token_paths(spec: &Spec) -> Vec<String> {
    spec.provider
        .endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.auth.kind {
            AuthKind::Oauth2 { token_url, .. } => {
                Some(url::Url::parse(token_url).ok()?.path().to_owned())
            }
            _ => None,
        })
        .collect()
}

fn shape(
    spec: &Spec,
    endpoint: &Endpoint,
    prefix: &str,
    wanted: &BTreeSet<String>,
) -> Result<EndpointShape> {
    let (route, names) = route(endpoint, prefix)?;
    let mut fields = fields(spec, endpoint, wanted, &names);
    let parent_fields = for_each_fields(spec, &endpoint.name);
    let is_bound_by_children = |field: &Field| {
        let target = endpoint
            .field_mapping
            .get(&field.name)
            .map_or(field.name.as_str(), String::as_str);
        !names.contains(&field.name)
            && (wanted.contains(&field.name)
                || wanted.contains(target)
                || parent_fields.contains(&target))
    };
    let mut is_parent = false;
    for field in &mut fields {
        // Each value of a parent is a chain of its own.
        if is_bound_by_children(field) {
            is_parent = true;
            field.is_unique = true;
        }
    }
    if let Some(first) = fields.first_mut()
        && endpoint.load.primary_key.is_empty()
        && first.variable.is_none()
    {
        first.is_unique = true;
    }
    let incremental = endpoint.incremental.as_ref();
    Ok(EndpointShape {
        path: endpoint.path.clone(),
        route,
        names,
        auth: endpoint.auth.kind.clone(),
        pagination: endpoint.pagination.clone(),
        rate_group: endpoint
            .rate_limit_group
            .clone()
            .unwrap_or_else(|| endpoint.name.clone()),
        per_second: endpoint.rate_limit_per_second,
        response_path: endpoint
            .response_path
            .clone()
            .unwrap_or_else(|| "$".to_owned()),
        fields,
        is_parent,
        from_param: incremental.and_then(|plan| plan.from_param.clone()),
        to_param: incremental.and_then(|plan| plan.to_param.clone()),
    })
}

/// The path as a pattern, with or without the base URL's own path before it.
fn route(endpoint: &Endpoint, prefix: &str) -> Result<(Regex, Vec<String>)> {
    let path = endpoint.path.split('?').next().unwrap_or_default();
    let path = url::Url::parse(path)
        .map_or_else(|_| path.to_owned(), |absolute| absolute.path().to_owned());
    let variable = Regex::new(r"\{\{\s*([A-Za-z0-9_.]+)[^}]*\}\}").map_err(internal)?;
    let names = variable
        .captures_iter(&path)
        .map(|captures| captures[1].to_owned())
        .collect();
    let literals: Vec<_> = variable.split(&path).map(regex::escape).collect();
    let pattern = format!(
        "^(?:{})?/?{}/?$",
        regex::escape(prefix),
        literals.join("([^/]+)").trim_start_matches('/')
    );
    Ok((Regex::new(&pattern).map_err(internal)?, names))
}

/// Every variable that some path, query or body uses: a field of that name makes its endpoint a parent.
fn wanted_variables(spec: &Spec) -> BTreeSet<String> {
    let Ok(variable) = Regex::new(r"\{\{\s*([A-Za-z0-9_]+)") else {
        return BTreeSet::new();
    };
    let mut wanted = BTreeSet::new();
    for endpoint in &spec.provider.endpoints {
        let body = endpoint
            .body_template
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let texts = std::iter::once(endpoint.path.as_str())
            .chain(endpoint.query_params.values().map(String::as_str))
            .chain(std::iter::once(body.as_str()));
        for text in texts {
            wanted.extend(
                variable
                    .captures_iter(text)
                    .map(|captures| captures[1].to_owned()),
            );
        }
    }
    wanted
}

fn for_each_fields<'a>(spec: &'a Spec, parent: &str) -> Vec<&'a str> {
    spec.provider
        .endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.for_each {
            Some(ForEach::Parent {
                endpoint, field, ..
            }) if endpoint == parent => Some(field.as_str()),
            _ => None,
        })
        .collect()
}

fn fields(
    spec: &Spec,
    endpoint: &Endpoint,
    wanted: &BTreeSet<String>,
    names: &[String],
) -> Vec<Field> {
    let empty = Contract::default();
    let contract = spec.provider.schema_contract.as_ref().unwrap_or(&empty);
    let is_reversed = runner_spec::is_reversed(
        &endpoint.field_mapping,
        spec.provider.schema_contract.as_ref(),
        &endpoint.validation_rules,
    );
    let mut fields: Vec<Field> = endpoint
        .field_mapping
        .iter()
        .map(|(source, target)| {
            if is_reversed {
                (target, source)
            } else {
                (source, target)
            }
        })
        .filter(|(source, _)| !source.contains("{{"))
        .map(|(source, target)| field(source, target, endpoint, contract))
        .collect();
    if fields.is_empty() {
        let own = contract
            .properties
            .keys()
            .chain(&endpoint.validation_rules.required_fields);
        let own = own
            .chain(endpoint.validation_rules.numeric_ranges.keys())
            .chain(&endpoint.load.primary_key);
        for name in own {
            if !fields.iter().any(|field| field.name == *name) {
                fields.push(field(name, name, endpoint, contract));
            }
        }
    }
    for name in for_each_fields(spec, &endpoint.name) {
        if !fields.iter().any(|field| field.name == name)
            && endpoint.field_mapping.values().all(|target| target != name)
        {
            fields.push(field(name, name, endpoint, contract));
        }
    }
    if fields.is_empty() {
        fields.push(field("id", "id", endpoint, contract));
        fields.extend(
            wanted
                .iter()
                .filter(|name| !names.contains(name))
                .take(1)
                .map(|name| field(name, name, endpoint, contract)),
        );
        fields.push(field("name", "name", endpoint, contract));
    }
    for field in &mut fields {
        if names.contains(&field.name) {
            field.variable = Some(field.name.clone());
        }
    }
    fields
}

fn field(source: &str, target: &str, endpoint: &Endpoint, contract: &Contract) -> Field {
    let property = contract.properties.get(target);
    let range = endpoint
        .validation_rules
        .numeric_ranges
        .get(target)
        .or_else(|| endpoint.validation_rules.numeric_ranges.get(source));
    let mut constraints = property
        .map(|property| property.constraints.clone())
        .unwrap_or_default();
    if let Some((minimum, maximum)) = range {
        constraints.minimum = match (constraints.minimum, *minimum) {
            (Some(left), Some(right)) => Some(left.max(right)),
            (left, right) => left.or(right),
        };
        constraints.maximum = match (constraints.maximum, *maximum) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
    }
    let kind = property
        .and_then(|property: &Property| property.kind)
        .unwrap_or_else(|| guess(target, range.is_some()));
    let is_cursor = endpoint
        .incremental
        .as_ref()
        .is_some_and(|plan| plan.cursor_field == target || plan.cursor_field == source);
    let mut field = Field::nested(source.trim_start_matches("$."), property);
    field.is_epoch = kind == PropertyType::DateTime && source.len() <= 2;
    field.kind = kind;
    field.constraints = constraints;
    field.is_cursor = is_cursor;
    field.is_unique = endpoint
        .load
        .primary_key
        .iter()
        .any(|key| key == target || key == source);
    field
}

impl Field {
    /// A field as the contract has it, with what is in it.
    fn nested(name: &str, property: Option<&Property>) -> Self {
        let within = |(name, property): (&String, &Property)| Self::nested(name, Some(property));
        Self {
            name: name.to_owned(),
            kind: property
                .and_then(|property| property.kind)
                .unwrap_or(PropertyType::String),
            constraints: property
                .map(|property| property.constraints.clone())
                .unwrap_or_default(),
            items: property
                .and_then(|property| property.items.as_deref())
                .map(|items| Box::new(Self::nested("", Some(items)))),
            members: property
                .map(|property| property.properties.iter().map(within).collect())
                .unwrap_or_default(),
            is_unique: false,
            is_cursor: false,
            is_epoch: false,
            variable: None,
        }
    }
}

/// A type for a field that nothing describes, by what such names usually hold.
fn guess(name: &str, has_range: bool) -> PropertyType {
    let name = name.to_lowercase();
    if has_range {
        return PropertyType::Number;
    }
    if name == "id" || name.ends_with("_count") || name.ends_with("number") {
        return PropertyType::Integer;
    }
    let is_time = ["_at", "_utc", "updated", "created"]
        .iter()
        .any(|ending| name.ends_with(ending));
    if is_time || name.contains("time") {
        return PropertyType::DateTime;
    }
    if name.ends_with("date") {
        return PropertyType::Date;
    }
    PropertyType::String
}

fn percent_decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn internal(error: regex::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        "failed to build a route of the mock server",
    )
    .with_source(error)
}
