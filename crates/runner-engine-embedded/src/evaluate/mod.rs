//! Checks on batches: every check is one kernel over a column, and only rows that fail are looked at singly. Values within JSON text
//! have no column, and are looked at one by one.

mod items;
mod json;

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{not, prep_null_mask_filter};
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use runner_connectors::rows::Reason;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{Check, ColumnField, ColumnType};
use runner_sql::{CompiledCheck, Subject, compile_check};

use self::items::ItemsCheck;
use self::json::JsonCheck;

/// The checks of a stream at one version of its schema.
#[derive(Debug)]
pub(crate) struct Checks {
    checks: Vec<Evaluated>,
}

/// One check, ready for batches.
#[derive(Debug)]
struct Evaluated {
    column: String,
    code: &'static str,
    requirement: String,
    subject: Looked,
}

/// What it looks at; see [`Subject`].
#[derive(Debug)]
enum Looked {
    Row(Arc<dyn PhysicalExpr>),
    Items(ItemsCheck),
    Json(JsonCheck),
}

/// Rows that fail one check, in their order, each with the value that is to blame where it isn't the column's own.
type Failing = Vec<(usize, Option<String>)>;

/// Rows that failed, in their order, each with every reason.
pub(crate) type Failures = Vec<(usize, Vec<Reason>)>;

/// Values in messages are cut: they are there to be recognised, not to be stored twice.
const SHOWN_VALUE_CHARS: usize = 80;

impl Checks {
    pub(crate) fn compile(checks: &[Check], columns: &[ColumnField]) -> Result<Self> {
        let decoded: Vec<_> = columns.iter().map(nullable).collect();
        let schema = arrow_schema(&decoded);
        let checks = checks
            .iter()
            .map(|check| {
                let compiled = compile_check(check, &decoded).map_err(|error| {
                    Error::new(ErrorKind::Spec, "a check can't be compiled")
                        .with_context("field", &check.path)
                        .with_source(error)
                })?;
                Evaluated::new(compiled, &schema)
            })
            .collect::<Result<_>>()?;
        Ok(Self { checks })
    }

    pub(crate) fn run(&self, batch: &RecordBatch) -> Result<Failures> {
        let mut failures = Failures::new();
        for check in &self.checks {
            for (row, value) in check.failing(batch)? {
                add_reason(&mut failures, row, check.reason(batch, row, value));
            }
        }
        failures.sort_by_key(|(row, _)| *row);
        Ok(failures)
    }
}

impl Evaluated {
    fn new(compiled: CompiledCheck, schema: &Schema) -> Result<Self> {
        let CompiledCheck {
            column,
            code,
            requirement,
            subject,
        } = compiled;
        let physical = |expression: &Expr, schema: &Schema| {
            physical(expression, schema).map_err(|error| {
                error
                    .with_context("column", &column)
                    .with_context("check", code)
            })
        };
        let subject = match subject {
            Subject::Row(predicate) => Looked::Row(physical(&predicate, schema)?),
            Subject::Items { list, item, check } => {
                let item = arrow_schema(&[nullable(&item)]);
                Looked::Items(ItemsCheck {
                    list: physical(&list, schema)?,
                    check: Box::new(Self::new(*check, &item)?),
                })
            }
            Subject::Json { json, steps, test } => {
                let json = physical(&json, schema)?;
                Looked::Json(JsonCheck::new(json, steps, test, physical)?)
            }
        };
        Ok(Self {
            column,
            code,
            requirement,
            subject,
        })
    }

    fn failing(&self, batch: &RecordBatch) -> Result<Failing> {
        match &self.subject {
            Looked::Row(predicate) => {
                let rows = failing_rows(predicate, batch)?;
                Ok(rows.into_iter().map(|row| (row, None)).collect())
            }
            Looked::Items(items) => items.failing(batch),
            Looked::Json(json) => json.failing(batch),
        }
    }

    fn reason(&self, batch: &RecordBatch, row: usize, value: Option<String>) -> Reason {
        let shown = value.or_else(|| self.own_value(batch, row));
        let message = match shown.filter(|_| self.code != "required") {
            Some(value) => format!(
                "`{}` {}, found `{}`",
                self.column,
                self.requirement,
                cut(&value)
            ),
            None => format!("`{}` {}", self.column, self.requirement),
        };
        Reason {
            code: self.code.to_owned(),
            column: Some(self.column.clone()),
            message,
        }
    }

    /// The value of the row's column, or of the column that holds the one that was looked at.
    fn own_value(&self, batch: &RecordBatch, row: usize) -> Option<String> {
        let outer = self.column.split(['.', '[']).next();
        let array = batch
            .column_by_name(&self.column)
            .or_else(|| batch.column_by_name(outer?))?;
        shown_value(array.as_ref(), row)
    }
}

/// Rows of which a predicate is false: null passes.
fn failing_rows(predicate: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<Vec<usize>> {
    let result = evaluate(predicate, batch)?;
    if result.true_count() + result.null_count() == batch.num_rows() {
        return Ok(Vec::new());
    }
    let failed = not(&result).map_err(internal)?;
    let failed = if failed.null_count() == 0 {
        failed
    } else {
        prep_null_mask_filter(&failed)
    };
    Ok(failed.values().set_indices().collect())
}

fn physical(expression: &Expr, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let failed = |error: datafusion::error::DataFusionError| {
        Error::new(ErrorKind::Internal, "failed to compile a check").with_source(error)
    };
    let schema = Arc::new(DFSchema::try_from(schema.clone()).map_err(failed)?);
    // What a session does, without one: its registry of functions costs more than all checks of a stream.
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .build();
    let coerced = ExprSimplifier::new(context)
        .coerce(expression.clone(), &schema)
        .map_err(failed)?;
    create_physical_expr(&coerced, &schema, &ExecutionProps::new()).map_err(failed)
}

fn evaluate(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let value = expression.evaluate(batch).map_err(internal)?;
    let array = value.into_array(batch.num_rows()).map_err(internal)?;
    array
        .as_any()
        .downcast_ref::<BooleanArray>()
        .cloned()
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("a check gave {} instead of a boolean", array.data_type()),
            )
        })
}

fn add_reason(failures: &mut Vec<(usize, Vec<Reason>)>, row: usize, reason: Reason) {
    // Rows of one check come in order, so the search from the end is short for the first check and linear at worst for later ones.
    match failures.binary_search_by_key(&row, |(row, _)| *row) {
        // A rule and the contract may demand the same.
        Ok(index) if failures[index].1.contains(&reason) => {}
        Ok(index) => failures[index].1.push(reason),
        Err(index) => failures.insert(index, (row, vec![reason])),
    }
}

fn shown_value(array: &dyn Array, row: usize) -> Option<String> {
    let options = FormatOptions::default().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).ok()?;
    Some(formatter.value(row).to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_VALUE_CHARS {
        return text.to_owned();
    }
    let shown: String = text.chars().take(SHOWN_VALUE_CHARS).collect();
    format!("{shown}…")
}

/// As batches are decoded: of a column that is said to hold no nulls, the planner would take `is not null` for true.
fn nullable(column: &ColumnField) -> ColumnField {
    ColumnField {
        name: column.name.clone(),
        column_type: match &column.column_type {
            ColumnType::List(item) => ColumnType::List(Box::new(nullable(item))),
            ColumnType::Struct(fields) => ColumnType::Struct(fields.iter().map(nullable).collect()),
            other => other.clone(),
        },
        nullable: true,
    }
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "failed to evaluate a check").with_source(error)
}

#[cfg(test)]
mod tests;
