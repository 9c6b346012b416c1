//! Queries within a query: one that stands for a value yields one row at most, and one that refers to the query around it can be
//! turned into a join, which is how engines run it.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result};
use datafusion_expr::expr::{Exists, InSubquery};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{Expr, FetchType, LogicalPlan, LogicalPlanBuilder};
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::{Optimizer, OptimizerContext};
use runner_spec::Code;

use super::typing::Typing;

/// Reports queries as values that may yield several rows.
pub(crate) fn check_rows(plan: &LogicalPlan, typing: &mut Typing) -> Result<()> {
    visit(plan, &mut |expression| {
        if let Expr::ScalarSubquery(value) = expression
            && !has_one_row(&value.subquery)
        {
            let columns = value.subquery.expressions();
            let of: Vec<&Expr> = columns.iter().collect();
            typing.refuse(
                Code::SqlRefused,
                &of,
                "a query that stands for a value yields one row, and this one may yield several",
                "aggregate it, as in `(SELECT max(price) FROM trades)`, or join it",
            );
        }
    })
}

/// Reports queries that refer to the one around them in a way that no join expresses.
pub(crate) fn check_references(plan: &LogicalPlan, typing: &mut Typing) -> Result<()> {
    if !has_references(plan)? {
        return Ok(());
    }
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
    ]);
    let context = OptimizerContext::new().with_skip_failing_rules(false);
    let joined = optimizer.optimize(plan.clone(), &context, |_, _| {});
    let is_expressed = match &joined {
        Ok(joined) => !has_references(joined)?,
        Err(_) => false,
    };
    if is_expressed {
        return Ok(());
    }
    visit(plan, &mut |expression| {
        if let Some(query) = inner(expression)
            && !query.outer_ref_columns.is_empty()
        {
            let of: Vec<&Expr> = query.outer_ref_columns.iter().collect();
            typing.refuse_at(
                "select",
                Code::SqlRefused,
                &of,
                "a query refers to the one around it in a way that not every engine can run",
                "compare the outer columns with `=` in its `WHERE`, or join it",
            );
        }
    })
}

/// Computes queries as values below the row-wise end of a plan, which is evaluated outside of it.
///
/// `is_row_wise` says of a step whether it has to be.
pub(crate) fn lift(
    plan: LogicalPlan,
    is_row_wise: &impl Fn(&LogicalPlan) -> bool,
) -> Result<LogicalPlan> {
    let is_step = matches!(
        plan,
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_)
    );
    let Some(input) = plan.inputs().first().copied().filter(|_| is_step) else {
        return Ok(plan);
    };
    let input = lift(input.clone(), is_row_wise)?;
    let has_value = plan
        .expressions()
        .iter()
        .any(Expr::contains_scalar_subquery);
    if !has_value || !is_row_wise(&plan) {
        return plan.with_new_exprs(plan.expressions(), vec![input]);
    }
    let own: Vec<Expr> = input
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let preserver = NamePreserver::new(&plan);
    let mut values: Vec<Expr> = Vec::new();
    let mut expressions = Vec::new();
    for expression in plan.expressions() {
        let name = preserver.save(&expression);
        let replaced = expression.transform_up(|part| {
            if !matches!(part, Expr::ScalarSubquery(_)) {
                return Ok(Transformed::no(part));
            }
            let name = format!("__value_{}", values.len());
            values.push(part.alias(&name));
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(
                name,
            ))))
        })?;
        expressions.push(name.restore(replaced.data));
    }
    let below = LogicalPlanBuilder::from(input)
        .project(own.iter().cloned().chain(values))?
        .build()?;
    let is_filter = matches!(plan, LogicalPlan::Filter(_));
    let step = plan.with_new_exprs(expressions, vec![below])?;
    if is_filter {
        return LogicalPlanBuilder::from(step).project(own)?.build();
    }
    Ok(step)
}

/// Whether a query yields one row at most, whatever its tables hold.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::Filter(filter) => has_one_row(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Sort(sort) => sort.fetch == Some(1) || has_one_row(&sort.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1))))
                || has_one_row(&limit.input)
        }
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

/// Whether a query within the plan refers to the one around it.
fn has_references(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    visit(plan, &mut |expression| {
        found |= inner(expression).is_some_and(|query| !query.outer_ref_columns.is_empty());
    })?;
    Ok(found)
}

fn inner(expression: &Expr) -> Option<&Subquery> {
    match expression {
        Expr::ScalarSubquery(query)
        | Expr::Exists(Exists {
            subquery: query, ..
        })
        | Expr::InSubquery(InSubquery {
            subquery: query, ..
        }) => Some(query),
        _ => None,
    }
}

/// Every part of every expression, those of inner queries included.
fn visit(plan: &LogicalPlan, look: &mut impl FnMut(&Expr)) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                look(part);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map(drop)
}
