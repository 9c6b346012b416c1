//! A query in the form in which engines run it, with what is done row by row at its end set apart.
//!
//! A row whose value overflows, is divided by zero or can't be cast costs that row and not the run, wherever the work is done row by
//! row: so the last row-wise steps of a query are handed out as steps, and the engine evaluates a row singly where a batch fails.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use runner_plan::model::ColumnField;

use super::arithmetic;
use super::subqueries;
use super::types;

/// An analysed query.
#[derive(Clone, Debug)]
pub struct Relation {
    /// What is computed over whole inputs: joins, groups, orders. Its scans name views.
    pub plan: LogicalPlan,
    /// What is done with each of its rows then, in this order.
    pub steps: Vec<RowStep>,
    /// What comes out.
    pub columns: Vec<ColumnField>,
}

/// One step over single rows.
#[derive(Clone, Debug)]
pub struct RowStep {
    /// The columns that its expressions are about, in the order of the batches that come in.
    pub input: DFSchemaRef,
    pub kind: RowStepKind,
}

#[derive(Clone, Debug)]
pub enum RowStepKind {
    /// Rows for which it isn't true are dropped.
    Filter(Expr),
    /// The columns that go on, by name.
    Project(Vec<(Expr, String)>),
}

/// Sets the row-wise end of a plan apart, if anything in it can fail for a row.
pub(crate) fn split(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<RowStep>)> {
    let plan = subqueries::lift(plan, &can_fail)?;
    let mut row_wise: Vec<&LogicalPlan> = Vec::new();
    let mut node = &plan;
    loop {
        let input = match node {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => break,
        };
        if node.expressions().iter().any(has_subquery) {
            break;
        }
        row_wise.push(node);
        node = input;
    }
    let Some(deepest) = row_wise.iter().rposition(|node| can_fail(node)) else {
        return Ok((plan, Vec::new()));
    };
    let mut steps = Vec::new();
    let mut base: Option<LogicalPlan> = None;
    for node in row_wise.iter().take(deepest + 1).rev() {
        match node {
            LogicalPlan::Filter(filter) => {
                let conjuncts = split_conjunction_owned(filter.predicate.clone());
                let (fallible, safe): (Vec<_>, Vec<_>) = conjuncts
                    .into_iter()
                    .partition(|part| expression_can_fail(part, filter.input.schema()));
                let safe = conjunction(safe);
                if base.is_none() {
                    let input = LogicalPlanBuilder::from(filter.input.as_ref().clone());
                    base = Some(match safe {
                        Some(safe) => input.filter(safe)?.build()?,
                        None => input.build()?,
                    });
                } else if let Some(safe) = safe {
                    steps.push(step(filter.input.schema(), RowStepKind::Filter(safe)));
                }
                if let Some(fallible) = conjunction(fallible) {
                    steps.push(step(filter.input.schema(), RowStepKind::Filter(fallible)));
                }
            }
            LogicalPlan::Projection(projection) => {
                base.get_or_insert_with(|| projection.input.as_ref().clone());
                let columns = projection
                    .expr
                    .iter()
                    .zip(projection.schema.fields())
                    .map(|(expression, field)| (expression.clone(), field.name().clone()))
                    .collect();
                steps.push(step(
                    projection.input.schema(),
                    RowStepKind::Project(columns),
                ));
            }
            _ => {}
        }
    }
    let base = base.unwrap_or_default();
    narrow(base, steps)
}

fn step(input: &DFSchemaRef, kind: RowStepKind) -> RowStep {
    RowStep {
        input: Arc::clone(input),
        kind,
    }
}

/// Leaves out columns that no step looks at: the plan need not compute them.
fn narrow(base: LogicalPlan, mut steps: Vec<RowStep>) -> Result<(LogicalPlan, Vec<RowStep>)> {
    let Some(first) = steps
        .iter()
        .position(|step| matches!(step.kind, RowStepKind::Project(_)))
    else {
        return Ok((base, steps));
    };
    let mut wanted: Vec<Column> = Vec::new();
    for step in &steps[..=first] {
        let expressions: Vec<&Expr> = match &step.kind {
            RowStepKind::Filter(predicate) => vec![predicate],
            RowStepKind::Project(columns) => columns.iter().map(|(column, _)| column).collect(),
        };
        for expression in expressions {
            wanted.extend(expression.column_refs().into_iter().cloned());
        }
    }
    let all = base.schema().columns();
    let is_known = wanted.iter().all(|column| all.contains(column));
    let kept: Vec<Column> = all
        .into_iter()
        .filter(|column| wanted.contains(column))
        .collect();
    if !is_known || kept.is_empty() {
        return Ok((base, steps));
    }
    let base = LogicalPlanBuilder::from(base)
        .project(kept.into_iter().map(Expr::Column))?
        .build()?;
    for step in &mut steps[..=first] {
        step.input = Arc::clone(base.schema());
    }
    Ok((base, steps))
}

fn has_subquery(expression: &Expr) -> bool {
    expression
        .exists(|part| {
            Ok(matches!(
                part,
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)
            ))
        })
        .unwrap_or(true)
}

fn can_fail(node: &LogicalPlan) -> bool {
    let inputs = node.inputs();
    let Some(input) = inputs.first() else {
        return false;
    };
    node.expressions()
        .iter()
        .any(|expression| expression_can_fail(expression, input.schema()))
}

/// Whether the expression fails for some rows.
fn expression_can_fail(expression: &Expr, schema: &DFSchema) -> bool {
    let mut found = false;
    // The walk itself can't fail.
    let _ = expression.apply(|part| {
        found |= match part {
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(schema).unwrap_or(DataType::Null);
                types::cast_can_fail(&from, cast.field.data_type())
            }
            Expr::ScalarFunction(call) => arithmetic::can_fail(&call.func),
            _ => false,
        };
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    found
}
