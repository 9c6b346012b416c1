//! Sums and means that are exact where they can be: over integers they are computed in decimals, and the mean of decimals is a quotient.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::expr::{AggregateFunction, Cast, WindowFunction};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Aggregate, Expr, LogicalPlan, Projection, Window, WindowFunctionDefinition};
use datafusion_functions_aggregate::count::count_udaf;
use datafusion_functions_aggregate::sum::sum_udaf;
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;

use super::arithmetic::{self, Arithmetic};
use super::types::{INTEGER_DIGITS, Kind};
use super::typing::{Typing, data_type};

/// Puts the exact forms into an aggregation, and a projection with the asked-for names above it.
pub(crate) fn aggregate(aggregate: Aggregate, _typing: &mut Typing) -> Result<LogicalPlan> {
    let schema = merge_schema(&[aggregate.input.as_ref()]);
    if !aggregate
        .aggr_expr
        .iter()
        .any(|call| form(call, &schema).is_some())
    {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
    let mut outer: Vec<Expr> = (0..groups)
        .map(|index| Expr::Column(Column::from(aggregate.schema.qualified_field(index))))
        .collect();
    let mut calls = Vec::new();
    for (index, call) in aggregate.aggr_expr.iter().enumerate() {
        let (relation, field) = aggregate.schema.qualified_field(groups + index);
        outer.push(
            place(call, &schema, &mut calls).alias_qualified(relation.cloned(), field.name()),
        );
    }
    let inner = Aggregate::try_new(aggregate.input, aggregate.group_expr, calls)?;
    Projection::try_new(outer, Arc::new(LogicalPlan::Aggregate(inner))).map(LogicalPlan::Projection)
}

/// The same for windows, whose results stand behind the input's columns.
pub(crate) fn window(window: Window, _typing: &mut Typing) -> Result<LogicalPlan> {
    let schema = merge_schema(&[window.input.as_ref()]);
    if !window
        .window_expr
        .iter()
        .any(|call| form(call, &schema).is_some())
    {
        return Ok(LogicalPlan::Window(window));
    }
    let own = window.input.schema().fields().len();
    let mut outer: Vec<Expr> = (0..own)
        .map(|index| Expr::Column(Column::from(window.schema.qualified_field(index))))
        .collect();
    let mut calls = Vec::new();
    for (index, call) in window.window_expr.iter().enumerate() {
        let (relation, field) = window.schema.qualified_field(own + index);
        outer.push(
            place(call, &schema, &mut calls).alias_qualified(relation.cloned(), field.name()),
        );
    }
    let inner = Window::try_new(calls, window.input)?;
    Projection::try_new(outer, Arc::new(LogicalPlan::Window(inner))).map(LogicalPlan::Projection)
}

/// How a sum or mean is computed that engines compute in ways of their own.
#[derive(Clone, Copy)]
enum Form {
    /// Of integers, in decimals.
    Sum,
    /// Of integers, as a number.
    Mean,
    /// Of decimals, with the digits of a quotient.
    DecimalMean,
}

fn form(call: &Expr, schema: &DFSchema) -> Option<Form> {
    let (name, arguments) = match call.clone().unalias() {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            (func.name().to_owned(), params.args)
        }
        Expr::WindowFunction(call) => match call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                (function.name().to_owned(), call.params.args)
            }
            WindowFunctionDefinition::WindowUDF(_) => return None,
        },
        _ => return None,
    };
    let argument = arguments.first()?;
    match (name.as_str(), Kind::of(&data_type(argument, schema))) {
        ("sum", Kind::Integer) => Some(Form::Sum),
        ("avg", Kind::Integer) => Some(Form::Mean),
        ("avg", Kind::Decimal) => Some(Form::DecimalMean),
        _ => None,
    }
}

/// Adds the calls that the asked-for one is computed from, and returns it in terms of them.
fn place(call: &Expr, schema: &DFSchema, calls: &mut Vec<Expr>) -> Expr {
    let Some(form) = form(call, schema) else {
        return add(call.clone(), calls);
    };
    let call = call.clone().unalias();
    let is_integer = matches!(form, Form::Sum | Form::Mean);
    let sum = add(with(&call, Some(sum_udaf()), is_integer), calls);
    let (sum, divisor) = match form {
        Form::Sum => return arithmetic::integer_sum(sum),
        Form::Mean => {
            let number = arrow_type(&ColumnType::Number);
            (Expr::Cast(Cast::new(Box::new(sum), number.clone())), number)
        }
        Form::DecimalMean => (sum, DataType::Decimal128(INTEGER_DIGITS, 0)),
    };
    let count = add(with(&call, Some(count_udaf()), false), calls);
    let count = Expr::Cast(Cast::new(Box::new(count), divisor));
    // Of nothing the sum is null, and so is the quotient.
    arithmetic::checked(Arithmetic::Divide, sum, count)
}

fn add(call: Expr, calls: &mut Vec<Expr>) -> Expr {
    let (relation, name) = call.qualified_name();
    if !calls.contains(&call) {
        calls.push(call);
    }
    Expr::Column(Column::new(relation, name))
}

/// The call with another function, and its argument as a decimal that holds every integer.
fn with(
    call: &Expr,
    function: Option<Arc<datafusion_expr::AggregateUDF>>,
    as_decimal: bool,
) -> Expr {
    let widened = |arguments: &[Expr]| -> Vec<Expr> {
        if !as_decimal {
            return arguments.to_vec();
        }
        let decimal = DataType::Decimal128(INTEGER_DIGITS, 0);
        arguments
            .iter()
            .map(|argument| Expr::Cast(Cast::new(Box::new(argument.clone()), decimal.clone())))
            .collect()
    };
    match (call, function) {
        (Expr::AggregateFunction(call), Some(func)) => {
            let mut params = call.params.clone();
            params.args = widened(&params.args);
            Expr::AggregateFunction(AggregateFunction { func, params })
        }
        (Expr::WindowFunction(call), Some(func)) => {
            let mut params = call.params.clone();
            params.args = widened(&params.args);
            Expr::WindowFunction(Box::new(WindowFunction {
                fun: WindowFunctionDefinition::AggregateUDF(func),
                params,
            }))
        }
        (other, _) => other.clone(),
    }
}
