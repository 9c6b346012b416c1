//! A template that is ready to be rendered, again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Output, State, UndefinedBehavior, Value};

use super::error::TemplateError;
use super::filters;
use super::references::{VariableRef, references};
use super::scope::{Scope, ScopeValue};
use super::{json, urls};

/// Steps that one rendering may take: enough for any request, too few for a loop over loops to hold up a worker.
const FUEL: u64 = 200_000;
const TEXT: &str = "text";
/// The same expression, assigned instead of printed, so that its value can be had with its type.
const EXPRESSION: &str = "expression";
const RESULT: &str = "_uis_result";

/// The environment that every template is compiled in; a clone shares its filters.
static BASE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment.set_formatter(print);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    filters::add_to(&mut environment);
    environment
});

/// A compiled template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CompiledTemplate {
    source: Arc<str>,
    /// Absent where the text is constant.
    environment: Option<Arc<Environment<'static>>>,
    variables: Arc<[VariableRef]>,
    is_expression: bool,
}

/// A rendered text.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// Names of the secrets whose values went in; where there is one, the whole text is secret.
    pub secrets: Vec<String>,
}

/// A rendered JSON value.
#[derive(Clone, PartialEq)]
pub struct RenderedJson {
    pub value: serde_json::Value,
    /// Names of the secrets whose values went in.
    pub secrets: Vec<String>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = if self.secrets.is_empty() {
            &self.text
        } else {
            "***"
        };
        formatter
            .debug_struct("Rendered")
            .field("text", &text)
            .field("secrets", &self.secrets)
            .finish()
    }
}

impl std::fmt::Debug for RenderedJson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("RenderedJson");
        if self.secrets.is_empty() {
            debug.field("value", &self.value);
        }
        debug.field("secrets", &self.secrets).finish()
    }
}

/// The values of a template's names, and which of them are secrets.
struct Context {
    values: Value,
    secrets: Vec<String>,
}

