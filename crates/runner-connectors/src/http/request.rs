//! The request of one page, rendered from the plan's templates.

mod parts;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use runner_core::{Error, ErrorKind, PageCursor, Result};
use runner_plan::model::{
    self, AllowedOrigins, Body, PageKind, PagePlacement, PagePlan, StreamPlan, TimeFormat,
};
use runner_plan::template::{CompiledTemplate, JsonTemplate, Rendered, Scope, VariableRef};
use runner_plan::windows::{format_from, format_to};
use serde_json::Value;
use url::Url;

use parts::{accept, content_type, describe_url, insert, method, query_text, size_parameter};
pub(super) use parts::{header_name, header_value, set_query};

use super::failure::template_error;
use super::origin::{is_allowed, is_credential_name, is_same_origin};
use super::scope::{ChainScope, PageScope, RequestScope};
use crate::scrub::Scrubber;
use crate::source::WindowBounds;

/// What is decompressed here; the client itself decompresses nothing.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, br, zstd, deflate");
/// Names under which APIs take a page's size, where the plan names none.
const SIZE_NAMES: [&str; 11] = [
    "limit",
    "page_size",
    "pageSize",
    "per_page",
    "perPage",
    "size",
    "count",
    "$top",
    "top",
    "rows",
    "max_results",
];

/// A stream's requests before their names are filled in.
#[derive(Clone, Debug)]
pub(super) struct RequestTemplate {
    method: Method,
    url: CompiledTemplate,
    headers: Vec<(HeaderName, CompiledTemplate)>,
    query: Vec<(String, CompiledTemplate)>,
    body: BodyTemplate,
    pages: PagePlan,
    window: Option<WindowParameters>,
    allowed: AllowedOrigins,
    accept: HeaderValue,
}

#[derive(Clone, Debug)]
enum BodyTemplate {
    None,
    Text(CompiledTemplate),
    Json(JsonTemplate),
}

#[derive(Clone, Debug)]
struct WindowParameters {
    from: Option<String>,
    to: Option<String>,
    format: TimeFormat,
}

/// One page's request, before credentials.
#[derive(Clone, Debug)]
pub(super) struct PageRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// Headers that no other origin may see.
    pub(super) secret_headers: Vec<HeaderName>,
    pub(super) has_secret_body: bool,
    /// Whether it goes to the API's own origin: only then credentials are added.
    pub(super) is_own_origin: bool,
}

/// A name with its value, on its way to the query or the body.
type Parameter = (String, Value);

impl RequestTemplate {
    pub(super) fn compile(stream: &StreamPlan, http: &model::HttpSource) -> Result<Self> {
        let compile = |what: &str, template: &runner_plan::Template| {
            template
                .compile()
                .map_err(|error| template_error(what, &error))
        };
        let headers = http
            .headers
            .iter()
            .map(|(name, template)| Ok((header_name(name)?, compile("a header", template)?)))
            .collect::<Result<_>>()?;
        let query = http
            .query
            .iter()
            .map(|(name, template)| Ok((name.clone(), compile("a query parameter", template)?)))
            .collect::<Result<_>>()?;
        let body = match &http.body {
            None => BodyTemplate::None,
            Some(Body::Text(template)) => BodyTemplate::Text(compile("the body", template)?),
            Some(Body::Json(value)) => BodyTemplate::Json(
                JsonTemplate::compile(value).map_err(|error| template_error("the body", &error))?,
            ),
        };
        let window = stream
            .incremental
            .as_ref()
            .map(|incremental| WindowParameters {
                from: incremental.from_param.clone(),
                to: incremental.to_param.clone(),
                format: incremental.format.clone(),
            });
        Ok(Self {
            method: method(&http.method)?,
            url: compile("the URL", &http.url)?,
            headers,
            query,
            body,
            pages: http.pages.clone(),
            window,
            allowed: http.allowed_origins.clone(),
            accept: accept(http.format),
        })
    }

    /// Every name that the request uses.
    pub(super) fn variables(&self) -> Vec<VariableRef> {
        let mut variables: Vec<VariableRef> = std::iter::once(&self.url)
            .chain(self.headers.iter().map(|(_, template)| template))
            .chain(self.query.iter().map(|(_, template)| template))
            .flat_map(|template| template.variables().iter().cloned())
            .collect();
        match &self.body {
            BodyTemplate::None => {}
            BodyTemplate::Text(template) => variables.extend(template.variables().iter().cloned()),
            BodyTemplate::Json(template) => variables.extend(template.variables()),
        }
        variables
    }

