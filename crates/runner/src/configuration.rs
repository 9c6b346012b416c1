//! The configuration file: what it may hold, and what is said where it holds something else.
//!
//! Connections have passwords, and any value may be one in the wrong place: no message repeats a value of the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runner_core::{Error, ErrorKind, Result};
use runner_plan::{Connection, Profile};
use runner_spec::model::EngineName;
use runner_spec::nearest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The configuration file. Every key is optional.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) runner_id: Option<String>,
    pub(crate) tenant_id: Option<String>,
    pub(crate) profile: Option<Profile>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) secrets_file: Option<PathBuf>,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) engine_configs: BTreeMap<String, Value>,
    pub(crate) supported_engines: Option<Vec<EngineName>>,
    /// Whether another engine takes the place of a default one that isn't there.
    pub(crate) engine_fallback: Option<bool>,
    pub(crate) job_timeout_seconds: Option<u64>,
}

const KEYS: [&str; 10] = [
    "runner_id",
    "tenant_id",
    "profile",
    "data_dir",
    "secrets_file",
    "connections",
    "engine_configs",
    "supported_engines",
    "engine_fallback",
    "job_timeout_seconds",
];

const CONNECTION_TYPES: [&str; 6] = [
    "iceberg",
    "postgres",
    "s3",
    "clickhouse",
    "kafka",
    "elasticsearch",
];

/// Engines that have an address.
const ENGINES: [&str; 3] = ["seatunnel", "spark", "flink"];

impl Configuration {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("failed to read the configuration file `{}`", path.display()),
            )
            .with_source(error)
        })?;
        let value = parse(path, &bytes)?;
        let Value::Object(entries) = value else {
            return Err(wrong(path, "it holds no settings").with_help(format!(
                "write one `key: value` a line; known keys are {}",
                KEYS.join(", ")
            )));
        };
        Keys { path, entries }.lower()
    }
}

/// The entries of the file that were not taken yet.
struct Keys<'a> {
    path: &'a Path,
    entries: Map<String, Value>,
}

impl Keys<'_> {
    fn lower(mut self) -> Result<Configuration> {
        for key in self.entries.keys() {
            known(self.path, "unknown key", key, &KEYS)?;
        }
        let engines = "a list of `embedded`, `seatunnel`, `spark` and `flink`";
        let fallback: Option<String> = self.take("engine_fallback", "`none` or `embedded`")?;
        Ok(Configuration {
            runner_id: self.take("runner_id", "a text")?,
            tenant_id: self.take("tenant_id", "a text")?,
            profile: self.take("profile", "`local` or `server`")?,
            data_dir: self.take("data_dir", "a path")?,
            secrets_file: self.take("secrets_file", "a path")?,
            connections: self.connections()?,
            engine_configs: self.engines()?,
            supported_engines: self.take("supported_engines", engines)?,
            engine_fallback: match fallback.as_deref() {
                None => None,
                Some("none") => Some(false),
                Some("embedded") => Some(true),
                Some(_) => {
                    return Err(wrong(
                        self.path,
                        "`engine_fallback` takes `none` or `embedded`, and this is another text",
                    ));
                }
            },
            job_timeout_seconds: self.take("job_timeout_seconds", "a whole number of seconds")?,
        })
    }

    /// What serde says of a value that doesn't fit repeats it, so that only its kind is told.
    fn take<T: DeserializeOwned>(&mut self, key: &str, wanted: &str) -> Result<Option<T>> {
        let Some(value) = self.entries.remove(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let found = kind(&value);
        serde_json::from_value(value).map(Some).map_err(|_| {
            wrong(
                self.path,
                &format!("`{key}` takes {wanted}, and this is {found}"),
            )
        })
    }

    fn object(&mut self, key: &str, wanted: &str) -> Result<Map<String, Value>> {
        Ok(self.take(key, wanted)?.unwrap_or_default())
    }

    fn connections(&mut self) -> Result<BTreeMap<String, Connection>> {
        let written = self.object("connections", "an object with a connection for each name")?;
        written
            .into_iter()
            .map(|(name, value)| {
                let connection = self.connection(&name, value)?;
                Ok((name, connection))
            })
            .collect()
    }

    fn connection(&self, name: &str, value: Value) -> Result<Connection> {
        let types = CONNECTION_TYPES.join("`, `");
        let named = |what: String| wrong(self.path, &format!("the connection `{name}` {what}"));
        let Value::Object(settings) = &value else {
            return Err(
                named(format!("takes an object, and this is {}", kind(&value)))
                    .with_help("write its settings a line each, as in `type: postgres`, `url: …`"),
            );
        };
        let help = format!("write one of `{types}`");
        match settings.get("type") {
            None | Some(Value::Null) => {
                return Err(named("has no `type`".to_owned()).with_help(help));
            }
            Some(Value::String(known)) if CONNECTION_TYPES.contains(&known.as_str()) => {}
            Some(Value::String(other)) => {
                let help = match nearest(other, CONNECTION_TYPES) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => help,
                };
                return Err(named("has a `type` that is not known".to_owned()).with_help(help));
            }
            Some(other) => {
                let found = kind(other);
                return Err(named(format!("has {found} as its `type`")).with_help(help));
            }
        }
        serde_json::from_value(value).map_err(|_| named("can't be understood".to_owned()))
    }

    fn engines(&mut self) -> Result<BTreeMap<String, Value>> {
        let engines = self.object("engine_configs", "an object with settings for each engine")?;
        for name in engines.keys() {
            known(
                self.path,
                "unknown engine in `engine_configs`:",
                name,
                &ENGINES,
            )?;
        }
        Ok(engines.into_iter().collect())
    }
}

