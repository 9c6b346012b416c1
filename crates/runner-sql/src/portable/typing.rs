//! The types of expressions: what an operator takes, and where a value is cast so that two have one type.
//!
//! Every cast that a query doesn't write is made here, so that no engine makes one of its own.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchema, ScalarValue, Spans};
use datafusion_expr::expr::{Cast, TryCast};
use datafusion_expr::{Expr, ExprSchemable, Operator, binary_expr, lit};
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;
use runner_spec::Code;

use super::arithmetic::{self, Arithmetic};
use super::types::{self, Kind};

/// A mistake in types, or a note on one, before its place is known in the text.
#[derive(Debug)]
pub(crate) struct TypeFinding {
    pub(crate) code: Code,
    pub(crate) is_error: bool,
    pub(crate) spans: Vec<Spans>,
    /// A word of the query that it is about, where no column tells the place.
    pub(crate) word: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// A cast, by its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCast {
    pub expression: String,
    pub from: String,
    pub to: String,
    /// The query doesn't write it.
    pub is_implicit: bool,
}

/// What the analysis of types finds and decides.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    pub(crate) findings: Vec<TypeFinding>,
    pub(crate) casts: Vec<QueryCast>,
}

impl Typing {
    pub(crate) fn refuse(
        &mut self,
        code: Code,
        of: &[&Expr],
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.refuse_at("", code, of, message, help);
    }

    /// Where no column tells the place, it is that of the word.
    pub(crate) fn refuse_at(
        &mut self,
        word: &str,
        code: Code,
        of: &[&Expr],
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(TypeFinding {
            code,
            is_error: true,
            spans: spans(of),
            word: word.to_owned(),
            message: message.into(),
            help: help.into(),
        });
    }

    pub(crate) fn note(
        &mut self,
        code: Code,
        of: &[&Expr],
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.findings.push(TypeFinding {
            code,
            is_error: false,
            spans: spans(of),
            word: String::new(),
            message: message.into(),
            help: help.into(),
        });
    }

