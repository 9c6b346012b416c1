//! Pagination with its numbers, paths and end conditions.

use runner_spec::model::{Endpoint, Pagination, PaginationKind, ProviderType};
use runner_spec::{Code, FieldPath};

use super::context::Context;
use super::drafts::Draft;
use super::findings::Findings;
use super::row_paths::parse_field_path;
use crate::model::{Body, PageKind, PagePlacement, PagePlan, RowPath, RowPathStep};

/// Names of query parameters that state an order.
const ORDER_PARAMETERS: [&str; 12] = [
    "$orderby",
    "_sort",
    "order",
    "order_by",
    "orderby",
    "ordering",
    "sort",
    "sort_by",
    "sort_field",
    "sort_key",
    "sortby",
    "sorting",
];

pub(crate) fn build(
    context: Context<'_>,
    draft: &Draft<'_>,
    body: Option<&Body>,
    rows: &RowPath,
    findings: &mut Findings,
) -> PagePlan {
    let pagination = &draft.endpoint.pagination;
    let path = draft.path.key("pagination_config");
    let mut number =
        |name: &str, text: Option<&str>| context.number(text, &path.key(name), findings);
    let stated_size = number("page_size", pagination.page_size.as_deref());
    let max_pages = number("max_pages", pagination.max_pages.as_deref());
    let start_page = number("start_page", pagination.start_page.as_deref()).unwrap_or(1);
    let size = PageSize::of(draft.endpoint, stated_size);
    let kind = match pagination.kind {
        PaginationKind::None => PageKind::None,
        PaginationKind::Offset => PageKind::Offset {
            offset_param: named(pagination.offset_param.as_deref(), "offset"),
            limit_param: size.parameter_or("limit"),
        },
        PaginationKind::Page => PageKind::Page {
            page_param: named(pagination.page_param.as_deref(), "page"),
            size_param: size.parameter(),
            start_page,
        },
        PaginationKind::Cursor => PageKind::Cursor {
            cursor_param: Some(cursor_param(context, pagination, body)),
            size_param: size.parameter(),
            cursor_path: json_path(
                pagination.cursor_path.as_deref(),
                &path.key("cursor_path"),
                findings,
            )
            .or_else(|| relay_cursor(context, pagination, rows)),
            next_url_path: json_path(
                pagination.next_url_path.as_deref(),
                &path.key("next_url_path"),
                findings,
            ),
        },
        PaginationKind::LinkHeader => PageKind::LinkHeader {
            size_param: size.parameter(),
        },
        PaginationKind::NextUrl => PageKind::NextUrl {
            path: json_path(
                pagination.next_url_path.as_deref(),
                &path.key("next_url_path"),
                findings,
            ),
            size_param: size.parameter(),
        },
    };
    PagePlan {
        kind,
        page_size: size.rows,
        max_pages: if pagination.kind == PaginationKind::None {
            None
        } else {
            max_pages
        },
        total: json_path(
            pagination.total_path.as_deref(),
            &path.key("total_path"),
            findings,
        ),
        placement: placement(context, draft.endpoint, body),
    }
}

fn named(name: Option<&str>, default: &str) -> String {
    name.unwrap_or(default).to_owned()
}

/// How many rows a page has, and the parameter that asks for them.
struct PageSize<'a> {
    rows: Option<u64>,
    declared_parameter: Option<&'a str>,
    /// `query_params` has the parameter itself.
    is_in_query: bool,
}

impl<'a> PageSize<'a> {
    fn of(endpoint: &'a Endpoint, stated: Option<u64>) -> Self {
        let declared_parameter = endpoint.pagination.limit_param.as_deref();
        let name = declared_parameter.unwrap_or("limit");
        let in_query = endpoint.query_params.get(name);
        let rows = stated.or_else(|| in_query?.trim().parse().ok());
        Self {
            rows,
            declared_parameter,
            is_in_query: in_query.is_some(),
        }
    }

    /// Sent only where it is named: a parameter of the runner's own invention may be ignored, and pages then end early.
    fn parameter(&self) -> Option<String> {
        self.rows
            .filter(|_| !self.is_in_query)
            .and_then(|_| self.declared_parameter.map(str::to_owned))
    }

