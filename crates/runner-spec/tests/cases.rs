//! Documents of `cases/` whose diagnostics are what they are about.

use std::collections::BTreeSet;

use runner_spec::{Code, Options, Source, load};

/// One diagnostic for each line that says `# N:`, and no other: none hides another, and none is said twice.
#[test]
fn a_document_with_thirty_mistakes_reports_all_thirty() {
    let text = include_str!("../../../cases/thirty-mistakes/spec.yaml");
    let loaded = load(&Source::new("spec.yaml", text), &[], &Options::default());
    assert!(loaded.spec.is_none());
    let announced: Vec<(usize, usize)> = text
        .lines()
        .enumerate()
        .filter_map(|(line, text)| {
            let (_, comment) = text
                .split_once("  # ")
                .or_else(|| text.split_once("} # "))?;
            Some((comment.split_once(':')?.0.parse().ok()?, line + 1))
        })
        .collect();
    assert_eq!(
        announced
            .iter()
            .map(|(number, _)| *number)
            .collect::<Vec<_>>(),
        (1..=30).collect::<Vec<_>>()
    );
    let announced: Vec<usize> = announced.into_iter().map(|(_, line)| line).collect();
    let found: Vec<usize> = loaded
        .diagnostics
        .iter()
        .map(|found| found.location.as_ref().map_or(0, |location| location.line))
        .collect();
    assert_eq!(found, announced, "{:#?}", loaded.diagnostics);
    let codes: BTreeSet<Code> = loaded.diagnostics.iter().map(|found| found.code).collect();
    assert!(codes.len() >= 10, "{codes:?}");
    let types = loaded
        .diagnostics
        .iter()
        .filter(|found| found.code == Code::WrongType)
        .count();
    assert!(types >= 3, "{types} type errors");
    assert!(
        loaded.diagnostics.iter().all(|found| found.help.is_some()),
        "every mistake comes with help"
    );
}
