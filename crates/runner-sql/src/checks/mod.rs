//! Checks as boolean expressions: true where a row passes.
//!
//! Only `required` looks at nulls. Every other check lets a null pass, as JSON Schema does for an absent property, and a column
//! that the rows don't have is one of nulls.

mod path;
mod requirement;

use datafusion_expr::expr_fn::{cast, col, ident, in_list, try_cast};
use datafusion_expr::{Expr, Literal, lit};
use datafusion_functions::regex::expr_fn::regexp_like;
use datafusion_functions::unicode::expr_fn::character_length;
use datafusion_functions_nested::expr_fn::{array_distinct, array_length};
use runner_plan::arrow::arrow_type;
use runner_plan::model::{Check, CheckKind, CheckOrigin, ColumnField, ColumnType};

use self::path::{Holder, Resolved, resolve};
use self::requirement::requirement;

/// A check that can be evaluated on a batch.
#[derive(Clone, Debug)]
pub struct CompiledCheck {
    pub column: String,
    /// Code of the reason in the quarantine.
    pub code: &'static str,
    /// What the value must be, to follow "`column` ".
    pub requirement: String,
    pub subject: Subject,
}

/// What a check looks at.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The row: true or null where it passes.
    Row(Expr),
    /// Every item of a list: the row passes where all of them do. The check within is on one column, [`Subject::VALUE`].
    Items {
        list: Expr,
        item: ColumnField,
        check: Box<CompiledCheck>,
    },
    /// Values within a column of JSON text, whose types are known value by value.
    Json {
        json: Expr,
        steps: Vec<JsonStep>,
        test: JsonTest,
    },
}

impl Subject {
    /// The column that checks of single values are made for.
    pub const VALUE: &str = "value";
}

/// One step down into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonStep {
    Field(String),
    Each,
}

/// What a value of JSON must be; a value of another type than the test is about passes, as in JSON Schema.
#[derive(Clone, Debug)]
pub enum JsonTest {
    /// Where what holds it is there; `everywhere`, in every row.
    Present {
        everywhere: bool,
    },
    OneOf(Vec<serde_json::Value>),
    Items {
        minimum: Option<u64>,
        maximum: Option<u64>,
        unique: bool,
    },
    /// Of a number, in the column [`Subject::VALUE`].
    Number(Expr),
    /// Of a text, in the column [`Subject::VALUE`].
    Text(Expr),
}

/// A check that no engine can evaluate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("`{pattern}` is not a pattern that every engine understands: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("`{format}` is not a known format; known are {}", FORMATS.map(|(name, _)| name).join(", "))]
    UnknownFormat { format: String },
}

/// Compiles a check for a table with these columns. Whatever the columns are, the check means something: rows without the column
/// have no value there.
pub fn compile_check(check: &Check, columns: &[ColumnField]) -> Result<CompiledCheck, CheckError> {
    let subject = match resolve(&check.column, columns) {
        Resolved::Absent { holder } => Subject::Row(absent(check, holder)),
        Resolved::Value {
            value,
            column_type: ColumnType::Json,
            ..
        } if !matches!(check.kind, CheckKind::Required) => Subject::Json {
            json: value,
            steps: Vec::new(),
            test: json_test(check)?,
        },
        Resolved::Value {
            value,
            column_type,
            holder,
        } => Subject::Row(predicate(check, value, &column_type, holder)?),
        Resolved::Items { list, item, rest } => {
            let item = ColumnField {
                name: Subject::VALUE.to_owned(),
                ..item
            };
            let within = Check {
                column: format!("{}{rest}", Subject::VALUE),
                ..check.clone()
            };
            let compiled = compile_check(&within, std::slice::from_ref(&item))?;
            Subject::Items {
                list,
                item,
                check: Box::new(compiled),
            }
        }
        Resolved::Json { json, steps } => Subject::Json {
            json,
            steps,
            test: json_test(check)?,
        },
    };
    Ok(CompiledCheck {
        column: check.column.clone(),
        code: check.kind.code(),
        requirement: requirement(&check.kind),
        subject,
    })
}

/// What the contract requires of an object is required where the object is; a rule, a key or a cursor wants its value in every row.
fn holder_of(check: &Check, holder: Option<Expr>) -> Option<Expr> {
    holder.filter(|_| check.origin == CheckOrigin::Contract)
}

/// Of a value that no row has.
fn absent(check: &Check, holder: Holder) -> Expr {
    if check.kind != CheckKind::Required {
        return lit(true);
    }
    match holder {
        Holder::Row => lit(false),
        Holder::Struct(object) => {
            holder_of(check, Some(object)).map_or_else(|| lit(false), Expr::is_null)
        }
        Holder::Absent => lit(check.origin == CheckOrigin::Contract),
    }
}

