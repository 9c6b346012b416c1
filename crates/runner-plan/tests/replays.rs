//! Which streams' quarantined rows a document can load again, and what is left of its plan then.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test can't read is a broken test"
)]

use std::collections::BTreeMap;

use runner_plan::model::{ColumnType, ReplayPart};
use runner_plan::{Environment, FeedSchemas, Plan, PlanInputs, PlanOptions, plan};
use runner_spec::{Options, Source};
use serde_json::{Value, json};

fn planned(change: impl FnOnce(&mut Value)) -> Plan {
    let mut document = json!({
        "version": "1.2",
        "name": "shop",
        "created_by": "shop",
        "provider": {
            "name": "shop",
            "display_name": "Shop",
            "description": "Orders of a shop",
            "owner": "shop",
            "provider_type": "rest_api",
            "base_url": "https://shop.example",
            "tenant_id": "acme",
            "config": {"lookback_days": 1},
            "endpoints": [
                {"name": "orders", "path": "/orders", "field_mapping": {"id": "id", "price": "price", "email": "email"}},
                {"name": "returns", "path": "/returns"},
            ],
            "sinks": [{"type": "parquet", "table_name": "orders"}],
        },
    });
    change(&mut document);
    let source = Source::from_bytes("shop.json".to_owned(), document.to_string().as_bytes());
    let loaded = runner_spec::load(&source.unwrap(), &[], &Options::default());
    let spec = loaded.spec.unwrap();
    let planned = plan(&PlanInputs {
        spec: &spec,
        document_hash: "hash",
        environment: &Environment::local(".ingestion-runner"),
        state: &FeedSchemas::default(),
        parameters: &BTreeMap::new(),
        options: &PlanOptions::default(),
    });
    planned
        .plan
        .unwrap_or_else(|| panic!("{:?}", planned.diagnostics))
}

fn orders(document: &mut Value) -> &mut Value {
    &mut document["provider"]["endpoints"][0]
}

#[test]
fn what_cannot_be_loaded_again_is_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, Option<&str>); 8] = [
        ("orders", |_| {}, None),
        ("visits", |_| {}, Some("no active endpoint `visits`")),
        (
            "orders",
            |document| document["provider"]["sinks"][0]["write_mode"] = json!("replace"),
            Some("is replaced by every run"),
        ),
        (
            "orders",
            |document| {
                document["provider"]["transforms"] =
                    json!([{"type": "sql", "name": "cheap", "sql_query": "SELECT id FROM orders"}]);
            },
            Some("a transform reads `orders`"),
        ),
        (
            "cheap",
            |document| {
                document["provider"]["transforms"] =
                    json!([{"type": "sql", "name": "cheap", "sql_query": "SELECT id FROM orders"}]);
            },
            Some("`cheap` is a transform"),
        ),
        (
            "orders",
            |document| orders(document)["field_mapping"]["day"] = json!("{{ from_date }}"),
            Some("made of the window"),
        ),
        (
            "orders",
            |document| {
                orders(document)["masking"] = json!({"email": "hash"});
                orders(document)["validation_rules"] = json!({"required_fields": ["email"]});
            },
            None,
        ),
        (
            "orders",
            |document| {
                orders(document)["masking"] = json!({"email": "drop"});
                orders(document)["validation_rules"] = json!({"required_fields": ["email"]});
            },
            Some("`orders.email` is masked"),
        ),
    ];
    for (stream, change, expected) in cases {
        let refusal = planned(change).replay_refusal(stream);
        let is_as_expected = match (&refusal, expected) {
            (Some(refusal), Some(expected)) => refusal.contains(expected),
            (None, None) => true,
            _ => false,
        };
        assert!(
            is_as_expected,
            "{stream}: {refusal:?} instead of {expected:?}"
        );
    }
}

#[test]
fn a_replay_loads_its_streams_alone_and_masks_nothing_twice() {
    let plan = planned(|document| {
        orders(document)["masking"] = json!({"email": "hash", "price": "drop"});
    });
    let part = ReplayPart {
        stream: "orders".to_owned(),
        job: "job-1".to_owned(),
        seq: 1,
        part: "1-a.parquet".to_owned(),
        path: "quarantine/1-a.parquet".to_owned(),
        rows: vec![(0, 3), (5, 6)],
    };
    let replay = plan.into_replay(vec![part], false);
    assert_eq!(replay.streams.len(), 1);
    assert!(replay.loads.iter().all(|load| load.inputs.len() == 1));
    assert_eq!(replay.loads.len(), 1);
    assert!(!replay.moves_cursor);
    let stream = &replay.streams[0];
    assert!(stream.masking.is_empty());
    let columns: Vec<_> = stream
        .columns
        .known
        .iter()
        .map(|column| (column.name.as_str(), column.column_type.clone()))
        .collect();
    assert_eq!(columns, [("email", Some(ColumnType::String)), ("id", None)]);
    // Stored plans of jobs that replay nothing stay as they were.
    let stored = serde_json::to_value(planned(|_| {})).unwrap();
    assert!(stored.get("replay").is_none());
}

#[test]
fn what_is_on_hold_for_a_sink_is_loaded_into_that_sink_alone() {
    let sinks = |mode: &str| {
        json!([
            {"type": "parquet", "table_name": "orders", "write_mode": mode, "primary_key": ["id"], "config": {"path": "a"}},
            {"type": "parquet", "table_name": "copy", "config": {"path": "b"}},
        ])
    };
    for (mode, refusal) in [
        ("append", None),
        ("merge", None),
        ("replace", Some("is replaced by every run")),
    ] {
        let plan = planned(|document| {
            document["provider"]["sinks"] = sinks(mode);
            document["provider"]["endpoints"][1]["primary_key"] = json!(["id"]);
        });
        let load = plan.loads[0].id.clone();
        match (plan.into_held("job-1", &load), refusal) {
            (Ok(mut held), None) => {
                let loads: Vec<_> = held.loads.iter().map(|load| &load.id).collect();
                assert_eq!(loads, [&load], "{mode}");
                assert!(held.is_replay() && !held.moves_cursor, "{mode}");
                // Rows that know the number of their run lose to those of later runs alone.
                assert!(!held.inserts_only(&held.loads[0]), "{mode}");
                held.loads[0].load_columns = false;
                assert_eq!(held.inserts_only(&held.loads[0]), mode == "merge");
            }
            (Err(why), Some(refusal)) => assert!(why.contains(refusal), "{mode}: {why}"),
            (outcome, _) => panic!("{mode}: {outcome:?}"),
        }
    }
    let error = planned(|_| ()).into_held("job-1", "9:nothing").unwrap_err();
    assert!(error.contains("`9:nothing`"), "{error}");
}
