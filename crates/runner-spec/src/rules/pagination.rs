//! Whether pagination has what it needs, and nothing that belongs to another kind.

use super::{Context, endpoint_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Endpoint, PaginationKind};
use crate::names::one_of;

pub(super) fn run(context: &mut Context<'_>) {
    for (index, endpoint) in context.spec.provider.endpoints.iter().enumerate() {
        without_effect(context, index, endpoint);
        let pagination = &endpoint.pagination;
        let path = endpoint_path(index).key("pagination_config");
        if matches!(
            pagination.kind,
            PaginationKind::Offset | PaginationKind::Page
        ) && pagination.page_size.is_none()
        {
            let diagnostic = Diagnostic::warning(
                Code::PageSizeMissing,
                path.key("page_size"),
                "pages end at one that is shorter than `page_size`, and there is none",
            );
            context.report(
                diagnostic
                    .help("add `page_size: 100`; without it only an empty page ends the stream"),
            );
        }
        if pagination.kind == PaginationKind::Cursor
            && pagination.cursor_path.is_some()
            && pagination.cursor_param.is_none()
        {
            let diagnostic = Diagnostic::error(
                Code::MissingField,
                path.key("cursor_param"),
                "a cursor is read by `cursor_path`, and no `cursor_param` says how it is sent",
            );
            context.report(diagnostic.help(
                "add `cursor_param: cursor`, or `next_url_path` instead if the response has a URL",
            ));
        }
        if let Some(pages) = pagination
            .max_pages
            .as_ref()
            .filter(|pages| pages.trim().parse::<u64>().is_ok())
        {
            let message =
                format!("the stream is cut off after {pages} pages, whatever the API still has");
            context.report(Diagnostic::hint(Code::MaxPagesCutsOff, path.key("max_pages"), message).help("leave it out unless that is what you want: pages that repeat are noticed without it"));
        }
    }
}

/// The settings of a kind of pagination.
fn settings(kind: PaginationKind) -> &'static [&'static str] {
    match kind {
        PaginationKind::None => &[],
        PaginationKind::Offset => &[
            "page_size",
            "max_pages",
            "offset_param",
            "limit_param",
            "total_path",
        ],
        PaginationKind::Page => &[
            "page_size",
            "max_pages",
            "page_param",
            "limit_param",
            "start_page",
            "total_path",
        ],
        PaginationKind::Cursor => &[
            "cursor_param",
            "cursor_path",
            "next_url_path",
            "page_size",
            "max_pages",
            "limit_param",
            "total_path",
        ],
        PaginationKind::LinkHeader => &["page_size", "max_pages", "limit_param", "total_path"],
        PaginationKind::NextUrl => &[
            "next_url_path",
            "page_size",
            "max_pages",
            "limit_param",
            "total_path",
        ],
    }
}

fn without_effect(context: &mut Context<'_>, index: usize, endpoint: &Endpoint) {
    let path = endpoint_path(index).key("pagination_config");
    let Some(entries) = context.node(&path).and_then(|node| node.as_object()) else {
        return;
    };
    let kind = endpoint.pagination.kind;
    let pagination = context
        .node(&endpoint_path(index).key("pagination"))
        .and_then(|node| node.as_text())
        .unwrap_or("none");
    if kind == PaginationKind::None && pagination != "none" {
        // The kind is misspelt, which has been reported.
        return;
    }
    for entry in entries {
        let name = crate::names::to_snake_case(&entry.key);
        let known = [
            "cursor_param",
            "cursor_path",
            "next_url_path",
            "page_size",
            "max_pages",
            "offset_param",
            "limit_param",
            "page_param",
            "start_page",
            "total_path",
        ];
        if !known.contains(&name.as_ref()) || settings(kind).contains(&name.as_ref()) {
            continue;
        }
        let diagnostic = Diagnostic::warning(
            Code::FieldWithoutEffect,
            path.key(entry.key.as_str()),
            format!(
                "`{}` has no effect with `pagination: {pagination}`",
                entry.key
            ),
        )
        .at_key();
        context.report(if kind == PaginationKind::None {
            diagnostic
                .help("write `pagination: offset`, `page`, `cursor`, `link_header` or `next_url`")
        } else {
            diagnostic.help(format!(
                "it takes {}",
                one_of(settings(kind).iter().copied())
            ))
        });
    }
}
