//! Streams: requests, chains, windows, pages, columns.

use runner_spec::model::{
    AuthKind, HmacAlgorithm, KeyLocation, Masking, OauthGrant, StatusMeaning,
};

use super::Details;
use super::checks;
use super::expected;
use super::page::Page;
use crate::model::{
    Body, Chains, Column, ColumnSource, FileSource, HttpSource, IncrementalPlan, PageKind,
    PagePlacement, Plan, RowPath, SourcePlan, StreamPlan, TypeOrigin, Variable, VariableSource,
    Window,
};
use crate::planner::path_text;
use crate::template::Template;
use crate::windows::{WindowInputs, format_duration, windows};

pub(super) fn describe(plan: &Plan, stream: &StreamPlan, details: &Details, page: &mut Page) {
    match &stream.source {
        SourcePlan::Http(http) => {
            page.heading(&heading(stream, http));
            request(plan, stream, http, details, page);
        }
        SourcePlan::Files(files) => {
            page.heading(&format!("Stream {}", stream.name));
            file_source(stream, files, page);
        }
    }
    if let Some(incremental) = &stream.incremental {
        page.field("Window", &window(plan, incremental, details));
    }
    if plan.is_staged(&stream.name) {
        page.field(
            "Staged",
            "for the transform that reads it; its rows are loaded nowhere as they are",
        );
    }
    let mut columns: Vec<Vec<String>> = stream.columns.known.iter().map(column).collect();
    if stream.columns.pass_through {
        let rest = if columns.is_empty() {
            "every field"
        } else {
            "every other field"
        };
        columns.push(vec![
            "(the rest)".to_owned(),
            format!("← {rest}, its name in snake_case"),
        ]);
    }
    page.table("Columns", columns);
    if !stream.primary_key.is_empty() {
        page.field("Key", &stream.primary_key.join(", "));
    }
    checks::describe(&stream.checks, page);
    let masks = stream
        .masking
        .iter()
        .map(|masked| vec![masked.column.clone(), mask(masked.masking).to_owned()]);
    page.table("Masked", masks);
}

fn heading(stream: &StreamPlan, http: &HttpSource) -> String {
    match &http.chains {
        Chains::Parent { stream: parent, .. } => {
            format!("Stream {}, child of {parent}", stream.name)
        }
        Chains::Single | Chains::Values { .. } | Chains::Range { .. } => {
            format!("Stream {}", stream.name)
        }
    }
}

fn request(
    plan: &Plan,
    stream: &StreamPlan,
    http: &HttpSource,
    details: &Details,
    page: &mut Page,
) {
    page.field(
        "Request",
        &format!("{} {}", http.method, compact(&http.url)),
    );
    let query = http
        .query
        .iter()
        .map(|(name, value)| vec![name.clone(), value.0.clone()]);
    page.table("Query", query);
    let headers = http
        .headers
        .iter()
        .map(|(name, value)| vec![name.clone(), value.0.clone()]);
    page.table("Headers", headers);
    if let Some(body) = &http.body {
        page.field("Body", &body_text(body));
    }
    page.field("Auth", &auth(http));
    if let Some(chains) = chains(&http.chains) {
        page.field("Chains", &chains);
    }
    page.field("Pages", &pages(http));
    page.field(
        "Requests",
        &expected::requests(plan, stream, http, details.nominal_time),
    );
    page.field("Limits", &limits(stream, http));
    if !http.on_status.is_empty() {
        let meanings = http
            .on_status
            .iter()
            .map(|(status, meaning)| format!("{status}: {}", status_meaning(*meaning)));
        page.field("Statuses", &meanings.collect::<Vec<_>>().join(", "));
    }
    page.field("Rows", &rows(&http.rows));
    let variables = http.variables.iter().map(|variable| {
        vec![
            variable.name.clone(),
            format!("← {}", binding(variable, &http.chains)),
        ]
    });
    page.table("Bindings", variables);
}

fn file_source(stream: &StreamPlan, files: &FileSource, page: &mut Page) {
    page.field("Files", &compact(&files.location));
    if let Some(connection) = &files.connection {
        page.field("Store", &format!("connection `{connection}`"));
    }
    let format = match files.format {
        Some(format) => format!("{format:?}").to_lowercase(),
        None => "by each file's name".to_owned(),
    };
    page.field("Format", &format);
    page.field("Parallel", &at_once(stream.parallelism, "file"));
    page.field("Rows", &rows(&files.rows));
    let variables = files.variables.iter().map(|variable| {
        vec![
            variable.name.clone(),
            format!("← {}", binding(variable, &Chains::Single)),
        ]
    });
    page.table("Bindings", variables);
}

fn body_text(body: &Body) -> String {
    match body {
        Body::Text(template) => format!("text, {}", compact(template)),
        Body::Json(serde_json::Value::Object(entries)) => {
            let keys: Vec<&str> = entries.keys().map(String::as_str).collect();
            format!("JSON with {}", keys.join(", "))
        }
        Body::Json(_) => "JSON".to_owned(),
    }
}

