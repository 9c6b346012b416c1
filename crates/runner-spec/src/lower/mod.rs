//! From a checked tree to the model. Nothing is reported here: what the check found wrong is read as absent.

mod auth;
mod endpoint;
#[cfg(test)]
mod tests;
mod view;

use crate::contract;
use crate::fields::DOCUMENT;
use crate::model::{
    GlobalConfig, LoadSettings, Provider, RetryConfig, Settings, Sink, Slos, Spec, Transform,
    Version,
};
use crate::path::FieldPath;
use crate::tree::Node;
use crate::version;

use view::View;

/// The document as the rest of the program sees it.
pub(crate) fn lower(document: &Node) -> Spec {
    let view = View::new(document, &DOCUMENT);
    let mut provider = provider(&view.object("provider"));
    provider.mode = provider.mode.or_else(|| view.choice("mode"));
    provider.parallelism = provider.parallelism.or_else(|| view.whole("parallelism"));
    Spec {
        version: view.get("version").map_or_else(Version::default, |node| {
            version::lower(node, &FieldPath::root(), &mut Vec::new())
        }),
        name: view.required("name"),
        description: view.text("description"),
        created_by: view.text("created_by"),
        created_at: view.text("created_at"),
        provider,
        global: global(&view.object("global_config")),
        runtime: view.choice("runtime"),
        schema_ref: view.text("schema_ref"),
        compatibility: view.choice("compat_mode").unwrap_or_default(),
    }
}

fn global(view: &View<'_>) -> GlobalConfig {
    GlobalConfig {
        timeout_seconds: view.whole("timeout_seconds"),
        runtime_timeout_minutes: view.whole("runtime_timeout_minutes"),
        retry_attempts: view.whole("retry_attempts"),
        retry_backoff_seconds: view.real("retry_backoff_seconds"),
        secrets: view.map("secrets").into_iter().collect(),
    }
}

fn provider(view: &View<'_>) -> Provider {
    let credentials_ref = view.text("credentials_ref");
    Provider {
        name: view.required("name"),
        display_name: view.text("display_name"),
        description: view.text("description"),
        owner: view.text("owner"),
        tags: view.texts("tags"),
        provider_type: view.choice("provider_type").unwrap_or_default(),
        base_url: view.text("base_url"),
        config: view.settings("config"),
        schedule_cron: view.text("schedule_cron"),
        schedule_timezone: view.text("schedule_timezone"),
        tenant_id: view.required("tenant_id"),
        endpoints: view
            .list("endpoints")
            .iter()
            .map(|endpoint| endpoint::lower(endpoint, credentials_ref.is_some()))
            .collect(),
        transforms: view.list("transforms").iter().map(transform).collect(),
        sinks: view.list("sinks").iter().map(sink).collect(),
        schema_contract: view
            .get("schema_contract")
            .map(|node| contract::lower(node, &FieldPath::root(), &mut Vec::new())),
        slos: slos(&view.object("slos")),
        mode: view.choice("mode"),
        parallelism: view.whole("parallelism"),
        retry: retry(&view.object("retry_config")),
        credentials_ref,
    }
}

/// `retry_config` as it stands; what it leaves open is filled by the plan.
fn retry(own: &View<'_>) -> RetryConfig {
    RetryConfig {
        max_attempts: own.whole("max_attempts"),
        initial_backoff_seconds: own.real("initial_backoff_seconds"),
        max_backoff_seconds: own.real("max_backoff_seconds"),
        multiplier: own.real("multiplier"),
        retry_on: own.texts("retry_on"),
    }
}

fn slos(view: &View<'_>) -> Option<Slos> {
    view.is_present().then(|| Slos {
        completeness_threshold: view.real("completeness_threshold"),
        accuracy_threshold: view.real("accuracy_threshold"),
        freshness_target_minutes: view.real("freshness_target_minutes"),
        freshness_field: view.text("freshness_field"),
        availability_target: view.real("availability_target"),
        block_on_quality_drop: view.flag("block_on_quality_drop").unwrap_or(true),
        block_on_schema_drift: view.flag("block_on_schema_drift").unwrap_or(true),
    })
}

fn transform(view: &View<'_>) -> Transform {
    let parameters = view.object("parameters");
    Transform {
        name: view.text("name"),
        kind: view.choice("type").unwrap_or_default(),
        sql_query: view.text("sql_query"),
        python_module: view.text("python_module"),
        python_function: view.text("python_function"),
        wasm_module: view.text("wasm_module"),
        wasm_function: view.text("wasm_function"),
        target_endpoints: parameters.texts("target_endpoints"),
        views: parameters.map("views"),
        parameters: without(
            view.settings("parameters"),
            &["target_endpoints", "targetEndpoints", "views"],
        ),
    }
}

fn sink(view: &View<'_>) -> Sink {
    let config = view.object("config");
    Sink {
        name: view.text("name"),
        kind: view.choice("type").unwrap_or_default(),
        table_name: view.text("table_name"),
        endpoints: if config.is_present() {
            config.texts("endpoints")
        } else {
            Vec::new()
        },
        config: without(view.settings("config"), &["endpoints"]),
        partition_by: view.texts("partition_by"),
        load: load_settings(view),
        clickhouse_table: view.text("clickhouse_table"),
        clickhouse_cluster: view.text("clickhouse_cluster"),
        kafka_topic: view.text("kafka_topic"),
        kafka_key_field: view.text("kafka_key_field"),
    }
}

/// Settings that stand at an endpoint or at a sink.
fn load_settings(view: &View<'_>) -> LoadSettings {
    LoadSettings {
        primary_key: view.texts("primary_key"),
        write_mode: view.choice("write_mode"),
        replace_scope: view.texts("replace_scope"),
        allow_empty: view.flag("allow_empty"),
    }
}

fn without(mut settings: Settings, keys: &[&str]) -> Settings {
    for key in keys {
        settings.remove(*key);
    }
    settings
}
