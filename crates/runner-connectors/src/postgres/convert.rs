//! How a staged value becomes the table's, as SQL; what would lose something is refused or checked before.

use runner_plan::model::{ColumnField, ColumnType};

use super::types::{Form, StoredType, sql_type};
use crate::table::widen::is_wider;

/// How values of a column get into a column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// Every value fits.
    Safe(Cast),
    /// A value that doesn't come back as it was doesn't fit.
    Checked(Cast),
    /// The table's column has to become wider first.
    Alter,
    Conflict,
}

/// What is done to the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    None,
    /// `value::type`.
    To(String),
    /// An instant without its zone, in UTC.
    Utc,
    /// Any value as JSON.
    Json(String),
}

impl Cast {
    pub(super) fn apply(&self, value: &str) -> String {
        match self {
            Self::None => value.to_owned(),
            Self::To(sql_type) => format!("({value})::{sql_type}"),
            Self::Utc => format!("({value} AT TIME ZONE 'UTC')"),
            Self::Json(sql_type) => format!("to_jsonb({value})::{sql_type}"),
        }
    }
}

/// From a column of the rows to a column that the table has.
pub(super) fn conversion(column: &ColumnType, stored: &StoredType) -> Conversion {
    use ColumnType as T;
    let to = || Cast::To(stored.shown.clone());
    let form = Form::of(column);
    if stored.is_array {
        return array_conversion(&form, column, stored);
    }
    match (column, stored.name.as_str()) {
        (T::Boolean, "bool")
        | (T::Integer, "int8")
        | (T::Number, "float8")
        | (T::String, "text" | "citext")
        | (T::Date, "date")
        | (T::Timestamp, "timestamptz")
        | (T::Time, "time")
        | (T::Uuid, "uuid")
        | (T::Binary, "bytea")
        | (T::Json | T::Struct(_), "jsonb") => Conversion::Safe(Cast::None),
        (T::List(_), "jsonb") if form == Form::Nested => Conversion::Safe(Cast::None),
        (T::List(_), "json" | "jsonb") => Conversion::Safe(Cast::Json(stored.name.clone())),
        (T::Timestamp, "timestamp") | (T::Date, "timestamptz") => Conversion::Safe(Cast::Utc),
        (T::Json | T::Struct(_), "json" | "text")
        | (T::Uuid, "text")
        | (T::Date, "timestamp")
        // The column's owner chose single precision.
        | (T::Number, "float4") => Conversion::Safe(to()),
        (T::Integer | T::Decimal { .. }, "int2" | "int4" | "int8" | "float8")
        | (T::String | T::Uuid, "varchar" | "bpchar") => Conversion::Checked(to()),
        (T::Integer | T::Decimal { .. }, "numeric") => numeric_conversion(column, stored),
        (column, _) => match stored.column_type() {
            Some(old) if can_alter(&old, column) => Conversion::Alter,
            _ => Conversion::Conflict,
        },
    }
}

fn numeric_conversion(column: &ColumnType, stored: &StoredType) -> Conversion {
    let cast = Cast::To(stored.shown.clone());
    let (digits, scale) = match column {
        ColumnType::Decimal { precision, scale } => {
            (i16::from(*precision) - i16::from(*scale), i16::from(*scale))
        }
        _ => (19, 0),
    };
    match stored.numeric() {
        None => Conversion::Safe(Cast::None),
        Some((precision, kept)) => {
            let whole = i16::try_from(precision).unwrap_or(i16::MAX) - kept;
            if whole >= digits && kept >= scale {
                Conversion::Safe(cast)
            } else {
                Conversion::Checked(cast)
            }
        }
    }
}

fn array_conversion(form: &Form, column: &ColumnType, stored: &StoredType) -> Conversion {
    let same = stored
        .column_type()
        .is_some_and(|stored| sql_type(&stored) == sql_type(column));
    match form {
        Form::Array(_) if same => Conversion::Safe(Cast::To(stored.shown.clone())),
        _ => Conversion::Conflict,
    }
}

