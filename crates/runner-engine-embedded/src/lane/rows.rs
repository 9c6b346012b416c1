//! The way of rows through a lane: the ones that pass are written, the ones that fail are quarantined with their reasons, and what
//! the window or an earlier run leaves out is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use runner_connectors::lines::RowLines;
use runner_connectors::rows::{RawRows, Reason, Rows};
use runner_connectors::schema::SchemaVersion;
use runner_connectors::table::widen::widen_batch;
use runner_core::{Error, ErrorKind, Result};

use super::Lane;
use crate::completeness::required_cells;
use crate::cursor::BOUNDARY_LIMIT;
use crate::masking::{mask, mask_raw};
use crate::quarantine::QuarantinedRow;
use crate::reading::Reading;
use crate::stream::{Advance, reason};
use crate::values::chain_values;

/// A row on its way to the quarantine.
struct FailedRow {
    number: u64,
    line: Option<u64>,
    reasons: Vec<Reason>,
    /// Masked.
    raw: String,
}

impl Lane {
    pub(super) async fn rows(&mut self, reading: &mut Reading, rows: Rows) -> Result<()> {
        let version = self.run.schema.current();
        let mut rows = self.widened(rows, &version)?;
        let offered = rows.batch.num_rows() + rows.invalid.len();
        let taken = self.run.take_rows(offered);
        if taken < offered {
            reading.is_cut_off = true;
            rows = truncated(rows, taken);
        }
        reading.rows_in_page += rows.batch.num_rows() as u64 + rows.invalid.len() as u64;
        reading.counters.rows_read += rows.batch.num_rows() as u64 + rows.invalid.len() as u64;
        let quarantined_before = reading.counters.rows_quarantined;
        let masked = self.run.masked_fields(&version);
        let invalid = std::mem::take(&mut rows.invalid);
        let lines = lines_of(&rows.raw, invalid.is_empty()).await;
        for invalid in invalid {
            self.pending.note_outgrown(&invalid.reasons, &version);
            let failed = FailedRow {
                number: invalid.number,
                line: lines.as_ref().and_then(|lines| lines.line(invalid.number)),
                reasons: invalid.reasons,
                raw: mask_raw(&invalid.raw, &masked),
            };
            self.quarantine(reading, &rows.origin, failed).await?;
        }
        let kept = self.judge(reading, &rows, &version, &masked).await?;
        let quarantined = reading.counters.rows_quarantined - quarantined_before;
        self.run.advance(
            Advance {
                rows: offered as u64,
                quarantined,
                ..Advance::default()
            },
            None,
        );
        let Some(batch) = kept else { return Ok(()) };
        reading.counters.rows_passed += batch.num_rows() as u64;
        self.collect_values(&batch)?;
        let columns = self.run.output_columns(&version);
        let batch = mask(&batch, &self.run.plan.masking, &columns)?;
        self.current_outputs(&version)
            .await?
            .write(&batch, reading.origin, reading.read_by())
            .await
    }