fn known(path: &Path, what: &str, name: &str, names: &[&'static str]) -> Result<()> {
    if names.contains(&name) {
        return Ok(());
    }
    let help = nearest(name, names.iter().copied()).map_or_else(
        || format!("known are {}", names.join(", ")),
        |meant| format!("did you mean `{meant}`?"),
    );
    Err(wrong(path, &format!("{what} `{name}`")).with_help(help))
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "failed to understand the configuration file `{}`: {what}",
            path.display()
        ),
    )
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// YAML and JSON are read by the document's own reader, so that both have the same rules.
fn parse(path: &Path, bytes: &[u8]) -> Result<Value> {
    let name = path.display().to_string();
    let problem = |diagnostic: &runner_spec::Diagnostic| {
        let at = diagnostic
            .location
            .as_ref()
            .map(|location| format!(" (line {}, column {})", location.line, location.column));
        Error::new(
            ErrorKind::Config,
            format!(
                "failed to read the configuration file `{name}`: {}{}",
                diagnostic.message,
                at.unwrap_or_default()
            ),
        )
    };
    let source =
        runner_spec::Source::from_bytes(&name, bytes).map_err(|diagnostic| problem(&diagnostic))?;
    runner_spec::read_value(&source).map_err(|diagnostics| match diagnostics.first() {
        Some(diagnostic) => problem(diagnostic),
        None => Error::new(
            ErrorKind::Config,
            format!("the configuration file `{name}` is empty"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Configuration> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("runner.yaml");
        std::fs::write(&path, text).expect("a file");
        Configuration::read(&path)
    }

    #[test]
    fn everything_that_is_known_is_read() {
        let read = read(
            "runner_id: one\ntenant_id: acme\nprofile: server\ndata_dir: /data\nsecrets_file: secrets.yaml\n\
             connections:\n  lake: {type: iceberg, uri: http://catalog}\nengine_configs: {spark: {address: sc://spark}}\n\
             supported_engines: [embedded, spark]\nengine_fallback: none\njob_timeout_seconds: 60\n",
        )
        .expect("a configuration");
        assert_eq!(read.profile, Some(Profile::Server));
        assert_eq!(read.connections["lake"].settings["uri"], "http://catalog");
        assert_eq!(
            (read.engine_fallback, read.job_timeout_seconds),
            (Some(false), Some(60))
        );
        assert_eq!(
            read.supported_engines,
            Some(vec![EngineName::Embedded, EngineName::Spark])
        );
    }

    /// A file, what is said of it, and the help.
    const WRONG: [(&str, &str, &str); 13] = [
        (
            "[hunter2]\n",
            "it holds no settings",
            "write one `key: value` a line",
        ),
        (
            "hunter2\n",
            "it holds no settings",
            "write one `key: value` a line",
        ),
        (
            "runnerid: hunter2\n",
            "unknown key `runnerid`",
            "did you mean `runner_id`?",
        ),
        (
            "runner_id: [hunter2]\n",
            "`runner_id` takes a text, and this is a list",
            "",
        ),
        (
            "profile: hunter2\n",
            "`profile` takes `local` or `server`, and this is a text",
            "",
        ),
        (
            "job_timeout_seconds: hunter2\n",
            "`job_timeout_seconds` takes a whole number of seconds, and this is a text",
            "",
        ),
        (
            "engine_fallback: hunter2\n",
            "`engine_fallback` takes `none` or `embedded`",
            "",
        ),
        (
            "supported_engines: [hunter2]\n",
            "`supported_engines` takes a list of",
            "",
        ),
        (
            "connections: hunter2\n",
            "`connections` takes an object with a connection for each name, and this is a text",
            "",
        ),
        (
            "connections: {lake: \"postgres://u:hunter2@h/db\"}\n",
            "the connection `lake` takes an object, and this is a text",
            "write its settings",
        ),
        (
            "connections: {lake: {password: hunter2}}\n",
            "the connection `lake` has no `type`",
            "write one of `iceberg`, `postgres`",
        ),
        (
            "connections: {lake: {type: postgress, password: hunter2}}\n",
            "has a `type` that is not known",
            "did you mean `postgres`?",
        ),
        (
            "engine_configs: {sparc: {address: hunter2}}\n",
            "unknown engine in `engine_configs`: `sparc`",
            "did you mean `spark`?",
        ),
    ];

    /// A password in the wrong place must not be printed.
    #[test]
    fn what_is_wrong_is_told_without_its_value() {
        for (text, said, help) in WRONG {
            let error = read(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            let told = format!("{} {}", error.chain(), error.help().unwrap_or_default());
            assert!(told.contains(said) && told.contains(help), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{text}: {told}");
        }
    }
}
