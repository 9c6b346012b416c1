//! Settings: flags over environment over file over defaults, resolved once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use runner_core::{Error, ErrorKind, Result};
use runner_plan::{Connection, Environment, Profile};
use runner_spec::model::EngineName;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Global;
use crate::configuration::Configuration;

/// Where a setting came from, for `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
}

/// Every setting of the program, with its origin.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) runner_id: String,
    pub(crate) tenant_id: String,
    pub(crate) profile: Profile,
    pub(crate) data_dir: PathBuf,
    pub(crate) secrets_file: Option<PathBuf>,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) engine_configs: BTreeMap<String, Value>,
    pub(crate) supported_engines: Option<Vec<EngineName>>,
    pub(crate) engine_fallback: bool,
    pub(crate) job_timeout_seconds: Option<u64>,
    pub(crate) origins: Vec<(&'static str, Value, Origin)>,
}

/// Picks a setting's value by precedence and remembers which won.
struct Resolver {
    file: Option<PathBuf>,
    origins: Vec<(&'static str, Value, Origin)>,
}

impl Settings {
    pub(crate) fn resolve(global: &Global) -> Result<Self> {
        let file = match &global.config {
            Some(path) => Configuration::read(path)?,
            None => Configuration::default(),
        };
        let mut resolver = Resolver {
            file: global.config.clone(),
            origins: Vec::new(),
        };
        let runner_id = resolver.text("runner_id", None, "RUNNER_ID", file.runner_id, "local");
        let tenant_id = resolver.text("tenant_id", None, "TENANT_ID", file.tenant_id, "");
        let profile = resolver.pick("profile", None, file.profile, Profile::Local);
        let data_dir = resolver.pick(
            "data_dir",
            global.data_dir.clone(),
            file.data_dir,
            PathBuf::from(".ingestion-runner"),
        );
        let secrets_file = resolver.pick(
            "secrets_file",
            global.secrets.clone().map(Some),
            file.secrets_file.map(Some),
            None,
        );
        let timeout = resolver.timeout(file.job_timeout_seconds)?;
        let engine_fallback = file.engine_fallback.unwrap_or(true);
        resolver.note(
            "engine_fallback",
            engine_fallback.into(),
            file.engine_fallback.is_some(),
        );
        resolver.note(
            "supported_engines",
            json(&file.supported_engines),
            file.supported_engines.is_some(),
        );
        let names: Vec<_> = file.connections.keys().cloned().collect();
        resolver.note("connections", json(&names), !names.is_empty());
        let engines: Vec<_> = file.engine_configs.keys().cloned().collect();
        resolver.note("engine_configs", json(&engines), !engines.is_empty());
        Ok(Self {
            runner_id,
            tenant_id,
            profile,
            data_dir,
            secrets_file,
            connections: file.connections,
            engine_configs: file.engine_configs,
            supported_engines: file.supported_engines,
            engine_fallback,
            job_timeout_seconds: timeout,
            origins: resolver.origins,
        })
    }

    /// What the plan depends on.
    pub(crate) fn environment(&self, secrets_writable: bool) -> Environment {
        Environment {
            profile: self.profile,
            data_dir: self.data_dir.to_string_lossy().into_owned(),
            tenant: (!self.tenant_id.is_empty()).then(|| self.tenant_id.clone()),
            connections: self.connections.clone(),
            engines: self.engines(),
            supported_engines: self.supported_engines.clone(),
            refuse_engine_fallback: !self.engine_fallback,
            secrets_writable,
            job_timeout_seconds: self.job_timeout_seconds,
        }
    }

    /// External engines with an address.
    fn engines(&self) -> BTreeMap<EngineName, String> {
        let named = [
            ("seatunnel", EngineName::Seatunnel),
            ("spark", EngineName::Spark),
            ("flink", EngineName::Flink),
        ];
        named
            .into_iter()
            .filter_map(|(key, engine)| {
                let address = self.engine_configs.get(key)?.get("address")?.as_str()?;
                Some((engine, address.to_owned()))
            })
            .collect()
    }
}

impl Resolver {
    fn text(
        &mut self,
        key: &'static str,
        flag: Option<String>,
        variable: &str,
        file: Option<String>,
        default: &str,
    ) -> String {
        let environment = std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty());
        let (value, origin) = match (flag, environment, file) {
            (Some(value), _, _) => (value, Origin::Flag),
            (None, Some(value), _) => (value, Origin::Environment(variable.to_owned())),
            (None, None, Some(value)) => (value, self.file_origin()),
            (None, None, None) => (default.to_owned(), Origin::Default),
        };
        self.origins.push((key, value.clone().into(), origin));
        value
    }

    fn pick<T: Serialize>(
        &mut self,
        key: &'static str,
        flag: Option<T>,
        file: Option<T>,
        default: T,
    ) -> T {
        let (value, origin) = match (flag, file) {
            (Some(value), _) => (value, Origin::Flag),
            (None, Some(value)) => (value, self.file_origin()),
            (None, None) => (default, Origin::Default),
        };
        self.origins.push((key, json(&value), origin));
        value
    }

    fn timeout(&mut self, file: Option<u64>) -> Result<Option<u64>> {
        const VARIABLE: &str = "JOB_TIMEOUT_SECONDS";
        let environment = match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Some(text.parse::<u64>().map_err(|error| {
                Error::new(
                    ErrorKind::Config,
                    format!("{VARIABLE} is `{text}`, which is no number of seconds"),
                )
                .with_source(error)
            })?),
            _ => None,
        };
        let origin = match (environment, file) {
            (Some(_), _) => Origin::Environment(VARIABLE.to_owned()),
            (None, Some(_)) => self.file_origin(),
            (None, None) => Origin::Default,
        };
        let value = environment.or(file);
        self.origins
            .push(("job_timeout_seconds", json(&value), origin));
        Ok(value)
    }

    fn note(&mut self, key: &'static str, value: Value, is_from_file: bool) {
        let origin = if is_from_file {
            self.file_origin()
        } else {
            Origin::Default
        };
        self.origins.push((key, value, origin));
    }

    fn file_origin(&self) -> Origin {
        self.file.clone().map_or(Origin::Default, Origin::File)
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
