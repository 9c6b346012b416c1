//! The pass over a query's plan that gives every expression its portable meaning.

use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::{DateTime, Datelike, Utc};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRewriter};
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{InList, ScalarFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, TableScan, Union, lit,
};
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;
use runner_spec::Code;

use super::aggregates;
use super::arguments;
use super::arithmetic::{self, Arithmetic, Failure};
use super::types::{self, Kind};
use super::typing::{Typing, data_type};

/// What a rewriting needs beside the plan.
pub(crate) struct Rewrite<'a> {
    pub(crate) typing: &'a mut Typing,
    pub(crate) now: DateTime<Utc>,
}

impl Rewrite<'_> {
    pub(crate) fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| self.node(node))
            .map(|transformed| transformed.data)
    }

    fn node(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let node = match node {
            LogicalPlan::TableScan(scan) => {
                return scanned(scan).map(Transformed::yes);
            }
            LogicalPlan::Union(union) => LogicalPlan::Union(self.union(union)?),
            other => other,
        };
        let schema = merge_schema(&node.inputs());
        let preserver = NamePreserver::new(&node);
        let node = node
            .map_expressions(|expression| {
                let name = preserver.save(&expression);
                let mut rewriter = ExpressionRewriter {
                    typing: self.typing,
                    schema: &schema,
                    now: self.now,
                };
                expression
                    .rewrite(&mut rewriter)
                    .map(|rewritten| rewritten.update_data(|expression| name.restore(expression)))
            })?
            .data;
        let node = match node {
            LogicalPlan::Join(join) => LogicalPlan::Join(self.join(join)),
            LogicalPlan::Filter(filter) => {
                self.typing
                    .expect(&filter.predicate, Kind::Boolean, "WHERE", &schema);
                LogicalPlan::Filter(filter)
            }
            other => other,
        };
        let node = node.recompute_schema()?;
        let node = match node {
            LogicalPlan::Aggregate(aggregate) => aggregates::aggregate(aggregate, self.typing)?,
            LogicalPlan::Window(window) => aggregates::window(window, self.typing)?,
            other => other,
        };
        Ok(Transformed::yes(node))
    }

    fn join(&mut self, mut join: Join) -> Join {
        for (left, right) in &mut join.on {
            let schemas = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
            let mut pair = [
                std::mem::replace(left, lit(ScalarValue::Null)),
                std::mem::replace(right, lit(ScalarValue::Null)),
            ];
            self.typing.unify(&mut pair, "=", &schemas);
            [*left, *right] = pair;
        }
        join
    }

    /// Columns of a set operation have one type in all of its queries.
    fn union(&mut self, union: Union) -> Result<Union> {
        let Some(first) = union.inputs.first() else {
            return Ok(union);
        };
        let mut wanted: Vec<DataType> = types_of(first);
        for input in union.inputs.iter().skip(1) {
            for (index, own) in types_of(input).into_iter().enumerate() {
                let Some(target) = wanted.get_mut(index) else {
                    continue;
                };
                let Some(common) = types::common(target, &own) else {
                    let column = column(first, index);
                    self.typing.refuse_at(
                        "union",
                        Code::SqlType,
                        &[],
                        format!(
                            "`UNION` joins columns of one type, and `{}` is of type {} and {}",
                            column.name,
                            types::name(target),
                            types::name(&own)
                        ),
                        "write the cast that is meant",
                    );
                    return Ok(union);
                };
                *target = common;
            }
        }
        let inputs = union
            .inputs
            .iter()
            .map(|input| self.of_types(input, &wanted).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        Union::try_new(inputs)
    }

    fn of_types(&mut self, input: &Arc<LogicalPlan>, wanted: &[DataType]) -> Result<LogicalPlan> {
        let own = types_of(input);
        if own.iter().zip(wanted).all(|(own, wanted)| own == wanted) {
            return Ok(input.as_ref().clone());
        }
        let expressions: Vec<Expr> = own
            .iter()
            .zip(wanted)
            .enumerate()
            .map(|(index, (own, wanted))| {
                let column = column(input, index);
                if own == wanted || Kind::of(own) == Kind::Open {
                    return Expr::Column(column);
                }
                let (relation, name) = (column.relation.clone(), column.name.clone());
                self.typing
                    .implicit(Expr::Column(column), own, wanted)
                    .alias_qualified(relation, name)
            })
            .collect();
        LogicalPlanBuilder::from(input.as_ref().clone())
            .project(expressions)?
            .build()
    }
}

fn types_of(plan: &LogicalPlan) -> Vec<DataType> {
    let fields = plan.schema().fields().iter();
    fields.map(|field| field.data_type().clone()).collect()
}

fn column(plan: &LogicalPlan, index: usize) -> Column {
    Column::from(plan.schema().qualified_field(index))
}

/// A view, with one zero and one NaN in its numbers.
fn scanned(scan: TableScan) -> Result<LogicalPlan> {
    let plan = LogicalPlan::TableScan(scan);
    let has_numbers = plan
        .schema()
        .fields()
        .iter()
        .any(|field| *field.data_type() == DataType::Float64);
    if !has_numbers {
        return Ok(plan);
    }
    let expressions = plan
        .schema()
        .iter()
        .map(|(relation, field)| {
            let column = Column::new(relation.cloned(), field.name());
            if *field.data_type() == DataType::Float64 {
                arithmetic::one_zero(Expr::Column(column))
                    .alias_qualified(relation.cloned(), field.name())
            } else {
                Expr::Column(column)
            }
        })
        .collect();
    Projection::try_new(expressions, Arc::new(plan)).map(LogicalPlan::Projection)
}

