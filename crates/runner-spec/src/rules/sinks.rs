//! What each kind of sink needs, and what belongs to another kind.

use super::{Context, provider_path};
use crate::Code;
use crate::diagnostic::Diagnostic;
use crate::model::{Sink, SinkKind, WriteMode};
use crate::path::FieldPath;

/// Fields that belong to one kind of sink.
const OWN_FIELDS: [(&str, SinkKind); 4] = [
    ("clickhouse_table", SinkKind::Clickhouse),
    ("clickhouse_cluster", SinkKind::Clickhouse),
    ("kafka_topic", SinkKind::Kafka),
    ("kafka_key_field", SinkKind::Kafka),
];

pub(super) fn run(context: &mut Context<'_>) {
    for (index, sink) in context.spec.provider.sinks.iter().enumerate() {
        let path = provider_path().key("sinks").index(index);
        if !context.is_written(&path.key("type"))
            || context
                .node(&path.key("type"))
                .and_then(|kind| kind.as_text())
                .is_none_or(|kind| kind != name(sink.kind))
        {
            continue;
        }
        destination(context, sink, &path);
        for (field, kind) in OWN_FIELDS {
            if kind != sink.kind && context.is_written(&path.key(field)) {
                let message = format!(
                    "`{field}` has no effect in a sink of type `{}`",
                    name(sink.kind)
                );
                context.report(
                    Diagnostic::warning(Code::FieldWithoutEffect, path.key(field), message)
                        .at_key()
                        .help(format!("it belongs to `type: {}`", name(kind))),
                );
            }
        }
        if !sink.load.replace_scope.is_empty()
            && sink
                .load
                .write_mode
                .is_some_and(|mode| mode != WriteMode::Replace)
        {
            let diagnostic = Diagnostic::warning(
                Code::FieldWithoutEffect,
                path.key("replace_scope"),
                "`replace_scope` has no effect without `write_mode: replace`",
            )
            .at_key();
            context.report(diagnostic.help("write `write_mode: replace`, or leave the scope out"));
        }
    }
}

fn name(kind: SinkKind) -> &'static str {
    match kind {
        SinkKind::Parquet => "parquet",
        SinkKind::Iceberg => "iceberg",
        SinkKind::Postgres => "postgres",
        SinkKind::Clickhouse => "clickhouse",
        SinkKind::Kafka => "kafka",
        SinkKind::Elasticsearch => "elasticsearch",
    }
}

fn destination(context: &mut Context<'_>, sink: &Sink, path: &FieldPath) {
    let (field, is_given) = match sink.kind {
        SinkKind::Parquet | SinkKind::Iceberg | SinkKind::Postgres | SinkKind::Elasticsearch => {
            ("table_name", sink.table_name.is_some())
        }
        SinkKind::Clickhouse => (
            "clickhouse_table",
            sink.clickhouse_table.is_some() || sink.table_name.is_some(),
        ),
        SinkKind::Kafka => ("kafka_topic", sink.kafka_topic.is_some()),
    };
    if !is_given && !context.is_written(&path.key(field)) {
        let example = match sink.kind {
            SinkKind::Iceberg => "market.daily_prices",
            SinkKind::Postgres => "public.daily_prices",
            SinkKind::Parquet
            | SinkKind::Clickhouse
            | SinkKind::Kafka
            | SinkKind::Elasticsearch => "daily_prices",
        };
        let message = format!(
            "this {} sink has no `{field}`, and rows need a place to go",
            name(sink.kind)
        );
        context.report(
            Diagnostic::error(Code::MissingField, path.key(field), message)
                .help(format!("add `{field}: {example}`")),
        );
    }
    let Some(table) = &sink.table_name else {
        return;
    };
    let has_namespace = sink
        .config
        .get("namespace")
        .is_some_and(serde_json::Value::is_string);
    if sink.kind == SinkKind::Iceberg && !table.contains('.') && !has_namespace && !table.is_empty()
    {
        let message = format!("the Iceberg table `{table}` has no namespace");
        context.report(
            Diagnostic::error(Code::BadTableName, path.key("table_name"), message).help(format!(
                "write `namespace.{table}`, or a `namespace` in the sink's `config`"
            )),
        );
    }
    if sink.kind == SinkKind::Postgres && table.matches('.').count() > 1 {
        let message = format!("`{table}` has more parts than a schema and a table");
        context.report(
            Diagnostic::error(Code::BadTableName, path.key("table_name"), message)
                .help("write `schema.table`; the database stands in the sink's `config`"),
        );
    }
}
