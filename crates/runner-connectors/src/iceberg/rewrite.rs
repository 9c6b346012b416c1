//! Reads sealed files back, and writes them anew where the table can't take them as they are.

use std::ops::Range;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt as _;
use runner_core::{LoadContext, Part};
use runner_plan::model::ColumnField;

use super::arrays::conform;
use super::data_file::FileDetails;
use super::data_reader::{DataReader, NumberedStream};
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::writer::{FileWriter, part};
use crate::schema::arrow_schema;
use crate::sink::RowOrigin;
use crate::table::conform::Conform;

/// Rows of a part in the Arrow types of its file; only some top-level columns if they are named.
pub(super) async fn read(
    files: &TableFiles,
    location: &str,
    bytes: u64,
    columns: Option<&[String]>,
) -> Result<NumberedStream> {
    let reader = DataReader::open(files, location, bytes).await?;
    let columns = columns.map(|columns| {
        columns
            .iter()
            .filter_map(|name| reader.schema().index_of(name).ok())
            .collect()
    });
    reader.read(columns, None)
}

/// Which rows of a part stay.
pub(super) trait Kept: Send + Sync {
    /// For the rows `first..first + count`.
    fn mask(&self, first: u64, count: usize) -> BooleanArray;
}

/// How a part is written anew.
pub(super) struct Rewriting<'a> {
    pub load: &'a LoadContext,
    /// Columns of the rows as they were written.
    pub from: Vec<ColumnField>,
    pub to: &'a [ColumnField],
    pub kept: &'a dyn Kept,
    /// Version of the schema that the rows have afterwards.
    pub schema_version: u32,
}

impl Rewriting<'_> {
    /// The parts that stand for `part`; none where no row stays.
    pub(super) async fn run(
        &self,
        files: &TableFiles,
        original: &Part,
        details: &FileDetails,
        mut writer: FileWriter,
    ) -> Result<Vec<Part>> {
        let plain = arrow_schema(&self.from);
        let widened = Conform::new(&self.from, self.to, self.load)?;
        let mut stored = read(files, &details.location, original.bytes, None).await?;
        let origins = origins(original);
        while let Some(rows) = stored.try_next().await? {
            let first = rows.first_row;
            let batch = conform(&rows.batch, &plain)?;
            for (rows, origin) in split(&origins, first, batch.num_rows()) {
                let slice = batch.slice(rows.start, rows.len());
                let mask = self.kept.mask(first + rows.start as u64, rows.len());
                let slice = filter(&slice, &mask)?;
                if slice.num_rows() > 0 {
                    writer.write(&widened.apply(&slice)?, origin).await?;
                }
            }
        }
        writer
            .seal()
            .await?
            .into_iter()
            .map(|(sealed, details)| {
                part(
                    sealed,
                    &details,
                    self.load,
                    &original.input,
                    original.attempt,
                    self.schema_version,
                )
            })
            .collect()
    }
}

pub(super) fn filter(batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
    if mask.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    filter_record_batch(batch, mask).map_err(IcebergError::arrow("leave rows out"))
}

/// Whose rows stand where.
fn origins(part: &Part) -> Vec<(Range<u64>, RowOrigin)> {
    let mut end = 0;
    part.segments
        .iter()
        .map(|segment| {
            let start = end;
            end += segment.rows;
            let origin = RowOrigin {
                chain: segment.chain,
                generation: segment.generation,
            };
            (start..end, origin)
        })
        .collect()
}

/// The pieces of a batch that are of one origin each, as ranges within the batch.
fn split(
    origins: &[(Range<u64>, RowOrigin)],
    first: u64,
    count: usize,
) -> Vec<(Range<usize>, RowOrigin)> {
    let end = first + count as u64;
    origins
        .iter()
        .filter_map(|(rows, origin)| {
            let (from, to) = (rows.start.max(first), rows.end.min(end));
            let within = |row: u64| usize::try_from(row - first).unwrap_or(count);
            (from < to).then(|| (within(from)..within(to), *origin))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_where_the_origin_changes() {
        let origin = |chain| RowOrigin {
            chain,
            generation: 0,
        };
        let origins = [(0..3, origin(0)), (3..10, origin(1)), (10..11, origin(0))];
        let pieces: Vec<_> = split(&origins, 2, 5)
            .into_iter()
            .map(|(rows, origin)| (rows, origin.chain))
            .collect();
        assert_eq!(pieces, [(0..1, 0), (1..5, 1)]);
        assert!(split(&origins, 11, 4).is_empty());
    }
}
