//! Types: which of PostgreSQL's holds a column, and which column a type of an existing table is.

use runner_plan::model::{ColumnField, ColumnType};

/// How values travel in binary COPY. One for every type that a staging table can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Integer,
    Number,
    Numeric {
        scale: i8,
    },
    Text,
    Date,
    Timestamp,
    Time,
    Uuid,
    Binary,
    /// Text that is JSON.
    Json,
    /// Lists and structs that become JSON.
    Nested,
    Array(Box<Form>),
}

impl Form {
    pub(super) fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer => Self::Integer,
            ColumnType::Number => Self::Number,
            ColumnType::Decimal { scale, .. } => Self::Numeric { scale: *scale },
            ColumnType::String => Self::Text,
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp => Self::Timestamp,
            ColumnType::Time => Self::Time,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Binary => Self::Binary,
            ColumnType::Json => Self::Json,
            ColumnType::Struct(_) => Self::Nested,
            ColumnType::List(item) => match Self::of(&item.column_type) {
                // Arrays of arrays must be rectangular, which lists of lists aren't.
                Self::Array(_) | Self::Nested => Self::Nested,
                item => Self::Array(Box::new(item)),
            },
        }
    }

    /// The element type's object id, which arrays carry.
    pub(super) fn oid(&self) -> u32 {
        match self {
            Self::Boolean => 16,
            Self::Integer => 20,
            Self::Number => 701,
            Self::Numeric { .. } => 1700,
            Self::Text => 25,
            Self::Date => 1082,
            Self::Timestamp => 1184,
            Self::Time => 1083,
            Self::Uuid => 2950,
            Self::Binary => 17,
            Self::Json | Self::Nested | Self::Array(_) => 3802,
        }
    }
}

/// The type that a column gets in a table of the runner's making.
pub(super) fn sql_type(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Boolean => "boolean".to_owned(),
        ColumnType::Integer => "bigint".to_owned(),
        ColumnType::Number => "double precision".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::String => "text".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Timestamp => "timestamp with time zone".to_owned(),
        ColumnType::Time => "time without time zone".to_owned(),
        ColumnType::Uuid => "uuid".to_owned(),
        ColumnType::Binary => "bytea".to_owned(),
        ColumnType::Json | ColumnType::Struct(_) => "jsonb".to_owned(),
        ColumnType::List(item) => match Form::of(column_type) {
            Form::Array(_) => format!("{}[]", sql_type(&item.column_type)),
            _ => "jsonb".to_owned(),
        },
    }
}

/// A type of an existing table: its name without arguments (`numeric`, `int4`, `varchar`), and its modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredType {
    /// As the catalog names it; the element's for arrays.
    pub name: String,
    pub modifier: i32,
    pub is_array: bool,
    /// As people write it: `numeric(10,2)`, `character varying(20)`.
    pub shown: String,
}

impl StoredType {
    /// Precision and scale of a numeric that has them.
    pub(super) fn numeric(&self) -> Option<(u16, i16)> {
        if self.name != "numeric" || self.modifier < 4 {
            return None;
        }
        let packed = self.modifier - 4;
        let precision = u16::try_from((packed >> 16) & 0xffff).ok()?;
        // Eleven bits, signed since version 15.
        let scale = i16::try_from(((packed & 0x7ff) ^ 1024) - 1024).ok()?;
        Some((precision, scale))
    }

    /// The column type that its values have here; none for types of which nothing is known.
    pub(super) fn column_type(&self) -> Option<ColumnType> {
        let element = match self.name.as_str() {
            "bool" => ColumnType::Boolean,
            "int2" | "int4" | "int8" => ColumnType::Integer,
            "float4" | "float8" => ColumnType::Number,
            "numeric" => match self.numeric() {
                Some((precision, scale)) => ColumnType::Decimal {
                    precision: u8::try_from(precision).unwrap_or(38).min(38),
                    scale: i8::try_from(scale).unwrap_or(0),
                },
                None => ColumnType::Decimal {
                    precision: 38,
                    scale: 10,
                },
            },
            "text" | "varchar" | "bpchar" | "citext" | "name" => ColumnType::String,
            "date" => ColumnType::Date,
            "timestamptz" | "timestamp" => ColumnType::Timestamp,
            "time" => ColumnType::Time,
            "uuid" => ColumnType::Uuid,
            "bytea" => ColumnType::Binary,
            "json" | "jsonb" => ColumnType::Json,
            _ => return None,
        };
        Some(if self.is_array {
            ColumnType::List(Box::new(ColumnField {
                name: "item".to_owned(),
                column_type: element,
                nullable: true,
            }))
        } else {
            element
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_of_numerics_are_unpacked() {
        let stored = |modifier| StoredType {
            name: "numeric".to_owned(),
            modifier,
            is_array: false,
            shown: String::new(),
        };
        assert_eq!(stored(-1).numeric(), None);
        assert_eq!(stored((10 << 16 | 2) + 4).numeric(), Some((10, 2)));
        assert_eq!(
            stored((5 << 16 | (0x7ff & -2_i32)) + 4).numeric(),
            Some((5, -2))
        );
    }

    #[test]
    fn lists_become_arrays_only_where_arrays_can_hold_them() {
        let list = |item: ColumnType| {
            ColumnType::List(Box::new(ColumnField {
                name: "item".to_owned(),
                column_type: item,
                nullable: true,
            }))
        };
        assert_eq!(sql_type(&list(ColumnType::Integer)), "bigint[]");
        assert_eq!(sql_type(&list(ColumnType::Json)), "jsonb[]");
        assert_eq!(sql_type(&list(list(ColumnType::Integer))), "jsonb");
        assert_eq!(sql_type(&list(ColumnType::Struct(Vec::new()))), "jsonb");
    }
}
