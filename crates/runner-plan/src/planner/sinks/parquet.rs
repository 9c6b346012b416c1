//! Parquet folders, local or in an object store.

use runner_spec::Code;
use runner_spec::model::Settings;

use super::{Config, Configured};
use crate::environment::ConnectionKind;
use crate::planner::findings::Findings;
use crate::planner::storage::storage_settings;

const COMPRESSIONS: [&str; 7] = [
    "zstd",
    "snappy",
    "gzip",
    "lz4",
    "brotli",
    "none",
    "uncompressed",
];
pub(super) const DEFAULT_COMPRESSION: &str = "zstd";

/// A folder of tables, or the declared table's own.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: String,
    /// The declared table's own folder, where the path ends in its name.
    declared: Option<String>,
    pub(super) storage: Settings,
    pub(super) compression: String,
}

impl Folder {
    pub(super) fn local(data_dir: &str) -> Self {
        Self {
            root: format!("{data_dir}/tables"),
            declared: None,
            storage: Settings::new(),
            compression: DEFAULT_COMPRESSION.to_owned(),
        }
    }

    /// For a sink of another kind, below the name of its connection.
    pub(super) fn local_for(data_dir: &str, connection: &str) -> Self {
        let mut folder = Self::local(data_dir);
        folder.root = format!(
            "{}/{}",
            folder.root,
            folder_name(&connection.replace('.', "_"))
        );
        folder
    }

    pub(super) fn location(&self, table: &str, is_declared: bool) -> String {
        if let Some(declared) = self.declared.as_ref().filter(|_| is_declared) {
            return declared.clone();
        }
        // A path that is the declared table's own has its neighbours beside it, without the namespace again.
        let table = match &self.declared {
            Some(_) => table.rsplit('.').next().unwrap_or(table),
            None => table,
        };
        format!("{}/{}", self.root, folder_name(table))
    }
}

/// `raw.trades` is the folder `raw/trades`; nothing in a name leads out of the root.
fn folder_name(table: &str) -> String {
    let parts: Vec<String> = table
        .split('.')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.chars()
                .map(|character| {
                    if character.is_alphanumeric() || "-_$".contains(character) {
                        character
                    } else {
                        '_'
                    }
                })
                .collect()
        })
        .collect();
    parts.join("/")
}

pub(super) fn configured(config: &Config<'_>, findings: &mut Findings) -> Configured<Folder> {
    let connection = match config.connection(ConnectionKind::S3, findings) {
        Configured::Yes(connection) => Some(connection),
        Configured::No => None,
        Configured::Broken => return Configured::Broken,
    };
    let settings = config.merged(connection);
    let own_path = config.text("path", findings);
    let of_connection = || settings.get("path")?.as_str().map(str::to_owned);
    let Some(path) = own_path.or_else(of_connection) else {
        return Configured::No;
    };
    let path = path.trim_end_matches('/').to_owned();
    check_path(config, &path, findings);
    let compression = compression(config, "compression", findings);
    let table = config.sink.table_name.as_deref();
    let (root, declared) = split(&path, table);
    Configured::Yes(Folder {
        root,
        declared,
        storage: storage_settings(&settings),
        compression,
    })
}

/// A path that ends in the table's name is the table itself; so is one without a table's name. Otherwise it holds the tables.
fn split(path: &str, table: Option<&str>) -> (String, Option<String>) {
    let last_part = |text: &str| text.rsplit(['/', '.']).next().map(str::to_ascii_lowercase);
    let is_table = table.is_none_or(|table| {
        last_part(table) == path.rsplit('/').next().map(str::to_ascii_lowercase)
    });
    if !is_table {
        return (path.to_owned(), None);
    }
    let root = match path.rsplit_once('/') {
        // `s3://bucket` has nothing beside it.
        Some((root, _)) if !root.ends_with('/') && !root.is_empty() => root.to_owned(),
        _ => path.to_owned(),
    };
    (root, Some(path.to_owned()))
}

fn check_path(config: &Config<'_>, path: &str, findings: &mut Findings) {
    if let Some((scheme, _)) = path.split_once("://")
        && !matches!(scheme, "file" | "s3" | "s3a")
    {
        findings.error(
            Code::UnsupportedScheme,
            &config.path.key("path"),
            format!("tables can't be written to `{scheme}://` addresses"),
            "write a folder, or `s3://bucket/prefix`",
        );
    }
    if path.to_ascii_lowercase().ends_with(".parquet") {
        findings.error(
            Code::UnsupportedSetting,
            &config.path.key("path"),
            format!("`{path}` names a file, and a table is a folder of files"),
            format!(
                "write `{}`",
                path[..path.len() - ".parquet".len()].trim_end_matches('/')
            ),
        );
    }
}

pub(super) fn compression(config: &Config<'_>, name: &str, findings: &mut Findings) -> String {
    let Some(text) = config.text(name, findings) else {
        return DEFAULT_COMPRESSION.to_owned();
    };
    let compression = text.trim().to_ascii_lowercase();
    if !COMPRESSIONS.contains(&compression.as_str()) {
        findings.error(
            Code::UnsupportedSetting,
            &config.path.key(name),
            format!("`{text}` is no compression that can be written"),
            "write `zstd`, `snappy`, `gzip`, `lz4`, `brotli` or `none`",
        );
    }
    if compression == "uncompressed" {
        "none".to_owned()
    } else {
        compression
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(path: &str, table: Option<&str>) -> [String; 2] {
        let (root, declared) = split(path, table);
        let folder = Folder {
            root,
            declared,
            storage: Settings::new(),
            compression: String::new(),
        };
        let beside = match table.and_then(|table| table.rsplit_once('.')) {
            Some((namespace, _)) => format!("{namespace}.parents"),
            None => "parents".to_owned(),
        };
        [
            folder.location(table.unwrap_or("trades"), true),
            folder.location(&beside, false),
        ]
    }

    #[test]
    fn a_path_holds_the_tables_or_is_the_declared_one() {
        for (path, table, expected) in [
            ("out", Some("trades"), ["out/trades", "out/parents"]),
            (
                "s3://lake/raw",
                Some("market.trades"),
                [
                    "s3://lake/raw/market/trades",
                    "s3://lake/raw/market/parents",
                ],
            ),
            (
                "s3://lake/raw/trades",
                Some("trades"),
                ["s3://lake/raw/trades", "s3://lake/raw/parents"],
            ),
            (
                "s3://lake/raw/trades",
                Some("raw.trades"),
                ["s3://lake/raw/trades", "s3://lake/raw/parents"],
            ),
            ("/data/trades", None, ["/data/trades", "/data/parents"]),
            ("s3://lake", None, ["s3://lake", "s3://lake/parents"]),
            ("out", None, ["out", "out/parents"]),
        ] {
            assert_eq!(locations(path, table), expected, "{path} {table:?}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_root() {
        for (table, folder) in [
            ("../etc", "___etc"),
            ("a/../b", "a____b"),
            ("a..b", "a/b"),
            ("raw.trades", "raw/trades"),
        ] {
            let found = folder_name(table);
            assert!(!found.contains(".."), "{found}");
            assert!(found == folder || table.contains(".."), "{table}: {found}");
        }
    }
}
