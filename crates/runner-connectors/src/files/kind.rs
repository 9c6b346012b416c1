//! What a file is by its name: its format, and how it is compressed.

use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, TextFormat};
use serde::{Deserialize, Serialize};

use crate::compression::Compression;

/// Endings of compressions that can't be undone here.
const FOREIGN: [&str; 8] = ["bz2", "xz", "lz4", "sz", "snappy", "zip", "7z", "tar"];

/// How the bytes of a file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileKind {
    pub(super) format: DataFormat,
    pub(super) is_tab_separated: bool,
    pub(super) packed: Packed,
}

/// Whether a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Packed {
    /// Its name doesn't say so; its first bytes may.
    Unknown,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl FileKind {
    /// `declared` is what the document says; without it the name decides.
    pub(super) fn of_name(name: &str, declared: Option<DataFormat>) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let file = lower.rsplit('/').next().unwrap_or(&lower);
        let (stem, packed) = unpacked(file);
        if packed == Packed::Unknown
            && let Some((_, ending)) = stem.rsplit_once('.')
            && FOREIGN.contains(&ending)
        {
            return Err(Error::new(
                ErrorKind::SourceData,
                format!("`{name}` is compressed in a way that can't be undone: `.{ending}`"),
            )
            .with_help("give it plain, or compressed with gzip, zstd, brotli or deflate"));
        }
        let ending = stem.rsplit_once('.').map_or("", |(_, ending)| ending);
        let by_name = match ending {
            "csv" | "tsv" | "tab" => Some(DataFormat::Csv),
            "json" => Some(DataFormat::Json),
            "jsonl" | "ndjson" | "jsonlines" => Some(DataFormat::JsonLines),
            "xml" => Some(DataFormat::Xml),
            "parquet" | "pq" => Some(DataFormat::Parquet),
            _ => None,
        };
        let Some(format) = declared.or(by_name) else {
            return Err(Error::new(
                ErrorKind::SourceData,
                format!("the name of `{name}` does not say what format it has"),
            )
            .with_help(
                "write `config.format` (csv, tsv, json, jsonl, xml or parquet), or a glob that leaves the file out",
            ));
        };
        Ok(Self {
            format,
            is_tab_separated: declared.is_none() && matches!(ending, "tsv" | "tab"),
            packed,
        })
    }

    /// The settings of text with what the name says of them.
    pub(super) fn text(self, settings: &TextFormat) -> TextFormat {
        let mut text = settings.clone();
        if self.is_tab_separated && text.delimiter == TextFormat::default().delimiter {
            text.delimiter = '\t';
        }
        text
    }

    /// Whether a file's rows stand one behind the other, so that reading can begin and end between them.
    pub(super) fn has_records(self) -> bool {
        matches!(self.format, DataFormat::Csv | DataFormat::JsonLines)
    }

    /// For people.
    pub(super) fn format_name(self) -> &'static str {
        match self.format {
            DataFormat::Json => "JSON",
            DataFormat::JsonLines => "JSON lines",
            DataFormat::Csv => "CSV",
            DataFormat::Xml => "XML",
            DataFormat::Parquet => "Parquet",
        }
    }
}

impl Packed {
    /// The compression, by the name or by the first bytes. Parquet compresses within.
    pub(super) fn compression(self, format: DataFormat, start: &[u8]) -> Option<Compression> {
        match self {
            Self::Unknown if format == DataFormat::Parquet => None,
            Self::Unknown => Compression::of_magic(start),
            Self::Gzip => Some(Compression::Gzip),
            Self::Deflate => Some(Compression::Deflate),
            Self::Brotli => Some(Compression::Brotli),
            Self::Zstd => Some(Compression::Zstd),
        }
    }
}

fn unpacked(file: &str) -> (&str, Packed) {
    let endings = [
        (".gz", Packed::Gzip),
        (".gzip", Packed::Gzip),
        (".zst", Packed::Zstd),
        (".zstd", Packed::Zstd),
        (".br", Packed::Brotli),
        (".deflate", Packed::Deflate),
        (".zz", Packed::Deflate),
    ];
    endings
        .iter()
        .find_map(|(ending, packed)| Some((file.strip_suffix(ending)?, *packed)))
        .unwrap_or((file, Packed::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_are() {
        use DataFormat::{Csv, Json, JsonLines, Parquet, Xml};
        for (name, declared, format, packed) in [
            ("a/b.csv", None, Csv, Packed::Unknown),
            ("A.CSV.GZ", None, Csv, Packed::Gzip),
            ("a.tsv.zst", None, Csv, Packed::Zstd),
            ("a.jsonl.br", None, JsonLines, Packed::Brotli),
            ("a.ndjson", None, JsonLines, Packed::Unknown),
            ("a.json", None, Json, Packed::Unknown),
            ("a.xml.deflate", None, Xml, Packed::Deflate),
            ("a.parquet", None, Parquet, Packed::Unknown),
            ("part-0", Some(Csv), Csv, Packed::Unknown),
            ("a.json", Some(JsonLines), JsonLines, Packed::Unknown),
        ] {
            let kind = FileKind::of_name(name, declared).unwrap();
            assert_eq!((kind.format, kind.packed), (format, packed), "{name}");
        }
        let tabs = FileKind::of_name("a.tsv", None).unwrap();
        assert_eq!(tabs.text(&TextFormat::default()).delimiter, '\t');
    }

    #[test]
    fn names_that_say_nothing_are_errors_with_advice() {
        for (name, declared, message) in [
            (
                "README",
                None,
                "the name of `README` does not say what format it has",
            ),
            (
                "a.gz",
                None,
                "the name of `a.gz` does not say what format it has",
            ),
            (
                "a.csv.bz2",
                Some(DataFormat::Csv),
                "`a.csv.bz2` is compressed in a way that can't be undone: `.bz2`",
            ),
        ] {
            let error = FileKind::of_name(name, declared).unwrap_err();
            assert_eq!(error.message(), message);
            assert!(error.help().is_some());
        }
    }
}