/// A template without the spaces at which a line could break.
fn compact(template: &Template) -> String {
    template.0.replace("{{ ", "{{").replace(" }}", "}}")
}

fn rows(path: &RowPath) -> String {
    match path {
        RowPath::Steps(steps) if steps.is_empty() => {
            "the whole answer: each element of a list, or one object".to_owned()
        }
        RowPath::Steps(_) => path_text(path),
        RowPath::Query(query) => format!("{query} (each answer is read whole)"),
    }
}

fn auth(http: &HttpSource) -> String {
    let kind = match &http.auth.kind {
        AuthKind::None => "none".to_owned(),
        AuthKind::ApiKey { name, location, .. } => match location {
            KeyLocation::Header => format!("a key in the header `{name}`"),
            KeyLocation::Query => format!("a key in the query parameter `{name}`"),
        },
        AuthKind::Bearer { .. } => "a bearer token".to_owned(),
        AuthKind::Basic { .. } => "user name and password (basic)".to_owned(),
        AuthKind::Oauth2 {
            grant, token_url, ..
        } => match grant {
            OauthGrant::ClientCredentials => {
                format!("OAuth 2.0 client credentials, tokens from {token_url}")
            }
            OauthGrant::RefreshToken => format!("OAuth 2.0 refresh token, tokens from {token_url}"),
        },
        AuthKind::Hmac {
            algorithm, header, ..
        } => {
            let algorithm = match algorithm {
                HmacAlgorithm::Sha1 => "SHA-1",
                HmacAlgorithm::Sha256 => "SHA-256",
                HmacAlgorithm::Sha512 => "SHA-512",
            };
            format!("HMAC-{algorithm} signature in the header `{header}`")
        }
    };
    if http.auth.client_certificate.is_some() {
        format!("{kind}, with a client certificate")
    } else {
        kind
    }
}

fn chains(chains: &Chains) -> Option<String> {
    Some(match chains {
        Chains::Single => return None,
        Chains::Values { variable, values } => {
            let shown: Vec<&str> = values.iter().take(5).map(String::as_str).collect();
            let more = if values.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            format!(
                "{}, one for each `{variable}` of {}{more}",
                values.len(),
                shown.join(", ")
            )
        }
        Chains::Range {
            variable,
            from,
            to,
            step,
        } => {
            let by = if *step == 1 {
                String::new()
            } else {
                format!(" by {step}")
            };
            format!("one for each `{variable}` from {from} to {to}{by}")
        }
        Chains::Parent {
            variable,
            stream,
            incremental,
            more,
            ..
        } => {
            let which = if *incremental {
                "those of its new rows only"
            } else {
                "the parent is read in full"
            };
            let further = more.iter().map(|further| &further.variable);
            let names: Vec<&str> = std::iter::once(variable)
                .chain(further)
                .map(String::as_str)
                .collect();
            let columns = column_list(&chains.parent_columns());
            let names = column_list(&names);
            format!("one for each distinct {columns} of {stream}, as {names} ({which})")
        }
    })
}

/// `` `a` and `b` ``.
pub(super) fn column_list(columns: &[&str]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    quoted.join(" and ")
}

fn pages(http: &HttpSource) -> String {
    let pages = &http.pages;
    let place = match &pages.placement {
        PagePlacement::Query => "",
        PagePlacement::Body(_) => " in the body",
    };
    let kind = match &pages.kind {
        PageKind::None => return "one request, one page".to_owned(),
        PageKind::Offset { offset_param, .. } => format!("by offset, `{offset_param}`{place}"),
        PageKind::Page {
            page_param,
            start_page,
            ..
        } => format!("by number from {start_page}, `{page_param}`{place}"),
        PageKind::Cursor {
            cursor_param,
            cursor_path,
            next_url_path,
            ..
        } => match (cursor_path, next_url_path) {
            (_, Some(path)) => format!("the URL in `{}`", path_text(path)),
            (Some(path), None) => {
                let name = cursor_param.as_deref().unwrap_or("cursor");
                format!("the token in `{}` as `{name}`{place}", path_text(path))
            }
            (None, None) => {
                let name = cursor_param.as_deref().unwrap_or("cursor");
                format!("the URL or token that the answer has, a token as `{name}`{place}")
            }
        },
        PageKind::LinkHeader { .. } => "the Link header's next URL".to_owned(),
        PageKind::NextUrl {
            path: Some(path), ..
        } => format!("the URL in `{}`", path_text(path)),
        PageKind::NextUrl { path: None, .. } => "the URL that the answer has".to_owned(),
    };
    let size = pages
        .page_size
        .map_or_else(String::new, |size| format!(", {size} rows each"));
    let most = pages.max_pages.map_or_else(String::new, |pages| {
        format!(", at most {pages} (the rest is cut off)")
    });
    format!("{kind}{size}{most}")
}

