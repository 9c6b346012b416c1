//! Columns: where a value comes from, what type it has, and who said so.

use runner_spec::model::Masking;
use serde::{Deserialize, Serialize};

use super::source::RowPath;
use crate::template::Template;

/// The columns of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// The known ones, in the order in which they are loaded.
    pub known: Vec<Column>,
    /// No mapping was given: every field becomes a column under its snake_cased name ([`crate::names::snake_case`]). A known
    /// column whose source is a field takes the field that has this name when it is snake_cased.
    pub pass_through: bool,
}

/// One column of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub source: ColumnSource,
    /// Absent while the column is open: the first sample closes it.
    pub column_type: Option<ColumnType>,
    pub nullable: bool,
    pub origin: TypeOrigin,
    /// Field path in the document, for diagnostics.
    pub path: String,
}

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnSource {
    /// A path into the raw row.
    Field(RowPath),
    /// A template rendered once per request chain.
    Template(Template),
    /// A bound variable of the chain (the parent's value, a for_each value).
    Variable(String),
    /// The whole row, where rows are not objects.
    Row,
}

/// Who fixed a column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeOrigin {
    Contract,
    /// The schema stored with the feed's earlier runs.
    Stored,
    /// A declaration elsewhere in the document (`incremental`, `event_time`).
    Document,
    Sample,
    Open,
}

/// The types a column can have. Text forms are those of `plan`: `integer`, `decimal(10,2)`, `timestamp`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Boolean,
    /// 64-bit, signed.
    Integer,
    /// Double precision.
    Number,
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
    Date,
    /// UTC, microseconds.
    Timestamp,
    /// Of day, microseconds.
    Time,
    Uuid,
    Binary,
    /// Any JSON value, kept as its text.
    Json,
    List(Box<ColumnField>),
    Struct(Vec<ColumnField>),
}

/// A named field: of a struct, of a list's items (named `item`), of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnField {
    pub name: String,
    pub column_type: ColumnType,
    pub nullable: bool,
}

/// A column hidden before any sink, the quarantine and preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedColumn {
    pub column: String,
    pub masking: Masking,
}

/// Parts of a date-time that partition columns are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateTimePart {
    Date,
    Year,
    Month,
    Day,
    Hour,
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Time => f.write_str("time"),
            Self::Uuid => f.write_str("uuid"),
            Self::Binary => f.write_str("binary"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "list<{}>", item.column_type),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{}: {}", field.name, field.column_type)?;
                }
                f.write_str(">")
            }
        }
    }
}
