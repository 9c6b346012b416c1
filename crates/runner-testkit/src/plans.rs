//! Plans to run, built from their stored form: a plan that no longer loads from it breaks every test here.

use runner_core::part::PART_FORMAT;
use runner_core::{FeedId, JobId, NewJob, TenantId};
use runner_plan::Plan;
use serde_json::{Value, json};

use crate::clock::ManualClock;

pub const TENANT: &str = "acme";
pub const FEED: &str = "orders";

pub fn tenant() -> TenantId {
    TenantId::new(TENANT)
}

pub fn feed() -> FeedId {
    FeedId {
        tenant: tenant(),
        name: FEED.to_owned(),
    }
}

/// A plan with these streams, each loaded into a Parquet table of its own name (`orders` by load `0:orders`).
///
/// # Panics
/// When the stored form no longer loads.
pub fn plan(streams: &[&str]) -> Plan {
    plan_of(&plan_json(streams))
}

/// # Panics
/// When the stored form no longer loads.
pub fn plan_of(json: &Value) -> Plan {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("a stored plan: {error}"))
}

/// The stored form of [`plan`], for tests that change something in it.
pub fn plan_json(streams: &[&str]) -> Value {
    json!({
        "format": 1,
        "tenant": TENANT,
        "feed": FEED,
        "document_hash": "d0c",
        "provider_name": "shop",
        "provider_type": "rest_api",
        "owner": "sales",
        "tags": [],
        "mode": "batch",
        "engine": { "engine": "embedded", "reason": "asked for", "supported": ["embedded"], "gave_way": null },
        "parameters": {},
        "config": {},
        "secrets": {},
        "credentials": null,
        "streams": streams.iter().map(|name| stream(name)).collect::<Vec<_>>(),
        "transforms": [],
        "loads": streams.iter().map(|name| load(name)).collect::<Vec<_>>(),
        "gates": {
            "completeness_threshold": null,
            "accuracy_threshold": null,
            "block_on_quality_drop": true,
            "block_on_schema_drift": false,
        },
        "compatibility": "BACKWARD",
        "limits": {
            "request_timeout_ms": 30_000,
            "connect_timeout_ms": 10_000,
            "idle_timeout_ms": 30_000,
            "job_timeout_ms": null,
            "max_document_bytes": 67_108_864,
            "max_decompression_ratio": 200,
            "checkpoint_interval_ms": 5_000,
            "checkpoint_pages": null,
            "resume_max_age_offset_ms": 3_600_000,
            "resume_max_age_cursor_ms": 86_400_000,
        },
        "moves_cursor": true,
        "row_limit": null,
    })
}

/// A stream of one file, with the columns `id` and `at`.
pub fn stream(name: &str) -> Value {
    json!({
        "name": name,
        "path": "provider.endpoints[0]",
        "source": {
            "kind": "files",
            "location": format!("{name}.json"),
            "connection": null,
            "format": "json",
            "rows": { "steps": [] },
            "text": { "delimiter": ",", "quote": "\"", "has_header": true, "nulls": [""] },
            "variables": [],
        },
        "columns": { "known": [column("id", "integer", false), column("at", "timestamp", true)], "pass_through": false },
        "checks": [],
        "masking": [],
        "primary_key": ["id"],
        "incremental": null,
        "sample_size": 100,
        "parallelism": 1,
    })
}

pub fn column(name: &str, column_type: &str, nullable: bool) -> Value {
    json!({
        "name": name,
        "source": { "field": { "steps": [{ "name": name }] } },
        "column_type": column_type,
        "nullable": nullable,
        "origin": "contract",
        "path": "provider.schema_contract",
    })
}

/// The load of a stream.
pub fn load(stream: &str) -> Value {
    json!({
        "id": format!("0:{stream}"),
        "sink": 0,
        "sink_name": "parquet",
        "declared_kind": "parquet",
        "table": stream,
        "target": { "kind": "parquet", "location": format!("warehouse/{stream}"), "storage": {}, "compression": "zstd" },
        "inputs": [{ "stream": stream }],
        "is_declared": true,
        "write_mode": "append",
        "primary_key": ["id"],
        "cursor_field": null,
        "replace_scope": [],
        "allow_empty": false,
        "partitions": [],
        "added": [],
        "load_columns": true,
        "target_file_bytes": 134_217_728_u64,
        "delivery": "idempotent",
        "redirection": null,
        "contract": [],
        "path": "provider.sinks[0]",
    })
}

/// A job of [`feed`], by the name of its id.
pub fn new_job(id: &str, plan: Plan) -> NewJob {
    NewJob {
        id: JobId::new(id),
        feed: feed(),
        document: "name: orders\n".to_owned(),
        document_hash: plan.document_hash.clone(),
        plan,
        parameters_hash: "0".to_owned(),
        nominal_time: ManualClock::epoch(),
        part_format: PART_FORMAT,
    }
}
