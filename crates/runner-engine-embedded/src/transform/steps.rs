//! The row-wise end of a query: a row that fails goes to the quarantine, and the others go on.
//!
//! Batches are evaluated whole. Only where one fails it is halved, until the rows that fail are alone.

use std::sync::Arc;

use arrow::array::{Array as _, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::PhysicalExpr;
use runner_connectors::rows::{Reason, row_json};
use runner_core::Result;
use runner_sql::{RowStep, RowStepKind};

use super::failure::{cause, code, failed, is_of_a_value};
use super::session::Session;

/// Steps that can be run on batches.
#[derive(Debug)]
pub(crate) struct RowSteps {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Project(Vec<(Arc<dyn PhysicalExpr>, String)>),
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Evaluated {
    /// In the order of the rows.
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) failed: Vec<FailedRow>,
}

/// A row whose values can't be computed.
#[derive(Debug)]
pub(crate) struct FailedRow {
    /// What the steps were given, as JSON text.
    pub(crate) raw: String,
    pub(crate) reason: Reason,
}

/// Why a step failed, and for which column.
struct StepFailure {
    column: Option<String>,
    error: DataFusionError,
}

impl RowSteps {
    pub(crate) fn compile(steps: &[RowStep], session: &Session) -> Result<Self> {
        let physical = |step: &RowStep, expression: &datafusion::logical_expr::Expr| {
            session
                .context
                .create_physical_expr(expression.clone(), &step.input)
                .map_err(failed)
        };
        let steps = steps
            .iter()
            .map(|step| {
                Ok(match &step.kind {
                    RowStepKind::Filter(predicate) => Step::Filter(physical(step, predicate)?),
                    RowStepKind::Project(columns) => Step::Project(
                        columns
                            .iter()
                            .map(|(expression, name)| {
                                Ok((physical(step, expression)?, name.clone()))
                            })
                            .collect::<Result<_>>()?,
                    ),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { steps })
    }

    pub(crate) fn run(&self, batch: &RecordBatch) -> Result<Evaluated> {
        let mut evaluated = Evaluated::default();
        if batch.num_rows() > 0 {
            self.evaluate(batch, &mut evaluated)?;
        }
        Ok(evaluated)
    }

    fn evaluate(&self, batch: &RecordBatch, evaluated: &mut Evaluated) -> Result<()> {
        match self.whole(batch) {
            Ok(result) => {
                if result.num_rows() > 0 {
                    evaluated.batches.push(result);
                }
                Ok(())
            }
            Err(StepFailure { error, .. }) if !is_of_a_value(&error) => Err(failed(error)),
            Err(StepFailure { column, error }) if batch.num_rows() == 1 => {
                let what = column.as_deref().unwrap_or("the condition");
                evaluated.failed.push(FailedRow {
                    raw: row_json(batch, 0),
                    reason: Reason {
                        code: code(&error).to_owned(),
                        message: format!("`{what}` can't be computed: {}", cause(&error)),
                        column,
                    },
                });
                Ok(())
            }
            Err(_) => {
                let half = batch.num_rows() / 2;
                self.evaluate(&batch.slice(0, half), evaluated)?;
                self.evaluate(&batch.slice(half, batch.num_rows() - half), evaluated)
            }
        }
    }

    fn whole(&self, batch: &RecordBatch) -> std::result::Result<RecordBatch, StepFailure> {
        let mut batch = batch.clone();
        for step in &self.steps {
            batch = match step {
                Step::Filter(predicate) => filtered(&batch, predicate)?,
                Step::Project(columns) => projected(&batch, columns)?,
            };
        }
        Ok(batch)
    }
}

fn filtered(
    batch: &RecordBatch,
    predicate: &Arc<dyn PhysicalExpr>,
) -> std::result::Result<RecordBatch, StepFailure> {
    let keep = || {
        let keep = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
        let keep = keep
            .as_any()
            .downcast_ref::<BooleanArray>()
            .ok_or_else(|| DataFusionError::Internal("a condition is no boolean".to_owned()))?;
        let kept = if keep.null_count() == 0 {
            filter_record_batch(batch, keep)
        } else {
            filter_record_batch(batch, &prep_null_mask_filter(keep))
        };
        Ok(kept?)
    };
    keep().map_err(|error| StepFailure {
        column: None,
        error,
    })
}

fn projected(
    batch: &RecordBatch,
    columns: &[(Arc<dyn PhysicalExpr>, String)],
) -> std::result::Result<RecordBatch, StepFailure> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for (expression, name) in columns {
        let value = expression
            .evaluate(batch)
            .and_then(|value| value.into_array(batch.num_rows()));
        let array = value.map_err(|error| StepFailure {
            column: Some(name.clone()),
            error,
        })?;
        let metadata = expression
            .return_field(batch.schema_ref())
            .map(|field| field.metadata().clone())
            .unwrap_or_default();
        fields.push(Field::new(name, array.data_type().clone(), true).with_metadata(metadata));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(
        |error| StepFailure {
            column: None,
            error: DataFusionError::Internal(error.to_string()),
        },
    )
}
