//! The contract of sinks, kept by PostgreSQL; read back with psql.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use runner_connectors::postgres::PostgresTarget;
use runner_connectors::sink::Target;
use runner_e2e::provision::POSTGRES;
use runner_e2e::require;
use runner_e2e::servers::Postgres;
use runner_plan::Template;
use runner_plan::model::{ColumnField, ColumnType, LoadPlan, Target as TargetPlan};
use runner_testkit::sink::values::Row;
use runner_testkit::sink::{SinkHarness, Traits, context, run};
use serde_json::{Value, json};

pub(crate) struct Database {
    pub server: Postgres,
}

impl Database {
    pub(crate) fn start(component: &Path) -> Self {
        Self {
            server: Postgres::start(component, &[]).unwrap(),
        }
    }

    fn table(plan: &LoadPlan) -> (&str, &str) {
        match &plan.target {
            TargetPlan::Postgres { schema, table, .. } => (schema, table),
            other => panic!("{other:?} is no table"),
        }
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// SQL that gives a value in the form that the suite compares.
fn canonical(column: &ColumnField) -> String {
    let name = quote(&column.name);
    match &column.column_type {
        ColumnType::Decimal { .. } | ColumnType::Date | ColumnType::Uuid => format!("{name}::text"),
        ColumnType::Binary => format!("encode({name}, 'hex')"),
        ColumnType::Timestamp => format!("to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"),
        ColumnType::Time => format!("to_char({name}, 'HH24:MI:SS.US')"),
        _ => name,
    }
}

/// `10:20:30.500000` as `10:20:30.500`, as `10:20:30` without a fraction.
fn trimmed(text: &str) -> String {
    let Some((whole, fraction)) = text.split_once('.') else {
        return text.to_owned();
    };
    match fraction.trim_end_matches('0').len() {
        0 => whole.to_owned(),
        1..=3 => format!("{whole}.{}", &fraction[..3]),
        _ => format!("{whole}.{fraction}"),
    }
}

fn tidy(value: &Value, column_type: &ColumnType) -> Value {
    match (value, column_type) {
        (Value::String(text), ColumnType::Time) => json!(trimmed(text)),
        (Value::String(text), ColumnType::Timestamp) => json!(format!("{}Z", trimmed(text))),
        (value, ColumnType::Number) => value.as_f64().map_or(Value::Null, |value| json!(value)),
        (value, _) => value.clone(),
    }
}

#[async_trait]
impl SinkHarness for Database {
    fn place(&self, mut plan: LoadPlan) -> LoadPlan {
        plan.target = TargetPlan::Postgres {
            url: None,
            host: Template::new("127.0.0.1"),
            port: self.server.port(),
            database: Template::new("postgres"),
            user: Template::new("postgres"),
            password: None,
            ssl_mode: "prefer".to_owned(),
            ssl_root_certificate: None,
            schema: format!("Schema {}", plan.table),
            table: plan.table.clone(),
        };
        plan
    }

    async fn open(&self, plan: &LoadPlan) -> Arc<dyn Target> {
        Arc::new(
            PostgresTarget::connect(plan, &context(&std::env::temp_dir()))
                .await
                .unwrap(),
        )
    }

    async fn rows(&self, plan: &LoadPlan, columns: &[ColumnField]) -> Vec<Row> {
        let (schema, table) = Self::table(plan);
        let exists = format!(
            "SELECT to_regclass('{}.{}') IS NOT NULL",
            quote(schema).replace('\'', "''"),
            quote(table).replace('\'', "''")
        );
        if self.server.psql(&exists).unwrap() != "t" {
            return Vec::new();
        }
        let values: Vec<String> = columns.iter().map(canonical).collect();
        let sql = format!(
            "SELECT json_build_array({}) FROM {}.{}",
            values.join(", "),
            quote(schema),
            quote(table)
        );
        let printed = self.server.psql(&sql).unwrap();
        printed
            .lines()
            .map(|line| {
                let values: Vec<Value> = serde_json::from_str(line).unwrap();
                columns
                    .iter()
                    .zip(values)
                    .map(|(column, value)| (column.name.clone(), tidy(&value, &column.column_type)))
                    .collect()
            })
            .collect()
    }

    async fn staged(&self, plan: &LoadPlan) -> Vec<String> {
        let (schema, _) = Self::table(plan);
        let sql = format!(
            "SELECT tablename FROM pg_tables WHERE schemaname = '{}' AND tablename LIKE '\\_uis\\_stage%'",
            schema.replace('\'', "''")
        );
        let printed = self.server.psql(&sql).unwrap();
        printed.lines().map(ToOwned::to_owned).collect()
    }

    fn traits(&self) -> Traits {
        Traits {
            keeps_structs: false,
            widens_tables: true,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_of_sinks() {
    let Some(component) = require(&POSTGRES) else {
        return;
    };
    run(&Database::start(&component)).await;
}
