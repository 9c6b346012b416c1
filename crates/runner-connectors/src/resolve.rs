//! Puts secrets into settings: what the plan keeps as templates and references becomes values, in memory only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use runner_core::{Error, ErrorKind, Result, Secret, SecretRef};
use runner_plan::Plan;
use runner_plan::template::{ConfigScope, Layers, Scope, ScopeValue, Template};
use runner_spec::model::Settings;

use crate::secrets::RunSecrets;

/// Looks up what a target's settings name: `{{ secrets.NAME }}`, `{{ NAME }}`, a key of the provider's bundle, or a
/// reference (`vault://path#key`) as the whole text. `{{ config.x.y }}` reads `provider.config`.
#[derive(Clone, Debug)]
pub struct Resolver {
    secrets: Arc<RunSecrets>,
    config: Settings,
}

/// Settings of a connection with every secret put in. Printing it shows the names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ResolvedSettings(BTreeMap<String, Secret>);

impl Resolver {
    pub fn new(secrets: Arc<RunSecrets>, plan: &Plan) -> Self {
        Self {
            secrets,
            config: plan.config.clone(),
        }
    }

    /// A secret that was found in another one: no text shows it either.
    pub fn register(&self, name: &str, secret: &Secret) -> Result<()> {
        self.secrets.scrubber().register(name, secret)
    }

    /// The text of a template; it may be or hold a secret.
    pub async fn template(&self, template: &Template) -> Result<Secret> {
        if let Some(reference) = whole_reference(template.as_str())? {
            return self.secrets.get(&reference).await;
        }
        let compiled = template.compile().map_err(malformed)?;
        let mut values = BTreeMap::new();
        for variable in compiled.variables() {
            if let Some(reference) = self.secrets.reference(&variable.name) {
                let secret = self.secrets.get(&reference).await?;
                values.insert(variable.name.clone(), secret);
            }
        }
        let secrets = SecretValues(values);
        let config = ConfigScope(&self.config);
        let rendered = compiled
            .render(&Layers(vec![&secrets, &config]))
            .map_err(malformed)?;
        Ok(Secret::new(rendered.text))
    }

    /// Every setting as text: numbers and booleans as they are written, objects as `name.key`.
    pub async fn settings(&self, settings: &Settings) -> Result<ResolvedSettings> {
        let mut resolved = BTreeMap::new();
        let mut open: Vec<(String, &serde_json::Value)> = settings
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect();
        while let Some((name, value)) = open.pop() {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::Object(inner) => open.extend(
                    inner
                        .iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                ),
                serde_json::Value::String(text) => {
                    resolved.insert(name, self.template(&Template::new(text)).await?);
                }
                other => {
                    resolved.insert(name, Secret::new(other.to_string()));
                }
            }
        }
        Ok(ResolvedSettings(resolved))
    }
}

/// The reference that a text is as a whole.
fn whole_reference(text: &str) -> Result<Option<SecretRef>> {
    let is_reference = ["vault://", "connection://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_reference && Template::new(text).is_constant() {
        text.parse().map(Some)
    } else {
        Ok(None)
    }
}

fn malformed(error: runner_plan::template::TemplateError) -> Error {
    Error::new(ErrorKind::Config, "failed to render a setting of a sink").with_source(error)
}

/// Secrets by the names that a template uses.
struct SecretValues(BTreeMap<String, Secret>);

impl Scope for SecretValues {
    fn lookup(&self, name: &str) -> Option<ScopeValue> {
        self.0
            .get(name)
            .map(|secret| ScopeValue::Secret(secret.expose().to_owned()))
    }

    fn places(&self) -> Vec<String> {
        vec![
            "`secrets`".to_owned(),
            "the provider's credentials".to_owned(),
        ]
    }
}

impl ResolvedSettings {
    /// Settings that hold no secret.
    pub fn plain<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                .collect(),
        )
    }

    /// These settings, and others in place of those of the same name (credentials that a catalog hands out).
    #[must_use]
    pub fn with(&self, others: &BTreeMap<String, Secret>) -> Self {
        let mut settings = self.0.clone();
        settings.extend(
            others
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Self(settings)
    }

    /// The first of these names that is set and not empty.
    pub fn get(&self, names: &[&str]) -> Option<&Secret> {
        names
            .iter()
            .filter_map(|name| self.0.get(*name))
            .find(|value| !value.expose().is_empty())
    }

    /// A setting that is true or false.
    pub fn flag(&self, names: &[&str]) -> Result<Option<bool>> {
        let Some(value) = self.get(names) else {
            return Ok(None);
        };
        match value.expose().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Some(true)),
            "false" | "no" | "off" | "0" => Ok(Some(false)),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "setting `{}` is neither true nor false",
                    names.first().copied().unwrap_or_default()
                ),
            )),
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for ResolvedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
