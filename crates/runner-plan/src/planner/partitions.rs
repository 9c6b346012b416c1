//! Partitions of a table, and the columns that the runner makes for them.

use runner_spec::{Code, FieldPath};

use super::findings::{Findings, did_you_mean, list};
use crate::model::{AddedColumn, ColumnType, DateTimePart, Partition, PartitionTransform};

/// The columns of a table as far as they are known before a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableColumns {
    pub(crate) columns: Vec<(String, Option<ColumnType>)>,
    /// Rows may have more.
    pub(crate) is_open: bool,
}

/// What `partition_by` makes of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partitioning {
    pub(crate) partitions: Vec<Partition>,
    pub(crate) added: Vec<AddedColumn>,
}

impl TableColumns {
    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|(column, _)| column == name)
    }

    /// The first date-time column, else the first date.
    fn first_time(&self) -> Option<&str> {
        let of = |wanted: &ColumnType| {
            let mut columns = self.columns.iter();
            columns
                .find(|(_, column_type)| column_type.as_ref() == Some(wanted))
                .map(|(name, _)| name.as_str())
        };
        of(&ColumnType::Timestamp).or_else(|| of(&ColumnType::Date))
    }
}

/// `is_declared` tells the table that `partition_by` was written for from those beside it, which take what they have.
pub(crate) fn build(
    partition_by: &[String],
    table: &TableColumns,
    is_declared: bool,
    path: &FieldPath,
    findings: &mut Findings,
) -> Partitioning {
    let mut made = Partitioning::default();
    for (index, text) in partition_by.iter().enumerate() {
        let path = path.index(index);
        let Some((transform, column)) = parse(text) else {
            findings.error(
                Code::BadPartition,
                &path,
                format!("`{text}` is no partition that can be written"),
                "write a column, `day(column)`, `bucket(16, column)` or `truncate(4, column)`",
            );
            continue;
        };
        if !table.has(&column) {
            if let Some(added) = added(&column, table) {
                if !made.added.contains(&added) {
                    made.added.push(added);
                }
            } else if !is_declared {
                continue;
            } else if !table.is_open {
                unknown(&column, table, &path, findings);
                continue;
            }
        }
        made.partitions.push(Partition {
            name: partition_name(&column, transform),
            column,
            transform,
        });
    }
    made
}

fn unknown(column: &str, table: &TableColumns, path: &FieldPath, findings: &mut Findings) {
    let known: Vec<&str> = table
        .columns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let made = [
        "ingestion_date",
        "ingested_at",
        "date",
        "year",
        "month",
        "day",
        "hour",
    ];
    findings.error(
        Code::PartitionUnknown,
        path,
        format!("`{column}` is no column of the table"),
        did_you_mean(
            column,
            known.iter().copied().chain(made),
            format!(
                "its columns are {}; {} are made where they aren't there",
                list(&known),
                list(&made)
            ),
        ),
    );
}

/// A column that is made where the rows have none of its name.
fn added(name: &str, table: &TableColumns) -> Option<AddedColumn> {
    let part = match name {
        "ingestion_date" => {
            return Some(AddedColumn::RunDate {
                name: name.to_owned(),
            });
        }
        "ingested_at" => {
            return Some(AddedColumn::RunTime {
                name: name.to_owned(),
            });
        }
        "date" => DateTimePart::Date,
        "year" => DateTimePart::Year,
        "month" => DateTimePart::Month,
        "day" => DateTimePart::Day,
        "hour" => DateTimePart::Hour,
        _ => return None,
    };
    Some(AddedColumn::Part {
        name: name.to_owned(),
        of: table.first_time().map(str::to_owned),
        part,
    })
}

fn partition_name(column: &str, transform: PartitionTransform) -> String {
    let suffix = match transform {
        PartitionTransform::Identity => return column.to_owned(),
        PartitionTransform::Year => "year",
        PartitionTransform::Month => "month",
        PartitionTransform::Day => "day",
        PartitionTransform::Hour => "hour",
        PartitionTransform::Bucket(_) => "bucket",
        PartitionTransform::Truncate(_) => "trunc",
    };
    format!("{column}_{suffix}")
}

/// `column`, `day(column)` or `bucket(16, column)`.
pub(crate) fn parse(text: &str) -> Option<(PartitionTransform, String)> {
    let text = text.trim();
    let Some((transform, arguments)) = text.split_once('(') else {
        return Some((PartitionTransform::Identity, text.to_owned()));
    };
    let arguments: Vec<&str> = arguments
        .strip_suffix(')')?
        .split(',')
        .map(str::trim)
        .collect();
    let transform = transform.trim().to_ascii_lowercase();
    let (transform, column) = match (transform.as_str(), arguments.as_slice()) {
        ("identity", [column]) => (PartitionTransform::Identity, column),
        ("year" | "years", [column]) => (PartitionTransform::Year, column),
        ("month" | "months", [column]) => (PartitionTransform::Month, column),
        ("day" | "days", [column]) => (PartitionTransform::Day, column),
        ("hour" | "hours", [column]) => (PartitionTransform::Hour, column),
        ("bucket", [count, column]) => (
            PartitionTransform::Bucket(count.parse().ok().filter(|count| *count > 0)?),
            column,
        ),
        ("truncate", [width, column]) => (
            PartitionTransform::Truncate(width.parse().ok().filter(|width| *width > 0)?),
            column,
        ),
        _ => return None,
    };
    (!column.is_empty()).then(|| (transform, (*column).to_owned()))
}

/// A partition as `plan` shows it.
pub(crate) fn text(partition: &Partition) -> String {
    let column = &partition.column;
    match partition.transform {
        PartitionTransform::Identity => column.clone(),
        PartitionTransform::Year => format!("year({column})"),
        PartitionTransform::Month => format!("month({column})"),
        PartitionTransform::Day => format!("day({column})"),
        PartitionTransform::Hour => format!("hour({column})"),
        PartitionTransform::Bucket(count) => format!("bucket({count}, {column})"),
        PartitionTransform::Truncate(width) => format!("truncate({width}, {column})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_back_as_shown() {
        for written in [
            "region",
            "year(at)",
            "month(at)",
            "day(at)",
            "hour(at)",
            "bucket(16, id)",
            "truncate(4, name)",
        ] {
            let (transform, column) = parse(written).expect(written);
            let partition = Partition {
                name: partition_name(&column, transform),
                column,
                transform,
            };
            assert_eq!(text(&partition), written);
        }
        for wrong in [
            "bucket(0, id)",
            "bucket(id)",
            "void(id)",
            "day(at",
            "day()",
            "day(a, b)",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
