//! A guarantee that a load can't give is refused before the first request.

#![expect(
    clippy::unwrap_used,
    reason = "what a test can't read is a broken test"
)]

use std::collections::BTreeMap;

use runner_plan::{Environment, FeedSchemas, PlanInputs, PlanOptions, plan};
use runner_spec::{Code, Options, Source};
use serde_json::{Value, json};

/// Whether the guarantee that the sink asks for is refused, where every run reads the last days again.
fn is_refused(sink: &Value) -> bool {
    let mut sink_written = json!({
        "type": "kafka",
        "kafka_topic": "prices",
        "config": {"bootstrap_servers": "kafka:9092", "delivery_semantics": "exactly_once"},
    });
    merge(&mut sink_written, sink);
    let document = json!({
        "version": "1.2",
        "name": "prices",
        "created_by": "shop",
        "provider": {
            "name": "prices",
            "display_name": "Prices",
            "owner": "shop",
            "provider_type": "rest_api",
            "base_url": "https://prices.example",
            "tenant_id": "acme",
            "endpoints": [{"name": "prices", "path": "/prices/{{ from_date }}/{{ to_date }}"}],
            "sinks": [sink_written],
        },
    });
    let source = Source::new("prices.json", &document.to_string());
    let spec = runner_spec::load(&source, &[], &Options::default())
        .spec
        .unwrap();
    let planned = plan(&PlanInputs {
        spec: &spec,
        document_hash: "hash",
        environment: &Environment::local(".ingestion-runner"),
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::new(),
        options: &PlanOptions::default(),
    });
    let refused = planned
        .diagnostics
        .iter()
        .any(|found| found.code == Code::UnsupportedGuarantee);
    assert_eq!(refused, planned.plan.is_none());
    refused
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn guarantee_refused() {
    assert!(is_refused(&json!({})));
    assert!(!is_refused(&json!({"primary_key": ["id"]})));
    assert!(!is_refused(
        &json!({"primary_key": ["id"], "write_mode": "merge"})
    ));
    assert!(!is_refused(
        &json!({"config": {"delivery_semantics": "at_least_once"}})
    ));
}
