//! Checks on batches: every check is one kernel over a column, and only rows that fail are looked at singly.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::{not, prep_null_mask_filter};
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use runner_connectors::rows::Reason;
use runner_core::{Error, ErrorKind, Result};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{Check, ColumnField};
use runner_sql::{CompiledCheck, compile_check};

/// The checks of a stream at one version of its schema.
#[derive(Debug)]
pub(crate) struct Checks {
    checks: Vec<(CompiledCheck, Arc<dyn PhysicalExpr>)>,
}

/// Rows that failed, in their order, each with every reason.
pub(crate) type Failures = Vec<(usize, Vec<Reason>)>;

/// Values in messages are cut: they are there to be recognised, not to be stored twice.
const SHOWN_VALUE_CHARS: usize = 80;

impl Checks {
    pub(crate) fn compile(checks: &[Check], columns: &[ColumnField]) -> Result<Self> {
        // As batches are decoded: of a column that is said to hold no nulls, the planner would take `is not null` for true.
        let decoded: Vec<_> = columns
            .iter()
            .map(|column| ColumnField {
                nullable: true,
                ..column.clone()
            })
            .collect();
        let schema = arrow_schema(&decoded);
        let checks = checks
            .iter()
            .map(|check| {
                let compiled = compile_check(check, columns).map_err(|error| {
                    Error::new(
                        ErrorKind::Spec,
                        "a check can't be applied to the columns that were found",
                    )
                    .with_context("field", &check.path)
                    .with_source(error)
                })?;
                let physical = physical(&compiled, &schema)?;
                Ok((compiled, physical))
            })
            .collect::<Result<_>>()?;
        Ok(Self { checks })
    }

    pub(crate) fn run(&self, batch: &RecordBatch) -> Result<Failures> {
        let mut failures = Failures::new();
        for (check, expression) in &self.checks {
            let result = evaluate(expression, batch)?;
            if result.true_count() + result.null_count() == batch.num_rows() {
                continue;
            }
            let failed = not(&result).map_err(internal)?;
            let failed = if failed.null_count() == 0 {
                failed
            } else {
                prep_null_mask_filter(&failed)
            };
            for row in failed.values().set_indices() {
                add_reason(&mut failures, row, reason(check, batch, row));
            }
        }
        failures.sort_by_key(|(row, _)| *row);
        Ok(failures)
    }
}

fn physical(check: &CompiledCheck, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let failed = |error: datafusion::error::DataFusionError| {
        Error::new(ErrorKind::Internal, "failed to compile a check")
            .with_context("column", &check.column)
            .with_context("check", check.code)
            .with_source(error)
    };
    let schema = Arc::new(DFSchema::try_from(schema.clone()).map_err(failed)?);
    // What a session does, without one: its registry of functions costs more than all checks of a stream.
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(&schema))
        .build();
    let coerced = ExprSimplifier::new(context)
        .coerce(check.predicate.clone(), &schema)
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
        Ok(index) => failures[index].1.push(reason),
        Err(index) => failures.insert(index, (row, vec![reason])),
    }
}

fn reason(check: &CompiledCheck, batch: &RecordBatch, row: usize) -> Reason {
    let shown = check
        .column
        .split('.')
        .next()
        .filter(|_| check.code != "required")
        .and_then(|column| batch.column_by_name(column))
        .and_then(|array| shown_value(array.as_ref(), row));
    let message = match shown {
        Some(value) => format!("`{}` {}, found `{value}`", check.column, check.requirement),
        None => format!("`{}` {}", check.column, check.requirement),
    };
    Reason {
        code: check.code.to_owned(),
        column: Some(check.column.clone()),
        message,
    }
}

fn shown_value(array: &dyn Array, row: usize) -> Option<String> {
    let options = FormatOptions::default().with_null("null");
    let text = ArrayFormatter::try_new(array, &options)
        .ok()?
        .value(row)
        .to_string();
    if text.chars().count() <= SHOWN_VALUE_CHARS {
        return Some(text);
    }
    Some(format!(
        "{}…",
        text.chars().take(SHOWN_VALUE_CHARS).collect::<String>()
    ))
}

fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, "failed to evaluate a check").with_source(error)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use runner_plan::model::{CheckKind, CheckOrigin, ColumnType};

    use super::*;

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "id",
                Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(4)])),
            ),
            (
                "price",
                Arc::new(Float64Array::from(vec![
                    Some(1.5),
                    Some(f64::NAN),
                    None,
                    Some(1e9),
                ])),
            ),
            (
                "name",
                Arc::new(StringArray::from(vec![
                    Some("ab"),
                    Some("日本語"),
                    Some(""),
                    None,
                ])),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap()
    }

    fn columns() -> Vec<ColumnField> {
        [
            ("id", ColumnType::Integer),
            ("price", ColumnType::Number),
            ("name", ColumnType::String),
        ]
        .map(|(name, column_type)| ColumnField {
            name: name.to_owned(),
            column_type,
            nullable: true,
        })
        .to_vec()
    }

    /// Rows that fail the check, with the code of their reason.
    fn failing(column: &str, kind: CheckKind) -> Vec<usize> {
        let check = Check {
            column: column.to_owned(),
            kind,
            origin: CheckOrigin::Contract,
            path: String::new(),
        };
        let failures = Checks::compile(&[check], &columns())
            .unwrap()
            .run(&batch())
            .unwrap();
        failures.into_iter().map(|(row, _)| row).collect()
    }

    #[test]
    fn each_kind_fails_the_rows_it_names() {
        assert_eq!(failing("id", CheckKind::Required), [1]);
        assert_eq!(
            failing(
                "id",
                CheckKind::Range {
                    minimum: Some(0.0),
                    maximum: None
                }
            ),
            [2]
        );
        assert_eq!(
            failing(
                "id",
                CheckKind::ExclusiveRange {
                    minimum: Some(1.0),
                    maximum: Some(4.0)
                }
            ),
            [0, 2, 3]
        );
        assert_eq!(
            failing(
                "price",
                CheckKind::Range {
                    minimum: None,
                    maximum: Some(10.0)
                }
            ),
            [1, 3]
        );
        assert_eq!(
            failing(
                "price",
                CheckKind::Range {
                    minimum: Some(0.0),
                    maximum: None
                }
            ),
            [1]
        );
        assert_eq!(failing("price", CheckKind::MultipleOf(0.5)), [1]);
        assert_eq!(
            failing(
                "name",
                CheckKind::Length {
                    minimum: Some(1),
                    maximum: Some(3)
                }
            ),
            [2]
        );
        assert_eq!(
            failing("name", CheckKind::Pattern("^[a-z]*$".to_owned())),
            [1]
        );
        assert_eq!(
            failing("name", CheckKind::Enumeration(vec!["ab".into(), "".into()])),
            [1]
        );
        assert_eq!(
            failing(
                "name",
                CheckKind::Range {
                    minimum: Some(0.0),
                    maximum: None
                }
            ),
            [0, 1, 2]
        );
    }

    #[test]
    fn a_row_has_every_reason() {
        let check = |column: &str, kind| Check {
            column: column.to_owned(),
            kind,
            origin: CheckOrigin::Rule,
            path: String::new(),
        };
        let checks = [
            check(
                "id",
                CheckKind::Range {
                    minimum: Some(0.0),
                    maximum: None,
                },
            ),
            check("price", CheckKind::Required),
            check(
                "name",
                CheckKind::Length {
                    minimum: Some(1),
                    maximum: None,
                },
            ),
        ];
        let failures = Checks::compile(&checks, &columns())
            .unwrap()
            .run(&batch())
            .unwrap();
        assert_eq!(failures.len(), 1);
        let messages: Vec<_> = failures[0]
            .1
            .iter()
            .map(|reason| reason.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "`id` must be at least 0, found `-3`",
                "`price` must be present and not null",
                "`name` must have at least 1 characters, found ``"
            ]
        );
    }
}
