//! What a test does when a server it needs is not installed: skip by name, or fail where nothing may be skipped.

use std::{env, fs::OpenOptions, io::Write as _, path::PathBuf};

use crate::provision::{Cache, Component};

/// Names a file to which every skipped requirement is added, so that whoever runs the tests can list them.
pub const SKIPS_VARIABLE: &str = "INGESTION_RUNNER_SKIPS";

/// Whether this is CI, where a missing server is a failure.
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The folder of an installed component, or `None` after saying on standard error that the test is skipped, and why.
///
/// # Panics
/// In CI, where a test that quietly does nothing would pass for one that ran.
pub fn require(component: &Component) -> Option<PathBuf> {
    let missing = match Cache::open().and_then(|cache| cache.find(component)) {
        Ok(folder) => return Some(folder),
        Err(missing) => missing,
    };
    let name = component.name;
    assert!(
        !in_ci(),
        "`{name}` is needed and CI skips nothing: {missing:#}"
    );
    report_skip(&format!("SKIPPED {name}: {missing:#}"));
    None
}

/// Says that a test is skipped, and why.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test says so where the test runner shows it"
)]
pub fn report_skip(line: &str) {
    eprintln!("{line}");
    let Some(path) = env::var_os(SKIPS_VARIABLE) else {
        return;
    };
    // The list is a convenience: a test is not failed for a list that could not be written.
    if let Ok(mut list) = OpenOptions::new().create(true).append(true).open(path) {
        let _ = writeln!(list, "{line}");
    }
}
