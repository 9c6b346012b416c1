//! Iceberg catalogs.

use runner_spec::Code;
use runner_spec::model::Settings;

use super::parquet::{DEFAULT_COMPRESSION, compression};
use super::{Config, Configured, Place, template};
use crate::environment::ConnectionKind;
use crate::model::Catalog;
use crate::planner::context::scalar_text;
use crate::planner::findings::Findings;
use crate::planner::storage::storage_settings;
use crate::template::Template;

const DEFAULT_NAMESPACE: &str = "default";
/// Settings of a REST catalog's own login, which travel with those of the storage.
const LOGIN: [&str; 2] = ["oauth2-server-uri", "scope"];
const COMPRESSION: &str = "compression";
const CODEC: &str = "write.parquet.compression-codec";

pub(super) fn configured(config: &Config<'_>, findings: &mut Findings) -> Configured<Place> {
    let connection = match config.connection(ConnectionKind::Iceberg, findings) {
        Configured::Yes(connection) => Some(connection),
        Configured::No => None,
        Configured::Broken => return Configured::Broken,
    };
    let is_inline = config.has("uri") || config.has("file") || config.has("type");
    if connection.is_none() && !is_inline {
        return Configured::No;
    }
    let settings = config.merged(connection);
    let name = config.connection_name().map_or("default", |(_, name)| name);
    match catalog(config, name, &settings, findings) {
        Some(catalog) => Configured::Yes(place(config, catalog, &settings, findings)),
        None => Configured::Broken,
    }
}

/// A catalog in SQLite with its warehouse beside it.
pub(super) fn local(config: &Config<'_>, data_dir: &str, findings: &mut Findings) -> Place {
    let catalog = Catalog::Sqlite {
        file: format!("{data_dir}/iceberg/catalog.db"),
        name: config
            .connection_name()
            .map_or("local", |(_, name)| name)
            .to_owned(),
        warehouse: format!("{data_dir}/iceberg/warehouse"),
    };
    place(config, catalog, &Settings::new(), findings)
}

fn place(
    config: &Config<'_>,
    catalog: Catalog,
    settings: &Settings,
    findings: &mut Findings,
) -> Place {
    let namespace = config
        .text("namespace", findings)
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let mut storage = storage_settings(settings);
    for name in LOGIN {
        if let Some(value) = settings.get(name) {
            storage.insert(name.to_owned(), value.clone());
        }
    }
    let compression = match [COMPRESSION, CODEC]
        .into_iter()
        .find(|name| config.has(name))
    {
        Some(name) => compression(config, name, findings),
        None => DEFAULT_COMPRESSION.to_owned(),
    };
    Place::Iceberg {
        catalog,
        default_namespace: namespace.split('.').map(str::to_owned).collect(),
        storage,
        format_version: format_version(config, findings),
        compression,
    }
}

fn format_version(config: &Config<'_>, findings: &mut Findings) -> u8 {
    let name = if config.has("format_version") {
        "format_version"
    } else {
        "format-version"
    };
    let Some(text) = config.text(name, findings) else {
        return 2;
    };
    match text.trim() {
        "1" => 1,
        "2" => 2,
        other => {
            findings.error(
                Code::UnsupportedSetting,
                &config.path.key(name),
                format!("Iceberg tables of format version `{other}` can't be written"),
                "write `format-version: 2`",
            );
            2
        }
    }
}

