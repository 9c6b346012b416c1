//! The allow list of constructs, on the parsed text: what isn't in it is refused, with its place and what to write instead.

use runner_spec::{Code, nearest};
use sqlparser::ast::{
    CastKind, Distinct, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowExpr, ObjectName, ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query, Select,
    SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor, UnaryOperator, Value,
    WindowFrameUnits, WindowSpec,
};
use sqlparser::tokenizer::Span;

use super::expressions;
use super::findings::Findings;
use super::query as portable;

/// Walks over a query.
pub(crate) struct Syntax<'a, 'f> {
    pub(super) findings: &'a mut Findings<'f>,
    /// Views that the transform may read.
    views: Vec<&'a str>,
    /// Names that views could have had, for suggestions.
    candidates: &'a [String],
    /// Names that `WITH` defines, innermost last.
    defined: Vec<String>,
}

impl<'a, 'f> Syntax<'a, 'f> {
    pub(crate) fn of(query: portable::Query<'a>, findings: &'a mut Findings<'f>) -> Self {
        Self {
            findings,
            views: query.views.iter().map(|view| view.name.as_str()).collect(),
            candidates: query.candidates,
            defined: Vec::new(),
        }
    }

    /// Checks the query whose columns the transform yields.
    pub(crate) fn check(&mut self, query: &Query) {
        self.query(query);
        self.names(&query.body);
    }

    pub(super) fn refuse(&mut self, span: Span, what: &str, help: &str) {
        let place = self.findings.place(span);
        self.findings.error(
            Code::SqlRefused,
            place,
            format!("portable SQL has no {what}"),
            help,
        );
    }

    pub(super) fn query(&mut self, query: &Query) {
        let known = self.defined.len();
        if let Some(with) = &query.with {
            if with.recursive {
                self.refuse(
                    with.span(),
                    "recursive queries",
                    "write the steps as common table expressions that don't refer to themselves",
                );
            }
            for table in &with.cte_tables {
                self.query(&table.query);
                self.defined.push(table.alias.name.value.to_lowercase());
            }
        }
        self.set_expression(&query.body);
        if let Some(order) = &query.order_by {
            self.order(order);
        }
        if let Some(limit) = &query.limit_clause {
            self.limit(limit, query);
        }
        if query.fetch.is_some() {
            self.refuse(query.span(), "`FETCH`", "write `LIMIT`");
        }
        let has_extensions = !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if has_extensions {
            self.refuse(
                query.span(),
                "locks, settings, formats or pipes",
                "take the clause out",
            );
        }
        self.defined.truncate(known);
    }

