//! Where each sink's tables really are.
//!
//! What "configured" means: a Parquet sink with `path` or a known `connection`; a PostgreSQL sink with `url`, `host` or a known
//! `connection`; an Iceberg sink with `uri`, or with the name of a known connection in `catalog`. Everything else is replaced
//! by a local table under the `local` profile and refused otherwise.

mod iceberg;
mod parquet;
mod postgres;

use runner_spec::model::{Settings, Sink, SinkKind};
use runner_spec::{Code, FieldPath};

use super::context::{Context, text_setting};
use super::findings::{Findings, did_you_mean};
use super::storage::without_secrets;
use crate::environment::{Connection, ConnectionKind};
use crate::model::{Catalog, Delivery, Redirection, Target};
use crate::template::Template;

/// Where a sink's tables go, before any of them is named.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    place: Place,
    pub(crate) redirection: Option<Redirection>,
    /// Its settings are wrong, which has been reported.
    pub(crate) is_broken: bool,
}

/// What a sink's settings amount to.
enum Configured<T> {
    Yes(T),
    /// They name no place, or a connection that isn't there.
    No,
    /// They are wrong, and the findings say why.
    Broken,
}

impl<T> Configured<T> {
    fn map<U>(self, make: impl FnOnce(T) -> U) -> Configured<U> {
        match self {
            Self::Yes(value) => Configured::Yes(make(value)),
            Self::No => Configured::No,
            Self::Broken => Configured::Broken,
        }
    }
}

#[derive(Clone, Debug)]
enum Place {
    Parquet(parquet::Folder),
    Iceberg {
        catalog: Catalog,
        default_namespace: Vec<String>,
        storage: Settings,
        format_version: u8,
        compression: String,
    },
    Postgres(Box<postgres::Server>),
}

impl Destination {
    /// The table of this name. `is_declared` tells the one that the document names from those beside it.
    pub(crate) fn target(&self, table: &str, is_declared: bool) -> Target {
        match &self.place {
            Place::Parquet(folder) => Target::Parquet {
                location: folder.location(table, is_declared),
                storage: folder.storage.clone(),
                compression: folder.compression.clone(),
            },
            Place::Iceberg {
                catalog,
                default_namespace,
                storage,
                format_version,
                compression,
            } => {
                let (namespace, table) = qualified(table, default_namespace);
                Target::Iceberg {
                    catalog: catalog.clone(),
                    namespace,
                    table,
                    storage: storage.clone(),
                    format_version: *format_version,
                    compression: compression.clone(),
                }
            }
            Place::Postgres(server) => server.target(table),
        }
    }

    pub(crate) fn delivery(&self) -> Delivery {
        match &self.place {
            Place::Parquet(_) => Delivery::Idempotent,
            Place::Iceberg { .. } | Place::Postgres(_) => Delivery::Atomic,
        }
    }
}

/// `a.b.table`: its namespace and its own name.
fn qualified(table: &str, default_namespace: &[String]) -> (Vec<String>, String) {
    match table.rsplit_once('.') {
        Some((namespace, name)) => (
            namespace.split('.').map(str::to_owned).collect(),
            name.to_owned(),
        ),
        None => (default_namespace.to_vec(), table.to_owned()),
    }
}

pub(crate) fn destination(
    context: Context<'_>,
    sink: &Sink,
    path: &FieldPath,
    findings: &mut Findings,
) -> Destination {
    let config = Config {
        context,
        sink,
        path: path.key("config"),
    };
    let place = match sink.kind {
        SinkKind::Parquet => parquet::configured(&config, findings).map(Place::Parquet),
        SinkKind::Iceberg => iceberg::configured(&config, findings),
        SinkKind::Postgres => {
            postgres::configured(&config, findings).map(|server| Place::Postgres(Box::new(server)))
        }
        SinkKind::Clickhouse | SinkKind::Kafka | SinkKind::Elasticsearch => {
            return unsupported(&config, findings);
        }
    };
    match place {
        Configured::Yes(place) => Destination {
            place,
            redirection: None,
            is_broken: false,
        },
        Configured::No => not_configured(&config, findings),
        Configured::Broken => Destination {
            place: Place::Parquet(parquet::Folder::local("")),
            redirection: None,
            is_broken: true,
        },
    }
}

/// A sink's free settings, and the connection that they name.
struct Config<'a> {
    context: Context<'a>,
    sink: &'a Sink,
    path: FieldPath,
}

impl<'a> Config<'a> {
    fn has(&self, name: &str) -> bool {
        self.sink
            .config
            .get(name)
            .is_some_and(|value| !value.is_null())
    }

    fn text(&self, name: &str, findings: &mut Findings) -> Option<String> {
        text_setting(self.context, &self.sink.config, name, &self.path, findings)
    }

    /// The name of a connection, under the key that the kind of sink has for it.
    fn connection_name(&self) -> Option<(&'static str, &'a str)> {
        let keys: &[&'static str] = match self.sink.kind {
            SinkKind::Iceberg => &["catalog", "connection"],
            SinkKind::Clickhouse => &["cluster", "connection"],
            SinkKind::Parquet | SinkKind::Postgres | SinkKind::Kafka | SinkKind::Elasticsearch => {
                &["connection"]
            }
        };
        let named = keys.iter().find_map(|key| {
            let name = self.sink.config.get(*key)?.as_str()?;
            Some((*key, name))
        });
        named.or_else(|| Some(("cluster", self.sink.clickhouse_cluster.as_deref()?)))
    }