    fn parameter_or(&self, default: &str) -> Option<String> {
        self.rows
            .filter(|_| !self.is_in_query)
            .map(|_| named(self.declared_parameter, default))
    }
}

fn json_path(text: Option<&str>, path: &FieldPath, findings: &mut Findings) -> Option<RowPath> {
    let parsed = parse_field_path(text?);
    if parsed.is_none() {
        findings.error(
            Code::BadJsonPath,
            path,
            format!("`{}` is no path", text.unwrap_or_default()),
            "write a dotted path or a JSONPath, as in `meta.next` or `$.meta.next`",
        );
    }
    parsed
}

fn cursor_param(context: Context<'_>, pagination: &Pagination, body: Option<&Body>) -> String {
    if let Some(name) = &pagination.cursor_param {
        return name.clone();
    }
    let query = match body {
        Some(Body::Json(body)) if is_graphql(context) => {
            body.get("query").and_then(serde_json::Value::as_str)
        }
        _ => None,
    };
    // The variable that the query declares.
    let declares = |name: &str| {
        query.is_some_and(|query| {
            query.contains(&format!("${name}:")) || query.contains(&format!("${name} :"))
        })
    };
    ["after", "cursor"]
        .into_iter()
        .find(|name| declares(name))
        .unwrap_or("cursor")
        .to_owned()
}

/// GraphQL's connections have `pageInfo.endCursor` beside their `nodes` or `edges`.
fn relay_cursor(context: Context<'_>, pagination: &Pagination, rows: &RowPath) -> Option<RowPath> {
    if !is_graphql(context) || pagination.next_url_path.is_some() {
        return None;
    }
    let RowPath::Steps(steps) = rows else {
        return None;
    };
    let connection = steps.iter().position(
        |step| matches!(step, RowPathStep::Name(name) if name == "nodes" || name == "edges"),
    )?;
    let mut steps = steps[..connection].to_vec();
    steps.push(RowPathStep::Name("pageInfo".to_owned()));
    steps.push(RowPathStep::Name("endCursor".to_owned()));
    Some(RowPath::Steps(steps))
}

/// In the body of a request that has a JSON body, unless `query_params` shows that the API takes them in the query.
fn placement(context: Context<'_>, endpoint: &Endpoint, body: Option<&Body>) -> PagePlacement {
    match body {
        Some(Body::Json(_)) if is_graphql(context) => {
            PagePlacement::Body(vec!["variables".to_owned()])
        }
        Some(Body::Json(value)) if value.is_object() => {
            let pagination = &endpoint.pagination;
            let names = [
                &pagination.cursor_param,
                &pagination.offset_param,
                &pagination.page_param,
                &pagination.limit_param,
            ];
            let in_query = names
                .into_iter()
                .flatten()
                .any(|name| endpoint.query_params.contains_key(name));
            if in_query {
                PagePlacement::Query
            } else {
                PagePlacement::Body(Vec::new())
            }
        }
        _ => PagePlacement::Query,
    }
}

fn is_graphql(context: Context<'_>) -> bool {
    context.spec().provider.provider_type == ProviderType::Graphql
}

/// Whether the source states an order that pages can be cut from; a warning where it matters and doesn't.
pub(crate) fn stable_order(
    context: Context<'_>,
    draft: &Draft<'_>,
    findings: &mut Findings,
) -> bool {
    let stated = context
        .setting_flag("stable_order", findings)
        .unwrap_or(false);
    let sorted = draft.endpoint.query_params.keys().any(|name| {
        let name = name.to_ascii_lowercase();
        ORDER_PARAMETERS.contains(&name.as_str())
    });
    let is_stable = stated || sorted;
    let kind = match draft.endpoint.pagination.kind {
        PaginationKind::Offset => "offset",
        PaginationKind::Page => "page",
        PaginationKind::None
        | PaginationKind::Cursor
        | PaginationKind::LinkHeader
        | PaginationKind::NextUrl => return is_stable,
    };
    if !is_stable {
        findings.warning(
            Code::UnstableOrder,
            &draft.path.key("pagination"),
            format!("pages by {kind} are cut from an order that `{}` doesn't state: rows may be read twice or missed when the source changes meanwhile", draft.name()),
            "ask for an order in `query_params` (`sort: id`), or write `config.stable_order: true` where the API has one",
        );
    }
    is_stable
}
