//! Exit codes: one per kind of error, documented and stable.

use std::process::ExitCode;

use runner_core::ErrorKind;

pub(crate) const SUCCESS: u8 = 0;
/// What clap exits with; kept free of other meanings.
const USAGE: u8 = 2;

/// The exit code of an error.
pub(crate) fn of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Internal => 1,
        ErrorKind::Spec => 3,
        ErrorKind::Config => 4,
        ErrorKind::Auth => 5,
        ErrorKind::Secret => 6,
        ErrorKind::RateLimited => 7,
        ErrorKind::SourceUnavailable => 8,
        ErrorKind::SourceData => 9,
        ErrorKind::Quality => 10,
        ErrorKind::Drift => 11,
        ErrorKind::Engine => 12,
        ErrorKind::Sink => 13,
        ErrorKind::Timeout => 14,
        ErrorKind::Conflict => 15,
        ErrorKind::NotFound => 16,
        ErrorKind::Forbidden => 17,
        // What shells report for a process that SIGINT ended.
        ErrorKind::Cancelled => 130,
    }
}

/// The table for `--help`.
pub(crate) fn table() -> String {
    use std::fmt::Write as _;
    let mut text = String::from("Exit codes:\n");
    let mut rows = vec![(SUCCESS, "success"), (USAGE, "the command line is wrong")];
    rows.extend(ErrorKind::ALL.iter().map(|kind| (of(*kind), kind.as_str())));
    rows.sort_unstable();
    for (code, name) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {code:>3}  {name}");
    }
    text
}

pub(crate) fn exit(code: u8) -> ExitCode {
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| of(*kind)).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(!codes.contains(&SUCCESS) && !codes.contains(&USAGE));
    }
}
