//! Which partitions of a folder a replace takes away.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, NaiveDate};
use runner_core::{Error, ErrorKind, LoadContext, Result, Retry};
use runner_plan::arrow::arrow_type;
use runner_plan::model::{ColumnField, ColumnType, PartitionTransform};

use super::layout;
use crate::partition::folder_value;

/// The partitions that a replace covers.
pub(super) enum Scope {
    Everything,
    /// Partitions with one of these values in the scope's columns.
    Values {
        names: Vec<String>,
        values: BTreeSet<Vec<String>>,
    },
    /// Partitions within bounds.
    Windows(Vec<Window>),
}

/// Bounds of one partition column, half-open.
pub(super) struct Window {
    name: String,
    column: ColumnField,
    transform: PartitionTransform,
    from: String,
    to: String,
}

impl Scope {
    /// `incoming` are the folders of the load's own files.
    pub(super) fn new<'a>(
        load: &LoadContext,
        incoming: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let plan = &load.plan;
        if plan.replace_scope.is_empty() {
            return Ok(Self::Everything);
        }
        if !load.replace_bounds.is_empty() {
            let windows = load
                .replace_bounds
                .iter()
                .map(|(column, from, to)| Window::new(load, column, from, to))
                .collect::<Result<_>>()?;
            return Ok(Self::Windows(windows));
        }
        let names = plan
            .replace_scope
            .iter()
            .map(|column| Ok(partition_of(load, column)?.0))
            .collect::<Result<Vec<_>>>()?;
        let values = incoming.map(|folder| values_of(folder, &names)).collect();
        Ok(Self::Values { names, values })
    }

    /// Whether rows of this folder are replaced.
    pub(super) fn covers(&self, folder: &str) -> Result<bool> {
        match self {
            Self::Everything => Ok(true),
            Self::Values { names, values } => Ok(values.contains(&values_of(folder, names))),
            Self::Windows(windows) => {
                for window in windows {
                    if !window.covers(folder)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// Name and transform of the partition that a column of the scope means.
fn partition_of(load: &LoadContext, column: &str) -> Result<(String, String, PartitionTransform)> {
    load.plan
        .partitions
        .iter()
        .find(|partition| partition.name == column || partition.column == column)
        .map(|partition| {
            (
                partition.name.clone(),
                partition.column.clone(),
                partition.transform,
            )
        })
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Spec,
                format!(
                    "`replace_scope` names `{column}`, by which `{}` isn't partitioned",
                    load.plan.table
                ),
            )
        })
}

fn values_of(folder: &str, names: &[String]) -> Vec<String> {
    names
        .iter()
        .map(|name| value_of(folder, name).unwrap_or_default().to_owned())
        .collect()
}

fn value_of<'a>(folder: &'a str, name: &str) -> Option<&'a str> {
    layout::pairs(folder)
        .find(|(key, _)| percent_encoding::percent_decode_str(key).decode_utf8_lossy() == name)
        .map(|(_, value)| value)
}

