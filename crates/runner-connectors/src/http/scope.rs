//! Where the templates of a request find their names, in the documented order: parameters, window, the chain's values, the page,
//! secrets, config, the run.

use runner_core::{PageCursor, Result};
use runner_plan::model::{ColumnSource, IncrementalPlan};
use runner_plan::template::{Layers, Scope, ScopeValue};
use serde_json::Value;

use super::failure::template_error;
use crate::chain_names::ChainNames;
use crate::context::SourceContext;
use crate::row_scope::plain_text;
use crate::secrets::SecretScope;
use crate::source::ChainRequest;

/// Everything that stays the same for all requests of a chain.
#[derive(Clone, Debug)]
pub(super) struct ChainScope {
    names: ChainNames,
    secrets: SecretScope,
}

/// The names of one page: null where there is none yet.
#[derive(Clone, Debug, Default)]
pub(super) struct PageScope {
    cursor: Option<String>,
    offset: Option<u64>,
    page: Option<u64>,
    page_size: Option<u64>,
}

/// A chain's names with those of one page.
#[derive(Clone, Debug)]
pub(super) struct RequestScope<'a> {
    pub(super) chain: &'a ChainScope,
    pub(super) page: PageScope,
}

impl ChainScope {
    /// Of a stream as a whole: what belongs to no chain (client certificates, token servers).
    pub(super) fn of_stream(context: &SourceContext, secrets: SecretScope) -> Self {
        Self {
            names: ChainNames::of_stream(context),
            secrets,
        }
    }

    pub(super) fn of_chain(
        &self,
        chain: &ChainRequest,
        incremental: Option<&IncrementalPlan>,
    ) -> Self {
        let names = self
            .names
            .clone()
            .with_window(chain.window.as_ref(), incremental)
            .with_values(chain.variables.clone());
        Self {
            names,
            secrets: self.secrets.clone(),
        }
    }

    /// The chain without a page, for what is rendered once: columns, credentials.
    pub(super) fn without_page(&self) -> RequestScope<'_> {
        RequestScope {
            chain: self,
            page: PageScope::default(),
        }
    }

    /// Value of a column that every row of the chain has alike; none where a column isn't one of those.
    pub(super) fn constant(&self, source: &ColumnSource) -> Result<Option<String>> {
        let scope = self.without_page();
        match source {
            ColumnSource::Template(template) => {
                let rendered = template
                    .compile()
                    .and_then(|template| template.render(&scope))
                    .map_err(|error| template_error("a mapped column", &error))?;
                Ok(Some(rendered.text))
            }
            ColumnSource::Variable(name) => Ok(scope.lookup(name).map(plain_text)),
            ColumnSource::Field(_) | ColumnSource::Row => Ok(None),
        }
    }

    /// Whether a bound of the window goes by this name and this chain's window has none: a first run has no lower one.
    pub(super) fn lacks_bound(&self, name: &str) -> bool {
        runner_plan::windows::WINDOW_VARIABLES.contains(&name)
            && self.without_page().lookup(name).is_none()
    }
}

impl PageScope {
    pub(super) fn new(cursor: &PageCursor, page_size: Option<u64>) -> Self {
        let mut scope = Self {
            page_size,
            ..Self::default()
        };
        match cursor {
            PageCursor::Token(token) => scope.cursor = Some(token.clone()),
            PageCursor::Offset(offset) => scope.offset = Some(*offset),
            PageCursor::Page(page) => scope.page = Some(*page),
            PageCursor::First | PageCursor::Url(_) | PageCursor::Byte(_) => {}
        }
        scope
    }
}

impl Scope for PageScope {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        let value = match name {
            "cursor" => self.cursor.clone().map(Value::from),
            "offset" => self.offset.map(Value::from),
            "page" => self.page.map(Value::from),
            "page_size" => self.page_size.map(Value::from),
            _ => return None,
        };
        Some(ScopeValue::Json(value.unwrap_or(Value::Null)))
    }

    fn places(&self) -> Vec<String> {
        vec!["the page".to_owned()]
    }
}

impl RequestScope<'_> {
    fn layers<T>(&self, ask: impl FnOnce(Layers<'_>) -> T) -> T {
        let own: [&dyn Scope; 2] = [&self.page, &self.chain.secrets];
        self.chain.names.layers(&own, ask)
    }
}

impl Scope for RequestScope<'_> {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        self.layers(|layers| layers.lookup(name))
    }

    fn places(&self) -> Vec<String> {
        self.layers(|layers| layers.places())
    }
}
