//! The arguments of functions, by the list.

use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{Case, Cast, ScalarFunction, WindowFunction};
use datafusion_expr::{Expr, WindowFunctionDefinition, lit};
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;
use runner_spec::Code;

use super::arithmetic;
use super::functions::{self, Argument, Function, FunctionKind, UNITS};
use super::rewrite::integer;
use super::types::Kind;
use super::typing::{Typing, data_type, kind, type_name};
use crate::checks::check_pattern;

/// A call with its arguments cast to what the function takes, and its result to what a column holds.
pub(crate) fn scalar(mut call: ScalarFunction, typing: &mut Typing, schema: &DFSchema) -> Expr {
    let name = call.func.name().to_owned();
    let Some(function) = functions::find_canonical(&name, FunctionKind::Scalar) else {
        // Access to a struct's field, which the planner makes from a dotted name.
        return Expr::ScalarFunction(call);
    };
    if !check_count(function, &call.args, typing) {
        return lit(ScalarValue::Null);
    }
    if function.arguments.first() == Some(&Argument::Same) {
        typing.unify(&mut call.args, function.name, schema);
    }
    let arguments = std::mem::take(&mut call.args);
    call.args = arguments
        .into_iter()
        .enumerate()
        .map(|(index, argument)| {
            let wanted = function.arguments.get(index).copied();
            let wanted = wanted.or(function
                .arguments
                .last()
                .copied()
                .filter(|_| function.repeats));
            match wanted {
                Some(wanted) => checked(function, wanted, argument, typing, schema),
                None => argument,
            }
        })
        .collect();
    let result = Expr::ScalarFunction(call);
    match name.as_str() {
        // 32 bits elsewhere.
        "character_length" | "strpos" | "date_part" => {
            Expr::Cast(Cast::new(Box::new(result), integer()))
        }
        "ceil" | "floor" | "round" => arithmetic::one_zero(result),
        _ => result,
    }
}

/// Whether the operands of a function that computes are numbers; it is refused where they aren't.
pub(crate) fn are_numeric(call: &ScalarFunction, typing: &mut Typing, schema: &DFSchema) -> bool {
    let Some(function) = functions::find_canonical(call.func.name(), FunctionKind::Scalar) else {
        return true;
    };
    let before = typing.findings.len();
    if check_count(function, &call.args, typing) {
        for argument in &call.args {
            check(function, Argument::Numeric, argument, typing, schema);
        }
    }
    typing.findings.len() == before
}

pub(crate) fn case(mut case: Case, typing: &mut Typing, schema: &DFSchema) -> Case {
    if let Some(operand) = case.expr.take() {
        let mut values = vec![*operand];
        values.extend(
            case.when_then_expr
                .iter()
                .map(|(when, _)| when.as_ref().clone()),
        );
        typing.unify(&mut values, "CASE", schema);
        let conditions = values.split_off(1);
        case.expr = values.pop().map(Box::new);
        for ((when, _), condition) in case.when_then_expr.iter_mut().zip(conditions) {
            **when = condition;
        }
    } else {
        for (when, _) in &case.when_then_expr {
            typing.expect(when, Kind::Boolean, "WHEN", schema);
        }
    }
    let mut results: Vec<Expr> = case
        .when_then_expr
        .iter()
        .map(|(_, then)| then.as_ref().clone())
        .collect();
    results.extend(case.else_expr.iter().map(|other| other.as_ref().clone()));
    typing.unify(&mut results, "CASE", schema);
    let mut results = results.into_iter();
    for (_, then) in &mut case.when_then_expr {
        if let Some(result) = results.next() {
            **then = result;
        }
    }
    case.else_expr = case.else_expr.and(results.next()).map(Box::new);
    case
}

pub(crate) fn check_aggregate(
    name: &str,
    arguments: &[Expr],
    typing: &mut Typing,
    schema: &DFSchema,
) {
    let Some(function) = functions::find_canonical(name, FunctionKind::Aggregate) else {
        return;
    };
    if !check_count(function, arguments, typing) {
        return;
    }
    let Some((wanted, argument)) = function.arguments.first().zip(arguments.first()) else {
        return;
    };
    check(function, *wanted, argument, typing, schema);
    if !matches!(name, "sum" | "avg") {
        return;
    }
    match kind(argument, schema) {
        Kind::Number => typing.note(
            Code::SqlInexact,
            &[argument],
            format!("`{name}` over numbers depends on the order of addition: equal to 1e-12 relative, not to the last digit"),
            "cast to a decimal, as in `sum(CAST(price AS DECIMAL(18, 4)))`, where it has to be exact",
        ),
        Kind::Decimal => {
            let data_type = data_type(argument, schema);
            let digits = super::types::decimal_of(&data_type).map_or(0, |(precision, _)| precision);
            if digits > MAX_SUMMED_DIGITS {
                typing.refuse(
                    Code::SqlType,
                    &[argument],
                    format!("a sum of values with {digits} digits may have more than 38"),
                    format!("cast to a decimal of at most {MAX_SUMMED_DIGITS} digits"),
                );
            }
        }
        _ => {}
    }
}

