//! The allow list of functions, as queries call them.

use runner_spec::{Code, nearest};
use sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
    WindowType,
};
use sqlparser::tokenizer::Span;

use super::functions::{self, FunctionKind};
use super::syntax::Syntax;

impl Syntax<'_, '_> {
    pub(super) fn function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        let place = self.findings.place(function.name.span());
        let Some(known) = functions::find(&name) else {
            let names = functions::functions().iter().map(|known| known.name);
            let help = match functions::instead(&name) {
                Some(instead) => instead.to_owned(),
                None => match nearest(&name, names) {
                    Some(nearest) => format!("did you mean `{nearest}`?"),
                    None => {
                        "the functions of portable SQL are listed in docs/reference/portable-sql.md"
                            .to_owned()
                    }
                },
            };
            self.findings.error(
                Code::SqlUnknownFunction,
                place,
                format!("portable SQL has no function `{name}`"),
                help,
            );
            return;
        };
        let span = function.span();
        if !matches!(function.parameters, FunctionArguments::None)
            || !function.within_group.is_empty()
        {
            self.refuse(
                span,
                "functions with parameters or `WITHIN GROUP`",
                "take them out",
            );
        }
        if function.null_treatment.is_some() {
            self.refuse(
                span,
                "`IGNORE NULLS`",
                "leave nulls out with `WHERE` before",
            );
        }
        if known.kind == FunctionKind::Window && function.over.is_none() {
            self.refuse(
                span,
                "ranking without a window",
                "write `OVER (PARTITION BY … ORDER BY …)`",
            );
        }
        if known.kind == FunctionKind::Scalar && function.over.is_some() {
            self.refuse(span, "window for this function", "take `OVER` out");
        }
        if let Some(filter) = &function.filter {
            self.expression(filter);
        }
        match &function.over {
            Some(WindowType::WindowSpec(window)) => {
                if window.window_name.is_some() {
                    self.refuse(span, "windows made from others", "write the window out");
                }
                self.window(window);
            }
            Some(WindowType::NamedWindow(_)) | None => {}
        }
        self.arguments(function, known.kind, span);
    }

    fn arguments(&mut self, function: &Function, kind: FunctionKind, span: Span) {
        let arguments = match &function.args {
            FunctionArguments::None => return,
            FunctionArguments::Subquery(_) => {
                self.refuse(span, "queries as arguments", "join the query instead");
                return;
            }
            FunctionArguments::List(arguments) => arguments,
        };
        let is_distinct = arguments.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        if is_distinct && (kind != FunctionKind::Aggregate || function.over.is_some()) {
            self.refuse(span, "`DISTINCT` here", "it stands in aggregates alone");
        }
        if !arguments.clauses.is_empty() {
            self.refuse(span, "clauses in a function's arguments", "take them out");
        }
        for argument in &arguments.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => self.expression(argument),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if kind == FunctionKind::Aggregate => {}
                _ => self.refuse(
                    span,
                    "arguments of this form",
                    "write the values in their order",
                ),
            }
        }
    }
}