/// Of which kind the catalog is: by `type`, else by the scheme of its `uri`.
fn catalog(
    config: &Config<'_>,
    name: &str,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Catalog> {
    let text = |name: &str| settings.get(name).and_then(scalar_text);
    let uri = text("uri").and_then(|uri| {
        config
            .context
            .settled(&uri, &config.path.key("uri"), findings)
    });
    let declared = text("type")
        .or_else(|| text("catalog_type"))
        .map(|kind| kind.to_ascii_lowercase());
    // Connections keep their own `type` apart, which says that they are catalogs.
    let declared = declared.filter(|kind| kind != "iceberg");
    let is_sqlite_uri = uri.as_deref().is_some_and(|uri| uri.starts_with("sqlite:"));
    let is_sqlite = match declared.as_deref() {
        Some("rest") => false,
        Some("sqlite" | "sql" | "jdbc") if uri.is_none() || is_sqlite_uri => true,
        None => is_sqlite_uri || text("file").is_some(),
        Some(other) => {
            findings.error(
                Code::UnsupportedSetting,
                &config.path.key("type"),
                format!("Iceberg catalogs of type `{other}` are not supported"),
                "use a REST catalog (`type: rest` and `uri`), or one in SQLite (`type: sqlite`, `uri: sqlite:///catalog.db`)",
            );
            return None;
        }
    };
    if is_sqlite {
        sqlite(config, name, uri, settings, findings)
    } else {
        rest(config, uri, settings, findings)
    }
}

fn missing(config: &Config<'_>, what: &str, help: &str, findings: &mut Findings) {
    findings.error(
        Code::ConnectionMissing,
        &config.path,
        format!("the Iceberg catalog has no `{what}`"),
        help,
    );
}

fn sqlite(
    config: &Config<'_>,
    name: &str,
    uri: Option<String>,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Catalog> {
    let text = |name: &str| settings.get(name).and_then(scalar_text);
    let file = text("file").or_else(|| sqlite_file(&uri?));
    let warehouse = text("warehouse");
    if file.is_none() {
        missing(
            config,
            "uri",
            "write `uri: sqlite:///folder/catalog.db`",
            findings,
        );
    }
    if warehouse.is_none() {
        missing(
            config,
            "warehouse",
            "write where its tables are, as in `warehouse: /folder/warehouse`",
            findings,
        );
    }
    Some(Catalog::Sqlite {
        file: file?,
        name: name.to_owned(),
        warehouse: warehouse?,
    })
}

/// Three slashes come before a relative path and four before an absolute one, as in SQLAlchemy, which pyiceberg uses.
fn sqlite_file(uri: &str) -> Option<String> {
    let path = ["sqlite:///", "sqlite://", "sqlite:"]
        .iter()
        .find_map(|prefix| uri.strip_prefix(prefix))?;
    // A catalog in memory would be gone with the run.
    (!path.is_empty() && path != ":memory:").then(|| path.to_owned())
}

fn rest(
    config: &Config<'_>,
    uri: Option<String>,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Catalog> {
    let text = |name: &str| settings.get(name).and_then(scalar_text);
    let Some(uri) = uri else {
        missing(
            config,
            "uri",
            "write the catalog's address, as in `uri: https://catalog.example.com`",
            findings,
        );
        return None;
    };
    let is_signed = text("rest.sigv4-enabled").is_some_and(|flag| flag == "true");
    let signing = is_signed.then(|| {
        let region = text("rest.signing-region")
            .or_else(|| text("region"))
            .or_else(|| text("s3.region"));
        let service = text("rest.signing-name");
        (
            region.unwrap_or_else(|| "us-east-1".to_owned()),
            service.unwrap_or_else(|| "execute-api".to_owned()),
        )
    });
    let mut headers: Vec<(String, Template)> = settings
        .iter()
        .filter_map(|(name, value)| {
            let header = name.strip_prefix("header.")?;
            Some((header.to_owned(), Template::new(scalar_text(value)?)))
        })
        .collect();
    headers.sort();
    Some(Catalog::Rest {
        uri,
        warehouse: text("warehouse"),
        token: template(settings, &["token"]),
        credential: template(settings, &["credential"]),
        signing,
        headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_sqlite_name_files_as_other_programs_read_them() {
        for (uri, file) in [
            ("sqlite:///lake/catalog.db", Some("lake/catalog.db")),
            ("sqlite:////lake/catalog.db", Some("/lake/catalog.db")),
            ("sqlite://./catalog.db", Some("./catalog.db")),
            ("sqlite:catalog.db", Some("catalog.db")),
            ("sqlite:/lake/catalog.db", Some("/lake/catalog.db")),
            ("sqlite:///", None),
            ("sqlite:///:memory:", None),
            ("https://catalog.example.com", None),
        ] {
            assert_eq!(sqlite_file(uri).as_deref(), file, "{uri}");
        }
    }
}
