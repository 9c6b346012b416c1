//! Where files are: one file or folder, or a glob over a folder, on this machine or in an object store.

use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};
use runner_core::{Error, ErrorKind, Result};

use crate::storage::local_path;

/// Characters that make a name a pattern.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// A location, taken apart.
#[derive(Debug)]
pub(super) struct Location {
    /// As it is written, for people.
    pub(super) text: String,
    pub(super) place: Place,
    /// Names below the place that belong to it; none where the place itself is meant.
    pub(super) pattern: Option<GlobMatcher>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(PathBuf),
    /// A URL such as `s3://bucket/prefix`.
    Remote(String),
}

impl Location {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let place = |path: &str| match local_path(path) {
            Ok(Some(local)) => Ok(Place::Local(local)),
            Ok(None) => Ok(Place::Remote(path.to_owned())),
            Err(cause) => {
                let error = Error::new(ErrorKind::Spec, format!("`{text}` is no path: {cause}"));
                Err(error.with_help(cause.help()))
            }
        };
        if let Place::Local(path) = place(text)?
            && path.exists()
        {
            // A file that is called so is meant, whatever its name looks like.
            return Ok(Self {
                text: text.to_owned(),
                place: Place::Local(path),
                pattern: None,
            });
        }
        let Some((folder, pattern)) = pattern(text) else {
            return Ok(Self {
                text: text.to_owned(),
                place: place(text)?,
                pattern: None,
            });
        };
        let matcher = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Spec, format!("`{text}` is no usable pattern"))
                    .with_source(cause)
                    .with_help("`*` stands for a name or a piece of one, `**` for folders, `{a,b}` for either")
            })?
            .compile_matcher();
        Ok(Self {
            text: text.to_owned(),
            place: place(if folder.is_empty() { "." } else { folder })?,
            pattern: Some(matcher),
        })
    }
}

/// The folder that a pattern begins in, and the pattern below it.
fn pattern(text: &str) -> Option<(&str, &str)> {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let wildcard = begin + text[begin..].find(WILDCARDS)?;
    match text[..wildcard].rfind('/') {
        Some(0) => Some(("/", &text[1..])),
        Some(slash) => Some((&text[..slash], &text[slash + 1..])),
        None => Some(("", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<String>) {
        let location = Location::parse(text).unwrap();
        let place = match location.place {
            Place::Local(path) => path.display().to_string(),
            Place::Remote(url) => url,
        };
        (place, location.pattern.map(|glob| glob.glob().to_string()))
    }

    #[test]
    fn locations_are_taken_apart_where_their_pattern_begins() {
        for (text, place, pattern) in [
            ("in/a.csv", "in/a.csv", None),
            ("in/*.csv", "in", Some("*.csv")),
            ("*.csv", ".", Some("*.csv")),
            ("/*.csv", "/", Some("*.csv")),
            ("/in/2024-*/x/**/y.json", "/in", Some("2024-*/x/**/y.json")),
            ("file:///in/a%20b/{c,d}.csv", "/in/a b", Some("{c,d}.csv")),
            ("file://localhost/in/a.csv", "/in/a.csv", None),
            ("file://./in/*.csv", "./in", Some("*.csv")),
            ("file:./in/*.csv", "./in", Some("*.csv")),
            ("s3://bucket/in/*.csv", "s3://bucket/in", Some("*.csv")),
            ("s3://bucket/*.csv", "s3://bucket", Some("*.csv")),
            ("s3://bucket/in/", "s3://bucket/in/", None),
        ] {
            assert_eq!(
                parsed(text),
                (place.to_owned(), pattern.map(str::to_owned)),
                "{text}"
            );
        }
        assert!(Location::parse("file://in/a.csv").is_err());
        assert!(Location::parse("in/[a.csv").is_err());
    }

    #[test]
    fn a_file_that_is_called_like_a_pattern_is_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a[1].csv");
        std::fs::write(&path, "x\n").unwrap();
        let location = Location::parse(path.to_str().unwrap()).unwrap();
        assert!(location.pattern.is_none());
    }
}
