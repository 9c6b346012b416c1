//! Rows go from bytes to Arrow: no tree of JSON values is made of one on the way.

use std::fs;

use anyhow::{Context as _, Result};

use super::none_of;
use crate::workspace::{files, has_extension};

/// Where every row passes.
const WAY_OF_ROWS: [&str; 10] = [
    "crates/runner-connectors/src/decode/",
    "crates/runner-connectors/src/keys/",
    "crates/runner-connectors/src/postgres/encode",
    "crates/runner-connectors/src/rows",
    "crates/runner-connectors/src/table/",
    "crates/runner-engine-embedded/src/conform",
    "crates/runner-engine-embedded/src/cursor/",
    "crates/runner-engine-embedded/src/evaluate/",
    "crates/runner-engine-embedded/src/lane/",
    "crates/runner-engine-embedded/src/outputs",
];

/// Files there that make values all the same, and of what.
const EXCEPTIONS: [(&str, &str); 10] = [
    (
        "runner-connectors/src/rows.rs",
        "the text of a row that failed, for the quarantine",
    ),
    ("decode/captures.rs", "what surrounds the rows, once a page"),
    ("decode/summary.rs", "what surrounds the rows, once a page"),
    ("decode/xml/page.rs", "what surrounds the rows, once a page"),
    ("decode/keys.rs", "a key, the first time that it is seen"),
    (
        "decode/csv/mod.rs",
        "the text of a row that failed, for the quarantine",
    ),
    (
        "decode/json/document.rs",
        "documents whose path of rows can't be followed while they stream; bounded, and `plan` says so",
    ),
    (
        "decode/json/paths.rs",
        "documents whose path of rows can't be followed while they stream; bounded, and `plan` says so",
    ),
    (
        "decode/harness.rs",
        "what tests and the fuzz targets compare",
    ),
    (
        "evaluate/json.rs",
        "values of a column of open shape that the contract looks into",
    ),
];

/// How a file shows that it makes values.
const VALUES: [&str; 4] = [
    "serde_json::Value",
    "use serde_json::{",
    "serde_json::from_",
    "json!(",
];

/// Fails with every file on the way of rows that makes JSON values; the number of files otherwise.
pub(crate) fn check() -> Result<usize> {
    let root = runner_e2e::repository();
    let on_the_way: Vec<String> = files()?
        .into_iter()
        .filter(|file| has_extension(file, "rs") && !file.contains("/tests"))
        .filter(|file| WAY_OF_ROWS.iter().any(|place| file.starts_with(place)))
        .collect();
    let mut violations = Vec::new();
    for file in &on_the_way {
        if EXCEPTIONS.iter().any(|(name, _)| file.ends_with(name)) {
            continue;
        }
        let text = fs::read_to_string(root.join(file))
            .with_context(|| format!("failed to read `{file}`"))?;
        if let Some(found) = values_in(&text) {
            violations.push(format!("{file}: {found}"));
        }
    }
    none_of(
        "files on the way of rows that make JSON values",
        &violations,
    )?;
    Ok(on_the_way.len())
}

/// The first line of a file, without its tests, that makes values.
fn values_in(text: &str) -> Option<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(str::trim)
        .find(|line| !line.starts_with("//") && VALUES.iter().any(|value| line.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place is there, so that moving code takes the check along.
    #[test]
    fn no_row_by_row_json() {
        check().expect("no file on the way of rows makes values");
        let files = files().expect("the repository's files");
        for place in WAY_OF_ROWS {
            assert!(files.iter().any(|file| file.starts_with(place)), "{place}");
        }
        for (name, _) in EXCEPTIONS {
            assert!(files.iter().any(|file| file.ends_with(name)), "{name}");
        }
    }

    #[test]
    fn values_are_found_outside_of_tests() {
        for (text, found) in [
            ("use serde_json::Value;\n", true),
            (
                "let row: serde_json::Value = serde_json::from_slice(row)?;",
                true,
            ),
            ("/// Never a `serde_json::Value`.\nfn a() {}\n", false),
            (
                "fn a() {}\n#[cfg(test)]\nmod tests { use serde_json::Value; }",
                false,
            ),
        ] {
            assert_eq!(values_in(text).is_some(), found, "{text}");
        }
    }
}