    /// The connection that the sink names, if the runner's configuration has it.
    fn connection(
        &self,
        kind: ConnectionKind,
        findings: &mut Findings,
    ) -> Configured<(&'a str, &'a Connection)> {
        let connections = &self.context.environment().connections;
        let named = self.connection_name();
        let Some((key, name, found)) =
            named.and_then(|(key, name)| Some((key, name, connections.get(name)?)))
        else {
            return Configured::No;
        };
        if found.kind != kind {
            findings.error(
                Code::UnknownConnection,
                &self.path.key(key),
                format!(
                    "the connection `{name}` is of type `{}`, and this sink needs one of type `{}`",
                    found.kind.as_str(),
                    kind.as_str()
                ),
                "name another connection",
            );
            return Configured::Broken;
        }
        Configured::Yes((name, found))
    }

    /// The connection's settings with the sink's own over them; no secret in plain text among the connection's.
    fn merged(&self, connection: Option<(&str, &Connection)>) -> Settings {
        let mut settings = match connection {
            Some((name, connection)) => without_secrets(name, &connection.settings),
            None => Settings::new(),
        };
        for (name, value) in &self.sink.config {
            settings.insert(name.clone(), value.clone());
        }
        settings
    }

    fn kind(&self) -> &'static str {
        match self.sink.kind {
            SinkKind::Parquet => "parquet",
            SinkKind::Iceberg => "iceberg",
            SinkKind::Postgres => "postgres",
            SinkKind::Clickhouse => "clickhouse",
            SinkKind::Kafka => "kafka",
            SinkKind::Elasticsearch => "elasticsearch",
        }
    }
}

/// A template or a text of a merged setting.
fn template(settings: &Settings, names: &[&str]) -> Option<Template> {
    names
        .iter()
        .filter_map(|name| settings.get(*name))
        .find_map(super::context::scalar_text)
        .map(Template::new)
}

/// A kind of sink that this version doesn't write: Parquet takes its place where the profile allows.
fn unsupported(config: &Config<'_>, findings: &mut Findings) -> Destination {
    let kind = config.kind();
    if !config.context.may_redirect() {
        findings.error(
            Code::UnsupportedSink,
            &config.path.parent().unwrap_or_default().key("type"),
            format!("sinks of type `{kind}` are not supported yet"),
            "use `iceberg`, `postgres` or `parquet`",
        );
    }
    redirected(
        config,
        format!("sinks of type `{kind}` are not supported yet"),
        findings,
    )
}

fn not_configured(config: &Config<'_>, findings: &mut Findings) -> Destination {
    let reason = match config.connection_name() {
        Some((_, name)) => format!("the connection `{name}` is not configured"),
        None => match config.sink.kind {
            SinkKind::Parquet => "the sink names no `path`".to_owned(),
            SinkKind::Postgres => "the sink names no server".to_owned(),
            _ => "the sink names no catalog".to_owned(),
        },
    };
    if !config.context.may_redirect() {
        let connections = &config.context.environment().connections;
        let how = match config.sink.kind {
            SinkKind::Parquet => "add `config.path`",
            SinkKind::Postgres => "add `config.url`",
            _ => "add `config.uri`",
        };
        let (path, help) = if let Some((key, name)) = config.connection_name() {
            let names = connections.keys().map(String::as_str);
            let fallback =
                format!("add `{name}` to `connections` of the runner's configuration, or {how}");
            (config.path.key(key), did_you_mean(name, names, fallback))
        } else {
            let help = format!(
                "{how}, or name one of the `connections` of the runner's configuration: `config: {{connection: NAME}}`"
            );
            (config.path.clone(), help)
        };
        findings.error(Code::ConnectionMissing, &path, reason.clone(), help);
    }
    redirected(config, reason, findings)
}

/// The local stand-in.
fn redirected(config: &Config<'_>, reason: String, findings: &mut Findings) -> Destination {
    let data_dir = config.context.environment().data_dir.trim_end_matches('/');
    let connection = config
        .connection_name()
        .map_or_else(|| config.kind().to_owned(), |(_, name)| name.to_owned());
    let place = match config.sink.kind {
        SinkKind::Iceberg => iceberg::local(config, data_dir, findings),
        SinkKind::Parquet => Place::Parquet(parquet::Folder::local(data_dir)),
        // Tables of one name, meant for different servers, stay apart.
        _ => Place::Parquet(parquet::Folder::local_for(data_dir, &connection)),
    };
    if config.context.may_redirect() {
        let instead = match &place {
            Place::Iceberg { .. } => format!("a local catalog in `{data_dir}/iceberg`"),
            Place::Parquet(_) | Place::Postgres(_) => {
                format!("Parquet files in `{data_dir}/tables`")
            }
        };
        findings.hint(
            Code::ConnectionRedirected,
            &config.path,
            format!("{reason}: the rows go to {instead} instead"),
        );
    }
    Destination {
        place,
        redirection: Some(Redirection { connection, reason }),
        is_broken: false,
    }
}
