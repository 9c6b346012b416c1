//! Every folder of `cases/` is a document with snapshots of what is planned and said about it; adding one needs no Rust.
//!
//! `inputs.json` beside `spec.yaml` says what the environment and the caller bring; without it nothing is configured.

#![expect(
    clippy::expect_used,
    reason = "what a test can't read is a broken test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use runner_plan::describe::{Details, describe};
use runner_plan::model::{ColumnField, ExplicitWindow};
use runner_plan::{
    Connection, Environment, FeedSchemas, PlanInputs, PlanOptions, Planned, Profile, plan,
};
use runner_spec::model::EngineName;
use runner_spec::{Diagnostic, Loaded, Options, Source, load};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseInputs {
    profile: Profile,
    tenant: Option<String>,
    connections: BTreeMap<String, Connection>,
    engines: BTreeMap<EngineName, String>,
    supported_engines: Option<Vec<EngineName>>,
    refuse_engine_fallback: bool,
    secrets_writable: bool,
    job_timeout_seconds: Option<u64>,
    streams: BTreeMap<String, Vec<ColumnField>>,
    sources: BTreeMap<String, BTreeMap<String, String>>,
    fields: BTreeMap<String, BTreeSet<String>>,
    sampled: BTreeSet<String>,
    parameters: BTreeMap<String, String>,
    engine: Option<EngineName>,
    limit: Option<u64>,
    base_url: Option<String>,
    strict_connections: bool,
    window: Option<ExplicitWindow>,
}

/// The case that no plan comes of: its test is that of the reader.
const VALIDATION_CASE: &str = "thirty-mistakes";

fn root(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder)
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(parent)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.join("spec.yaml").is_file())
        .collect();
    folders.sort();
    folders
}

fn read(path: &Path) -> Loaded {
    let text = std::fs::read_to_string(path).expect("the document can be read");
    load(&Source::new("spec.yaml", &text), &[], &Options::default())
}

fn plan_with(spec: &runner_spec::Spec, inputs: &CaseInputs) -> Planned {
    let environment = Environment {
        profile: inputs.profile,
        data_dir: ".ingestion-runner".to_owned(),
        tenant: inputs.tenant.clone(),
        connections: inputs.connections.clone(),
        engines: inputs.engines.clone(),
        supported_engines: inputs.supported_engines.clone(),
        refuse_engine_fallback: inputs.refuse_engine_fallback,
        secrets_writable: inputs.secrets_writable,
        job_timeout_seconds: inputs.job_timeout_seconds,
    };
    let state = FeedSchemas {
        streams: inputs.streams.clone(),
        sources: inputs.sources.clone(),
        tables: BTreeMap::new(),
        fields: inputs.fields.clone(),
        sampled: inputs.sampled.clone(),
    };
    let options = PlanOptions {
        engine: inputs.engine,
        limit: inputs.limit,
        base_url: inputs.base_url.clone(),
        strict_connections: inputs.strict_connections,
        window: inputs.window.clone(),
    };
    plan(&PlanInputs {
        spec,
        document_hash: "0".repeat(64).as_str(),
        environment: &environment,
        state: &state,
        parameters: &inputs.parameters,
        options: &options,
    })
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        writeln!(text, "{diagnostic}").expect("a string takes text");
        for note in &diagnostic.notes {
            writeln!(text, "    note: {note}").expect("a string takes text");
        }
        if let Some(help) = &diagnostic.help {
            writeln!(text, "    help: {help}").expect("a string takes text");
        }
    }
    text
}

fn details() -> Details {
    Details {
        nominal_time: Some("2024-03-10T12:00:00Z".parse().expect("a time")),
        casts: Vec::new(),
    }
}

#[test]
fn every_case_is_planned_as_its_snapshots_say() {
    let cases = folders(&root("cases"));
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for folder in cases {
        let inputs = match std::fs::read_to_string(folder.join("inputs.json")) {
            Ok(text) => serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display())),
            Err(_) => CaseInputs::default(),
        };
        let loaded = read(&folder.join("spec.yaml"));
        let name = folder.file_name().expect("a folder has a name");
        let Some(spec) = &loaded.spec else {
            assert_eq!(name, VALIDATION_CASE, "{}", shown(&loaded.diagnostics));
            continue;
        };
        let Planned {
            plan,
            mut diagnostics,
        } = plan_with(spec, &inputs);
        loaded.sources.place(&mut diagnostics);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&folder);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            insta::assert_snapshot!("diagnostics", shown(&diagnostics));
            if let Some(plan) = plan {
                insta::assert_snapshot!("description", describe(&plan, &details()));
                insta::assert_yaml_snapshot!("plan", plan);
            }
        });
    }
}

#[test]
fn every_example_is_valid_without_warnings_and_can_be_planned() {
    let mut examples: Vec<PathBuf> = std::fs::read_dir(root("examples"))
        .expect("the examples can be listed")
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    examples.sort();
    assert!(examples.len() >= 12, "{} examples", examples.len());
    let mut complaints = String::new();
    for path in examples {
        let loaded = read(&path);
        let mut diagnostics = loaded.diagnostics.clone();
        if let Some(spec) = &loaded.spec {
            let planned = plan_with(spec, &CaseInputs::default());
            diagnostics.extend(planned.diagnostics);
            if let Some(plan) = planned.plan {
                let name = path
                    .file_stem()
                    .expect("a file has a name")
                    .to_string_lossy();
                insta::assert_snapshot!(format!("example-{name}"), describe(&plan, &details()));
            }
        }
        diagnostics.retain(|diagnostic| diagnostic.severity != runner_spec::Severity::Hint);
        loaded.sources.place(&mut diagnostics);
        if !diagnostics.is_empty() {
            writeln!(complaints, "{}:\n{}", path.display(), shown(&diagnostics))
                .expect("a string takes text");
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}
