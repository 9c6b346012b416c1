//! The functions of portable SQL: each has one meaning, which every engine can give it.

use std::sync::Arc;

use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion_functions as scalar;
use datafusion_functions_aggregate as aggregate;
use datafusion_functions_window as window;

use super::arithmetic::{self, Arithmetic, Failure};

/// A function that a query may call.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// As a query calls it.
    pub name: &'static str,
    /// Name of what is executed; several names may stand for one function.
    pub(crate) canonical: &'static str,
    pub kind: FunctionKind,
    pub arguments: &'static [Argument],
    /// How many of the arguments, from the last, may be left out.
    pub optional: usize,
    /// The last argument may be repeated.
    pub repeats: bool,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    Scalar,
    Aggregate,
    Window,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// integer, number or decimal.
    Numeric,
    /// number; an integer is cast.
    Number,
    Text,
    Boolean,
    /// date or timestamp.
    DateTime,
    /// A value that can be compared.
    Comparable,
    Any,
    /// Of one type with the other arguments of this kind.
    Same,
    /// A whole number, written out, of at least this much.
    AtLeast(i64),
    /// The name of a unit of time, written out.
    Unit,
    /// A regular expression, written out.
    Pattern,
}

impl Argument {
    pub fn text(self) -> String {
        match self {
            Self::Numeric => "numeric".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::DateTime => "date or timestamp".to_owned(),
            Self::Comparable => "comparable".to_owned(),
            Self::Any | Self::Same => "any".to_owned(),
            Self::AtLeast(least) => format!("whole number of at least {least}"),
            Self::Unit => format!("one of {}", UNITS.join(", ")),
            Self::Pattern => "regular expression".to_owned(),
        }
    }
}

/// Units that mean the same everywhere. Weeks and days of the week don't.
pub(crate) const UNITS: [&str; 7] = [
    "year", "quarter", "month", "day", "hour", "minute", "second",
];

/// All of them, in the order of the documentation.
pub fn functions() -> &'static [Function] {
    FUNCTIONS
}

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The function behind what a plan calls; the aggregates that are also window functions are found as aggregates.
pub(crate) fn find_canonical(name: &str, kind: FunctionKind) -> Option<&'static Function> {
    FUNCTIONS
        .iter()
        .find(|function| function.canonical == name && function.kind == kind)
}

/// Functions that people know from their engine, and what to write instead.
pub(crate) fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "nvl" | "ifnull" | "isnull" => "write `coalesce(value, other)`",
        "if" | "iff" | "decode" => "write `CASE WHEN condition THEN value ELSE other END`",
        "greatest" | "least" => {
            "engines differ in what it does with nulls: write `CASE WHEN a >= b THEN a ELSE b END`"
        }
        "concat" | "concat_ws" => {
            "write `a || b`, which is null where one of them is: engines differ in what `concat` does with nulls"
        }
        "random" | "rand" | "uuid" | "newid" => {
            "a run that is repeated has to give the same rows: derive the value from columns, as in `md5(id)`"
        }
        "to_char" | "date_format" | "to_date" | "to_timestamp" => {
            "engines differ in their formats: write `CAST(value AS DATE)` or `CAST(value AS TIMESTAMP)` over ISO 8601 texts"
        }
        "array_agg" | "string_agg" | "listagg" | "collect_list" => {
            "the order of the values is each engine's own; there is no portable form"
        }
        "stddev" | "variance" | "median" | "corr" => {
            "engines compute it in different ways; there is no portable form"
        }
        "regexp_replace" | "regexp_extract" => {
            "engines differ in replacements and groups; `replace` and `split_part` are portable"
        }
        "exp" | "ln" | "log" | "log10" | "sin" | "cos" | "tan" => {
            "engines differ in the last digits; there is no portable form"
        }
        _ => return None,
    })
}

pub(crate) fn scalar_function(name: &str) -> Option<Arc<ScalarUDF>> {
    let function = find(name).filter(|function| function.kind == FunctionKind::Scalar)?;
    Some(match function.canonical {
        "abs" => scalar::math::abs(),
        "ceil" => scalar::math::ceil(),
        "floor" => scalar::math::floor(),
        "round" => scalar::math::round(),
        "sqrt" => scalar::math::sqrt(),
        "coalesce" => scalar::core::coalesce(),
        "nullif" => scalar::core::nullif(),
        "upper" => scalar::string::upper(),
        "lower" => scalar::string::lower(),
        "btrim" => scalar::string::btrim(),
        "ltrim" => scalar::string::ltrim(),
        "rtrim" => scalar::string::rtrim(),
        "replace" => scalar::string::replace(),
        "starts_with" => scalar::string::starts_with(),
        "ends_with" => scalar::string::ends_with(),
        "reverse" => scalar::unicode::reverse(),
        "split_part" => scalar::string::split_part(),
        "character_length" => scalar::unicode::character_length(),
        "substr" => scalar::unicode::substr(),
        "strpos" => scalar::unicode::strpos(),
        "left" => scalar::unicode::left(),
        "right" => scalar::unicode::right(),
        "lpad" => scalar::unicode::lpad(),
        "rpad" => scalar::unicode::rpad(),
        "date_trunc" => scalar::datetime::date_trunc(),
        "date_part" => scalar::datetime::date_part(),
        "regexp_like" => scalar::regex::regexp_like(),
        "md5" => scalar::crypto::md5(),
        "try_add" => attempted(Arithmetic::Add),
        "try_subtract" => attempted(Arithmetic::Subtract),
        "try_multiply" => attempted(Arithmetic::Multiply),
        "try_divide" => attempted(Arithmetic::Divide),
        "try_mod" => attempted(Arithmetic::Remainder),
        "now" => super::now::now(),
        "current_date" => super::now::today(),
        _ => return None,
    })
}