/// Ten billion values of this many digits have a sum of at most 38.
const MAX_SUMMED_DIGITS: u8 = 28;

pub(crate) fn check_window(call: &WindowFunction, typing: &mut Typing, schema: &DFSchema) {
    let arguments = &call.params.args;
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            check_aggregate(function.name(), arguments, typing, schema);
        }
        WindowFunctionDefinition::WindowUDF(window) => {
            let Some(function) = functions::find_canonical(window.name(), FunctionKind::Window)
            else {
                return;
            };
            if !check_count(function, arguments, typing) {
                return;
            }
            for (wanted, argument) in function.arguments.iter().zip(arguments) {
                check(function, *wanted, argument, typing, schema);
            }
        }
    }
}

fn check_count(function: &Function, arguments: &[Expr], typing: &mut Typing) -> bool {
    let most = function.arguments.len();
    let least = most - function.optional;
    let fits = arguments.len() >= least && (arguments.len() <= most || function.repeats);
    if !fits {
        let of: Vec<&Expr> = arguments.iter().collect();
        typing.refuse(
            Code::SqlType,
            &of,
            format!(
                "`{}` takes {least} argument{}, and this call has {}",
                function.name,
                if least == 1 { "" } else { "s" },
                arguments.len()
            ),
            function.meaning,
        );
    }
    fits
}

/// The argument as the function takes it.
fn checked(
    function: &Function,
    wanted: Argument,
    argument: Expr,
    typing: &mut Typing,
    schema: &DFSchema,
) -> Expr {
    check(function, wanted, &argument, typing, schema);
    let own = data_type(&argument, schema);
    match (wanted, Kind::of(&own)) {
        (Argument::Number, Kind::Integer) => {
            typing.implicit(argument, &own, &arrow_type(&ColumnType::Number))
        }
        (Argument::DateTime, Kind::Date) => {
            typing.implicit(argument, &own, &arrow_type(&ColumnType::Timestamp))
        }
        _ => argument,
    }
}

fn check(
    function: &Function,
    wanted: Argument,
    argument: &Expr,
    typing: &mut Typing,
    schema: &DFSchema,
) {
    let own = kind(argument, schema);
    let fits = match wanted {
        Argument::Numeric => own.is_numeric(),
        Argument::Number => matches!(own, Kind::Number | Kind::Integer),
        Argument::Text => own == Kind::Text,
        Argument::Boolean => own == Kind::Boolean,
        Argument::DateTime => matches!(own, Kind::Date | Kind::Timestamp),
        Argument::Comparable => own.is_comparable(),
        Argument::Any | Argument::Same => true,
        Argument::AtLeast(least) => whole_number(argument).is_some_and(|number| number >= least),
        Argument::Unit => {
            text(argument).is_some_and(|unit| UNITS.contains(&unit.to_lowercase().as_str()))
        }
        Argument::Pattern => match text(argument).map(check_pattern) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                typing.refuse(
                    Code::SqlRefused,
                    &[argument],
                    error.to_string(),
                    "write a pattern without look-around and back-references",
                );
                return;
            }
            None => false,
        },
    };
    if fits || (own == Kind::Open && !is_written(wanted)) {
        return;
    }
    typing.refuse(
        Code::SqlType,
        &[argument],
        format!(
            "`{}` takes a {} here, and this is {}",
            function.name,
            wanted.text(),
            if is_written(wanted) {
                "another value, or computed".to_owned()
            } else {
                format!("of type {}", type_name(argument, schema))
            }
        ),
        function.meaning,
    );
}

/// Arguments that have to stand in the query as they are.
fn is_written(argument: Argument) -> bool {
    matches!(
        argument,
        Argument::AtLeast(_) | Argument::Unit | Argument::Pattern
    )
}

fn whole_number(argument: &Expr) -> Option<i64> {
    match argument {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        _ => None,
    }
}

fn text(argument: &Expr) -> Option<&str> {
    match argument {
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text), _) => text.as_deref(),
        _ => None,
    }
}
