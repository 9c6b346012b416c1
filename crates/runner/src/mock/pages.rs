//! Which rows a request asks for, and how the answer says where the next ones are.

use runner_spec::model::{Pagination, PaginationKind};

use super::Asked;

/// Rows of a page where neither the request nor the document says how many.
const DEFAULT_PAGE_SIZE: u64 = 100;

/// One page of a chain's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<u64>,
}

/// The page that a request asks for, of `total` rows.
pub(crate) fn page(pagination: &Pagination, asked: &Asked<'_>, total: u64) -> Page {
    let number = |name: &str| {
        asked
            .parameter(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let named = |name: Option<&String>, usual: &[&str]| match name {
        Some(name) => number(name),
        None => usual.iter().find_map(|name| number(name)),
    };
    let configured = pagination
        .page_size
        .as_deref()
        .and_then(|size| size.parse().ok());
    let size = named(
        pagination.limit_param.as_ref(),
        &["limit", "page_size", "per_page", "_size"],
    )
    .or(configured)
    .unwrap_or(DEFAULT_PAGE_SIZE)
    .max(1);
    let from = match pagination.kind {
        PaginationKind::None => {
            return Page {
                from: 0,
                to: total,
                next: None,
            };
        }
        PaginationKind::Offset => named(pagination.offset_param.as_ref(), &["offset"]).unwrap_or(0),
        PaginationKind::Page => {
            let first = pagination
                .start_page
                .as_deref()
                .and_then(|page| page.parse().ok())
                .unwrap_or(1);
            let page = named(pagination.page_param.as_ref(), &["page"]).unwrap_or(first);
            page.saturating_sub(first) * size
        }
        PaginationKind::Cursor | PaginationKind::LinkHeader | PaginationKind::NextUrl => asked
            .parameter(cursor_param(pagination))
            .and_then(|token| position(&token))
            .unwrap_or(0),
    };
    let from = from.min(total);
    let to = (from + size).min(total);
    Page {
        from,
        to,
        next: (to < total).then_some(to),
    }
}

pub(crate) fn cursor_param(pagination: &Pagination) -> &str {
    pagination.cursor_param.as_deref().unwrap_or("cursor")
}

/// A cursor looks like nothing a client should take apart.
pub(crate) fn token(position: u64) -> String {
    format!("c{position:08x}")
}

fn position(token: &str) -> Option<u64> {
    u64::from_str_radix(token.strip_prefix('c')?, 16).ok()
}

/// The request's own URL with its cursor moved on; credentials in the query stay behind, as real APIs leave them.
pub(crate) fn next_url(
    asked: &Asked<'_>,
    pagination: &Pagination,
    position: u64,
    key: Option<&str>,
) -> String {
    let cursor = cursor_param(pagination);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &asked.query {
        if name != cursor && Some(name.as_str()) != key {
            query.append_pair(name, value);
        }
    }
    query.append_pair(cursor, &token(position));
    format!("http://{}{}?{}", asked.host, asked.path, query.finish())
}