impl Window {
    fn new(load: &LoadContext, column: &str, from: &str, to: &str) -> Result<Self> {
        let (name, source, transform) = partition_of(load, column)?;
        let column = load
            .columns
            .iter()
            .find(|known| known.name == source)
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Spec,
                    format!("partition column `{source}` is no column of the table"),
                )
            })?;
        Ok(Self {
            name,
            column,
            transform,
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }

    /// Whether the partition lies in the window as a whole.
    fn covers(&self, folder: &str) -> Result<bool> {
        let Some(value) = value_of(folder, &self.name) else {
            return Ok(false);
        };
        match (self.transform, &self.column.column_type) {
            (
                PartitionTransform::Year
                | PartitionTransform::Month
                | PartitionTransform::Day
                | PartitionTransform::Hour,
                _,
            )
            | (PartitionTransform::Identity, ColumnType::Date | ColumnType::Timestamp) => {
                let Some((start, end)) = span(value, self.transform) else {
                    return Ok(false);
                };
                let (from, to) = (self.bound(&self.from)?, self.bound(&self.to)?);
                if start < from && end > from || start < to && end > to {
                    return Err(self.refused(value));
                }
                Ok(start >= from && end <= to)
            }
            (PartitionTransform::Identity, column_type) => self.covers_value(value, column_type),
            (PartitionTransform::Bucket(_) | PartitionTransform::Truncate(_), _) => {
                Err(self.refused(value))
            }
        }
    }

    fn covers_value(&self, value: &str, column_type: &ColumnType) -> Result<bool> {
        let data_type = arrow_type(column_type);
        let value = folder_value(value, &data_type)?;
        if value.is_null(0) {
            return Ok(false);
        }
        let texts = [self.from.as_str(), self.to.as_str()];
        let bounds = arrow::compute::cast(&StringArray::from(texts.to_vec()), &data_type)
            .map_err(|error| self.unusable().with_source(error))?;
        let converter = RowConverter::new(vec![SortField::new(data_type)])
            .map_err(|error| self.unusable().with_source(error))?;
        let encode = |array: ArrayRef| {
            converter
                .convert_columns(&[array])
                .map_err(|error| self.unusable().with_source(error))
        };
        let (value, bounds) = (encode(value)?, encode(bounds)?);
        Ok(value.row(0) >= bounds.row(0) && value.row(0) < bounds.row(1))
    }

    fn bound(&self, text: &str) -> Result<i64> {
        instant(text).ok_or_else(|| self.unusable())
    }

    fn unusable(&self) -> Error {
        Error::new(
            ErrorKind::Spec,
            format!(
                "`{}` to `{}` is no window of partition `{}`",
                self.from, self.to, self.name
            ),
        )
    }

    fn refused(&self, value: &str) -> Error {
        Error::new(
            ErrorKind::Spec,
            format!(
                "the window from `{}` to `{}` doesn't cover partition `{}={value}` whole",
                self.from, self.to, self.name
            ),
        )
        .with_retry(Retry::Never)
        .with_help("replace whole partitions: choose a window that begins and ends where they do")
    }
}

/// Microseconds of a date or a date-time.
fn instant(text: &str) -> Option<i64> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_micros());
    }
    let plain = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    for format in plain {
        if let Ok(moment) = chrono::NaiveDateTime::parse_from_str(text, format) {
            return Some(moment.and_utc().timestamp_micros());
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()?
        .and_hms_opt(0, 0, 0)
        .map(|moment| moment.and_utc().timestamp_micros())
}

/// The time that a partition's value stands for, half-open.
fn span(value: &str, transform: PartitionTransform) -> Option<(i64, i64)> {
    const HOUR: i64 = 3_600_000_000;
    let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    let date = |text: &str| instant(text);
    match transform {
        PartitionTransform::Year => {
            let year: i32 = text.parse().ok()?;
            Some((
                date(&format!("{year:04}-01-01"))?,
                date(&format!("{:04}-01-01", year + 1))?,
            ))
        }
        PartitionTransform::Month => {
            let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok()?;
            let next = first.checked_add_months(chrono::Months::new(1))?;
            Some((date(&first.to_string())?, date(&next.to_string())?))
        }
        PartitionTransform::Hour => {
            let (day, hour) = text.rsplit_once('-')?;
            let start = date(day)? + hour.parse::<i64>().ok()? * HOUR;
            Some((start, start + HOUR))
        }
        PartitionTransform::Day => {
            let start = date(&text)?;
            Some((start, start + 24 * HOUR))
        }
        // A date is a day long; an instant has no length.
        _ => {
            let start = date(&text)?;
            let is_date = text.len() <= 10;
            Some((start, start + if is_date { 24 * HOUR } else { 1 }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_span_the_time_that_they_are_named_by() {
        let hour = 3_600_000_000;
        let cases = [
            ("1970", PartitionTransform::Year, 0, 365 * 24 * hour),
            ("1970-01", PartitionTransform::Month, 0, 31 * 24 * hour),
            ("1970-01-02", PartitionTransform::Day, 24 * hour, 48 * hour),
            (
                "1970-01-01-05",
                PartitionTransform::Hour,
                5 * hour,
                6 * hour,
            ),
            (
                "1970-01-02",
                PartitionTransform::Identity,
                24 * hour,
                48 * hour,
            ),
        ];
        for (value, transform, start, end) in cases {
            assert_eq!(span(value, transform), Some((start, end)), "{value}");
        }
        assert_eq!(
            span("__HIVE_DEFAULT_PARTITION__", PartitionTransform::Day),
            None
        );
    }
}