fn limits(stream: &StreamPlan, http: &HttpSource) -> String {
    let rate = match &http.rate_limit {
        Some(limit) => {
            let group = &limit.group;
            limit.per_second.map_or_else(
                || format!("what the server asks for (group `{group}`)"),
                |rate| format!("{rate} requests a second (group `{group}`)"),
            )
        }
        None => "no rate limit".to_owned(),
    };
    let retry = &http.retry;
    let retries = if retry.max_retries == 0 {
        "no retries".to_owned()
    } else {
        format!(
            "{} retries from {} on",
            retry.max_retries,
            format_duration(retry.initial_backoff_ms)
        )
    };
    format!(
        "{rate}; {}; {retries}",
        at_once(stream.parallelism, "request")
    )
}

fn at_once(parallelism: u32, what: &str) -> String {
    if parallelism == 1 {
        format!("one {what} at a time")
    } else {
        format!("up to {parallelism} {what}s at once")
    }
}

fn status_meaning(meaning: StatusMeaning) -> &'static str {
    match meaning {
        StatusMeaning::Skip => "the chain is skipped",
        StatusMeaning::Empty => "an empty page",
        StatusMeaning::Retry => "tried again",
        StatusMeaning::Fail => "the run fails",
    }
}

fn binding(variable: &Variable, chains: &Chains) -> String {
    match variable.source {
        VariableSource::Parameter => "the run's parameter".to_owned(),
        VariableSource::Window => "the window".to_owned(),
        VariableSource::Parent => match chains {
            Chains::Parent {
                stream,
                field,
                more,
                ..
            } => {
                let further = more
                    .iter()
                    .find(|further| further.variable == variable.name);
                let field = further.map_or(field, |further| &further.field);
                format!("{stream}.{field}")
            }
            Chains::Single | Chains::Values { .. } | Chains::Range { .. } => {
                "the parent".to_owned()
            }
        },
        VariableSource::ForEach => "the chain's value".to_owned(),
        VariableSource::Secret => "a secret".to_owned(),
        VariableSource::Config => "the provider's config".to_owned(),
        VariableSource::Run => "the run".to_owned(),
        VariableSource::Page => "the page".to_owned(),
    }
}

fn window(plan: &Plan, incremental: &IncrementalPlan, details: &Details) -> String {
    let lookback = match incremental.lookback_ms {
        0 => String::new(),
        lookback => format!(", {} looked back", format_duration(lookback)),
    };
    let settle = match incremental.settle_ms {
        0 => "the run's start".to_owned(),
        settle => format!("{} before the run's start", format_duration(settle)),
    };
    let field = incremental.cursor_field.as_deref().unwrap_or_default();
    let initial = incremental
        .initial
        .as_deref()
        .map_or_else(String::new, |initial| format!(" (at first from {initial})"));
    let text = match incremental.window {
        Window::LastDays { days } => {
            format!("the last {days} days before the run's start, again on every run")
        }
        Window::Open => format!("from the last `{field}` on{initial}{lookback}"),
        Window::Whole => format!("from the last `{field}`{initial}{lookback} to {settle}"),
        Window::Steps { step_ms } => format!(
            "from the last `{field}`{initial}{lookback} to {settle}, in steps of {}",
            format_duration(step_ms)
        ),
    };
    match dates(plan, incremental, details) {
        Some(dates) => format!("{text}: {dates}"),
        None => text,
    }
}

/// The bounds themselves, where no stored cursor decides them.
fn dates(plan: &Plan, incremental: &IncrementalPlan, details: &Details) -> Option<String> {
    let explicit = plan.window.as_ref();
    let is_known = matches!(incremental.window, Window::LastDays { .. })
        || explicit.is_some_and(|window| window.from.is_some());
    let found = windows(WindowInputs {
        incremental,
        kind: None,
        cursor: None,
        nominal_time: details.nominal_time.filter(|_| is_known)?,
        explicit,
    });
    let found = found.ok()?;
    let from = found.first()?.from.clone()?;
    let to = found.last()?.to.clone();
    Some(format!("{from} to {}", to.as_deref().unwrap_or("the end")))
}

fn column(column: &Column) -> Vec<String> {
    let source = match &column.source {
        ColumnSource::Field(path) => format!("← {}", path_text(path)),
        ColumnSource::Template(template) => format!("← {template}"),
        ColumnSource::Variable(name) => format!("← {{{{ {name} }}}}"),
        ColumnSource::Row => "← the row".to_owned(),
    };
    let column_type = match &column.column_type {
        Some(column_type) => column_type.to_string(),
        None => "of any type so far".to_owned(),
    };
    let origin = match column.origin {
        TypeOrigin::Contract => "contract",
        TypeOrigin::Stored => "earlier runs",
        TypeOrigin::Document => "document",
        TypeOrigin::Sample => "sample",
        TypeOrigin::Open => "first rows",
    };
    let null = if column.nullable { "" } else { "not null" };
    vec![
        column.name.clone(),
        source,
        column_type,
        origin.to_owned(),
        null.to_owned(),
    ]
}

fn mask(masking: Masking) -> &'static str {
    match masking {
        Masking::Drop => "left out",
        Masking::Hash => "a hash takes its place",
        Masking::Redact => "`***` takes its place",
        Masking::Partial => "only the last characters are kept",
    }
}