fn predicate(
    check: &Check,
    value: Expr,
    column_type: &ColumnType,
    holder: Option<Expr>,
) -> Result<Expr, CheckError> {
    let present = value.clone().is_not_null();
    let applied = match &check.kind {
        CheckKind::Required => Some(match holder_of(check, holder) {
            Some(object) => object.is_null().or(present),
            None => present,
        }),
        CheckKind::Enumeration(values) => {
            let literals = values
                .iter()
                .filter_map(|value| literal(value, column_type))
                .collect();
            Some(in_list(value.clone(), literals, false))
        }
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        } => matches!(column_type, ColumnType::List(_))
            .then(|| items(value.clone(), *minimum, *maximum, *unique)),
        CheckKind::Range { .. } | CheckKind::ExclusiveRange { .. } | CheckKind::MultipleOf(_) => {
            numeric(value.clone(), column_type).and_then(|value| of_number(&check.kind, value))
        }
        CheckKind::Length { .. } | CheckKind::Pattern(_) | CheckKind::Format(_) => {
            let predicate = of_text(&check.kind, value.clone())?;
            predicate.filter(|_| matches!(column_type, ColumnType::String | ColumnType::Uuid))
        }
    };
    // Of a value of another type the contract says nothing, and a rule can't be satisfied.
    Ok(applied.unwrap_or_else(|| match check.origin {
        CheckOrigin::Contract => lit(true),
        CheckOrigin::Rule | CheckOrigin::PrimaryKey | CheckOrigin::Cursor => value.is_null(),
    }))
}

/// Checks of numbers; nothing for those of other values.
fn of_number(kind: &CheckKind, value: Expr) -> Option<Expr> {
    match kind {
        CheckKind::Range { minimum, maximum } => Some(range(&value, *minimum, *maximum, true)),
        CheckKind::ExclusiveRange { minimum, maximum } => {
            Some(range(&value, *minimum, *maximum, false))
        }
        CheckKind::MultipleOf(step) => Some(multiple_of(value, *step)),
        _ => None,
    }
}

/// Checks of texts; nothing for those of other values.
fn of_text(kind: &CheckKind, value: Expr) -> Result<Option<Expr>, CheckError> {
    Ok(match kind {
        CheckKind::Length { minimum, maximum } => {
            let length = cast(character_length(value), arrow_type(&ColumnType::Integer));
            Some(bounds(&length, *minimum, *maximum))
        }
        CheckKind::Pattern(pattern) => {
            check_pattern(pattern)?;
            Some(regexp_like(value, lit(pattern.clone()), None))
        }
        CheckKind::Format(format) => Some(regexp_like(value, lit(format_pattern(format)?), None)),
        _ => None,
    })
}

fn json_test(check: &Check) -> Result<JsonTest, CheckError> {
    let kind = &check.kind;
    let value = || ident(Subject::VALUE);
    Ok(match kind {
        CheckKind::Required => JsonTest::Present {
            everywhere: check.origin != CheckOrigin::Contract,
        },
        CheckKind::Enumeration(values) => JsonTest::OneOf(values.clone()),
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        } => JsonTest::Items {
            minimum: *minimum,
            maximum: *maximum,
            unique: *unique,
        },
        CheckKind::Range { .. } | CheckKind::ExclusiveRange { .. } | CheckKind::MultipleOf(_) => {
            JsonTest::Number(of_number(kind, value()).unwrap_or_else(|| lit(true)))
        }
        CheckKind::Length { .. } | CheckKind::Pattern(_) | CheckKind::Format(_) => {
            JsonTest::Text(of_text(kind, value())?.unwrap_or_else(|| lit(true)))
        }
    })
}

/// A number to compare; texts are read as numbers, and one that is none fails the check since null is not within bounds.
fn numeric(value: Expr, column_type: &ColumnType) -> Option<Expr> {
    match column_type {
        ColumnType::Integer | ColumnType::Number => Some(value),
        ColumnType::Decimal { .. } => Some(cast(value, arrow_type(&ColumnType::Number))),
        ColumnType::String => {
            let number = try_cast(value.clone(), arrow_type(&ColumnType::Number));
            let not_a_number = value.is_not_null().and(number.clone().is_null());
            Some(
                datafusion_expr::when(not_a_number, lit(f64::NAN))
                    .otherwise(number)
                    .unwrap_or_else(|_| lit(f64::NAN)),
            )
        }
        _ => None,
    }
}