fn attempted(operation: Arithmetic) -> Arc<ScalarUDF> {
    Arc::new(arithmetic::function(operation, Failure::Null))
}

pub(crate) fn aggregate_function(name: &str) -> Option<Arc<AggregateUDF>> {
    Some(match name {
        "count" => aggregate::count::count_udaf(),
        "sum" => aggregate::sum::sum_udaf(),
        "avg" => aggregate::average::avg_udaf(),
        "min" => aggregate::min_max::min_udaf(),
        "max" => aggregate::min_max::max_udaf(),
        "bool_and" => aggregate::bool_and_or::bool_and_udaf(),
        "bool_or" => aggregate::bool_and_or::bool_or_udaf(),
        _ => return None,
    })
}

pub(crate) fn window_function(name: &str) -> Option<Arc<WindowUDF>> {
    Some(match name {
        "row_number" => window::row_number::row_number_udwf(),
        "rank" => window::rank::rank_udwf(),
        "dense_rank" => window::rank::dense_rank_udwf(),
        "percent_rank" => window::rank::percent_rank_udwf(),
        "cume_dist" => window::cume_dist::cume_dist_udwf(),
        "ntile" => window::ntile::ntile_udwf(),
        "nth_value" => window::nth_value::nth_value_udwf(),
        "lag" => window::lead_lag::lag_udwf(),
        "lead" => window::lead_lag::lead_udwf(),
        "first_value" => window::nth_value::first_value_udwf(),
        "last_value" => window::nth_value::last_value_udwf(),
        _ => return None,
    })
}

const fn of(
    kind: FunctionKind,
    name: &'static str,
    canonical: &'static str,
    arguments: &'static [Argument],
    meaning: &'static str,
) -> Function {
    Function {
        name,
        canonical,
        kind,
        arguments,
        optional: 0,
        repeats: false,
        meaning,
    }
}

const fn optional(count: usize, function: Function) -> Function {
    Function {
        optional: count,
        ..function
    }
}

const fn repeats(function: Function) -> Function {
    Function {
        repeats: true,
        ..function
    }
}

use Argument::{
    Any, AtLeast, Boolean, Comparable, DateTime, Number, Numeric, Pattern, Same, Text, Unit,
};
use FunctionKind::{Aggregate, Scalar, Window};

