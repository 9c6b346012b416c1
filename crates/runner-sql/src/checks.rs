//! Checks as boolean expressions: true where a row passes.
//!
//! Only `required` looks at nulls. Every other check lets a null pass, as JSON Schema does for an absent property.

use datafusion_expr::expr_fn::{cast, col, ident, in_list, try_cast};
use datafusion_expr::{Expr, Literal, lit};
use datafusion_functions::core::expr_fn::get_field;
use datafusion_functions::regex::expr_fn::regexp_like;
use datafusion_functions::unicode::expr_fn::character_length;
use datafusion_functions_nested::expr_fn::{array_distinct, array_length};
use runner_plan::arrow::arrow_type;
use runner_plan::model::{Check, CheckKind, ColumnField, ColumnType};

/// A check that can be evaluated on a batch.
#[derive(Clone, Debug)]
pub struct CompiledCheck {
    pub column: String,
    /// Code of the reason in the quarantine.
    pub code: &'static str,
    /// What the value must be, to follow "`column` ".
    pub requirement: String,
    /// True or null where the row passes.
    pub predicate: Expr,
}

/// A check that can't be evaluated on these columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("column `{column}` does not exist; there are {known}")]
    UnknownColumn { column: String, known: String },
    #[error("`{code}` does not apply to `{column}`, which is of type {column_type}")]
    WrongType {
        column: String,
        code: &'static str,
        column_type: String,
    },
    #[error("`{pattern}` is not a pattern that every engine understands: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("`{format}` is not a known format; known are {}", FORMATS.map(|(name, _)| name).join(", "))]
    UnknownFormat { format: String },
}

/// Compiles a check for a table with these columns.
#[expect(
    clippy::too_many_lines,
    reason = "one arm a kind of check: the list is what a reader looks for"
)]
pub fn compile_check(check: &Check, columns: &[ColumnField]) -> Result<CompiledCheck, CheckError> {
    let (value, column_type) = resolve(&check.column, columns)?;
    let code = check.kind.code();
    let wrong_type = || CheckError::WrongType {
        column: check.column.clone(),
        code,
        column_type: column_type.to_string(),
    };
    let (predicate, requirement) = match &check.kind {
        CheckKind::Required => (
            value.is_not_null(),
            "must be present and not null".to_owned(),
        ),
        CheckKind::Range { minimum, maximum } => {
            let value = numeric(value, &column_type).ok_or_else(wrong_type)?;
            range(&value, *minimum, *maximum, true)
        }
        CheckKind::ExclusiveRange { minimum, maximum } => {
            let value = numeric(value, &column_type).ok_or_else(wrong_type)?;
            range(&value, *minimum, *maximum, false)
        }
        CheckKind::MultipleOf(step) => {
            let value = numeric(value, &column_type).ok_or_else(wrong_type)?;
            (
                multiple_of(value, *step),
                format!("must be a multiple of {step}"),
            )
        }
        CheckKind::Length { minimum, maximum } => {
            let length = character_length(text(value, &column_type).ok_or_else(wrong_type)?);
            bounds(
                &cast(length, arrow_type(&ColumnType::Integer)),
                *minimum,
                *maximum,
                "characters",
            )
        }
        CheckKind::Pattern(pattern) => {
            check_pattern(pattern)?;
            let value = text(value, &column_type).ok_or_else(wrong_type)?;
            (
                regexp_like(value, lit(pattern.clone()), None),
                format!("must match `{pattern}`"),
            )
        }
        CheckKind::Format(format) => {
            let pattern = format_pattern(format)?;
            let value = text(value, &column_type).ok_or_else(wrong_type)?;
            (
                regexp_like(value, lit(pattern), None),
                format!("must be of the format `{format}`"),
            )
        }
        CheckKind::Enumeration(values) => {
            let literals = values
                .iter()
                .filter_map(|value| literal(value, &column_type))
                .collect();
            (
                in_list(value, literals, false),
                format!("must be one of {}", list(values)),
            )
        }
        CheckKind::Items {
            minimum,
            maximum,
            unique,
        } => {
            if !matches!(column_type, ColumnType::List(_)) {
                return Err(wrong_type());
            }
            items(value, *minimum, *maximum, *unique)
        }
    };
    Ok(CompiledCheck {
        column: check.column.clone(),
        code,
        requirement,
        predicate,
    })
}

