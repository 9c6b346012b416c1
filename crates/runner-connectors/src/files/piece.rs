//! A piece of a file: what one chain reads. Its text is sealed with the job, so that every attempt reads the same.

use runner_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::kind::FileKind;

/// A file, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Where the file is, for people, and the name of its cursor.
    pub(super) path: String,
    /// Where it is in its object store; none for a file of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    pub(super) bytes: u64,
    /// What changes when the file does.
    pub(super) version: String,
    pub(super) kind: FileKind,
    /// The part, in bytes, or in row groups of a Parquet file; none for the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
}

/// From the first up to, and without, the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Piece {
    pub(super) fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|cause| {
            Error::new(
                ErrorKind::Internal,
                format!("failed to write down the file `{}`", self.path),
            )
            .with_source(cause)
        })
    }

    pub(super) fn from_text(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|cause| {
            Error::new(
                ErrorKind::Internal,
                "failed to read the job's list of files",
            )
            .with_source(cause)
            .with_help("`--restart` begins anew with a list of this version")
        })
    }

    /// Cut at these places, which lie within the file, in order.
    pub(super) fn cut(self, places: &[u64], end: u64) -> Vec<Self> {
        if places.is_empty() {
            return vec![self];
        }
        let starts = std::iter::once(0).chain(places.iter().copied());
        let ends = places.iter().copied().chain(std::iter::once(end));
        starts
            .zip(ends)
            .map(|(start, end)| Self {
                part: Some(Part { start, end }),
                ..self.clone()
            })
            .collect()
    }

    /// The file and, where it is a part, which: for messages and the quarantine.
    pub(super) fn origin(&self) -> String {
        match self.part {
            Some(Part { start, .. }) if start > 0 => {
                let unit = if self.is_columnar() {
                    "row group"
                } else {
                    "byte"
                };
                format!("{} (from {unit} {start})", self.path)
            }
            _ => self.path.clone(),
        }
    }

    pub(super) fn is_columnar(&self) -> bool {
        self.kind.format == runner_plan::model::DataFormat::Parquet
    }
}