#[rustfmt::skip]
const FUNCTIONS: &[Function] = &[
    of(Scalar, "abs", "abs", &[Numeric], "The distance from zero."),
    of(Scalar, "ceil", "ceil", &[Number], "The next whole number above."),
    of(Scalar, "ceiling", "ceil", &[Number], "The next whole number above."),
    of(Scalar, "floor", "floor", &[Number], "The next whole number below."),
    of(Scalar, "round", "round", &[Number], "The nearest whole number; halves go away from zero. To round to digits, cast to a decimal."),
    of(Scalar, "sqrt", "sqrt", &[Number], "The square root; NaN of a negative number."),
    of(Scalar, "try_add", "try_add", &[Numeric, Numeric], "`a + b`, or null where it overflows."),
    of(Scalar, "try_subtract", "try_subtract", &[Numeric, Numeric], "`a - b`, or null where it overflows."),
    of(Scalar, "try_multiply", "try_multiply", &[Numeric, Numeric], "`a * b`, or null where it overflows."),
    of(Scalar, "try_divide", "try_divide", &[Numeric, Numeric], "`a / b`, or null where `b` is zero or the quotient overflows."),
    of(Scalar, "try_mod", "try_mod", &[Numeric, Numeric], "`a % b`, or null where `b` is zero."),
    repeats(of(Scalar, "coalesce", "coalesce", &[Same], "The first value that is not null.")),
    of(Scalar, "nullif", "nullif", &[Same, Same], "Null where both are equal, else the first."),
    of(Scalar, "upper", "upper", &[Text], "In upper case, by Unicode, without a locale."),
    of(Scalar, "lower", "lower", &[Text], "In lower case, by Unicode, without a locale."),
    of(Scalar, "trim", "btrim", &[Text], "Without spaces at both ends."),
    of(Scalar, "btrim", "btrim", &[Text], "Without spaces at both ends."),
    of(Scalar, "ltrim", "ltrim", &[Text], "Without spaces at the beginning."),
    of(Scalar, "rtrim", "rtrim", &[Text], "Without spaces at the end."),
    of(Scalar, "replace", "replace", &[Text, Text, Text], "Every occurrence of the second replaced by the third."),
    of(Scalar, "starts_with", "starts_with", &[Text, Text], "Whether the first begins with the second."),
    of(Scalar, "ends_with", "ends_with", &[Text, Text], "Whether the first ends with the second."),
    of(Scalar, "reverse", "reverse", &[Text], "The code points in reverse order."),
    of(Scalar, "split_part", "split_part", &[Text, Text, AtLeast(1)], "The part of this number, from 1, between occurrences of the second; empty where there is none."),
    of(Scalar, "length", "character_length", &[Text], "The number of Unicode code points."),
    of(Scalar, "char_length", "character_length", &[Text], "The number of Unicode code points."),
    of(Scalar, "character_length", "character_length", &[Text], "The number of Unicode code points."),
    optional(1, of(Scalar, "substr", "substr", &[Text, AtLeast(1), AtLeast(0)], "From this code point on, counted from 1, as many as the third says.")),
    optional(1, of(Scalar, "substring", "substr", &[Text, AtLeast(1), AtLeast(0)], "From this code point on, counted from 1, as many as the third says.")),
    of(Scalar, "strpos", "strpos", &[Text, Text], "Where the second begins in the first, from 1; 0 where it doesn't occur."),
    of(Scalar, "position", "strpos", &[Text, Text], "`position(a IN b)`: where `a` begins in `b`, from 1; 0 where it doesn't occur."),
    of(Scalar, "left", "left", &[Text, AtLeast(0)], "The first code points."),
    of(Scalar, "right", "right", &[Text, AtLeast(0)], "The last code points."),
    of(Scalar, "lpad", "lpad", &[Text, AtLeast(0), Text], "Filled up at the beginning, or cut, to this many code points."),
    of(Scalar, "rpad", "rpad", &[Text, AtLeast(0), Text], "Filled up at the end, or cut, to this many code points."),
    of(Scalar, "md5", "md5", &[Text], "The MD5 of the UTF-8 bytes, in hexadecimal, lower case."),
    of(Scalar, "regexp_like", "regexp_like", &[Text, Pattern], "Whether the pattern matches somewhere; without look-around and back-references."),
    of(Scalar, "date_trunc", "date_trunc", &[Unit, DateTime], "The beginning of the unit, in UTC."),
    of(Scalar, "date_part", "date_part", &[Unit, DateTime], "The unit's number, in UTC; also `EXTRACT(unit FROM value)`."),
    of(Scalar, "extract", "date_part", &[Unit, DateTime], "The unit's number, in UTC."),
    of(Scalar, "now", "now", &[], "The run's nominal time, the same in every attempt."),
    of(Scalar, "current_timestamp", "now", &[], "The run's nominal time, the same in every attempt."),
    of(Scalar, "current_date", "current_date", &[], "The date, in UTC, of the run's nominal time."),
    of(Aggregate, "count", "count", &[Any], "How many rows, or how many values that are not null."),
    of(Aggregate, "sum", "sum", &[Numeric], "The sum; null of nothing. Exact over integers and decimals; over numbers equal to about 12 digits."),
    of(Aggregate, "avg", "avg", &[Numeric], "The mean; null of nothing. A number over integers and numbers; a decimal with at least 6 digits over decimals, half up."),
    of(Aggregate, "min", "min", &[Comparable], "The least; texts by their UTF-8 bytes, NaN last."),
    of(Aggregate, "max", "max", &[Comparable], "The greatest; texts by their UTF-8 bytes, NaN last."),
    of(Aggregate, "bool_and", "bool_and", &[Boolean], "Whether all are true."),
    of(Aggregate, "bool_or", "bool_or", &[Boolean], "Whether one is true."),
    of(Window, "row_number", "row_number", &[], "The row's number in the order, which has to be total."),
    of(Window, "rank", "rank", &[], "The row's rank, with gaps behind ties."),
    of(Window, "dense_rank", "dense_rank", &[], "The row's rank, without gaps."),
    of(Window, "percent_rank", "percent_rank", &[], "(rank - 1) / (rows - 1), a number; 0 for a single row."),
    of(Window, "cume_dist", "cume_dist", &[], "The share of the rows up to this one and those equal to it in the order, a number."),
    of(Window, "ntile", "ntile", &[AtLeast(1)], "Which of that many groups, as equal as can be, the row is in, from 1; the order has to be total."),
    of(Window, "nth_value", "nth_value", &[Any, AtLeast(1)], "The value of the row of that number in the frame; the order has to be total."),
    optional(1, of(Window, "lag", "lag", &[Any, AtLeast(0)], "The value that many rows before; the order has to be total.")),
    optional(1, of(Window, "lead", "lead", &[Any, AtLeast(0)], "The value that many rows behind; the order has to be total.")),
    of(Window, "first_value", "first_value", &[Any], "The first value of the frame; the order has to be total."),
    of(Window, "last_value", "last_value", &[Any], "The last value of the frame; the order has to be total."),
];