/// The expression and type of a column, dotted below a struct.
fn resolve(path: &str, columns: &[ColumnField]) -> Result<(Expr, ColumnType), CheckError> {
    let unknown = || CheckError::UnknownColumn {
        column: path.to_owned(),
        known: columns
            .iter()
            .map(|column| format!("`{}`", column.name))
            .collect::<Vec<_>>()
            .join(", "),
    };
    if let Some(column) = columns.iter().find(|column| column.name == path) {
        return Ok((ident(&column.name), column.column_type.clone()));
    }
    let mut steps = path.split('.');
    let first = steps.next().ok_or_else(unknown)?;
    let column = columns
        .iter()
        .find(|column| column.name == first)
        .ok_or_else(unknown)?;
    let mut expression = ident(&column.name);
    let mut column_type = column.column_type.clone();
    for step in steps {
        let ColumnType::Struct(fields) = &column_type else {
            return Err(unknown());
        };
        let field = fields
            .iter()
            .find(|field| field.name == step)
            .ok_or_else(unknown)?;
        expression = get_field(expression, step);
        column_type = field.column_type.clone();
    }
    Ok((expression, column_type))
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

fn text(value: Expr, column_type: &ColumnType) -> Option<Expr> {
    match column_type {
        ColumnType::String | ColumnType::Uuid | ColumnType::Json => Some(value),
        _ => None,
    }
}

/// A bound as a literal of the kind that needs no cast of the column where the bound is whole.
fn bound(value: f64) -> Expr {
    lit(value)
}

fn range(
    value: &Expr,
    minimum: Option<f64>,
    maximum: Option<f64>,
    inclusive: bool,
) -> (Expr, String) {
    let mut predicate = None;
    let mut words = Vec::new();
    if let Some(minimum) = minimum {
        let low = bound(minimum);
        let passes = if inclusive {
            value.clone().gt_eq(low)
        } else {
            value.clone().gt(low)
        };
        predicate = Some(passes);
        words.push(format!(
            "{} {minimum}",
            if inclusive { "at least" } else { "more than" }
        ));
    }
    if let Some(maximum) = maximum {
        let high = bound(maximum);
        // NaN sorts above every number, so an upper bound refuses it.
        let passes = if inclusive {
            value.clone().lt_eq(high)
        } else {
            value.clone().lt(high)
        };
        predicate = Some(match predicate {
            Some(lower) => lower.and(passes),
            None => passes,
        });
        words.push(format!(
            "{} {maximum}",
            if inclusive { "at most" } else { "less than" }
        ));
    }
    // Where there is only a lower bound, NaN would pass it by sorting last.
    let not_nan = value.clone().not_eq(lit(f64::NAN));
    let predicate = match predicate {
        Some(predicate) if maximum.is_none() => predicate.and(not_nan),
        Some(predicate) => predicate,
        None => lit(true),
    };
    (predicate, format!("must be {}", words.join(" and ")))
}

fn bounds(length: &Expr, minimum: Option<u64>, maximum: Option<u64>, unit: &str) -> (Expr, String) {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut predicate = lit(true);
    let mut words = Vec::new();
    if let Some(minimum) = minimum {
        predicate = length.clone().gt_eq(lit(whole(minimum)));
        words.push(format!("at least {minimum}"));
    }
    if let Some(maximum) = maximum {
        let upper = length.clone().lt_eq(lit(whole(maximum)));
        predicate = if minimum.is_some() {
            predicate.and(upper)
        } else {
            upper
        };
        words.push(format!("at most {maximum}"));
    }
    (
        predicate,
        format!("must have {} {unit}", words.join(" and ")),
    )
}

/// The distance to the nearest multiple, within what doubles can tell apart.
fn multiple_of(value: Expr, step: f64) -> Expr {
    let quotient = cast(value, arrow_type(&ColumnType::Number)) / lit(step);
    let nearest = datafusion_functions::math::expr_fn::round(vec![quotient.clone()]);
    datafusion_functions::math::expr_fn::abs(quotient - nearest).lt_eq(lit(1e-9))
}

fn items(value: Expr, minimum: Option<u64>, maximum: Option<u64>, unique: bool) -> (Expr, String) {
    let length = cast(
        array_length(value.clone()),
        arrow_type(&ColumnType::Integer),
    );
    let (mut predicate, mut requirement) = if minimum.is_none() && maximum.is_none() {
        (lit(true), "must have".to_owned())
    } else {
        bounds(&length, minimum, maximum, "items")
    };
    if unique {
        predicate =
            predicate.and(array_length(array_distinct(value.clone())).eq(array_length(value)));
        requirement = format!("{requirement} without repetition");
    }
    (predicate, requirement)
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

fn list(values: &[serde_json::Value]) -> String {
    const SHOWN: usize = 10;
    let mut text = values
        .iter()
        .take(SHOWN)
        .map(|value| format!("`{value}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if values.len() > SHOWN {
        text = format!("{text} and {} more", values.len() - SHOWN);
    }
    text
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