    /// `left operator right`, with casts and checks; nothing where the operator is not of these.
    pub(crate) fn binary(
        &mut self,
        operator: Operator,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Expr {
        match operator {
            Operator::Plus => self.arithmetic(Arithmetic::Add, left, right, schema),
            Operator::Minus => self.arithmetic(Arithmetic::Subtract, left, right, schema),
            Operator::Multiply => self.arithmetic(Arithmetic::Multiply, left, right, schema),
            Operator::Divide => self.arithmetic(Arithmetic::Divide, left, right, schema),
            Operator::Modulo => self.arithmetic(Arithmetic::Remainder, left, right, schema),
            Operator::And | Operator::Or => {
                self.expect(&left, Kind::Boolean, &operator.to_string(), schema);
                self.expect(&right, Kind::Boolean, &operator.to_string(), schema);
                binary_expr(left, operator, right)
            }
            Operator::StringConcat => {
                self.expect(&left, Kind::Text, "||", schema);
                self.expect(&right, Kind::Text, "||", schema);
                binary_expr(left, operator, right)
            }
            _ => {
                let mut operands = vec![left, right];
                self.unify(&mut operands, &operator.to_string(), schema);
                let right = operands.pop().unwrap_or_else(|| lit(ScalarValue::Null));
                let left = operands.pop().unwrap_or_else(|| lit(ScalarValue::Null));
                binary_expr(left, operator, right)
            }
        }
    }

    pub(crate) fn arithmetic(
        &mut self,
        operation: Arithmetic,
        left: Expr,
        right: Expr,
        schema: &DFSchema,
    ) -> Expr {
        let kinds = (kind(&left, schema), kind(&right, schema));
        if let Some(moved) = self.moved_in_time(operation, &left, &right, kinds, schema) {
            return moved;
        }
        let both_numeric = [kinds.0, kinds.1]
            .iter()
            .all(|kind| kind.is_numeric() || *kind == Kind::Open);
        if !both_numeric {
            self.refuse_at(
                operation.symbol(),
                Code::SqlType,
                &[&left, &right],
                format!(
                    "`{}` is between numbers, and these are of type {} and {}",
                    operation.symbol(),
                    type_name(&left, schema),
                    type_name(&right, schema)
                ),
                "cast what holds numbers, as in `CAST(code AS BIGINT)`; texts are joined with `||`",
            );
            return lit(ScalarValue::Null);
        }
        if kinds.0 == Kind::Open || kinds.1 == Kind::Open {
            // Types are looked at again when the first rows have decided them.
            return arithmetic::open(left, right);
        }
        let (left_type, right_type) = (data_type(&left, schema), data_type(&right, schema));
        let (left, right) = if arithmetic::is_uniform(&left_type, &right_type) {
            (left, right)
        } else {
            self.numbers(left, right, &left_type, &right_type)
        };
        let result = operation.result_type(&data_type(&left, schema), &data_type(&right, schema));
        if let Err(error) = result {
            self.refuse(
                Code::SqlType,
                &[&left, &right],
                error.strip_backtrace(),
                "cast one of the two to fewer digits",
            );
            return lit(ScalarValue::Null);
        }
        arithmetic::checked(operation, left, right)
    }

    /// Numbers of different kinds as numbers of one. Decimals keep their digits.
    fn numbers(
        &mut self,
        left: Expr,
        right: Expr,
        left_type: &DataType,
        right_type: &DataType,
    ) -> (Expr, Expr) {
        let wider = |own: &DataType, other: &DataType| match (Kind::of(own), Kind::of(other)) {
            (Kind::Integer, Kind::Decimal) => DataType::Decimal128(types::INTEGER_DIGITS, 0),
            (Kind::Decimal, Kind::Integer) => own.clone(),
            (Kind::Integer, Kind::Integer) => arrow_type(&ColumnType::Integer),
            _ => arrow_type(&ColumnType::Number),
        };
        let left = self.implicit(left, left_type, &wider(left_type, right_type));
        let right = self.implicit(right, right_type, &wider(right_type, left_type));
        (left, right)
    }

    /// A point in time and an interval.
    fn moved_in_time(
        &mut self,
        operation: Arithmetic,
        left: &Expr,
        right: &Expr,
        kinds: (Kind, Kind),
        schema: &DFSchema,
    ) -> Option<Expr> {
        let operator = match operation {
            Arithmetic::Add => Operator::Plus,
            Arithmetic::Subtract => Operator::Minus,
            Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Remainder => return None,
        };
        let (time, interval) = match kinds {
            (Kind::Date | Kind::Timestamp, Kind::Interval) => (left, right),
            (Kind::Interval, Kind::Date | Kind::Timestamp) if operator == Operator::Plus => {
                (right, left)
            }
            _ => return None,
        };
        let timestamp = arrow_type(&ColumnType::Timestamp);
        let time = self.implicit(time.clone(), &data_type(time, schema), &timestamp);
        Some(binary_expr(time, operator, interval.clone()))
    }

    /// Makes all of them one type, where they have one in common.
    pub(crate) fn unify(&mut self, operands: &mut [Expr], what: &str, schema: &DFSchema) {
        let types: Vec<DataType> = operands
            .iter()
            .map(|operand| data_type(operand, schema))
            .collect();
        let Some(target) = self.target(operands, &types, what) else {
            return;
        };
        for (operand, own) in operands.iter_mut().zip(&types) {
            if Kind::of(own) == Kind::Open || *own == target {
                continue;
            }
            let value = std::mem::replace(operand, lit(ScalarValue::Null));
            *operand = self.implicit(value, own, &target);
        }
    }

    fn target(&mut self, operands: &[Expr], types: &[DataType], what: &str) -> Option<DataType> {
        let mut target = DataType::Null;
        for (operand, own) in operands.iter().zip(types) {
            if is_time_text(operand, &target) {
                continue;
            }
            let is_text_before = Kind::of(&target) == Kind::Text
                && operands
                    .iter()
                    .zip(types)
                    .take_while(|(earlier, _)| !std::ptr::eq(*earlier, operand))
                    .all(|(earlier, kind)| is_time_text(earlier, own) || *kind == DataType::Null);
            let common = if is_text_before {
                Some(own.clone())
            } else {
                types::common(&target, own)
            };
            let Some(common) = common else {
                let of: Vec<&Expr> = operands.iter().collect();
                self.refuse_at(
                    what,
                    Code::SqlType,
                    &of,
                    format!(
                        "`{what}` is between values of one type, and these are of type {} and {}",
                        types::name(&target),
                        types::name(own)
                    ),
                    "write the cast that is meant, as in `CAST(code AS BIGINT)`",
                );
                return None;
            };
            target = common;
        }
        (target != DataType::Null).then_some(target)
    }

    /// A cast that the query doesn't write. Literals take the type without one.
    pub(crate) fn implicit(&mut self, value: Expr, from: &DataType, to: &DataType) -> Expr {
        if from == to {
            return value;
        }
        if let Expr::Literal(literal, metadata) = &value {
            if let Ok(literal) = literal.cast_to(to) {
                return Expr::Literal(literal, metadata.clone());
            }
            self.unreadable(literal, to);
            return value;
        }
        if Kind::of(from) != Kind::of(to) || Kind::of(from) == Kind::Decimal {
            let cast = QueryCast {
                expression: value.human_display().to_string(),
                from: types::name(from),
                to: types::name(to),
                is_implicit: true,
            };
            if !self.casts.contains(&cast) {
                self.note(
                    Code::SqlImplicitCast,
                    &[&value],
                    format!(
                        "`{}` is cast from {} to {}",
                        cast.expression, cast.from, cast.to
                    ),
                    "write the cast yourself where another one is meant",
                );
                self.casts.push(cast);
            }
        }
        Expr::Cast(Cast::new(Box::new(value), to.clone()))
    }

    /// A cast that the query writes.
    pub(crate) fn explicit(&mut self, value: Expr, to: &DataType, schema: &DFSchema) -> Expr {
        let from = data_type(&value, schema);
        let is_literal = matches!(value, Expr::Literal(..));
        if from == *to && !is_literal {
            return value;
        }
        if !self.is_castable(&value, &from, to) {
            return lit(ScalarValue::Null);
        }
        if let Expr::Literal(literal, _) = &value {
            if let Ok(literal) = literal.cast_to(to) {
                return lit(literal);
            }
            self.unreadable(literal, to);
            return lit(ScalarValue::Null);
        }
        self.written(&value, &from, to);
        canonical(
            Expr::Cast(Cast::new(Box::new(value), to.clone())),
            &from,
            to,
        )
    }

    /// A cast that the query writes, and that is null where a value can't be cast.
    pub(crate) fn attempted(&mut self, value: Expr, to: &DataType, schema: &DFSchema) -> Expr {
        let from = data_type(&value, schema);
        if !self.is_castable(&value, &from, to) {
            return lit(ScalarValue::Null);
        }
        if let Expr::Literal(literal, _) = &value {
            let null = ScalarValue::try_new_null(to).unwrap_or(ScalarValue::Null);
            return lit(literal.cast_to(to).unwrap_or(null));
        }
        self.written(&value, &from, to);
        canonical(
            Expr::TryCast(TryCast::new(Box::new(value), to.clone())),
            &from,
            to,
        )
    }

    /// Whether portable SQL has the cast; it is refused where it hasn't.
    fn is_castable(&mut self, value: &Expr, from: &DataType, to: &DataType) -> bool {
        let is_castable = Kind::of(from) == Kind::Open
            || (Kind::of(from) == Kind::of(to) && *from != DataType::Null)
            || types::cast_rule(from, to).is_some();
        if !is_castable {
            self.refuse(
                Code::SqlRefused,
                &[value],
                format!(
                    "portable SQL has no cast from {} to {}",
                    types::name(from),
                    types::name(to)
                ),
                cast_help(from, to),
            );
        }
        is_castable
    }

    /// Lists a cast of the query.
    fn written(&mut self, value: &Expr, from: &DataType, to: &DataType) {
        let cast = QueryCast {
            expression: value.human_display().to_string(),
            from: types::name(from),
            to: types::name(to),
            is_implicit: false,
        };
        let is_known = self.casts.iter().any(|known| {
            (&known.expression, &known.from, &known.to) == (&cast.expression, &cast.from, &cast.to)
        });
        if !is_known {
            self.casts.push(cast);
        }
    }

    fn unreadable(&mut self, literal: &ScalarValue, to: &DataType) {
        let text = literal.to_string();
        self.refuse_at(
            &text,
            Code::SqlType,
            &[],
            format!("`{text}` can't be read as a {}", types::name(to)),
            "write a value of that type",
        );
    }

    /// Reports an operand that is of another kind.
    pub(crate) fn expect(&mut self, operand: &Expr, wanted: Kind, what: &str, schema: &DFSchema) {
        let found = kind(operand, schema);
        if found == wanted || found == Kind::Open {
            return;
        }
        let wanted = match wanted {
            Kind::Boolean => "a boolean",
            Kind::Text => "a string",
            Kind::Integer => "an integer",
            _ => "a value of another type",
        };
        self.refuse_at(
            what,
            Code::SqlType,
            &[operand],
            format!(
                "`{what}` takes {wanted}, and this is of type {}",
                type_name(operand, schema)
            ),
            "write the cast or the comparison that is meant",
        );
    }
}

pub(crate) fn data_type(expression: &Expr, schema: &DFSchema) -> DataType {
    expression.get_type(schema).unwrap_or(DataType::Null)
}

pub(crate) fn kind(expression: &Expr, schema: &DFSchema) -> Kind {
    Kind::of(&data_type(expression, schema))
}

pub(crate) fn type_name(expression: &Expr, schema: &DFSchema) -> String {
    types::name(&data_type(expression, schema))
}

/// A cast with one zero and one NaN, of which texts have several.
fn canonical(cast: Expr, from: &DataType, to: &DataType) -> Expr {
    if Kind::of(from) == Kind::Text && Kind::of(to) == Kind::Number {
        arithmetic::one_zero(cast)
    } else {
        cast
    }
}

/// A text that stands for a point in time, since it is compared with one.
fn is_time_text(operand: &Expr, other: &DataType) -> bool {
    let is_text = matches!(
        operand,
        Expr::Literal(
            ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)),
            _
        )
    );
    is_text && matches!(Kind::of(other), Kind::Date | Kind::Timestamp | Kind::Time)
}

