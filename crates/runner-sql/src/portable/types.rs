//! The types of portable SQL: what they are called, what is cast to what, and which two have a common wider one.

use arrow::datatypes::DataType;
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;
use sqlparser::ast::{self, ExactNumberInfo};

/// What a value is, as far as the rules go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody knows yet: a column that the first rows decide, or a plain NULL.
    Open,
    Boolean,
    Integer,
    Number,
    Decimal,
    Text,
    Date,
    Timestamp,
    Time,
    Interval,
    Binary,
    /// Lists and structs: they are passed on, and nothing is computed from them.
    Nested,
}

impl Kind {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Open,
            DataType::Boolean => Self::Boolean,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => Self::Integer,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Number,
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Decimal,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary,
            _ => Self::Nested,
        }
    }

    pub(crate) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Number | Self::Decimal)
    }

    pub(crate) fn is_comparable(self) -> bool {
        !matches!(self, Self::Nested | Self::Interval)
    }
}

/// How a type is called in messages and plans.
pub(crate) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "not known yet".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => match column_type_of(other) {
            Some(column_type) => column_type.to_string(),
            None => other.to_string(),
        },
    }
}

/// The column that holds values of this type.
pub(crate) fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    Some(match Kind::of(data_type) {
        Kind::Open | Kind::Interval | Kind::Nested => return None,
        Kind::Boolean => ColumnType::Boolean,
        Kind::Integer => ColumnType::Integer,
        Kind::Number => ColumnType::Number,
        Kind::Text => ColumnType::String,
        Kind::Date => ColumnType::Date,
        Kind::Timestamp => ColumnType::Timestamp,
        Kind::Time => ColumnType::Time,
        Kind::Binary => ColumnType::Binary,
        Kind::Decimal => match data_type {
            DataType::Decimal128(precision, scale) => ColumnType::Decimal {
                precision: *precision,
                scale: *scale,
            },
            _ => return None,
        },
    })
}

/// The type that a query names; absent for one that portable SQL doesn't have.
pub(crate) fn column_type(sql_type: &ast::DataType) -> Option<ColumnType> {
    use ast::DataType as T;
    Some(match sql_type {
        T::Boolean | T::Bool => ColumnType::Boolean,
        T::BigInt(None) | T::Integer(None) | T::Int(None) => ColumnType::Integer,
        T::Double(ExactNumberInfo::None) | T::DoublePrecision => ColumnType::Number,
        T::Decimal(info) | T::Numeric(info) | T::Dec(info) => decimal(info)?,
        T::Varchar(None) | T::String(None) | T::Text => ColumnType::String,
        T::Date => ColumnType::Date,
        T::Timestamp(None, _) => ColumnType::Timestamp,
        T::Time(None, ast::TimezoneInfo::None) => ColumnType::Time,
        _ => return None,
    })
}

/// Names of types, for people who wrote another one.
pub(crate) const TYPE_NAMES: &str =
    "BOOLEAN, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP or TIME";

const MAX_PRECISION: u8 = 38;

fn decimal(info: &ExactNumberInfo) -> Option<ColumnType> {
    let (precision, scale) = match info {
        // Engines have different defaults.
        ExactNumberInfo::None => return None,
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let precision = u8::try_from(precision).ok()?;
    let scale = i8::try_from(scale).ok()?;
    let is_sound = (1..=MAX_PRECISION).contains(&precision)
        && scale >= 0
        && i16::from(scale) <= i16::from(precision);
    is_sound.then_some(ColumnType::Decimal { precision, scale })
}

/// A cast of portable SQL.
#[derive(Clone, Copy, Debug)]
pub struct CastRule {
    pub from: &'static str,
    pub to: &'static str,
    pub(crate) kinds: (Kind, Kind),
    pub meaning: &'static str,
    /// Some values have no counterpart: their rows go to the quarantine.
    pub can_fail: bool,
}

/// Every cast, but for those from a type to itself.
pub fn casts() -> &'static [CastRule] {
    CASTS
}

const fn rule(
    from: &'static str,
    from_kind: Kind,
    to: &'static str,
    to_kind: Kind,
    can_fail: bool,
    meaning: &'static str,
) -> CastRule {
    CastRule {
        from,
        to,
        kinds: (from_kind, to_kind),
        meaning,
        can_fail,
    }
}

