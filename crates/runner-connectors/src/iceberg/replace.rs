//! What a replace takes away: every file of the table, or those of the partitions that it names.

use std::cmp::Ordering;
use std::collections::HashSet;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};
use iceberg::spec::{
    Literal, ManifestFile, PartitionField, PartitionSpec, PrimitiveLiteral, PrimitiveType, Schema,
    Struct, TableMetadata, Transform, Type,
};
use runner_core::LoadContext;
use runner_spec::model::WriteMode;

use super::catalog::LoadedTable;
use super::error::{IcebergError, Result};
use super::manifests::AddedFile;
use super::scan::{LiveFile, live_files};
use super::target::IcebergTarget;

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Files that a replace takes away.
pub(super) struct Replaced {
    pub locations: HashSet<String>,
    pub rows: u64,
    pub is_whole_table: bool,
}

/// Whether the partitions that the load replaces can be told at all.
pub(super) fn check(metadata: &TableMetadata, load: &LoadContext) -> Result<()> {
    if load.plan.write_mode != WriteMode::Replace || load.plan.replace_scope.is_empty() {
        return Ok(());
    }
    let spec = metadata.default_partition_spec();
    let schema = metadata.current_schema();
    for name in &load.plan.replace_scope {
        scope_field(spec, schema, name, &load.plan.table)?;
    }
    for bound in &load.replace_bounds {
        Window::new(bound, spec, schema, &load.plan.table)?;
    }
    Ok(())
}

impl IcebergTarget {
    pub(super) async fn replaced(
        &self,
        table: &LoadedTable,
        current: &[ManifestFile],
        load: &LoadContext,
        added: &[AddedFile],
    ) -> Result<Replaced> {
        let files = live_files(&self.files_of(table), current, &[]).await?;
        let is_whole_table = load.plan.replace_scope.is_empty();
        let metadata = &table.metadata;
        let mut replaced = Replaced {
            locations: HashSet::new(),
            rows: 0,
            is_whole_table,
        };
        let scope = if is_whole_table {
            None
        } else {
            Some(Scope::new(load, metadata, added)?)
        };
        for file in files {
            let goes = match &scope {
                None => true,
                Some(scope) => scope.has(&file)?,
            };
            if goes {
                replaced.rows += file.rows;
                replaced.locations.insert(file.location);
            }
        }
        Ok(replaced)
    }
}

/// The partitions that a load replaces.
enum Scope<'a> {
    /// Those within windows.
    Windows {
        windows: Vec<Window<'a>>,
        spec: &'a PartitionSpec,
        table: &'a str,
    },
    /// Those that the load has rows in.
    Loaded {
        positions: Vec<usize>,
        values: HashSet<Vec<Option<Literal>>>,
        spec: &'a PartitionSpec,
        table: &'a str,
    },
}

impl<'a> Scope<'a> {
    fn new(
        load: &'a LoadContext,
        metadata: &'a TableMetadata,
        added: &[AddedFile],
    ) -> Result<Self> {
        let spec = metadata.default_partition_spec().as_ref();
        let schema = metadata.current_schema();
        let table = load.plan.table.as_str();
        if !load.replace_bounds.is_empty() {
            let windows = load
                .replace_bounds
                .iter()
                .map(|bound| Window::new(bound, spec, schema, table))
                .collect::<Result<_>>()?;
            return Ok(Self::Windows {
                windows,
                spec,
                table,
            });
        }
        let positions = load
            .plan
            .replace_scope
            .iter()
            .map(|name| scope_field(spec, schema, name, table).map(|(position, _)| position))
            .collect::<Result<Vec<_>>>()?;
        let values = added
            .iter()
            .filter(|added| added.spec_id == spec.spec_id())
            .map(|added| tuple(added.file.partition(), &positions))
            .collect();
        Ok(Self::Loaded {
            positions,
            values,
            spec,
            table,
        })
    }

