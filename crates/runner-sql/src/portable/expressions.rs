//! The allow list of expressions.

use sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DataType, DateTimeField, Expr, Interval, Spanned, Value,
};

use runner_spec::Code;
use sqlparser::tokenizer::Span;

use super::functions::UNITS;
use super::syntax::Syntax;
use super::types::{self, TYPE_NAMES};

pub(super) const OPERATORS: &str = "the operators are `+ - * / % || = <> < <= > >= AND OR NOT`, `IS`, `IN`, `BETWEEN`, `LIKE` and `CASE`";

impl Syntax<'_, '_> {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm a kind of expression: the list is what a reader looks for"
    )]
    pub(super) fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {}
            Expr::Value(value) => self.literal(&value.value, expression),
            Expr::Nested(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => self.expression(inner),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.expression(left);
                self.expression(right);
            }
            Expr::InList { expr, list, .. } => {
                self.expression(expr);
                for value in list {
                    self.expression(value);
                }
            }
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => {
                if *negated {
                    self.refuse(
                        expression.span(),
                        "`NOT IN` with a query, which means something else where there are nulls",
                        "write `NOT EXISTS (SELECT 1 FROM … WHERE …)`",
                    );
                }
                self.expression(expr);
                self.query(subquery);
            }
            Expr::Exists { subquery, .. } => self.query(subquery),
            Expr::Between {
                expr, low, high, ..
            } => {
                self.expression(expr);
                self.expression(low);
                self.expression(high);
            }
            Expr::BinaryOp { left, op, right } => {
                if !is_portable(op) {
                    self.refuse(expression.span(), &format!("operator `{op}`"), OPERATORS);
                }
                self.expression(left);
                self.expression(right);
            }
            Expr::UnaryOp { op, expr } => {
                self.unary(*op, expression.span());
                self.expression(expr);
            }
            Expr::Like {
                any: false,
                expr,
                pattern,
                escape_char: None,
                ..
            } => {
                self.expression(expr);
                self.expression(pattern);
            }
            Expr::Like { .. } => {
                self.refuse(
                    expression.span(),
                    "`LIKE` with `ANY` or `ESCAPE`",
                    "write plain `LIKE`",
                );
            }
            Expr::ILike { .. } => self.refuse(
                expression.span(),
                "`ILIKE`",
                "write `lower(value) LIKE 'pattern'`",
            ),
            Expr::Cast {
                kind,
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                self.cast_kind(kind, expression.span());
                self.cast_type(data_type, expression.span());
                self.expression(expr);
            }
            Expr::TypedString(typed) => self.cast_type(&typed.data_type, expression.span()),
            Expr::Extract { field, expr, .. } => {
                self.unit(field, expression.span());
                self.expression(expr);
            }
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                if !matches!(
                    field,
                    CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)
                ) {
                    self.refuse(
                        expression.span(),
                        "rounding of times, or to digits",
                        "write `date_trunc`, or cast to a decimal",
                    );
                }
                self.expression(expr);
            }
            Expr::Position { expr, r#in } => {
                self.expression(expr);
                self.expression(r#in);
            }
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                self.expression(expr);
                self.expression(from);
                if let Some(length) = substring_for {
                    self.expression(length);
                }
            }
            Expr::Trim {
                trim_what: None,
                trim_characters: None,
                expr,
                ..
            } => self.expression(expr),
            Expr::Trim { .. } => self.refuse(
                expression.span(),
                "trimming of characters other than spaces",
                "write `replace`, or trim spaces",
            ),
            Expr::Function(function) => self.function(function),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                for part in operand.iter().chain(else_result) {
                    self.expression(part);
                }
                for case in conditions {
                    self.expression(&case.condition);
                    self.expression(&case.result);
                }
            }
            Expr::Interval(interval) => self.interval(interval, expression.span()),
            Expr::Subquery(query) => self.query(query),
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => self.refuse(
                expression.span(),
                "`ROLLUP`, `CUBE` or `GROUPING SETS`",
                "name the columns, one query a grouping, with `UNION ALL`",
            ),
            Expr::AtTimeZone { .. } => self.refuse(
                expression.span(),
                "time zones: timestamps are UTC",
                "add an interval, or keep the zone in a column of its own",
            ),
            other => self.refuse(other.span(), "expression of this form", OPERATORS),
        }
    }

    fn literal(&mut self, value: &Value, expression: &Expr) {
        let is_plain = matches!(
            value,
            Value::Number(_, false)
                | Value::SingleQuotedString(_)
                | Value::Boolean(_)
                | Value::Null
        );
        if !is_plain {
            self.refuse(
                expression.span(),
                "literals of this form",
                "write a number, a text in single quotes, `TRUE`, `FALSE` or `NULL`",
            );
        }
    }

    fn cast_type(&mut self, data_type: &DataType, span: Span) {
        if types::column_type(data_type).is_none() {
            let place = self.findings.place(span);
            self.findings.error(
                Code::SqlRefused,
                place,
                format!("portable SQL has no type `{data_type}`"),
                format!("the types are {TYPE_NAMES}"),
            );
        }
    }

    fn unit(&mut self, field: &DateTimeField, span: Span) {
        let name = field.to_string().to_lowercase();
        if !UNITS.contains(&name.as_str()) {
            self.refuse(
                span,
                &format!("unit `{name}`"),
                &format!("the units are {}", UNITS.join(", ")),
            );
        }
    }

    fn interval(&mut self, interval: &Interval, span: Span) {
        let is_text = matches!(
            interval.value.as_ref(),
            Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_) | Value::Number(..))
        );
        if !is_text || interval.last_field.is_some() {
            self.refuse(
                span,
                "intervals that are computed or range over units",
                "write one such as `INTERVAL '1' DAY`",
            );
        }
    }
}

fn is_portable(operator: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(
        operator,
        B::Plus
            | B::Minus
            | B::Multiply
            | B::Divide
            | B::Modulo
            | B::StringConcat
            | B::Gt
            | B::Lt
            | B::GtEq
            | B::LtEq
            | B::Eq
            | B::NotEq
            | B::And
            | B::Or
    )
}
