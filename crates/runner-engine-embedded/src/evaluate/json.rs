//! Checks within JSON text: objects and lists whose shape the contract leaves open have no columns of their own.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;
use runner_core::Result;
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnType};
use runner_sql::{JsonStep, JsonTest, Subject};
use serde_json::Value;

use super::{Failing, failing_rows, internal};

/// A check of values within a column of JSON text.
#[derive(Debug)]
pub(super) struct JsonCheck {
    column: Arc<dyn PhysicalExpr>,
    steps: Vec<JsonStep>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present {
        everywhere: bool,
    },
    OneOf(Vec<Value>),
    Items {
        minimum: u64,
        maximum: u64,
        unique: bool,
    },
    Number(Arc<dyn PhysicalExpr>),
    Text(Arc<dyn PhysicalExpr>),
}

impl JsonCheck {
    pub(super) fn new(
        column: Arc<dyn PhysicalExpr>,
        steps: Vec<JsonStep>,
        test: JsonTest,
        physical: impl Fn(&Expr, &Schema) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let compile = |predicate: &Expr, column_type| {
            physical(predicate, &arrow_schema(&[value_column(column_type)]))
        };
        let test = match test {
            JsonTest::Present { everywhere } => Test::Present { everywhere },
            JsonTest::OneOf(values) => Test::OneOf(values),
            JsonTest::Items {
                minimum,
                maximum,
                unique,
            } => Test::Items {
                minimum: minimum.unwrap_or(0),
                maximum: maximum.unwrap_or(u64::MAX),
                unique,
            },
            JsonTest::Number(predicate) => Test::Number(compile(&predicate, ColumnType::Number)?),
            JsonTest::Text(predicate) => Test::Text(compile(&predicate, ColumnType::String)?),
        };
        Ok(Self {
            column,
            steps,
            test,
        })
    }

    /// Rows with a value that fails, each with the first.
    pub(super) fn failing(&self, batch: &RecordBatch) -> Result<Failing> {
        let value = self.column.evaluate(batch).map_err(internal)?;
        let texts = value.into_array(batch.num_rows()).map_err(internal)?;
        let texts = cast(&texts, &DataType::Utf8).map_err(internal)?;
        let mut found = Vec::new();
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            let before = found.len();
            if let Some(text) = text {
                // A text that is no JSON is a value of its own.
                let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
                collect(&value, &self.steps, row, &mut found);
            }
            if found.len() == before && matches!(self.test, Test::Present { everywhere: true }) {
                found.push((row, Value::Null));
            }
        }
        let mut failing = self.test.failing(&found)?;
        failing.dedup_by_key(|(row, _)| *row);
        Ok(failing)
    }
}

impl Test {
    fn failing(&self, found: &[(usize, Value)]) -> Result<Failing> {
        match self {
            Self::Number(predicate) => {
                let numbers: Float64Array = found.iter().map(|(_, value)| value.as_f64()).collect();
                within(predicate, ColumnType::Number, Arc::new(numbers), found)
            }
            Self::Text(predicate) => {
                let texts: StringArray = found.iter().map(|(_, value)| value.as_str()).collect();
                within(predicate, ColumnType::String, Arc::new(texts), found)
            }
            Self::Present { .. } | Self::OneOf(_) | Self::Items { .. } => {
                let fails = found.iter().filter(|(_, value)| !self.passes(value));
                Ok(fails.map(blamed).collect())
            }
        }
    }

    /// Whether one value passes a test that needs no kernel.
    fn passes(&self, value: &Value) -> bool {
        match self {
            Self::Present { .. } => !value.is_null(),
            Self::OneOf(values) => {
                value.is_null() || values.iter().any(|allowed| are_equal(allowed, value))
            }
            Self::Items {
                minimum,
                maximum,
                unique,
            } => value.as_array().is_none_or(|items| {
                let length = items.len() as u64;
                (*minimum..=*maximum).contains(&length) && !(*unique && has_repetition(items))
            }),
            Self::Number(_) | Self::Text(_) => true,
        }
    }
}

/// Values that the steps lead to; for what must be present, also those that are not there, as null.
fn collect(value: &Value, steps: &[JsonStep], row: usize, found: &mut Vec<(usize, Value)>) {
    let Some((step, further)) = steps.split_first() else {
        found.push((row, value.clone()));
        return;
    };
    match (step, value) {
        (JsonStep::Field(name), Value::Object(fields)) => match fields.get(name) {
            Some(field) => collect(field, further, row, found),
            None if further.is_empty() => found.push((row, Value::Null)),
            None => {}
        },
        (JsonStep::Each, Value::Array(items)) => {
            for item in items {
                collect(item, further, row, found);
            }
        }
        // A value of another type has nothing below it.
        (JsonStep::Field(_) | JsonStep::Each, _) => {}
    }
}

fn within(
    predicate: &Arc<dyn PhysicalExpr>,
    column_type: ColumnType,
    values: ArrayRef,
    found: &[(usize, Value)],
) -> Result<Failing> {
    let schema = arrow_schema(&[value_column(column_type)]);
    let batch = RecordBatch::try_new(schema, vec![values]).map_err(internal)?;
    let rows = failing_rows(predicate, &batch)?;
    Ok(rows
        .into_iter()
        .map(|index| blamed(&found[index]))
        .collect())
}

fn blamed((row, value): &(usize, Value)) -> (usize, Option<String>) {
    let shown = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    (*row, Some(shown))
}

fn value_column(column_type: ColumnType) -> ColumnField {
    ColumnField {
        name: Subject::VALUE.to_owned(),
        column_type,
        nullable: true,
    }
}

/// `1` and `1.0` are one value in JSON Schema.
fn are_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right
                || left
                    .as_f64()
                    .zip(right.as_f64())
                    .is_some_and(|(left, right)| left.total_cmp(&right).is_eq())
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| are_equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| {
                    right.get(name).is_some_and(|other| are_equal(value, other))
                })
        }
        (left, right) => left == right,
    }
}

/// By their canonical text, so that long lists take no quadratic time.
fn has_repetition(items: &[Value]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    items.iter().any(|item| !seen.insert(canonical(item)))
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            // Beyond 2^53 a double would make different integers one.
            Some(double) if !number.is_f64() && double.abs() > 9_007_199_254_740_992.0 => {
                number.to_string()
            }
            Some(double) => format!("{double:?}"),
            None => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}