impl CompiledTemplate {
    pub(super) fn new(source: &str) -> Result<Self, TemplateError> {
        let is_constant = super::Template::new(source).is_constant();
        if is_constant {
            return Ok(Self {
                source: source.into(),
                environment: None,
                variables: Arc::new([]),
                is_expression: false,
            });
        }
        let mut environment = BASE.clone();
        environment
            .add_template_owned(TEXT, source.to_owned())
            .map_err(|error| TemplateError::syntax(&error))?;
        let variables = references(&environment, TEXT, source)?;
        let expression = json::single_expression(source);
        if let Some(expression) = expression {
            let assignment = format!("{{% set {RESULT} = ({expression}) %}}");
            environment
                .add_template_owned(EXPRESSION, assignment)
                .map_err(|error| TemplateError::syntax(&error))?;
        }
        Ok(Self {
            source: source.into(),
            environment: Some(Arc::new(environment)),
            variables: variables.into(),
            is_expression: expression.is_some(),
        })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names that it uses, sorted.
    pub fn variables(&self) -> &[VariableRef] {
        &self.variables
    }

    pub fn is_constant(&self) -> bool {
        self.environment.is_none()
    }

    /// Renders to text.
    pub fn render(&self, scope: &dyn Scope) -> Result<Rendered, TemplateError> {
        let Some(environment) = &self.environment else {
            return Ok(self.constant());
        };
        let context = self.context(scope)?;
        let rendered = environment
            .get_template(TEXT)
            .and_then(|template| template.render(context.values.clone()));
        match rendered {
            Ok(text) => Ok(Rendered {
                text,
                secrets: context.secrets,
            }),
            Err(error) => Err(self.failed(&error, &context)),
        }
    }

    /// Renders to a URL: behind the authority, the values of expressions are percent-encoded, unless they end in `| safe`.
    pub fn render_url(&self, scope: &dyn Scope) -> Result<Rendered, TemplateError> {
        let Some(environment) = &self.environment else {
            return Ok(self.constant());
        };
        let context = self.context(scope)?;
        let rendered = environment
            .get_template(TEXT)
            .and_then(|template| template.render_with_spans(context.values.clone()));
        match rendered {
            Ok((text, spans)) => Ok(Rendered {
                text: urls::encode(&self.source, &text, &spans)?,
                secrets: context.secrets,
            }),
            Err(error) => Err(self.failed(&error, &context)),
        }
    }

    /// Renders to a JSON value: a template that is exactly one expression keeps the type of its value
    /// (`{{ config.page_size }}` a number, `{{ ids }}` a list), every other one is a string. Parameters, window bounds and
    /// values of parents are text: `{{ id | int }}` makes a number of one.
    pub fn render_json(&self, scope: &dyn Scope) -> Result<RenderedJson, TemplateError> {
        let Some(environment) = self.environment.as_ref().filter(|_| self.is_expression) else {
            let rendered = self.render(scope)?;
            return Ok(RenderedJson {
                value: serde_json::Value::String(rendered.text),
                secrets: rendered.secrets,
            });
        };
        let context = self.context(scope)?;
        let value = environment
            .get_template(EXPRESSION)
            .and_then(|template| template.render_captured(context.values.clone()))
            .map(|captured| captured.state().lookup(RESULT).unwrap_or_default());
        let value = match value {
            Ok(value) if value.is_undefined() => return self.render(scope).map(RenderedJson::from),
            Ok(value) => json::from_value(&value),
            Err(error) => Err(error),
        };
        match value {
            Ok(value) => Ok(RenderedJson {
                value,
                secrets: context.secrets,
            }),
            Err(error) => Err(self.failed(&error, &context)),
        }
    }

    fn constant(&self) -> Rendered {
        Rendered {
            text: self.source.to_string(),
            secrets: Vec::new(),
        }
    }

    fn failed(&self, error: &minijinja::Error, context: &Context) -> TemplateError {
        TemplateError::failed(&self.source, error, !context.secrets.is_empty())
    }

    /// Asks the scope for every name, before anything is rendered.
    fn context(&self, scope: &dyn Scope) -> Result<Context, TemplateError> {
        let mut values = BTreeMap::new();
        let mut secrets = Vec::new();
        for variable in self.variables.iter() {
            let root = variable.root();
            // `ticker.upper()` is asked for as `ticker`; a setting that isn't there is not the settings as a whole.
            let fallback = (root != "config").then_some(root);
            let found = std::iter::once(variable.name.as_str())
                .chain(fallback)
                .find_map(|name| Some((name, scope.lookup(name)?)));
            let Some((name, value)) = found else {
                if variable.is_optional {
                    continue;
                }
                return Err(TemplateError::UnknownName {
                    name: variable.name.clone(),
                    looked_in: scope.places(),
                });
            };
            let value = match value {
                ScopeValue::Text(text) => Value::from(text),
                ScopeValue::Json(value) => json::to_value(&value),
                ScopeValue::Secret(text) => {
                    secrets.push(variable.name.clone());
                    Value::from(text)
                }
            };
            insert(&mut values, name, value);
        }
        Ok(Context {
            values: build(values),
            secrets,
        })
    }
}

impl From<Rendered> for RenderedJson {
    fn from(rendered: Rendered) -> Self {
        Self {
            value: serde_json::Value::String(rendered.text),
            secrets: rendered.secrets,
        }
    }
}

/// Names with dots, on their way to nested maps.
enum Node {
    Leaf(Value),
    Branch(BTreeMap<String, Node>),
}

fn insert(branch: &mut BTreeMap<String, Node>, name: &str, value: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        branch.insert(name.to_owned(), Node::Leaf(value));
        return;
    };
    let node = branch
        .entry(first.to_owned())
        .or_insert_with(|| Node::Branch(BTreeMap::new()));
    // A leaf came as a whole, with everything that is below it.
    let Node::Branch(entries) = node else { return };
    if matches!(first, "secrets" | "secret") {
        // Names of secrets are free, dots included.
        entries.insert(rest.to_owned(), Node::Leaf(value));
    } else {
        insert(entries, rest, value);
    }
}

fn build(branch: BTreeMap<String, Node>) -> Value {
    Value::from_pairs(branch.into_iter().map(|(name, node)| {
        let value = match node {
            Node::Leaf(value) => value,
            Node::Branch(entries) => build(entries),
        };
        (name, value)
    }))
}

/// Prints a value: null as nothing, the rest that isn't text as JSON.
fn print(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(()),
        ValueKind::Bool | ValueKind::Seq | ValueKind::Map => {
            let text = json::from_value(value)?.to_string();
            out.write_str(&text).map_err(minijinja::Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}