    /// The request of the page at `cursor`. `base` is the chain's own URL, where `cursor` may lead elsewhere.
    pub(super) fn render(
        &self,
        chain: &ChainScope,
        window: Option<&WindowBounds>,
        cursor: &PageCursor,
    ) -> Result<PageRequest> {
        let scope = RequestScope {
            chain,
            page: PageScope::new(cursor, self.pages.page_size),
        };
        let own = self.rendered_url(&scope)?;
        let mut credentials = Vec::new();
        let mut url = own.clone();
        for (name, template) in &self.query {
            let is_unbound = template
                .variables()
                .iter()
                .any(|variable| !variable.is_optional && chain.lacks_bound(&variable.name));
            if is_unbound {
                // A first run has no lower bound: the parameter is left out, and the API gives all it has.
                continue;
            }
            let rendered = render(template, &scope, "a query parameter")?;
            if !rendered.secrets.is_empty() || is_credential_name(name) {
                credentials.push((name.clone(), rendered.text.clone()));
            }
            set_query(&mut url, name, &rendered.text);
        }
        let mut parameters = self.window_parameters(window);
        parameters.extend(self.page_parameters(cursor)?);
        let (body, has_secret_body) = match &self.pages.placement {
            PagePlacement::Query => {
                for (name, value) in &parameters {
                    set_query(&mut url, name, &query_text(value));
                }
                self.body(&scope, None)?
            }
            PagePlacement::Body(keys) => self.body(&scope, Some((keys, parameters)))?,
        };
        if let PageCursor::Url(next) = cursor {
            url = self.next_url(&own, next, &credentials)?;
        }
        let is_own_origin = is_same_origin(&own, &url);
        let mut request = PageRequest {
            method: self.method.clone(),
            url,
            headers: HeaderMap::new(),
            body,
            secret_headers: Vec::new(),
            has_secret_body,
            is_own_origin,
        };
        self.add_headers(&mut request, &scope)?;
        if !is_own_origin {
            request.leave_origin()?;
        }
        Ok(request)
    }

    /// The size of a page as it is asked for, where the plan doesn't say: a parameter of the request may.
    pub(super) fn page_size(&self, first: &PageRequest) -> Option<u64> {
        let named = size_parameter(&self.pages.kind);
        let is_size = |name: &str| match named {
            Some(named) => name == named,
            None => SIZE_NAMES.contains(&name),
        };
        first
            .url
            .query_pairs()
            .find(|(name, _)| is_size(name))
            .and_then(|(_, value)| value.parse().ok())
    }

    /// The chain's own URL: relative next URLs and credentials are measured by it.
    pub(super) fn own_url(&self, chain: &ChainScope) -> Result<Url> {
        self.rendered_url(&chain.without_page())
    }

