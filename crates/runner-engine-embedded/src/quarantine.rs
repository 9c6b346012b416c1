//! The quarantine's rows: whole, as they came, with every reason and where they came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use runner_connectors::rows::Reason;
use runner_connectors::sink::{PartWriter, RowOrigin};
use runner_core::{Error, ErrorKind, JobId, Part, Result, Seq};
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnType};

/// Rows are handed to the writer in batches of this many.
const BATCH_ROWS: usize = 1_000;

/// A row on its way to the quarantine; already masked and scrubbed.
#[derive(Clone, Debug)]
pub(crate) struct QuarantinedRow {
    /// Request or file, or the transform.
    pub(crate) origin: Arc<str>,
    pub(crate) chain: Arc<str>,
    pub(crate) page: u64,
    /// Index within the page.
    pub(crate) row: u64,
    pub(crate) reasons: Vec<Reason>,
    /// As it came: JSON text.
    pub(crate) raw: String,
    /// Number of the run that has read it.
    pub(crate) seq: Seq,
    /// Of its file; none where it came from something else, or where nobody knows.
    pub(crate) line: Option<u64>,
}

/// Collects rows of one lane.
pub(crate) struct QuarantineWriter {
    job: JobId,
    stream: String,
    rows: Vec<(QuarantinedRow, RowOrigin)>,
    writer: Box<dyn PartWriter>,
}

/// The columns of a quarantine file.
pub(crate) fn quarantine_columns() -> Vec<ColumnField> {
    [
        ("job_id", ColumnType::String),
        ("stream", ColumnType::String),
        ("request", ColumnType::String),
        ("chain", ColumnType::String),
        ("page", ColumnType::Integer),
        ("row", ColumnType::Integer),
        ("codes", ColumnType::String),
        ("reasons", ColumnType::Json),
        ("raw", ColumnType::String),
        ("seq", ColumnType::Integer),
        ("line", ColumnType::Integer),
    ]
    .map(|(name, column_type)| ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: name == "line",
    })
    .to_vec()
}

impl QuarantineWriter {
    pub(crate) fn new(job: JobId, stream: &str, writer: Box<dyn PartWriter>) -> Self {
        Self {
            job,
            stream: stream.to_owned(),
            rows: Vec::new(),
            writer,
        }
    }

    pub(crate) async fn add(&mut self, row: QuarantinedRow, origin: RowOrigin) -> Result<()> {
        self.rows.push((row, origin));
        if self.rows.len() >= BATCH_ROWS {
            self.flush().await?;
        }
        Ok(())
    }

    pub(crate) async fn seal(&mut self) -> Result<Vec<Part>> {
        self.flush().await?;
        self.writer.seal().await
    }

    pub(crate) async fn abort(&mut self) -> Result<()> {
        self.rows.clear();
        self.writer.abort().await
    }

    async fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        // Segments are runs of rows of one origin, so each run is a write of its own.
        for run in rows.chunk_by(|(_, left), (_, right)| left == right) {
            let Some((_, origin)) = run.first() else {
                continue;
            };
            let batch = self.batch(run)?;
            self.writer.write(&batch, *origin).await?;
        }
        Ok(())
    }

    fn batch(&self, rows: &[(QuarantinedRow, RowOrigin)]) -> Result<RecordBatch> {
        let text = |of: &dyn Fn(&QuarantinedRow) -> String| -> ArrayRef {
            Arc::new(
                rows.iter()
                    .map(|(row, _)| Some(of(row)))
                    .collect::<StringArray>(),
            )
        };
        let number = |of: &dyn Fn(&QuarantinedRow) -> Option<u64>| -> ArrayRef {
            Arc::new(
                rows.iter()
                    .map(|(row, _)| Some(i64::try_from(of(row)?).unwrap_or(i64::MAX)))
                    .collect::<Int64Array>(),
            )
        };
        let arrays = vec![
            text(&|_| self.job.to_string()),
            text(&|_| self.stream.clone()),
            text(&|row| row.origin.to_string()),
            text(&|row| row.chain.to_string()),
            number(&|row| Some(row.page)),
            number(&|row| Some(row.row)),
            text(&|row| codes(&row.reasons)),
            text(&|row| serde_json::to_string(&row.reasons).unwrap_or_default()),
            text(&|row| row.raw.clone()),
            number(&|row| Some(row.seq.0)),
            number(&|row| row.line),
        ];
        RecordBatch::try_new(arrow_schema(&quarantine_columns()), arrays).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                "failed to build a batch of quarantined rows",
            )
            .with_source(error)
        })
    }
}

/// Distinct codes, for people who filter.
fn codes(reasons: &[Reason]) -> String {
    let mut codes: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(",")
}