    fn limit(&mut self, limit: &LimitClause, query: &Query) {
        let LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        } = limit
        else {
            self.refuse(
                query.span(),
                "`LIMIT offset, count`",
                "write `LIMIT count OFFSET offset`",
            );
            return;
        };
        if !limit_by.is_empty() {
            self.refuse(
                query.span(),
                "`LIMIT BY`",
                "write `row_number()` over a partition",
            );
        }
        for count in limit
            .iter()
            .chain(offset.iter().map(|offset| &offset.value))
        {
            if !matches!(count, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
                self.refuse(count.span(), "limits that are computed", "write a number");
            }
        }
    }

    fn set_expression(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let is_plain = matches!(
                    set_quantifier,
                    SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
                );
                // Engines count duplicates differently in `EXCEPT ALL` and `INTERSECT ALL`, or have neither.
                let is_counted =
                    *op != SetOperator::Union && matches!(set_quantifier, SetQuantifier::All);
                if !is_plain || is_counted || *op == SetOperator::Minus {
                    self.refuse(
                        body.span(),
                        "`MINUS`, `EXCEPT ALL`, `INTERSECT ALL` or `BY NAME`",
                        "write `UNION`, `UNION ALL`, `EXCEPT` or `INTERSECT`, with columns in the same order",
                    );
                }
                self.set_expression(left);
                self.set_expression(right);
            }
            SetExpr::Values(_)
            | SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => {
                let place = self.findings.place(body.span());
                self.findings.error(
                    Code::SqlNotAQuery,
                    place,
                    "a transform reads its views with `SELECT`",
                    "write `SELECT … FROM view`",
                );
            }
        }
    }

    fn select(&mut self, select: &Select) {
        let has_extensions = select.top.is_some()
            || select.into.is_some()
            || select.exclude.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some()
            || select.value_table_mode.is_some()
            || select.select_modifiers.is_some();
        if has_extensions {
            self.refuse(
                select.span(),
                "`TOP`, `INTO`, `EXCLUDE`, `LATERAL VIEW`, `PREWHERE`, `CONNECT BY`, `CLUSTER BY`, `DISTRIBUTE BY`, `SORT BY` or `QUALIFY`",
                "take the clause out; `QUALIFY` is a `WHERE` around the query",
            );
        }
        if matches!(select.distinct, Some(Distinct::On(_))) {
            self.refuse(
                select.span(),
                "`DISTINCT ON`",
                "write `row_number()` over a partition and keep the first",
            );
        }
        for table in &select.from {
            self.table(&table.relation);
            for join in &table.joins {
                self.join(join);
            }
        }
        for item in &select.projection {
            self.item(item);
        }
        for condition in select.selection.iter().chain(&select.having) {
            self.expression(condition);
        }
        self.grouping(&select.group_by, select);
        for window in &select.named_window {
            match &window.1 {
                NamedWindowExpr::WindowSpec(window) => self.window(window),
                NamedWindowExpr::NamedWindow(name) => {
                    self.refuse(
                        name.span,
                        "windows named after others",
                        "write the window out",
                    );
                }
            }
        }
    }

    fn grouping(&mut self, grouping: &GroupByExpr, select: &Select) {
        match grouping {
            GroupByExpr::Expressions(expressions, modifiers) if modifiers.is_empty() => {
                for expression in expressions {
                    self.expression(expression);
                }
            }
            _ => self.refuse(
                select.span(),
                "`GROUP BY ALL`, `ROLLUP`, `CUBE` or `TOTALS`",
                "name the columns",
            ),
        }
    }

    fn item(&mut self, item: &SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expression)
            | SelectItem::ExprWithAlias {
                expr: expression, ..
            } => self.expression(expression),
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let is_plain = options.opt_ilike.is_none()
                    && options.opt_exclude.is_none()
                    && options.opt_except.is_none()
                    && options.opt_replace.is_none()
                    && options.opt_rename.is_none();
                if !is_plain {
                    self.refuse(item.span(), "wildcards with changes", "name the columns");
                }
            }
            SelectItem::ExprWithAliases { .. } => {
                self.refuse(
                    item.span(),
                    "several names for one value",
                    "give it one name",
                );
            }
        }
    }

    /// What a query yields needs names: engines make up different ones.
    fn names(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => {
                for item in &select.projection {
                    let SelectItem::UnnamedExpr(expression) = item else {
                        continue;
                    };
                    if !matches!(
                        expression,
                        Expr::Identifier(_) | Expr::CompoundIdentifier(_)
                    ) {
                        self.refuse(
                            expression.span(),
                            "names for columns that are computed",
                            "name it with `AS`, as in `count(*) AS trades`",
                        );
                    }
                }
            }
            SetExpr::Query(query) => self.names(&query.body),
            SetExpr::SetOperation { left, .. } => self.names(left),
            _ => {}
        }
    }

    fn table(&mut self, table: &TableFactor) {
        match table {
            TableFactor::Table {
                name,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
                ..
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.table_name(name);
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                sample: None,
                ..
            } => self.query(subquery),
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => {
                self.table(&table_with_joins.relation);
                for join in &table_with_joins.joins {
                    self.join(join);
                }
            }
            _ => self.refuse(
                table.span(),
                "table functions, lateral tables, samples, hints, versions or pivots",
                "read one of the transform's views",
            ),
        }
    }

    fn table_name(&mut self, name: &ObjectName) {
        let [ObjectNamePart::Identifier(table)] = name.0.as_slice() else {
            let place = self.findings.place(name.span());
            self.findings.error(
                Code::SqlUnknownTable,
                place,
                format!("`{name}` is in a catalog, and a transform reads its own views alone"),
                format!("the views are {}", list(&self.views)),
            );
            return;
        };
        let wanted = if table.quote_style.is_some() {
            table.value.clone()
        } else {
            table.value.to_lowercase()
        };
        let is_known = self.defined.contains(&wanted)
            || self
                .views
                .iter()
                .any(|view| view.to_lowercase() == wanted || **view == wanted);
        if is_known {
            return;
        }
        let own = self.defined.iter().chain(self.candidates);
        let known = self.views.iter().copied().chain(own.map(String::as_str));
        let is_elsewhere = self
            .candidates
            .iter()
            .any(|candidate| candidate.to_lowercase() == wanted.to_lowercase());
        let help = match nearest(&table.value, known) {
            _ if is_elsewhere => {
                "a query reads the transforms before its own, and the endpoints that `parameters.target_endpoints` names, or all of them".to_owned()
            }
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("the views are {}", list(&self.views)),
        };
        let place = self.findings.place(name.span());
        self.findings.error(
            Code::SqlUnknownTable,
            place,
            format!("there is no table `{}`", table.value),
            help,
        );
    }

    fn join(&mut self, join: &Join) {
        self.table(&join.relation);
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::LeftAnti(constraint)) = &join.join_operator
        else {
            self.refuse(
                join.span(),
                "join of this kind",
                "write `JOIN`, `LEFT`, `RIGHT`, `FULL`, `CROSS`, `LEFT SEMI` or `LEFT ANTI JOIN`",
            );
            return;
        };
        match constraint {
            JoinConstraint::On(condition) => self.expression(condition),
            JoinConstraint::Using(_) | JoinConstraint::None => {}
            JoinConstraint::Natural => self.refuse(
                join.span(),
                "natural joins",
                "name the columns with `USING` or `ON`",
            ),
        }
    }

    fn order(&mut self, order: &OrderBy) {
        match &order.kind {
            OrderByKind::Expressions(expressions) => {
                for expression in expressions {
                    self.order_by(expression);
                }
            }
            OrderByKind::All(_) => {
                self.refuse(order.span(), "`ORDER BY ALL`", "name the columns");
            }
        }
    }

    fn order_by(&mut self, order: &OrderByExpr) {
        if order.with_fill.is_some() {
            self.refuse(order.span(), "`WITH FILL`", "take it out");
        }
        self.expression(&order.expr);
    }

    pub(super) fn window(&mut self, window: &WindowSpec) {
        for expression in &window.partition_by {
            self.expression(expression);
        }
        for order in &window.order_by {
            self.order_by(order);
        }
        if let Some(frame) = &window.window_frame
            && frame.units != WindowFrameUnits::Rows
        {
            let span = window
                .order_by
                .first()
                .map_or_else(Span::empty, Spanned::span);
            self.refuse(
                span,
                "`RANGE` or `GROUPS` frames",
                "write `ROWS`, or no frame",
            );
        }
    }

    pub(super) fn cast_kind(&mut self, kind: &CastKind, span: Span) {
        match kind {
            CastKind::Cast | CastKind::TryCast | CastKind::DoubleColon => {}
            CastKind::SafeCast => self.refuse(
                span,
                "`SAFE_CAST`",
                "write `TRY_CAST`, which is null where a value can't be cast",
            ),
        }
    }

    pub(super) fn unary(&mut self, operator: UnaryOperator, span: Span) {
        if !matches!(
            operator,
            UnaryOperator::Plus | UnaryOperator::Minus | UnaryOperator::Not
        ) {
            self.refuse(
                span,
                &format!("operator `{operator}`"),
                expressions::OPERATORS,
            );
        }
    }
}

pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
    }
}