#[rustfmt::skip]
const CASTS: &[CastRule] = &[
    rule("boolean", Kind::Boolean, "integer", Kind::Integer, false, "1 or 0."),
    rule("boolean", Kind::Boolean, "string", Kind::Text, false, "`true` or `false`."),
    rule("integer", Kind::Integer, "number", Kind::Number, false, "The nearest double."),
    rule("integer", Kind::Integer, "decimal", Kind::Decimal, true, "Exact; one with too many digits fails."),
    rule("integer", Kind::Integer, "string", Kind::Text, false, "Decimal digits."),
    rule("number", Kind::Number, "integer", Kind::Integer, true, "Truncated toward zero; NaN and what is beyond 64 bits fail."),
    rule("number", Kind::Number, "decimal", Kind::Decimal, true, "Half up; NaN and one with too many digits fail."),
    rule("decimal", Kind::Decimal, "integer", Kind::Integer, true, "Truncated toward zero."),
    rule("decimal", Kind::Decimal, "number", Kind::Number, false, "The nearest double."),
    rule("decimal", Kind::Decimal, "decimal", Kind::Decimal, true, "Half up; one with too many digits fails."),
    rule("decimal", Kind::Decimal, "string", Kind::Text, false, "All digits of the scale."),
    rule("string", Kind::Text, "integer", Kind::Integer, true, "Decimal digits with a sign."),
    rule("string", Kind::Text, "number", Kind::Number, true, "A decimal number, with an exponent where needed."),
    rule("string", Kind::Text, "decimal", Kind::Decimal, true, "A decimal number; digits beyond the scale are rounded half up."),
    rule("string", Kind::Text, "date", Kind::Date, true, "ISO 8601: `2024-01-31`."),
    rule("string", Kind::Text, "timestamp", Kind::Timestamp, true, "ISO 8601; without a zone it is UTC, digits below microseconds are cut."),
    rule("string", Kind::Text, "time", Kind::Time, true, "ISO 8601: `23:59:59.5`."),
    rule("date", Kind::Date, "timestamp", Kind::Timestamp, false, "Midnight, UTC."),
    rule("date", Kind::Date, "string", Kind::Text, false, "ISO 8601: `2024-01-31`."),
    rule("timestamp", Kind::Timestamp, "date", Kind::Date, false, "The date in UTC."),
];

pub(crate) fn cast_rule(from: &DataType, to: &DataType) -> Option<&'static CastRule> {
    let kinds = (Kind::of(from), Kind::of(to));
    CASTS.iter().find(|rule| rule.kinds == kinds)
}

/// Whether a cast of this kind can fail for a value.
pub(crate) fn cast_can_fail(from: &DataType, to: &DataType) -> bool {
    if from == to {
        return false;
    }
    let kinds = (Kind::of(from), Kind::of(to));
    if let (DataType::Decimal128(p, s), DataType::Decimal128(wider, finer)) = (from, to) {
        return finer < s || i16::from(*wider) - i16::from(*finer) < i16::from(*p) - i16::from(*s);
    }
    if let (Kind::Integer, DataType::Decimal128(precision, scale)) = (kinds.0, to) {
        return i16::from(*precision) - i16::from(*scale) < i16::from(INTEGER_DIGITS);
    }
    cast_rule(from, to).is_some_and(|rule| rule.can_fail)
}

/// Digits of the largest 64-bit integer.
pub(crate) const INTEGER_DIGITS: u8 = 19;

/// The type that two values have in common, where one is wider than the other.
pub(crate) fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    let number = arrow_type(&ColumnType::Number);
    Some(match (Kind::of(left), Kind::of(right)) {
        (Kind::Open, _) => right.clone(),
        (_, Kind::Open) => left.clone(),
        (Kind::Integer, Kind::Integer) => arrow_type(&ColumnType::Integer),
        (Kind::Number, Kind::Integer | Kind::Decimal | Kind::Number)
        | (Kind::Integer | Kind::Decimal, Kind::Number) => number,
        (Kind::Integer | Kind::Decimal, Kind::Integer | Kind::Decimal) => {
            wider_decimal(decimal_of(left)?, decimal_of(right)?)
        }
        (Kind::Text, Kind::Text) => DataType::Utf8,
        (Kind::Date, Kind::Timestamp) | (Kind::Timestamp, Kind::Date | Kind::Timestamp) => {
            arrow_type(&ColumnType::Timestamp)
        }
        _ => return None,
    })
}

/// Precision and scale of a decimal, or of the decimal that holds every integer.
pub(crate) fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        other => (Kind::of(other) == Kind::Integer).then_some((INTEGER_DIGITS, 0)),
    }
}

fn wider_decimal((p, s): (u8, i8), (q, t): (u8, i8)) -> DataType {
    let scale = s.max(t);
    let whole = (i16::from(p) - i16::from(s)).max(i16::from(q) - i16::from(t));
    DataType::Decimal128(precision(whole + i16::from(scale)), scale)
}

/// A precision, at most that of the widest decimal.
pub(crate) fn precision(digits: i16) -> u8 {
    u8::try_from(digits)
        .unwrap_or(MAX_PRECISION)
        .clamp(1, MAX_PRECISION)
}
