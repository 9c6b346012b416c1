//! Which columns tell the rows of a result apart: a ranking and a `LIMIT` need an order that leaves no ties.

use std::collections::BTreeMap;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, JoinType, Result};
use datafusion_expr::expr::{Sort, WindowFunction};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{
    Distinct, Expr, Join, LogicalPlan, Operator, WindowFrameUnits, WindowFunctionDefinition,
};
use runner_spec::Code;

use super::typing::Typing;

/// View → the columns that no two of its rows share.
pub(crate) type ViewKeys = BTreeMap<String, Vec<String>>;

/// Columns that no two rows share.
type Key = Vec<Column>;

/// Reports rankings and limits whose order leaves ties.
pub(crate) fn check(plan: &LogicalPlan, views: &ViewKeys, typing: &mut Typing) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Window(window) => {
                let known = keys(&window.input, views);
                for call in &window.window_expr {
                    if let Expr::WindowFunction(call) = call.clone().unalias() {
                        check_window(&call, &window.input, &known, typing);
                    }
                }
            }
            LogicalPlan::Limit(limit) => check_limit(&limit.input, views, typing),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(drop)
}

/// Sets of columns each of which tells the rows apart.
pub(crate) fn keys(plan: &LogicalPlan, views: &ViewKeys) -> Vec<Key> {
    let every: Key = plan.schema().columns();
    match plan {
        LogicalPlan::TableScan(scan) => {
            let key = views.get(scan.table_name.table());
            let key = key.filter(|key| !key.is_empty());
            key.map(|key| {
                key.iter()
                    .map(|name| Column::new(Some(scan.table_name.clone()), name))
                    .collect()
            })
            .into_iter()
            .collect()
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = alias.input.schema().columns();
            keys(&alias.input, views)
                .into_iter()
                .filter_map(|key| renamed(&key, &inner, &every))
                .collect()
        }
        LogicalPlan::Projection(projection) => {
            let inner: Vec<Column> = projection
                .expr
                .iter()
                .map(|expression| match expression.clone().unalias() {
                    Expr::Column(column) => column,
                    // Equal to no column of the input.
                    other => Column::from_name(format!("({other})")),
                })
                .collect();
            keys(&projection.input, views)
                .into_iter()
                .filter_map(|key| renamed(&key, &inner, &every))
                .collect()
        }
        LogicalPlan::Filter(filter) => keys(&filter.input, views),
        LogicalPlan::Sort(sort) => keys(&sort.input, views),
        LogicalPlan::Limit(limit) => keys(&limit.input, views),
        LogicalPlan::Window(window) => keys(&window.input, views),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let mut known = keys(input, views);
            known.push(every);
            known
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups = every.len() - aggregate.aggr_expr.len();
            vec![every.into_iter().take(groups).collect()]
        }
        LogicalPlan::Join(join) => joined(join, views),
        _ => Vec::new(),
    }
}

/// The key under other names, where all of its columns are still there.
fn renamed(key: &Key, from: &[Column], to: &[Column]) -> Option<Key> {
    key.iter()
        .map(|column| {
            let index = from.iter().position(|known| known == column)?;
            to.get(index).cloned()
        })
        .collect()
}

fn joined(join: &Join, views: &ViewKeys) -> Vec<Key> {
    let left = keys(&join.left, views);
    if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) {
        return left;
    }
    let right = keys(&join.right, views);
    let mut known = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    for (left, right) in &join.on {
        columns.extend(
            [left, right]
                .into_iter()
                .filter_map(Expr::try_as_col)
                .cloned(),
        );
    }
    // Before the optimiser has looked at them, equalities stand in the filter.
    for part in join.filter.iter().flat_map(split_conjunction) {
        if let Expr::BinaryExpr(binary) = part
            && binary.op == Operator::Eq
            && let (Expr::Column(left), Expr::Column(right)) =
                (binary.left.as_ref(), binary.right.as_ref())
        {
            columns.extend([left.clone(), right.clone()]);
        }
    }
    // A row that meets at most one of the other side is told apart by its own key.
    let meets_one = |keys: &[Key], columns: &[Column]| keys.iter().any(|key| within(key, columns));
    if meets_one(&right, &columns) && matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        known.extend(left.iter().cloned());
    }
    if meets_one(&left, &columns) && matches!(join.join_type, JoinType::Inner | JoinType::Right) {
        known.extend(right.iter().cloned());
    }
    for own in &left {
        known.extend(right.iter().map(|other| [own.as_slice(), other].concat()));
    }
    known
}

fn within(key: &[Column], columns: &[Column]) -> bool {
    key.iter().all(|column| columns.contains(column))
}

fn is_total(columns: &[Column], input: &LogicalPlan, known: &[Key]) -> bool {
    // Rows that are equal in every column are the same whichever comes first.
    known.iter().any(|key| within(key, columns)) || within(&input.schema().columns(), columns)
}

fn order_columns(order: &[Sort]) -> Vec<Column> {
    let columns = order.iter();
    columns
        .filter_map(|sort| match sort.expr.clone().unalias() {
            Expr::Column(column) => Some(column),
            _ => None,
        })
        .collect()
}

fn check_window(call: &WindowFunction, input: &LogicalPlan, known: &[Key], typing: &mut Typing) {
    let name = match &call.fun {
        WindowFunctionDefinition::WindowUDF(function) => function.name(),
        WindowFunctionDefinition::AggregateUDF(function) => function.name(),
    };
    let frame = &call.params.window_frame;
    let depends = match &call.fun {
        WindowFunctionDefinition::WindowUDF(_) => {
            !matches!(name, "rank" | "dense_rank" | "percent_rank" | "cume_dist")
        }
        WindowFunctionDefinition::AggregateUDF(_) => {
            let is_whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
            frame.units == WindowFrameUnits::Rows && !is_whole
        }
    };
    let mut columns = order_columns(&call.params.order_by);
    columns.extend(
        call.params
            .partition_by
            .iter()
            .filter_map(|part| match part {
                Expr::Column(column) => Some(column.clone()),
                _ => None,
            }),
    );
    if depends && !is_total(&columns, input, known) {
        let of: Vec<&Expr> = call.params.order_by.iter().map(|sort| &sort.expr).collect();
        typing.refuse_at(
            name,
            Code::SqlPartialOrder,
            &of,
            format!("rows that are equal in the order of `{name}` are numbered in any order"),
            "order by a key last: a `primary_key` of the endpoint, or the columns of a `GROUP BY`",
        );
    }
}

fn check_limit(input: &LogicalPlan, views: &ViewKeys, typing: &mut Typing) {
    let mut node = input;
    loop {
        match node {
            LogicalPlan::Projection(projection) => node = &projection.input,
            LogicalPlan::SubqueryAlias(alias) => node = &alias.input,
            _ => break,
        }
    }
    let (order, ordered): (&[Sort], &LogicalPlan) = match node {
        LogicalPlan::Sort(sort) => (&sort.expr, &sort.input),
        other => (&[], other),
    };
    let known = keys(ordered, views);
    if is_total(&order_columns(order), ordered, &known) {
        return;
    }
    let of: Vec<&Expr> = order.iter().map(|sort| &sort.expr).collect();
    typing.refuse_at(
        "limit",
        Code::SqlPartialOrder,
        &of,
        if order.is_empty() {
            "`LIMIT` without an order takes any rows".to_owned()
        } else {
            "`LIMIT` takes any of the rows that are equal in its order".to_owned()
        },
        "order by a key last: a `primary_key` of the endpoint, or the columns of a `GROUP BY`",
    );
}
