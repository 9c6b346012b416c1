//! What holds for every document that validates: planning never panics, and the same inputs give the same bytes.
//!
//! Documents are made from those of `cases/` and `examples/`, changed at random places: keys taken out, values put where others
//! were.

#![expect(
    clippy::expect_used,
    reason = "what a test can't read is a broken test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use runner_plan::describe::{Details, describe};
use runner_plan::{
    Environment, FeedSchemas, Plan, PlanInputs, PlanOptions, Planned, Profile, draft, plan,
};
use runner_spec::{Options, Source, Spec, load, read_value};
use serde_json::Value;

/// Every document at hand, and every value that stands anywhere in one of them.
struct Corpus {
    documents: Vec<Value>,
    values: Vec<Value>,
}

static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = |folder: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(root.join(folder)).expect("the folder can be listed");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the entry can be read").path())
            .collect();
        paths.sort();
        paths
    };
    let cases = list("cases")
        .into_iter()
        .map(|folder| folder.join("spec.yaml"));
    let documents: Vec<Value> = cases
        .chain(list("examples"))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| std::fs::read_to_string(path).expect("the document can be read"))
        .filter_map(|text| read_value(&Source::new("spec.yaml", &text)).ok())
        .collect();
    let mut values = vec![
        Value::Null,
        Value::from(""),
        Value::from("{{ x }}"),
        Value::from(-1),
        Value::from(u64::MAX),
    ];
    for document in &documents {
        collect(document, &mut values);
    }
    Corpus { documents, values }
});

fn collect(value: &Value, values: &mut Vec<Value>) {
    values.push(value.clone());
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, values)),
        Value::Object(entries) => entries.values().for_each(|entry| collect(entry, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes an entry out, or puts another value in its place.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Replace(Index),
    /// Another value of the same entry, from another document.
    Borrow(Index),
}

fn change(document: &mut Value, at: Index, change: &Change) {
    let mut paths = Vec::new();
    pointers(document, "", &mut paths);
    if paths.is_empty() {
        return;
    }
    let path = at.get(&paths).clone();
    let (parent, key) = path.rsplit_once('/').expect("a pointer has a slash");
    let corpus = &*CORPUS;
    let replacement = match change {
        Change::Remove => None,
        Change::Replace(index) => Some(index.get(&corpus.values).clone()),
        Change::Borrow(index) => index.get(&corpus.documents).pointer(&path).cloned(),
    };
    let Some(parent) = document.pointer_mut(parent) else {
        return;
    };
    match (parent, replacement) {
        (Value::Object(entries), Some(value)) => {
            entries.insert(key.replace("~1", "/").replace("~0", "~"), value);
        }
        (Value::Object(entries), None) => {
            entries.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        (Value::Array(items), replacement) => {
            let index: usize = key.parse().expect("an index is a number");
            match replacement {
                Some(value) => items[index] = value,
                None => {
                    items.remove(index);
                }
            }
        }
        _ => {}
    }
}

fn pointers(value: &Value, prefix: &str, paths: &mut Vec<String>) {
    let mut visit = |key: String, child: &Value| {
        let path = format!("{prefix}/{key}");
        paths.push(path.clone());
        pointers(child, &path, paths);
    };
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| visit(index.to_string(), item)),
        Value::Object(entries) => entries
            .iter()
            .for_each(|(key, entry)| visit(key.replace('~', "~0").replace('/', "~1"), entry)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn planned(spec: &Spec, profile: Profile) -> Planned {
    let environment = Environment {
        profile,
        secrets_writable: true,
        ..Environment::local(".ingestion-runner")
    };
    plan(&PlanInputs {
        spec,
        document_hash: "hash",
        environment: &environment,
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::from([("x".to_owned(), "1".to_owned())]),
        options: &PlanOptions::default(),
    })
}

/// Of a document with mistakes as much is planned as can be.
fn drafted(spec: &Spec) -> Plan {
    draft(&PlanInputs {
        spec,
        document_hash: "hash",
        environment: &Environment::default(),
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::new(),
        options: &PlanOptions::default(),
    })
    .0
}

fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let kind = prop_oneof![
        Just(Change::Remove),
        any::<Index>().prop_map(Change::Replace),
        any::<Index>().prop_map(Change::Borrow),
        any::<Index>().prop_map(Change::Borrow),
    ];
    prop::collection::vec((any::<Index>(), kind), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_document_that_validates_is_planned_twice_alike(document in any::<Index>(), changes in changes()) {
        let mut document = document.get(&CORPUS.documents).clone();
        for (at, kind) in &changes {
            change(&mut document, *at, kind);
        }
        let text = document.to_string();
        let loaded = load(&Source::new("spec.json", &text), &[], &Options::default());
        if let Some(document) = &loaded.draft {
            let plan = drafted(document);
            prop_assert!(plan.streams.len() <= document.provider.endpoints.len());
            return Ok(());
        }
        let Some(spec) = loaded.spec else { return Ok(()) };
        for profile in [Profile::Local, Profile::Server] {
            let first = planned(&spec, profile);
            prop_assert_eq!(first.plan.is_none(), first.diagnostics.iter().any(runner_spec::Diagnostic::is_error));
            let second = planned(&spec, profile);
            prop_assert_eq!(&first.diagnostics, &second.diagnostics);
            let Some(plan) = first.plan else { continue };
            let bytes = serde_json::to_string(&plan).expect("a plan can be stored");
            let again = serde_json::to_string(&second.plan).expect("a plan can be stored");
            prop_assert_eq!(&bytes, &again);
            let stored: Plan = serde_json::from_str(&bytes).expect("a stored plan can be read");
            prop_assert_eq!(serde_json::to_string(&stored).expect("a plan can be stored"), bytes);
            let text = describe(&plan, &Details::default());
            prop_assert!(text.starts_with("Feed "));
        }
    }
}