/// Whether a column of an existing table may change from one type to another.
pub(super) fn can_alter(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType as T;
    match (from, to) {
        (T::Integer, T::Number | T::Decimal { .. } | T::String)
        | (T::Boolean | T::Decimal { .. } | T::Date | T::Uuid, T::String) => true,
        (T::Decimal { .. }, T::Decimal { .. }) => is_wider(from, to),
        _ => false,
    }
}

/// Whether a column of this type takes another's values without becoming another.
pub(super) fn is_same_here(stored: &ColumnType, column: &ColumnType) -> bool {
    sql_type(stored) == sql_type(column)
}

/// A staged value in the type that its column has now, which is wider or the same.
pub(super) fn widened(value: &str, from: &ColumnType, to: &ColumnType) -> String {
    use ColumnType as T;
    if sql_type(from) == sql_type(to) {
        return value.to_owned();
    }
    match (from, to) {
        (_, T::Json | T::Struct(_)) => format!("to_jsonb({value})"),
        (T::Date, T::Timestamp) => format!("({value}::timestamp AT TIME ZONE 'UTC')"),
        (T::Timestamp, T::String) => format!(
            "regexp_replace(to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '[.]000000$', '') || 'Z'"
        ),
        _ => format!("({value})::{}", sql_type(to)),
    }
}

/// Columns in both lists, by name.
pub(super) fn find<'a>(columns: &'a [ColumnField], name: &str) -> Option<&'a ColumnField> {
    columns.iter().find(|column| column.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, modifier: i32, shown: &str) -> StoredType {
        StoredType {
            name: name.to_owned(),
            modifier,
            is_array: false,
            shown: shown.to_owned(),
        }
    }

    fn safe(cast: &str) -> Conversion {
        Conversion::Safe(Cast::To(cast.to_owned()))
    }

    fn checked(cast: &str) -> Conversion {
        Conversion::Checked(Cast::To(cast.to_owned()))
    }

    fn cases() -> Vec<(ColumnType, StoredType, Conversion)> {
        let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
        let numeric = stored("numeric", (10 << 16 | 2) + 4, "numeric(10,2)");
        vec![
            (
                ColumnType::Integer,
                stored("int8", -1, "bigint"),
                Conversion::Safe(Cast::None),
            ),
            (
                ColumnType::Integer,
                stored("int4", -1, "integer"),
                checked("integer"),
            ),
            (decimal(10, 2), numeric.clone(), safe("numeric(10,2)")),
            (decimal(12, 4), numeric.clone(), checked("numeric(10,2)")),
            (
                ColumnType::Integer,
                numeric.clone(),
                checked("numeric(10,2)"),
            ),
            (
                ColumnType::Integer,
                stored("numeric", -1, "numeric"),
                Conversion::Safe(Cast::None),
            ),
            (
                ColumnType::Number,
                stored("int8", -1, "bigint"),
                Conversion::Alter,
            ),
            (
                ColumnType::String,
                stored("int8", -1, "bigint"),
                Conversion::Alter,
            ),
            (
                ColumnType::String,
                stored("timestamptz", -1, "timestamp with time zone"),
                Conversion::Conflict,
            ),
            (
                ColumnType::Date,
                stored("text", -1, "text"),
                Conversion::Conflict,
            ),
            (
                ColumnType::String,
                stored("inet", -1, "inet"),
                Conversion::Conflict,
            ),
            (
                ColumnType::String,
                stored("varchar", 24, "character varying(20)"),
                checked("character varying(20)"),
            ),
            (
                ColumnType::Timestamp,
                stored("timestamp", -1, "timestamp"),
                Conversion::Safe(Cast::Utc),
            ),
        ]
    }

    #[test]
    fn only_what_keeps_every_value_is_safe() {
        for (column, stored, expected) in cases() {
            assert_eq!(
                conversion(&column, &stored),
                expected,
                "{column} into {}",
                stored.shown
            );
        }
    }
}