    /// The rows that pass; the others are counted or quarantined.
    async fn judge(
        &mut self,
        reading: &mut Reading,
        rows: &Rows,
        version: &SchemaVersion,
        masked: &[(Vec<String>, runner_spec::model::Masking)],
    ) -> Result<Option<RecordBatch>> {
        let cells = required_cells(&self.run.plan.checks, rows);
        reading.counters.required_cells += cells.all;
        reading.counters.required_present += cells.present;
        if rows.batch.num_rows() == 0 {
            return Ok(None);
        }
        let mut dropped = vec![false; rows.batch.num_rows()];
        let mut without_cursor = Vec::new();
        if let Some(cursor) = &mut reading.cursor {
            let sorted = cursor.observe(&rows.batch, &rows.raw)?;
            reading.counters.rows_outside += sorted.outside.len() as u64;
            reading.counters.rows_repeated += sorted.repeated.len() as u64;
            for row in sorted.outside.into_iter().chain(sorted.repeated) {
                dropped[row] = true;
            }
            let kind = cursor.text_kind();
            let unreadable = sorted.unreadable.into_iter().map(|row| (row, Some(kind)));
            without_cursor = sorted
                .missing
                .into_iter()
                .map(|row| (row, None))
                .chain(unreadable)
                .collect();
            let is_behind = cursor.is_behind();
            self.warn_of_cursor(is_behind, sorted.future > 0);
        }
        let failed = self.run.checks(version)?.run(&rows.batch)?;
        let mut failures: BTreeMap<usize, Vec<Reason>> = failed.into_iter().collect();
        self.refuse_cursors(without_cursor, &mut failures);
        for output in &self.run.loads {
            for (row, reason) in output.target.rejects(&rows.batch)? {
                failures.entry(row).or_default().push(reason);
            }
        }
        failures.retain(|row, _| !dropped[*row]);
        let lines = lines_of(&rows.raw, failures.is_empty()).await;
        for (row, reasons) in failures {
            dropped[row] = true;
            let number = rows.numbers.get(row).copied().unwrap_or_default();
            let failed = FailedRow {
                number,
                line: lines.as_ref().and_then(|lines| lines.line(number)),
                reasons,
                raw: mask_raw(&rows.raw.text(row), masked),
            };
            self.quarantine(reading, &rows.origin, failed).await?;
        }
        if !dropped.contains(&true) {
            return Ok(Some(rows.batch.clone()));
        }
        let keep = BooleanArray::from(dropped.iter().map(|dropped| !dropped).collect::<Vec<_>>());
        let batch = filter_record_batch(&rows.batch, &keep).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to filter a batch").with_source(error)
        })?;
        Ok((batch.num_rows() > 0).then_some(batch))
    }

    async fn quarantine(
        &mut self,
        reading: &mut Reading,
        request: &Arc<str>,
        failed: FailedRow,
    ) -> Result<()> {
        reading.counters.rows_quarantined += 1;
        let writer = match &mut self.quarantine {
            Some(writer) => writer,
            None => self.quarantine.insert(self.run.open_quarantine()),
        };
        let provenance = reading.provenance.as_ref();
        let chain = provenance.map_or(&reading.chain_value, |provenance| &provenance.chain);
        let row = QuarantinedRow {
            origin: Arc::clone(request),
            chain: Arc::clone(chain),
            page: provenance.map_or(reading.pages, |provenance| provenance.page),
            row: failed.number,
            reasons: failed.reasons,
            raw: self.run.scrubber.hide(&failed.raw).into_owned(),
            seq: reading.read_by().unwrap_or(self.run.context.seq),
            line: failed.line,
        };
        writer.add(row, reading.origin).await
    }

    /// Another lane may have widened the schema since these rows were decoded.
    fn widened(&self, rows: Rows, version: &SchemaVersion) -> Result<Rows> {
        if rows.schema_version == version.version {
            return Ok(rows);
        }
        let from = self
            .run
            .schema
            .version(rows.schema_version)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    format!(
                        "rows came with version {} of the schema, which nobody knows",
                        rows.schema_version
                    ),
                )
            })?;
        let batch = widen_batch(
            &rows.batch,
            &from.decoded_fields(),
            &version.decoded_fields(),
        )?;
        Ok(Rows {
            batch,
            schema_version: version.version,
            ..rows
        })
    }

    fn collect_values(&mut self, batch: &RecordBatch) -> Result<()> {
        for key in &self.run.value_columns {
            let Some(values) = chain_values(batch, key)? else {
                continue;
            };
            let values = self.run.new_values(key, values.iter().flatten());
            self.pending
                .values
                .entry(key.clone())
                .or_default()
                .extend(values);
        }
        Ok(())
    }

    /// Rows that say nothing of how far the source was read, with the kind that their text should have.
    fn refuse_cursors(
        &self,
        rows: Vec<(usize, Option<&'static str>)>,
        failures: &mut BTreeMap<usize, Vec<Reason>>,
    ) {
        let incremental = self.run.plan.incremental.as_ref();
        let column = incremental.and_then(|plan| plan.cursor_field.as_deref());
        let column = column.unwrap_or_default();
        for (row, kind) in rows {
            let reasons = failures.entry(row).or_default();
            let is_told = |known: &Reason| known.column.as_deref() == Some(column);
            if reasons.iter().any(is_told) {
                continue;
            }
            reasons.push(match kind {
                None => reason(
                    "cursor_missing",
                    column,
                    format!("`{column}` is the cursor and must not be null"),
                ),
                Some(kind) => reason(
                    "cursor_unreadable",
                    column,
                    format!("`{column}` is the cursor, and its value is no {kind}"),
                ),
            });
        }
    }

    fn warn_of_cursor(&mut self, is_behind: bool, has_future: bool) {
        if is_behind {
            let message = format!(
                "more than {BOUNDARY_LIMIT} rows share the newest cursor value: the cursor stays one value behind, and the next run reads \
                 them again; merge by a primary key loads them once"
            );
            self.warn("cursor_behind", message);
        }
        if has_future {
            let message = "some rows have a cursor value in the future; they are loaded and don't move the cursor";
            self.warn("cursor_in_future", message.to_owned());
        }
    }
}

/// Lines of these rows in their file, for those that failed. A file that was begun within is read up to there once more.
async fn lines_of(rows: &RawRows, none_failed: bool) -> Option<Arc<RowLines>> {
    let lines = rows.lines().filter(|_| !none_failed).map(Arc::clone)?;
    let counted = tokio::task::spawn_blocking(move || {
        lines.count();
        lines
    });
    counted.await.ok()
}

/// The first `rows` of the rows, good ones first: which ones a limit keeps is nobody's promise.
fn truncated(rows: Rows, taken: usize) -> Rows {
    let good = rows.batch.num_rows().min(taken);
    let mut invalid = rows.invalid;
    invalid.truncate(taken - good);
    let raw = RawRows::clone(&rows.raw);
    Rows {
        batch: rows.batch.slice(0, good),
        raw,
        invalid,
        ..rows
    }
}