/// Where the columns of these expressions stand in the text.
fn spans(of: &[&Expr]) -> Vec<Spans> {
    let mut found = Vec::new();
    for expression in of {
        // The walk itself can't fail.
        let _ = datafusion_common::tree_node::TreeNode::apply(*expression, |part| {
            if let Expr::Column(column) | Expr::OuterReferenceColumn(_, column) = part {
                found.push(column.spans.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    found
}

fn cast_help(from: &DataType, to: &DataType) -> &'static str {
    match (Kind::of(from), Kind::of(to)) {
        (Kind::Number, Kind::Text) => {
            "engines print doubles in different ways: cast to a decimal first"
        }
        (Kind::Timestamp, Kind::Text) => {
            "engines print points in time in different ways: load the timestamp itself"
        }
        (_, Kind::Boolean) => "write a comparison, as in `flag = 1` or `lower(flag) = 'true'`",
        _ => "the casts of portable SQL are listed in docs/reference/portable-sql.md",
    }
}

/// The operator of a hook's expression.
pub(crate) fn operator(operator: &sqlparser::ast::BinaryOperator) -> Option<Operator> {
    use sqlparser::ast::BinaryOperator as B;
    Some(match operator {
        B::Plus => Operator::Plus,
        B::Minus => Operator::Minus,
        B::Multiply => Operator::Multiply,
        B::Divide => Operator::Divide,
        B::Modulo => Operator::Modulo,
        B::StringConcat => Operator::StringConcat,
        B::Gt => Operator::Gt,
        B::Lt => Operator::Lt,
        B::GtEq => Operator::GtEq,
        B::LtEq => Operator::LtEq,
        B::Eq => Operator::Eq,
        B::NotEq => Operator::NotEq,
        B::And => Operator::And,
        B::Or => Operator::Or,
        _ => return None,
    })
}

/// The typing that the hook of the planner and the pass over the plan share.
pub(crate) type SharedTyping = Arc<std::sync::Mutex<Typing>>;
