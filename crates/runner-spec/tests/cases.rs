//! Documents of `cases/` whose diagnostics are what they are about.

use std::collections::BTreeSet;

use std::path::{Path, PathBuf};

use runner_spec::{Code, Options, Source, json_schema, load, read_value};

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

/// The documents of a folder of the workspace: files of it, or `spec.yaml` in folders of it.
fn documents(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let entries =
        std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_document = path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "json");
            let path = if path.is_dir() {
                path.join("spec.yaml")
            } else {
                path
            };
            (is_document || path.is_file() && path.ends_with("spec.yaml")).then_some(path)
        })
        .collect();
    found.sort();
    found
}

/// What the plan is tested with must be readable, and must fit the schema that editors check it by.
#[test]
fn every_case_and_example_is_a_document() {
    let validator = jsonschema::draft202012::new(&json_schema()).expect("a schema");
    for path in documents("cases").into_iter().chain(documents("examples")) {
        if path
            .parent()
            .is_some_and(|folder| folder.ends_with("thirty-mistakes"))
        {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        let source = Source::from_bytes(path.display().to_string(), &bytes).expect("a text");
        let loaded = load(&source, &[], &Options { strict: true });
        assert!(
            loaded.spec.is_some(),
            "{}: {:#?}",
            path.display(),
            loaded.diagnostics
        );
        let value = read_value(&source).expect("a value");
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}
