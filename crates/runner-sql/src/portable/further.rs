//! Further mistakes of a query that has some: what is wrong is taken out of it, and the rest is looked at, so that all of them are
//! told at once.

use std::ops::ControlFlow;

use datafusion_common::{Column, DataFusionError, SchemaError};
use runner_spec::FieldPath;
use sqlparser::ast::{
    Expr, Ident, Select, SelectItem, Statement, Value, VisitMut as _, VisitorMut,
};

use super::findings::Findings;
use super::query::{Query, explain, planned, report};
use super::rewrite::Rewrite;
use super::syntax::Syntax;
use super::typing::Typing;

/// The most columns of one query that are reported as unknown.
const MOST_UNKNOWN: usize = 50;

/// Adds what else is wrong with a query.
pub(crate) fn look(query: Query<'_>, mut statement: Statement, findings: &mut Findings<'_>) {
    // The walks end where nothing is left to look at.
    let _ = statement.visit(&mut WithoutRefused { query });
    let Statement::Query(parsed) = &statement else {
        return;
    };
    let mut left = Findings::new(query.sql, FieldPath::root());
    Syntax::of(query, &mut left).check(parsed);
    if left.has_errors() {
        // Without its tables or clauses nothing is known of a query's columns.
        return;
    }
    for _ in 0..MOST_UNKNOWN {
        let mut typing = Typing::default();
        let plan = planned(query, statement.clone(), &mut typing);
        let error = match plan {
            Ok(plan) => {
                let mut rewrite = Rewrite {
                    typing: &mut typing,
                    now: query.now,
                };
                // What can't be rewritten is a consequence of what was taken out.
                let _ = rewrite.plan(plan);
                None
            }
            Err(error) => Some(error),
        };
        typing.findings.retain(|found| found.is_error);
        report(query.sql, &mut typing, findings);
        let Some(error) = error else { return };
        if query.views.iter().any(|view| view.is_open) {
            return;
        }
        let Some(column) = misnamed(&error) else {
            if is_of_arguments(&error) {
                explain(query, &error, findings);
            }
            return;
        };
        explain(query, &error, findings);
        let mut without = WithoutColumn {
            column,
            is_found: false,
        };
        let _ = statement.visit(&mut without);
        if !without.is_found {
            return;
        }
    }
}

/// The column that isn't there, or that could be one of several.
fn misnamed(error: &DataFusionError) -> Option<Column> {
    let DataFusionError::SchemaError(error, _) = error.find_root() else {
        return None;
    };
    match error.as_ref() {
        SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => {
            Some(field.as_ref().clone())
        }
        _ => None,
    }
}

/// Whether a function doesn't take its arguments; NULL it takes.
fn is_of_arguments(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::Plan(text) if text.starts_with("Function '"))
}

fn nothing() -> Expr {
    Expr::value(Value::Null)
}

/// Puts NULL, which goes with every type, in place of expressions that portable SQL doesn't have.
struct WithoutRefused<'a> {
    query: Query<'a>,
}

impl VisitorMut for WithoutRefused<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for (index, item) in select.projection.iter_mut().enumerate() {
            if let SelectItem::UnnamedExpr(expression) = item
                && !matches!(
                    expression,
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_)
                )
            {
                *item = SelectItem::ExprWithAlias {
                    expr: std::mem::replace(expression, nothing()),
                    alias: Ident::new(format!("_{index}")),
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let mut own = Findings::new(self.query.sql, FieldPath::root());
        Syntax::of(self.query, &mut own).expression(expression);
        if own.has_errors() {
            *expression = nothing();
        }
        ControlFlow::Continue(())
    }
}

/// Puts NULL in place of a column.
struct WithoutColumn {
    column: Column,
    is_found: bool,
}

impl WithoutColumn {
    fn is_it(&self, expression: &Expr) -> bool {
        let read = |name: &Ident| match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_lowercase(),
        };
        match expression {
            Expr::Identifier(name) => {
                self.column.relation.is_none() && read(name) == self.column.name
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, name] => {
                    let relation = self.column.relation.as_ref();
                    relation.is_some_and(|relation| relation.table() == read(table))
                        && read(name) == self.column.name
                }
                _ => false,
            },
            _ => false,
        }
    }
}

impl VisitorMut for WithoutColumn {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expression) = item
                && self.is_it(expression)
            {
                self.is_found = true;
                *item = SelectItem::ExprWithAlias {
                    expr: nothing(),
                    alias: Ident::with_quote('"', self.column.name.clone()),
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if self.is_it(expression) {
            self.is_found = true;
            *expression = nothing();
        }
        ControlFlow::Continue(())
    }
}