struct ExpressionRewriter<'a> {
    typing: &'a mut Typing,
    schema: &'a DFSchema,
    now: DateTime<Utc>,
}

impl TreeNodeRewriter for ExpressionRewriter<'_> {
    type Node = Expr;

    fn f_up(&mut self, expression: Expr) -> Result<Transformed<Expr>> {
        Ok(Transformed::yes(self.rewritten(expression)))
    }
}

impl ExpressionRewriter<'_> {
    fn rewritten(&mut self, expression: Expr) -> Expr {
        let (typing, schema) = (&mut *self.typing, self.schema);
        match expression {
            Expr::BinaryExpr(binary) => {
                let is_time = matches!(binary.op, Operator::Plus | Operator::Minus);
                if is_time {
                    // Arithmetic of numbers was replaced before; what is left moves a point in time.
                    return Expr::BinaryExpr(binary);
                }
                typing.binary(binary.op, *binary.left, *binary.right, schema)
            }
            Expr::Negative(value) => {
                let zero = ScalarValue::new_zero(&data_type(&value, schema));
                let zero = lit(zero.unwrap_or(ScalarValue::Null));
                typing.arithmetic(Arithmetic::Subtract, zero, *value, schema)
            }
            Expr::Not(value) => {
                typing.expect(&value, Kind::Boolean, "NOT", schema);
                Expr::Not(value)
            }
            Expr::Cast(cast) => typing.explicit(*cast.expr, cast.field.data_type(), schema),
            Expr::TryCast(cast) => typing.attempted(*cast.expr, cast.field.data_type(), schema),
            Expr::Like(like) => {
                typing.expect(&like.expr, Kind::Text, "LIKE", schema);
                typing.expect(&like.pattern, Kind::Text, "LIKE", schema);
                Expr::Like(like)
            }
            Expr::Between(mut between) => {
                let mut operands = [*between.expr, *between.low, *between.high];
                typing.unify(&mut operands, "BETWEEN", schema);
                let [value, low, high] = operands;
                between.expr = Box::new(value);
                between.low = Box::new(low);
                between.high = Box::new(high);
                Expr::Between(between)
            }
            Expr::InList(list) => Expr::InList(in_list(list, typing, schema)),
            Expr::Case(case) => Expr::Case(arguments::case(case, typing, schema)),
            Expr::InSubquery(membership) => {
                let field = membership.subquery.subquery.schema().field(0);
                let own = data_type(&membership.expr, schema);
                if types::common(&own, field.data_type()).is_none() {
                    typing.refuse(
                        Code::SqlType,
                        &[&membership.expr],
                        format!(
                            "`IN` is between values of one type, and these are of type {} and {}",
                            types::name(&own),
                            types::name(field.data_type())
                        ),
                        "write the cast that is meant",
                    );
                }
                Expr::InSubquery(membership)
            }
            Expr::ScalarFunction(call) => self.call(call),
            Expr::AggregateFunction(call) => {
                arguments::check_aggregate(call.func.name(), &call.params.args, typing, schema);
                Expr::AggregateFunction(call)
            }
            Expr::WindowFunction(call) => {
                arguments::check_window(&call, typing, schema);
                Expr::WindowFunction(call)
            }
            other => other,
        }
    }

    fn call(&mut self, call: ScalarFunction) -> Expr {
        let (typing, schema) = (&mut *self.typing, self.schema);
        match call.func.name() {
            "now" => return lit(timestamp(self.now)),
            "current_date" => return lit(date(self.now)),
            _ => {}
        }
        if let Some((operation, failure)) = arithmetic::operation(&call.func) {
            if failure == Failure::Null && !arguments::are_numeric(&call, typing, schema) {
                return lit(ScalarValue::Null);
            }
            let mut operands = call.args.into_iter();
            let mut next = || operands.next().unwrap_or_else(|| lit(ScalarValue::Null));
            let (left, right) = (next(), next());
            let computed = typing.arithmetic(operation, left, right, schema);
            return arithmetic::failing(computed, failure);
        }
        if arithmetic::is_own(&call.func) {
            return Expr::ScalarFunction(call);
        }
        arguments::scalar(call, typing, schema)
    }
}

fn in_list(mut list: InList, typing: &mut Typing, schema: &DFSchema) -> InList {
    let mut operands = vec![*list.expr];
    operands.append(&mut list.list);
    typing.unify(&mut operands, "IN", schema);
    let values = operands.split_off(1);
    list.expr = Box::new(operands.pop().unwrap_or_else(|| lit(ScalarValue::Null)));
    list.list = values;
    list
}

fn timestamp(at: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
}

fn date(at: DateTime<Utc>) -> ScalarValue {
    const DAYS_BEFORE_EPOCH: i32 = 719_163;
    ScalarValue::Date32(Some(at.num_days_from_ce() - DAYS_BEFORE_EPOCH))
}

/// The integer type of a query.
pub(crate) fn integer() -> DataType {
    arrow_type(&ColumnType::Integer)
}
