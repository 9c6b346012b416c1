//! Where things stand in a table's folder.
//!
//! ```text
//! <table>/part-000007-5f0c…-00000.parquet          rows that readers see: number and hash of the load, number of the file
//! <table>/year=2024/part-…                         the same, partitioned
//! <table>/_uis_staging/<tenant>/<feed>/<job>/…     sealed parts; readers leave out what begins with an underscore
//! <table>/_uis_loads/<tenant>/<feed>/<load>.json   the mark: which load was the last
//! ```

use std::fmt::Write as _;

use runner_core::{FeedId, LoadContext, LoadId};
use xxhash_rust::xxh3::xxh3_64;

const STAGING: &str = "_uis_staging";
const LOADS: &str = "_uis_loads";
const EXTENSION: &str = ".parquet";

/// Folder of everything that a feed has sealed and not committed.
pub(super) fn staging_of_feed(feed: &FeedId) -> String {
    format!(
        "{STAGING}/{}/{}",
        escape(feed.tenant.as_str()),
        escape(&feed.name)
    )
}

/// Folder of one load's sealed parts.
pub(super) fn staging_of_load(load: &LoadContext) -> String {
    format!(
        "{}/{}/{:016x}",
        staging_of_feed(&load.feed),
        escape(load.id.job.as_str()),
        xxh3_64(load.id.load.as_bytes())
    )
}

/// Path of the mark of a feed's loads of this table.
pub(super) fn mark(feed: &FeedId, load: &str) -> String {
    format!(
        "{LOADS}/{}/{}/{}.json",
        escape(feed.tenant.as_str()),
        escape(&feed.name),
        escape(load)
    )
}

/// What the names of a load's files begin with.
pub(super) fn file_prefix(feed: &FeedId, seq: u64, load: &LoadId) -> String {
    let hash = xxh3_64(format!("{feed}/{load}").as_bytes());
    format!("part-{seq:06}-{hash:016x}-")
}

/// Final path of a load's n-th file.
pub(super) fn final_path(load: &LoadContext, folder: &str, number: usize) -> String {
    let prefix = file_prefix(&load.feed, load.seq.0, &load.id);
    join(folder, &format!("{prefix}{number:05}{EXTENSION}"))
}

pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// Whether readers take this file for data. A column's name may begin with an underscore: `_kind=a` is a partition.
pub(super) fn is_data(path: &str) -> bool {
    let is_hidden = |name: &str| name.starts_with(['_', '.']) && !name.contains('=');
    path.ends_with(EXTENSION) && !path.split('/').any(is_hidden)
}

/// The folder of a path, empty at the top.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `name=value` pairs of a folder, as they stand there.
pub(super) fn pairs(folder: &str) -> impl Iterator<Item = (&str, &str)> {
    folder.split('/').filter_map(|name| name.split_once('='))
}

/// A name that is one folder or file whatever it holds, and differs where the names do.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        let is_plain = byte.is_ascii_alphanumeric()
            || byte == b'_'
            || byte == b'-'
            || (byte == b'.' && !escaped.is_empty());
        if is_plain {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_readers_see_is_data() {
        let cases = [
            ("part-1.parquet", true),
            ("year=2024/month=01/x.parquet", true),
            ("_uis_staging/t/f/j/a.parquet", false),
            (".hidden/x.parquet", false),
            ("year=2024/_temporary/x.parquet", false),
            ("_kind=a/x.parquet", true),
            ("_kind=a/_x.parquet", false),
            ("readme.txt", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_data(path), expected, "{path}");
        }
    }

    #[test]
    fn names_stay_apart_and_stay_inside() {
        assert_eq!(escape("a/b"), "a%2Fb");
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape("é%"), "%C3%A9%25");
    }
}
