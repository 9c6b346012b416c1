//! What can be wrong with files. Every error names the file and says what to do.

use std::io;

use runner_core::{Blame, Error, ErrorKind, Retry};

/// A file or folder of this machine can't be read.
pub(super) fn unreadable(path: &str, cause: io::Error) -> Error {
    let (what, help) = match cause.kind() {
        io::ErrorKind::NotFound => return missing(path),
        io::ErrorKind::PermissionDenied => (
            "may not be read by this user",
            Some("grant the user who runs this the right to read it"),
        ),
        io::ErrorKind::IsADirectory => ("is a folder where a file is needed", None),
        _ => ("can't be read", None),
    };
    let error = Error::new(
        ErrorKind::SourceUnavailable,
        format!("the file `{path}` {what}"),
    )
    .with_source(cause);
    match help {
        Some(help) => error
            .with_retry(Retry::Never)
            .with_blame(Blame::User)
            .with_help(help),
        None => error,
    }
}

/// Nothing is there.
pub(super) fn missing(path: &str) -> Error {
    Error::new(
        ErrorKind::SourceUnavailable,
        format!("there is no file or folder `{path}`"),
    )
    .with_retry(Retry::Never)
    .with_blame(Blame::User)
    .with_help("check `provider.base_url` and the endpoint's `path`; relative paths begin in the working folder")
}

/// The place is there, and holds nothing that is meant.
pub(super) fn no_match(location: &str, seen: usize) -> Error {
    let others = match seen {
        0 => "there are no files below it".to_owned(),
        1 => "the one file below it is not meant by it".to_owned(),
        seen => format!("none of the {seen} files below it is meant by it"),
    };
    Error::new(
        ErrorKind::SourceUnavailable,
        format!("no file matches `{location}`: {others}"),
    )
    .with_retry(Retry::Never)
    .with_blame(Blame::User)
    .with_help("check the pattern: `*` does not cross folders, `**` does; names that begin with `.` or `_` are left out")
}

/// The file is not the one that the run listed.
pub(super) fn changed(path: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("the file `{path}` has changed since the run first looked at it"),
    )
    .with_help("rows of both states would be mixed: run it again with `--restart`, when the file no longer changes")
}

pub(super) fn bomb(max_ratio: u64, received: u64, produced: u64) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!(
            "the compressed file grows to more than {max_ratio} times its size ({received} bytes became {produced})"
        ),
    )
    .with_help("it looks like a decompression bomb; if it is not, raise `config.max_decompression_ratio`")
}

/// Decompression failed.
pub(super) fn damaged(cause: io::Error) -> Error {
    let (message, help) = if cause.kind() == io::ErrorKind::UnexpectedEof {
        (
            "the compressed file is truncated",
            "it was cut off when it was written or copied: get it again from where it came",
        )
    } else {
        (
            "the compressed file is damaged",
            "its content is not what its name or its first bytes say: get it again, or give it the right name",
        )
    };
    Error::new(ErrorKind::SourceData, message)
        .with_source(cause)
        .with_help(help)
}

pub(super) fn empty(format: &str) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!("the file is empty where {format} was expected"),
    )
    .with_help("leave it out with a narrower pattern, or write it anew")
}

/// The first line names nothing that is wanted.
pub(super) fn no_header(found: &[String], wanted: &[String]) -> Error {
    let list = |names: &[String]| {
        let mut shown: Vec<String> = names
            .iter()
            .take(5)
            .map(|name| format!("`{name}`"))
            .collect();
        if names.len() > shown.len() {
            shown.push("…".to_owned());
        }
        shown.join(", ")
    };
    Error::new(
        ErrorKind::SourceData,
        format!(
            "the file's header is missing: its first line ({}) names none of the fields that are read ({})",
            list(found),
            list(wanted)
        ),
    )
    .with_help("if the file has no header, write `config.csv.has_header: false`; if its fields are called otherwise, map them; also check `config.csv.delimiter`")
}

/// A task of ours ended without a word.
pub(super) fn stopped() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the thread that reads a file stopped before its end",
    )
}
