//! Every code is explained, and the examples of its explanation are what they claim to be.

use std::collections::BTreeSet;

use runner_spec::{Code, Diagnostic, Options, Source, load};

const DOCUMENT: &str = include_str!("documents/small.yaml");

/// Codes of this crate whose mistake can't be shown in a few lines; other tests make them.
const SHOWN_ELSEWHERE: [Code; 7] = [
    Code::NotUtf8,
    Code::BinaryDocument,
    Code::DocumentTooLarge,
    Code::TooDeep,
    Code::AliasExpansion,
    Code::OverlayTarget,
    Code::TooManyFindings,
];

/// Codes that other crates report: the plan, SQL, engines, and whoever opens files.
fn is_reported_elsewhere(code: Code) -> bool {
    matches!(code.phase(), "plan" | "SQL" | "support")
        || matches!(code, Code::DocumentUnreadable | Code::UnknownFilter)
}

/// The examples under `Wrong:` or `Right:`.
fn example(code: Code, title: &str) -> Option<String> {
    let (_, rest) = code
        .explanation()
        .split_once(&format!("\n{title}:\n\n```"))?;
    let (_, rest) = rest.split_once('\n')?;
    Some(rest.split_once("\n```")?.0.to_owned() + "\n")
}

/// What is reported where an example stands in a document; the first line says where.
fn findings(code: Code, example: &str) -> Vec<Diagnostic> {
    let is_whole = code.phase() == "reading" && !example.starts_with("# in");
    if is_whole {
        let name = if code == Code::JsonSyntax {
            "example.json"
        } else {
            "example.yaml"
        };
        return load(&Source::new(name, example), &[], &Options::default()).diagnostics;
    }
    let (place, snippet) = match example.split_once('\n') {
        Some((comment, rest)) if comment.starts_with("# in") => (comment, rest),
        _ => ("", example),
    };
    let parents: &[&str] = match place {
        "# in an endpoint" => &["provider", "endpoints", "rows"],
        "# in a sink" => &["provider", "sinks", "parquet"],
        "# in the provider" => &["provider"],
        "# in the contract" => &["provider", "schema_contract"],
        "" => &[],
        other => panic!("{code}: where is `{other}`?"),
    };
    let holders = parents.iter().map(|parent| format!("{parent}:"));
    let lines = snippet.lines().map(str::to_owned);
    let indented = holders
        .enumerate()
        .chain(lines.map(|line| (parents.len(), line)));
    let overlay: Vec<String> = indented
        .map(|(depth, line)| format!("{}{line}\n", "  ".repeat(depth)))
        .collect();
    let overlay = overlay.concat();
    let sources = (
        Source::new("document", DOCUMENT),
        Source::new("example", &overlay),
    );
    load(&sources.0, &[sources.1], &Options::default()).diagnostics
}

#[test]
fn the_document_of_the_examples_is_good() {
    let loaded = load(&Source::new("document", DOCUMENT), &[], &Options::default());
    assert_eq!(loaded.diagnostics, []);
}

#[test]
fn wrong_examples_are_wrong_and_right_ones_are_right() {
    let mut complaints = Vec::new();
    for code in Code::all()
        .iter()
        .copied()
        .filter(|code| !is_reported_elsewhere(*code))
    {
        let (Some(wrong), Some(right)) = (example(code, "Wrong"), example(code, "Right")) else {
            if !SHOWN_ELSEWHERE.contains(&code) {
                complaints.push(format!("{code} has no examples"));
            }
            continue;
        };
        let lines = |found: &[Diagnostic]| {
            let lines: Vec<String> = found.iter().map(|found| format!("\n    {found}")).collect();
            lines.concat()
        };
        let found = findings(code, &wrong);
        if !found.iter().any(|diagnostic| diagnostic.code == code) {
            complaints.push(format!("{code}: its wrong example gives{}", lines(&found)));
        }
        // Whole documents are cut to the point; parts stand in a document that has everything else.
        let must_be_good = code.phase() != "reading";
        let found = findings(code, &right);
        if found
            .iter()
            .any(|diagnostic| diagnostic.code == code || (must_be_good && diagnostic.is_error()))
        {
            complaints.push(format!("{code}: its right example gives{}", lines(&found)));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_code_is_explained_once_and_in_its_range() {
    let mut seen = BTreeSet::new();
    let mut previous = "";
    for code in Code::all() {
        assert!(seen.insert(code.as_str()), "{code} is used twice");
        assert!(previous < code.as_str(), "{code} is out of order");
        previous = code.as_str();
        let text = code.explanation().trim();
        assert!(text.len() > 60, "{code} is hardly explained");
        assert!(
            !code.title().is_empty() && !code.title().ends_with('.'),
            "{code}"
        );
        assert_eq!(code.as_str().parse::<Code>(), Ok(*code));
        assert_eq!(code.as_str().to_lowercase()[3..].parse::<Code>(), Ok(*code));
        let json = serde_json::to_value(code).expect("a code is JSON");
        assert_eq!(json, serde_json::json!(code.as_str()));
        // Examples come in pairs.
        assert_eq!(
            example(*code, "Wrong").is_some(),
            example(*code, "Right").is_some(),
            "{code}"
        );
    }
    assert!("UIS9999".parse::<Code>().is_err());
    assert!("".parse::<Code>().is_err());
}
