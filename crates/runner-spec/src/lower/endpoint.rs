//! An endpoint of the model.

use indexmap::IndexMap;

use super::view::{View, number_of};
use super::{auth, load_settings};
use crate::for_each;
use crate::model::{Dedupe, Endpoint, EventTime, Incremental, Pagination, ValidationRules};
use crate::path::FieldPath;
use crate::tree::Node;
use crate::values::is_template;

/// Reads an endpoint; `has_bundle` says whether credentials that it leaves out come from the provider's bundle.
pub(super) fn lower(view: &View<'_>, has_bundle: bool) -> Endpoint {
    Endpoint {
        name: view.required("name"),
        path: view.required("path"),
        method: view
            .text("method")
            .map(|method| method.to_ascii_uppercase()),
        headers: view.map("headers"),
        query_params: view.map("query_params"),
        body_template: view.get("body_template").map(Node::to_json),
        is_active: view.flag("is_active").unwrap_or(true),
        auth: auth::lower(view, has_bundle),
        pagination: pagination(view),
        response_path: view.text("response_path"),
        field_mapping: field_mapping(view),
        rate_limit_group: view.text("rate_limit_group"),
        rate_limit_per_second: view.real("rate_limit_per_second"),
        sample_size: view.whole("sample_size"),
        validation_rules: validation_rules(&view.object("validation_rules")),
        for_each: view.get("for_each").and_then(|node| {
            for_each::lower(node, &FieldPath::root(), view.document(), &mut Vec::new())
        }),
        incremental: incremental(&view.object("incremental")),
        event_time: event_time(&view.object("event_time")),
        dedupe: dedupe(&view.object("dedupe")),
        masking: view.choices("masking"),
        load: load_settings(view),
        on_status: view.choices("on_status"),
    }
}

fn pagination(endpoint: &View<'_>) -> Pagination {
    let view = endpoint.object("pagination_config");
    Pagination {
        kind: endpoint.choice("pagination").unwrap_or_default(),
        cursor_param: view.text("cursor_param"),
        cursor_path: view.text("cursor_path"),
        next_url_path: view.text("next_url_path"),
        page_size: view.late("page_size"),
        max_pages: view.late("max_pages"),
        offset_param: view.text("offset_param"),
        limit_param: view.text("limit_param"),
        page_param: view.text("page_param"),
        start_page: view.late("start_page"),
        total_path: view.text("total_path"),
    }
}

fn validation_rules(view: &View<'_>) -> ValidationRules {
    ValidationRules {
        required_fields: view.texts("required_fields"),
        numeric_ranges: view.entries("numeric_ranges", |node| match node.as_list()? {
            [minimum, maximum] => Some((number_of(minimum), number_of(maximum))),
            _ => None,
        }),
    }
}

fn incremental(view: &View<'_>) -> Option<Incremental> {
    view.is_present().then(|| Incremental {
        cursor_field: view.required("cursor_field"),
        initial: view.text("initial"),
        lookback: view.text("lookback"),
        settle: view.text("settle"),
        from_param: view.text("from_param"),
        to_param: view.text("to_param"),
        window: view.text("window"),
        format: view.text("format"),
    })
}

fn event_time(view: &View<'_>) -> Option<EventTime> {
    view.is_present().then(|| EventTime {
        field: view.required("field"),
        max_out_of_orderness: view.text("max_out_of_orderness"),
        idle_timeout: view.text("idle_timeout"),
    })
}

fn dedupe(view: &View<'_>) -> Option<Dedupe> {
    view.is_present().then(|| Dedupe {
        keys: view.texts("keys"),
        ttl: view.text("ttl"),
    })
}

/// A template is a value, not a field: where it stands in the place of one, the entry is written the other way round.
fn field_mapping(view: &View<'_>) -> IndexMap<String, String> {
    let entries = view.map("field_mapping").into_iter();
    entries
        .map(|(key, value)| {
            if is_template(&key) && !is_template(&value) {
                (value, key)
            } else {
                (key, value)
            }
        })
        .collect()
}