    fn rendered_url(&self, scope: &dyn Scope) -> Result<Url> {
        let rendered = self
            .url
            .render_url(scope)
            .map_err(|error| template_error("the URL", &error))?;
        let is_secret = !rendered.secrets.is_empty();
        let url = Url::parse(&rendered.text).map_err(|cause| {
            let shown = if is_secret { self.url.source() } else { &rendered.text };
            Error::new(ErrorKind::Spec, format!("`{shown}` is not a URL"))
                .with_source(cause)
                .with_help("write `provider.base_url` with its scheme and host, as in `https://api.example.org`")
        })?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(Error::new(
                ErrorKind::Spec,
                format!(
                    "an HTTP source can't be read from a URL of scheme `{}`",
                    url.scheme()
                ),
            )
            .with_help("write a URL that begins with `https://` or `http://`"));
        }
        Ok(url)
    }

    /// A URL that a response stated, if it may be followed. Credentials that the query carries are added on the API's own origin, where
    /// the API left them out.
    fn next_url(&self, own: &Url, next: &str, credentials: &[(String, String)]) -> Result<Url> {
        let mut url = Url::parse(next).map_err(|cause| {
            Error::new(ErrorKind::SourceData, "the next URL is not a URL").with_source(cause)
        })?;
        if is_same_origin(own, &url) {
            for (name, value) in credentials {
                if !url.query_pairs().any(|(known, _)| known == *name) {
                    set_query(&mut url, name, value);
                }
            }
            return Ok(url);
        }
        if is_allowed(&self.allowed, &url) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        Err(Error::new(
            ErrorKind::SourceData,
            format!("the API states a next URL on another origin: `{host}`"),
        )
        .with_help(format!(
            "if that is right, add `{host}` to `config.allowed_hosts`; it gets no credentials"
        )))
    }

    fn window_parameters(&self, bounds: Option<&WindowBounds>) -> Vec<Parameter> {
        let (Some(window), Some(bounds)) = (&self.window, bounds) else {
            return Vec::new();
        };
        let from = window.from.clone().zip(
            bounds
                .from
                .as_deref()
                .map(|from| format_from(from, &window.format)),
        );
        let to = window
            .to
            .clone()
            .zip(bounds.to.as_deref().map(|to| format_to(to, &window.format)));
        from.into_iter()
            .chain(to)
            .map(|(name, value)| (name, Value::String(value)))
            .collect()
    }

    fn page_parameters(&self, cursor: &PageCursor) -> Result<Vec<Parameter>> {
        if matches!(cursor, PageCursor::Url(_)) {
            return Ok(Vec::new());
        }
        let mut parameters = Vec::new();
        if let (Some(name), Some(size)) = (size_parameter(&self.pages.kind), self.pages.page_size) {
            parameters.push((name.to_owned(), Value::from(size)));
        }
        match (&self.pages.kind, cursor) {
            (PageKind::Offset { offset_param, .. }, PageCursor::Offset(offset)) => {
                parameters.push((offset_param.clone(), Value::from(*offset)));
            }
            (PageKind::Page { page_param, .. }, PageCursor::Page(page)) => {
                parameters.push((page_param.clone(), Value::from(*page)));
            }
            (
                PageKind::Cursor {
                    cursor_param: Some(name),
                    ..
                },
                PageCursor::Token(token),
            ) => parameters.push((name.clone(), Value::from(token.as_str()))),
            (PageKind::Cursor { .. }, PageCursor::Token(_)) if !self.uses_cursor() => {
                return Err(Error::new(
                    ErrorKind::Spec,
                    "the API states a cursor, and nothing says how it is sent back",
                )
                .with_help("set `pagination_config.cursor_param`, or use `{{ cursor }}` in `body_template`"));
            }
            _ => {}
        }
        Ok(parameters)
    }

    fn uses_cursor(&self) -> bool {
        self.variables()
            .iter()
            .any(|variable| variable.root() == "cursor")
    }

    fn body(
        &self,
        scope: &dyn Scope,
        page: Option<(&Vec<String>, Vec<Parameter>)>,
    ) -> Result<(Option<Bytes>, bool)> {
        let (mut value, is_secret) = match &self.body {
            BodyTemplate::None if page.is_none() => return Ok((None, false)),
            BodyTemplate::None => (Value::Object(serde_json::Map::new()), false),
            BodyTemplate::Text(template) => {
                let rendered = render(template, scope, "the body")?;
                let is_secret = !rendered.secrets.is_empty();
                if page.is_none() {
                    return Ok((Some(rendered.text.into()), is_secret));
                }
                let value = serde_json::from_str(&rendered.text).map_err(|cause| {
                    Error::new(
                        ErrorKind::Spec,
                        "the body is not JSON, and the page's parameters go into it",
                    )
                    // The cause names a line and a column, and no value.
                    .with_source(cause)
                    .with_help("write `body_template` as an object, or fix its JSON")
                })?;
                (value, is_secret)
            }
            BodyTemplate::Json(template) => {
                let rendered = template
                    .render(scope)
                    .map_err(|error| template_error("the body", &error))?;
                (rendered.value, !rendered.secrets.is_empty())
            }
        };
        if let Some((keys, parameters)) = page {
            for (name, parameter) in parameters {
                insert(&mut value, keys, &name, parameter)?;
            }
        }
        Ok((Some(value.to_string().into()), is_secret))
    }

    fn add_headers(&self, request: &mut PageRequest, scope: &dyn Scope) -> Result<()> {
        request.headers.insert(ACCEPT, self.accept.clone());
        request.headers.insert(ACCEPT_ENCODING, ENCODINGS);
        if let Some(body) = &request.body {
            request.headers.insert(CONTENT_TYPE, content_type(body));
        }
        for (name, template) in &self.headers {
            let rendered = render(template, scope, "a header")?;
            let is_secret = !rendered.secrets.is_empty() || is_credential_name(name.as_str());
            let value = header_value(name, &rendered.text, is_secret)?;
            if is_secret {
                request.secret_headers.push(name.clone());
            }
            request.headers.insert(name.clone(), value);
        }
        Ok(())
    }
}

impl PageRequest {
    /// Takes away what only the API's own origin may see.
    pub(super) fn leave_origin(&mut self) -> Result<()> {
        if self.has_secret_body {
            return Err(Error::new(
                ErrorKind::SourceData,
                "the API leads to another origin, and the request's body holds a secret",
            )
            .with_help("move the secret from `body_template` to `auth_config` or a header"));
        }
        for name in std::mem::take(&mut self.secret_headers) {
            self.headers.remove(name);
        }
        self.is_own_origin = false;
        Ok(())
    }

    /// For people: the method and the URL, without secrets.
    pub(super) fn describe(&self, scrubber: &Scrubber) -> String {
        format!("{} {}", self.method, describe_url(&self.url, scrubber))
    }
}

fn render(template: &CompiledTemplate, scope: &dyn Scope, what: &str) -> Result<Rendered> {
    template
        .render(scope)
        .map_err(|error| template_error(what, &error))
}

#[cfg(test)]
mod tests;
