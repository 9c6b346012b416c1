//! Columns that the runner adds to the rows of a load: load id, seq, partition columns.

use std::sync::Arc;

use arrow::array::Date32Array;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono::{DateTime, Datelike, Timelike, Utc};
use runner_core::commit::{AddedValue, added_columns};
use runner_core::{Error, ErrorKind, LoadId, Result, Seq};
use runner_plan::model::{AddedColumn, ColumnField, DateTimePart, LoadPlan};

/// Adds a load's own columns to batches.
#[derive(Clone, Debug)]
pub(crate) struct Additions {
    load: LoadPlan,
    load_id: LoadId,
    seq: Seq,
    nominal_time: DateTime<Utc>,
}

impl Additions {
    pub(crate) fn new(load: &LoadPlan, id: &LoadId, seq: Seq, nominal_time: DateTime<Utc>) -> Self {
        Self {
            load: load.clone(),
            load_id: id.clone(),
            seq,
            nominal_time,
        }
    }

    /// The batch with the added columns; `columns` is what `table_columns` makes of its own, and `schema` theirs, which all batches
    /// share: many of one row each may wait to be written. Rows that another run has read keep that run's number.
    pub(crate) fn apply(
        &self,
        batch: &RecordBatch,
        columns: &[ColumnField],
        schema: &SchemaRef,
        read_by: Option<Seq>,
    ) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
        let own = &columns[..batch.num_columns()];
        for (_, value) in added_columns(&self.load, own) {
            arrays.push(self.array(value, batch, read_by)?);
        }
        RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to add columns to a batch").with_source(error)
        })
    }

    fn array(
        &self,
        value: AddedValue<'_>,
        batch: &RecordBatch,
        read_by: Option<Seq>,
    ) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        Ok(match value {
            AddedValue::Time(AddedColumn::RunDate { .. }) => {
                Arc::new(Date32Array::from_value(days(self.nominal_time), rows))
            }
            AddedValue::Time(AddedColumn::RunTime { .. }) => Arc::new(
                TimestampMicrosecondArray::from_value(self.nominal_time.timestamp_micros(), rows)
                    .with_timezone("UTC"),
            ),
            AddedValue::Time(AddedColumn::Part { of, part, .. }) => {
                self.part(of.as_deref(), *part, batch)?
            }
            AddedValue::LoadId => {
                let id = self.load_id.to_string();
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    id.as_str(),
                    rows,
                )))
            }
            AddedValue::Seq => {
                let seq = read_by.unwrap_or(self.seq);
                let seq = i64::try_from(seq.0).unwrap_or(i64::MAX);
                Arc::new(Int64Array::from_value(seq, rows))
            }
        })
    }

    fn part(&self, of: Option<&str>, part: DateTimePart, batch: &RecordBatch) -> Result<ArrayRef> {
        let Some(array) = of.and_then(|name| batch.column_by_name(name)) else {
            return Ok(self.run_part(part, batch.num_rows()));
        };
        let failed = |error| {
            Error::new(
                ErrorKind::Internal,
                "failed to take a partition column from a date-time",
            )
            .with_source(error)
        };
        if part == DateTimePart::Date {
            return cast(array, &DataType::Date32).map_err(failed);
        }
        let parts = match part {
            DateTimePart::Year => DatePart::Year,
            DateTimePart::Month => DatePart::Month,
            DateTimePart::Day => DatePart::Day,
            DateTimePart::Hour | DateTimePart::Date => DatePart::Hour,
        };
        // Parts of a date-time with a zone would be taken in that zone; naive microseconds are UTC's.
        let naive =
            cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(failed)?;
        let values = date_part(naive.as_ref(), parts).map_err(failed)?;
        cast(&values, &DataType::Int64).map_err(failed)
    }

    fn run_part(&self, part: DateTimePart, rows: usize) -> ArrayRef {
        let at = self.nominal_time;
        let number =
            |value: u32| -> ArrayRef { Arc::new(Int64Array::from_value(i64::from(value), rows)) };
        match part {
            DateTimePart::Date => Arc::new(Date32Array::from_value(days(at), rows)),
            DateTimePart::Year => Arc::new(Int64Array::from_value(i64::from(at.year()), rows)),
            DateTimePart::Month => number(at.month()),
            DateTimePart::Day => number(at.day()),
            DateTimePart::Hour => number(at.hour()),
        }
    }
}

fn days(at: DateTime<Utc>) -> i32 {
    const SECONDS_PER_DAY: i64 = 86_400;
    i32::try_from(at.timestamp().div_euclid(SECONDS_PER_DAY)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;
    use runner_core::JobId;
    use runner_core::commit::{LOAD_ID_COLUMN, SEQ_COLUMN, table_columns};
    use runner_plan::arrow::arrow_schema;
    use runner_plan::model::ColumnType;
    use runner_spec::model::WriteMode;
    use runner_testkit::plans;

    use super::*;

    #[test]
    fn parts_are_those_of_utc() {
        let at: DateTime<Utc> = "2026-01-31T23:59:59Z".parse().unwrap();
        let column = TimestampMicrosecondArray::from(vec![Some(at.timestamp_micros()), None])
            .with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([("at", Arc::new(column) as ArrayRef)]).unwrap();
        let mut load: LoadPlan = serde_json::from_value(plans::load("orders")).unwrap();
        load.added = vec![AddedColumn::Part {
            name: "hour".to_owned(),
            of: Some("at".to_owned()),
            part: DateTimePart::Hour,
        }];
        load.load_columns = true;
        load.write_mode = WriteMode::Merge;
        let id = LoadId {
            job: JobId::new("job-1"),
            load: load.id.clone(),
        };
        let additions = Additions::new(&load, &id, Seq(7), at);
        let own = [ColumnField {
            name: "at".to_owned(),
            column_type: ColumnType::Timestamp,
            nullable: true,
        }];
        let columns = table_columns(&load, &own);
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["at", "hour", LOAD_ID_COLUMN, SEQ_COLUMN]);
        let schema = arrow_schema(&columns);
        let batch = additions.apply(&batch, &columns, &schema, None).unwrap();
        let hours = batch
            .column(1)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap();
        assert_eq!((hours.value(0), hours.is_null(1)), (23, true));
    }
}