fn range(value: &Expr, minimum: Option<f64>, maximum: Option<f64>, inclusive: bool) -> Expr {
    let lower = minimum.map(|minimum| {
        if inclusive {
            value.clone().gt_eq(lit(minimum))
        } else {
            value.clone().gt(lit(minimum))
        }
    });
    // NaN sorts above every number, so an upper bound refuses it.
    let upper = maximum.map(|maximum| {
        if inclusive {
            value.clone().lt_eq(lit(maximum))
        } else {
            value.clone().lt(lit(maximum))
        }
    });
    match (lower, upper) {
        (Some(lower), Some(upper)) => lower.and(upper),
        // Where there is only a lower bound, NaN would pass it by sorting last.
        (Some(lower), None) => lower.and(value.clone().not_eq(lit(f64::NAN))),
        (None, Some(upper)) => upper,
        (None, None) => lit(true),
    }
}

fn bounds(length: &Expr, minimum: Option<u64>, maximum: Option<u64>) -> Expr {
    let whole = |value: u64| lit(i64::try_from(value).unwrap_or(i64::MAX));
    let lower = minimum.map(|minimum| length.clone().gt_eq(whole(minimum)));
    let upper = maximum.map(|maximum| length.clone().lt_eq(whole(maximum)));
    match (lower, upper) {
        (Some(lower), Some(upper)) => lower.and(upper),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => lit(true),
    }
}

/// The distance to the nearest multiple, within what doubles can tell apart.
fn multiple_of(value: Expr, step: f64) -> Expr {
    let quotient = cast(value, arrow_type(&ColumnType::Number)) / lit(step);
    let nearest = datafusion_functions::math::expr_fn::round(vec![quotient.clone()]);
    datafusion_functions::math::expr_fn::abs(quotient - nearest).lt_eq(lit(1e-9))
}

fn items(value: Expr, minimum: Option<u64>, maximum: Option<u64>, unique: bool) -> Expr {
    let length = cast(
        array_length(value.clone()),
        arrow_type(&ColumnType::Integer),
    );
    let predicate = bounds(&length, minimum, maximum);
    if !unique {
        return predicate;
    }
    predicate.and(array_length(array_distinct(value.clone())).eq(array_length(value)))
}

/// A JSON value as a literal of the column's type; one that can't be is no value of the column.
fn literal(value: &serde_json::Value, column_type: &ColumnType) -> Option<Expr> {
    match (column_type, value) {
        (ColumnType::Boolean, serde_json::Value::Bool(value)) => Some(lit(*value)),
        (ColumnType::Integer, serde_json::Value::Number(value)) => value.as_i64().map(lit),
        (ColumnType::Number, serde_json::Value::Number(value)) => value.as_f64().map(lit),
        (ColumnType::Decimal { .. }, serde_json::Value::Number(value)) => value
            .as_f64()
            .map(|value| cast(value.lit(), arrow_type(column_type))),
        (
            ColumnType::String | ColumnType::Json | ColumnType::Uuid,
            serde_json::Value::String(value),
        ) => Some(lit(value.clone())),
        (ColumnType::String, value) if !value.is_null() => Some(lit(value.to_string())),
        (
            ColumnType::Date | ColumnType::Timestamp | ColumnType::Time,
            serde_json::Value::String(value),
        ) => Some(cast(lit(value.clone()), arrow_type(column_type))),
        _ => None,
    }
}

/// Look-around and back-references differ between engines and are in none of the common subset.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), CheckError> {
    regex_syntax(pattern).map_err(|reason| CheckError::Pattern {
        pattern: pattern.to_owned(),
        reason,
    })
}

fn regex_syntax(pattern: &str) -> Result<(), String> {
    // The planner's own simplifier would refuse it later, without a place.
    regex::Regex::new(pattern).map(|_| ()).map_err(|error| {
        error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned()
    })
}

/// JSON Schema's formats that are checks, as patterns; deliberately lenient where the standards are.
const FORMATS: [(&str, &str); 8] = [
    ("email", r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    ("uri", r"^[A-Za-z][A-Za-z0-9+.\-]*:[^\s]+$"),
    ("uri-reference", r"^[^\s]*$"),
    (
        "hostname",
        r"^([A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?)*$",
    ),
    (
        "ipv4",
        r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$",
    ),
    ("ipv6", r"^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$"),
    ("json-pointer", r"^(/([^~/]|~[01])*)*$"),
    (
        "duration",
        r"^P([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?)$",
    ),
];

fn format_pattern(format: &str) -> Result<&'static str, CheckError> {
    FORMATS
        .iter()
        .find(|(name, _)| *name == format)
        .map(|(_, pattern)| *pattern)
        .ok_or_else(|| CheckError::UnknownFormat {
            format: format.to_owned(),
        })
}

/// Exposed so that the plan can refuse a format before a run.
pub fn is_known_format(format: &str) -> bool {
    format_pattern(format).is_ok()
}

/// A plain column reference; quoted names are kept as they are.
pub fn column(name: &str) -> Expr {
    col(datafusion_common::Column::from_name(name))
}