    fn has(&self, file: &LiveFile) -> Result<bool> {
        let (Self::Windows { spec, table, .. } | Self::Loaded { spec, table, .. }) = self;
        if file.spec_id != spec.spec_id() {
            return Err(IcebergError::unsupported(
                format!(
                    "the file `{}` of the table `{table}` was written under an earlier partition spec, so that its partition can't be replaced",
                    file.location
                ),
                "rewrite the table's data files under its current spec (`rewrite_data_files`), or replace the whole table",
            ));
        }
        match self {
            Self::Loaded {
                positions, values, ..
            } => Ok(values.contains(&tuple(&file.partition, positions))),
            Self::Windows { windows, .. } => {
                for window in windows {
                    if !window.covers(file)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

fn tuple(partition: &Struct, positions: &[usize]) -> Vec<Option<Literal>> {
    positions
        .iter()
        .map(|position| partition.fields().get(*position).cloned().flatten())
        .collect()
}

/// The partition field that a name of replace_scope means: the field's own, or its column's.
fn scope_field<'a>(
    spec: &'a PartitionSpec,
    schema: &Schema,
    name: &str,
    table: &str,
) -> Result<(usize, &'a PartitionField)> {
    spec.fields()
        .iter()
        .enumerate()
        .find(|(_, field)| {
            field.name == name || schema.name_by_field_id(field.source_id) == Some(name)
        })
        .ok_or_else(|| {
            IcebergError::conflict(
                format!(
                    "the table `{table}` isn't partitioned by `{name}`, which replace_scope names"
                ),
                "name partition columns of the table in replace_scope",
            )
        })
}

/// A half-open range of a column's values, and the partition field made of the column.
struct Window<'a> {
    position: usize,
    transform: Transform,
    /// The column holds dates: each is a day long.
    is_date: bool,
    from: PrimitiveLiteral,
    to: PrimitiveLiteral,
    column: &'a str,
    table: &'a str,
}

impl<'a> Window<'a> {
    fn new(
        bound: &'a (String, String, String),
        spec: &'a PartitionSpec,
        schema: &Schema,
        table: &'a str,
    ) -> Result<Self> {
        let (column, from, to) = bound;
        let (position, field) = scope_field(spec, schema, column, table)?;
        let source = schema
            .field_by_id(field.source_id)
            .map(|field| field.field_type.as_ref());
        let Some(Type::Primitive(source)) = source else {
            return Err(IcebergError::Broken(format!(
                "the partition column `{column}` is none"
            )));
        };
        let is_ordered = matches!(
            field.transform,
            Transform::Identity
                | Transform::Year
                | Transform::Month
                | Transform::Day
                | Transform::Hour
        );
        if !is_ordered {
            return Err(IcebergError::conflict(
                format!(
                    "`{column}` partitions the table `{table}` by {}, of which no window covers a part whole",
                    field.transform
                ),
                "replace by a column that partitions the table by its values, or by year, month, day or hour",
            ));
        }
        let parse = |text: &str| {
            parse(text, source).ok_or_else(|| {
                IcebergError::conflict(
                    format!(
                        "the window's bound `{text}` is no value of `{column}`, which is {source}"
                    ),
                    "partition the table by the column that the windows are made of",
                )
            })
        };
        Ok(Self {
            position,
            transform: field.transform,
            is_date: *source == PrimitiveType::Date,
            from: parse(from)?,
            to: parse(to)?,
            column,
            table,
        })
    }

    /// Whether the file's partition lies in the window. One that the window cuts can't be replaced: rows outside would go too.
    fn covers(&self, file: &LiveFile) -> Result<bool> {
        let value = file
            .partition
            .fields()
            .get(self.position)
            .cloned()
            .flatten();
        let Some(Literal::Primitive(value)) = value else {
            return Ok(false);
        };
        let Some((least, end)) = span(self.transform, &value, self.is_date) else {
            return Err(IcebergError::Broken(format!(
                "the partition of `{}` has a value of another type than its column",
                file.location
            )));
        };
        let below = |left: &PrimitiveLiteral, right: &PrimitiveLiteral| {
            left.partial_cmp(right).unwrap_or(Ordering::Equal) == Ordering::Less
        };
        let begins_inside = !below(&least, &self.from) && below(&least, &self.to);
        let ends_inside = match &end {
            // A single value ends where it begins.
            None => begins_inside,
            Some(end) => !below(&self.to, end) && below(&self.from, end),
        };
        if begins_inside && ends_inside {
            return Ok(true);
        }
        let is_cut = begins_inside
            || ends_inside
            || end
                .as_ref()
                .is_some_and(|end| below(&least, &self.from) && below(&self.to, end));
        if !is_cut {
            return Ok(false);
        }
        Err(IcebergError::conflict(
            format!(
                "the window covers only a part of a partition by `{}` of the table `{}`, which the load is to replace",
                self.column, self.table
            ),
            "let the windows begin and end where partitions do",
        ))
    }
}

/// First value of a partition, and the first after it; none for a single value. Dates and times are microseconds.
fn span(
    transform: Transform,
    value: &PrimitiveLiteral,
    is_date: bool,
) -> Option<(PrimitiveLiteral, Option<PrimitiveLiteral>)> {
    let number = match (transform, value) {
        (Transform::Identity, PrimitiveLiteral::Int(number)) if is_date => *number,
        (Transform::Identity, value) => return Some((value.clone(), None)),
        (_, PrimitiveLiteral::Int(number)) => *number,
        _ => return None,
    };
    let (first, next) = match transform {
        Transform::Hour => {
            let micros = i64::from(number).checked_mul(MICROS_PER_HOUR)?;
            (micros, micros.checked_add(MICROS_PER_HOUR)?)
        }
        Transform::Identity | Transform::Day => (
            midnight(day(number)?)?,
            midnight(day(number.checked_add(1)?)?)?,
        ),
        Transform::Month => (
            midnight(month(number)?)?,
            midnight(month(number.checked_add(1)?)?)?,
        ),
        Transform::Year => (
            midnight(month(number.checked_mul(12)?)?)?,
            midnight(month(number.checked_add(1)?.checked_mul(12)?)?)?,
        ),
        _ => return None,
    };
    Some((
        PrimitiveLiteral::Long(first),
        Some(PrimitiveLiteral::Long(next)),
    ))
}

fn midnight(date: NaiveDate) -> Option<i64> {
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

fn day(number: i32) -> Option<NaiveDate> {
    let distance = Days::new(u64::from(number.unsigned_abs()));
    if number < 0 {
        NaiveDate::default().checked_sub_days(distance)
    } else {
        NaiveDate::default().checked_add_days(distance)
    }
}

fn month(number: i32) -> Option<NaiveDate> {
    let year = 1970_i32.checked_add(number.div_euclid(12))?;
    let month = u32::try_from(number.rem_euclid(12)).ok()? + 1;
    NaiveDate::from_ymd_opt(year, month, 1)
}

/// A bound, written as cursors are.
fn parse(text: &str, source: &PrimitiveType) -> Option<PrimitiveLiteral> {
    Some(match source {
        PrimitiveType::Int => PrimitiveLiteral::Int(text.parse().ok()?),
        PrimitiveType::Long => PrimitiveLiteral::Long(text.parse().ok()?),
        PrimitiveType::String => PrimitiveLiteral::String(text.to_owned()),
        PrimitiveType::Date | PrimitiveType::Timestamp | PrimitiveType::Timestamptz => {
            PrimitiveLiteral::Long(moment(text)?.and_utc().timestamp_micros())
        }
        _ => return None,
    })
}

fn moment(text: &str) -> Option<NaiveDateTime> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.naive_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, format) {
            return Some(moment);
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()?
        .and_hms_opt(0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * MICROS_PER_HOUR;

    #[test]
    fn partitions_span_what_their_transform_says() {
        for (transform, value, is_date, least, end) in [
            (Transform::Day, 1, false, DAY, 2 * DAY),
            (Transform::Day, -1, false, -DAY, 0),
            (Transform::Month, 1, false, 31 * DAY, 59 * DAY),
            (Transform::Month, -1, true, -31 * DAY, 0),
            (Transform::Year, 1, false, 365 * DAY, 730 * DAY),
            (Transform::Identity, 3, true, 3 * DAY, 4 * DAY),
            (
                Transform::Hour,
                25,
                false,
                25 * MICROS_PER_HOUR,
                26 * MICROS_PER_HOUR,
            ),
        ] {
            assert_eq!(
                span(transform, &PrimitiveLiteral::Int(value), is_date),
                Some((
                    PrimitiveLiteral::Long(least),
                    Some(PrimitiveLiteral::Long(end))
                )),
                "{transform} {value}"
            );
        }
        let number = PrimitiveLiteral::Int(3);
        assert_eq!(
            span(Transform::Identity, &number, false),
            Some((number, None))
        );
    }

    #[test]
    fn bounds_are_read_as_cursors_are_written() {
        let midnight = PrimitiveLiteral::Long(19_723 * DAY);
        for text in [
            "2024-01-01",
            "2024-01-01 00:00:00",
            "2024-01-01T00:00:00Z",
            "2024-01-01T01:00:00+01:00",
        ] {
            for source in [PrimitiveType::Date, PrimitiveType::Timestamptz] {
                assert_eq!(parse(text, &source), Some(midnight.clone()), "{text}");
            }
        }
        assert_eq!(parse("x", &PrimitiveType::Long), None);
    }
}
