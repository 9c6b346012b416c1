//! What every phase may look at, and the reading of free settings.

use runner_spec::model::{ProviderType, Settings, Spec};
use runner_spec::{Code, FieldPath};
use serde_json::Value;

use super::findings::{Findings, at};
use crate::environment::{Environment, Profile};
use crate::inputs::PlanInputs;
use crate::template::{ConfigScope, Layers, NamedTexts, Template, TemplateError};

/// The inputs, with the questions that several phases ask of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) inputs: PlanInputs<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn spec(&self) -> &'a Spec {
        self.inputs.spec
    }

    pub(crate) fn environment(&self) -> &'a Environment {
        self.inputs.environment
    }

    pub(crate) fn config(&self) -> &'a Settings {
        &self.inputs.spec.provider.config
    }

    /// Whether what isn't configured may be replaced by something local.
    pub(crate) fn may_redirect(&self) -> bool {
        self.environment().profile == Profile::Local && !self.inputs.options.strict_connections
    }

    pub(crate) fn reads_files(&self) -> bool {
        match self.spec().provider.provider_type {
            ProviderType::S3 | ProviderType::FileFtp => true,
            ProviderType::RestApi
            | ProviderType::Graphql
            | ProviderType::Websocket
            | ProviderType::Webhook
            | ProviderType::Database
            | ProviderType::Kafka => false,
        }
    }

    /// Renders what has to be known before a run: from parameters and settings alone.
    pub(crate) fn render_now(&self, text: &str) -> Result<String, TemplateError> {
        let parameters = NamedTexts {
            place: "the run's parameters",
            values: self.inputs.parameters,
        };
        let config = ConfigScope(self.config());
        let compiled = Template::new(text).compile()?;
        let rendered = compiled.render(&Layers(vec![&parameters, &config]))?;
        Ok(rendered.text)
    }

    /// Like [`Context::render_now`], with an error in the findings where it can't be rendered yet.
    pub(crate) fn settled(
        &self,
        text: &str,
        path: &FieldPath,
        findings: &mut Findings,
    ) -> Option<String> {
        match self.render_now(text) {
            Ok(rendered) => Some(rendered),
            Err(error) => {
                findings.error(
                    Code::UnresolvableNumber,
                    path,
                    format!("`{text}` has to be known before the first request: {error}"),
                    "write the value, `{{ config.NAME }}`, or a parameter given with `--param`",
                );
                None
            }
        }
    }

    /// A number that may be written as a text or a template.
    pub(crate) fn number(
        &self,
        text: Option<&str>,
        path: &FieldPath,
        findings: &mut Findings,
    ) -> Option<u64> {
        let rendered = self.settled(text?, path, findings)?;
        let number = rendered.trim().parse().ok();
        if number.is_none() {
            findings.error(
                Code::UnresolvableNumber,
                path,
                format!("`{rendered}` is not a whole number"),
                "write a number such as `100`",
            );
        }
        number
    }

    /// A setting of `provider.config`.
    pub(crate) fn setting(&self, name: &str) -> Option<&'a Value> {
        self.config().get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn setting_text(&self, name: &str, findings: &mut Findings) -> Option<String> {
        text_setting(*self, self.config(), name, &at::config(), findings)
    }

    pub(crate) fn setting_number(&self, name: &str, findings: &mut Findings) -> Option<u64> {
        let text = scalar_text(self.setting(name)?);
        let path = at::config().key(name);
        let Some(text) = text else {
            wrong_setting(&path, name, "a number", findings);
            return None;
        };
        self.number(Some(&text), &path, findings)
    }

    pub(crate) fn setting_flag(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        flag_setting(self.config(), name, &at::config(), findings)
    }

    /// A duration with its unit, in milliseconds.
    pub(crate) fn setting_duration(&self, name: &str, findings: &mut Findings) -> Option<u64> {
        let text = scalar_text(self.setting(name)?)?;
        let duration = milliseconds_of(&text);
        if duration.is_none() {
            wrong_setting(
                &at::config().key(name),
                name,
                "a duration such as `1h`",
                findings,
            );
        }
        duration
    }

    pub(crate) fn setting_texts(&self, name: &str) -> Vec<String> {
        match self.setting(name) {
            Some(Value::Array(items)) => items.iter().filter_map(scalar_text).collect(),
            Some(value) => scalar_text(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// A duration with its unit.
pub(crate) fn milliseconds_of(text: &str) -> Option<u64> {
    let duration = runner_spec::parse_duration(text).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

/// Text, number or boolean as it is written.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A setting as text; what is a template is rendered with what is known before a run.
pub(crate) fn text_setting(
    context: Context<'_>,
    settings: &Settings,
    name: &str,
    path: &FieldPath,
    findings: &mut Findings,
) -> Option<String> {
    let value = settings.get(name).filter(|value| !value.is_null())?;
    let path = path.key(name);
    let Some(text) = scalar_text(value) else {
        wrong_setting(&path, name, "a text", findings);
        return None;
    };
    context.settled(&text, &path, findings)
}

pub(crate) fn flag_setting(
    settings: &Settings,
    name: &str,
    path: &FieldPath,
    findings: &mut Findings,
) -> Option<bool> {
    let value = settings.get(name).filter(|value| !value.is_null())?;
    let flag = match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    if flag.is_none() {
        wrong_setting(&path.key(name), name, "`true` or `false`", findings);
    }
    flag
}

pub(crate) fn wrong_setting(path: &FieldPath, name: &str, wanted: &str, findings: &mut Findings) {
    findings.error(
        Code::WrongType,
        path,
        format!("`{name}` is not {wanted}"),
        format!("write {wanted}"),
    );
}
