//! Arithmetic with one meaning: integers don't wrap, nothing is divided by zero, decimals keep exact digits, doubles have one zero
//! and one NaN.
//!
//! A failure is an error of the evaluation. The engine evaluates row by row where it meets one, so that it costs the row and not the run.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, new_null_array,
};
use arrow::compute::{concat, kernels::numeric};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, i256};
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::types::{Kind, precision};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What becomes of a value that can't be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// It costs its row.
    Row,
    /// It is null: the `try_` forms.
    Null,
}

/// Fewest digits behind the point of a decimal quotient.
pub(crate) const QUOTIENT_SCALE: i8 = 6;

impl Arithmetic {
    fn name(self, failure: Failure) -> &'static str {
        match (self, failure) {
            (Self::Add, Failure::Row) => "checked_add",
            (Self::Subtract, Failure::Row) => "checked_subtract",
            (Self::Multiply, Failure::Row) => "checked_multiply",
            (Self::Divide, Failure::Row) => "checked_divide",
            (Self::Remainder, Failure::Row) => "checked_remainder",
            (Self::Add, Failure::Null) => "try_add",
            (Self::Subtract, Failure::Null) => "try_subtract",
            (Self::Multiply, Failure::Null) => "try_multiply",
            (Self::Divide, Failure::Null) => "try_divide",
            (Self::Remainder, Failure::Null) => "try_mod",
        }
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    /// Of two operands of one kind; decimals may differ in digits.
    pub(crate) fn result_type(self, left: &DataType, right: &DataType) -> Result<DataType> {
        let (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) = (left, right) else {
            return Ok(left.clone());
        };
        let (whole_left, whole_right) =
            (i16::from(*p) - i16::from(*s), i16::from(*q) - i16::from(*t));
        let scale = (*s).max(*t);
        Ok(match self {
            Self::Add | Self::Subtract => {
                let digits = whole_left.max(whole_right) + i16::from(scale) + 1;
                DataType::Decimal128(precision(digits), scale)
            }
            Self::Multiply => {
                let scale = s.saturating_add(*t);
                if scale > 38 {
                    return plan_err!(
                        "the product would have {scale} digits behind the point, and there is room for 38"
                    );
                }
                DataType::Decimal128(precision(i16::from(*p) + i16::from(*q) + 1), scale)
            }
            Self::Divide => DataType::Decimal128(38, scale.max(QUOTIENT_SCALE)),
            Self::Remainder => {
                let digits = whole_left.min(whole_right) + i16::from(scale);
                DataType::Decimal128(precision(digits), scale)
            }
        })
    }

    fn apply(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let computed = match left.data_type() {
            DataType::Decimal128(..) => return self.decimals(left, right),
            DataType::Float64 => {
                let divides = matches!(self, Self::Divide | Self::Remainder);
                if divides && has_zero(left.as_ref(), right.as_primitive()) {
                    return Err(ArrowError::DivideByZero.into());
                }
                let computed = self.kernel(left, right)?;
                Arc::new(canonical(computed.as_primitive())) as ArrayRef
            }
            _ => self.kernel(left, right)?,
        };
        Ok(computed)
    }

    /// Null where [`Self::apply`] fails: what fails is halved until the values are alone for which it does.
    fn attempt(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        match self.apply(left, right) {
            Err(DataFusionError::ArrowError(..)) if left.len() == 1 => {
                let result = self.result_type(left.data_type(), right.data_type())?;
                Ok(new_null_array(&result, 1))
            }
            Err(DataFusionError::ArrowError(..)) => {
                let half = left.len() / 2;
                let part = |offset, length| {
                    self.attempt(&left.slice(offset, length), &right.slice(offset, length))
                };
                let (first, second) = (part(0, half)?, part(half, left.len() - half)?);
                Ok(concat(&[first.as_ref(), second.as_ref()])?)
            }
            computed => computed,
        }
    }

    fn kernel(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::Add => numeric::add(left, right),
            Self::Subtract => numeric::sub(left, right),
            Self::Multiply => numeric::mul(left, right),
            Self::Divide => numeric::div(left, right),
            Self::Remainder => numeric::rem(left, right),
        }?)
    }

    fn decimals(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let result = self.result_type(left.data_type(), right.data_type())?;
        let DataType::Decimal128(precision, scale) = result else {
            return exec_err!("`{}` gave {result} of decimals", self.symbol());
        };
        let computed = if self == Self::Divide {
            quotients(left.as_primitive(), right.as_primitive(), scale)?
        } else {
            self.kernel(left, right)?
                .as_primitive::<Decimal128Type>()
                .clone()
        };
        let computed = computed.with_precision_and_scale(precision, scale)?;
        computed.validate_decimal_precision(precision)?;
        Ok(Arc::new(computed))
    }
}

/// `left / right` with checks, as an expression; both are of one kind.
pub(crate) fn checked(operation: Arithmetic, left: Expr, right: Expr) -> Expr {
    function(operation, Failure::Row).call(vec![left, right])
}

/// The function of an operation.
pub(crate) fn function(operation: Arithmetic, failure: Failure) -> ScalarUDF {
    ScalarUDF::from(Checked {
        operation,
        failure,
        signature: Signature::any(2, Volatility::Immutable),
    })
}

/// An operation that was checked, with what becomes of its failures.
pub(crate) fn failing(computed: Expr, failure: Failure) -> Expr {
    match computed {
        Expr::ScalarFunction(call) => match operation(&call.func) {
            Some((operation, _)) => function(operation, failure).call(call.args),
            None => Expr::ScalarFunction(call),
        },
        other => other,
    }
}

/// An operation on what nobody knows the type of yet; it stands in plans that are looked at and never run.
pub(crate) fn open(left: Expr, right: Expr) -> Expr {
    ScalarUDF::from(Open {
        signature: Signature::any(2, Volatility::Immutable),
    })
    .call(vec![left, right])
}

/// Doubles with one zero and one NaN, so that equal values are equal to every engine's groups and joins.
pub(crate) fn one_zero(value: Expr) -> Expr {
    ScalarUDF::from(OneZero {
        signature: Signature::any(1, Volatility::Immutable),
    })
    .call(vec![value])
}

/// A sum of integers, which was computed over decimals, as an integer again.
pub(crate) fn integer_sum(value: Expr) -> Expr {
    ScalarUDF::from(IntegerSum {
        signature: Signature::any(1, Volatility::Immutable),
    })
    .call(vec![value])
}

/// Which operation a call is, and what becomes of its failures, if it is one of these.
pub(crate) fn operation(function: &ScalarUDF) -> Option<(Arithmetic, Failure)> {
    let checked = function.inner().downcast_ref::<Checked>()?;
    Some((checked.operation, checked.failure))
}

/// Whether the function can fail for some rows.
pub(crate) fn can_fail(function: &ScalarUDF) -> bool {
    function.name().starts_with("checked_") || function.name() == "abs"
}

/// Whether a plan calls one of these, and not a function that a query names.
pub(crate) fn is_own(function: &ScalarUDF) -> bool {
    function.name().starts_with("checked_") || matches!(function.name(), "one_zero" | "integer_sum")
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Arithmetic,
    failure: Failure,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        self.operation.name(self.failure)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let [left, right] = arguments else {
            return plan_err!("`{}` takes two operands", self.operation.symbol());
        };
        self.operation.result_type(left, right)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [left, right] = arrays.as_slice() else {
            return exec_err!("`{}` takes two operands", self.operation.symbol());
        };
        let computed = match self.failure {
            Failure::Row => self.operation.apply(left, right),
            Failure::Null => self.operation.attempt(left, right),
        };
        Ok(ColumnarValue::Array(computed?))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Open {
    signature: Signature,
}

impl ScalarUDFImpl for Open {
    fn name(&self) -> &'static str {
        "checked_open"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("the types of an operation are not known")
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneZero {
    signature: Signature,
}

impl ScalarUDFImpl for OneZero {
    fn name(&self) -> &'static str {
        "one_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [values] = arrays.as_slice() else {
            return exec_err!("`one_zero` takes one value");
        };
        let values = canonical(values.as_primitive());
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IntegerSum {
    signature: Signature,
}

impl ScalarUDFImpl for IntegerSum {
    fn name(&self) -> &'static str {
        "integer_sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let Some(sums) = arrays
            .first()
            .and_then(|sums| sums.as_primitive_opt::<Decimal128Type>())
        else {
            return exec_err!("`integer_sum` takes one decimal");
        };
        let whole = sums
            .iter()
            .map(|sum| {
                sum.map(|sum| {
                    i64::try_from(sum).map_err(|_| {
                        DataFusionError::Execution(format!(
                            "the sum {sum} is beyond 64 bits; write `sum(CAST(… AS DECIMAL(28, 0)))`"
                        ))
                    })
                })
                .transpose()
            })
            .collect::<Result<Int64Array>>()?;
        Ok(ColumnarValue::Array(Arc::new(whole)))
    }
}

fn canonical(values: &Float64Array) -> Float64Array {
    values.unary::<_, Float64Type>(|value| {
        if value.is_nan() {
            f64::NAN
        } else {
            // Adding zero turns -0.0 into 0.0 and leaves everything else.
            value + 0.0
        }
    })
}

/// Whether a divisor is zero where there is something to divide.
fn has_zero(left: &dyn Array, right: &Float64Array) -> bool {
    right
        .iter()
        .enumerate()
        .any(|(row, divisor)| divisor == Some(0.0) && left.is_valid(row))
}

/// Quotients with this scale, halves away from zero.
fn quotients(
    left: &Decimal128Array,
    right: &Decimal128Array,
    scale: i8,
) -> Result<Decimal128Array> {
    // left·10^-s / right·10^-t, in units of 10^-scale, is left·10^(scale - s + t) / right.
    let shift = i32::from(scale) - i32::from(left.scale()) + i32::from(right.scale());
    let factor = i256::from_i128(10).checked_pow(u32::try_from(shift).unwrap_or_default());
    let Some(factor) = factor else {
        return exec_err!("a quotient of decimals has too many digits");
    };
    let quotient = |(dividend, divisor): (Option<i128>, Option<i128>)| -> Result<Option<i128>> {
        let (Some(dividend), Some(divisor)) = (dividend, divisor) else {
            return Ok(None);
        };
        if divisor == 0 {
            return Err(ArrowError::DivideByZero.into());
        }
        let rounded = i256::from_i128(dividend)
            .checked_mul(factor)
            .and_then(|dividend| half_up(dividend, i256::from_i128(divisor)))
            .and_then(i256::to_i128);
        rounded.map(Some).ok_or_else(|| {
            ArrowError::ArithmeticOverflow("a quotient has more than 38 digits".to_owned()).into()
        })
    };
    left.iter().zip(right).map(quotient).collect()
}

fn half_up(dividend: i256, divisor: i256) -> Option<i256> {
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.checked_rem(divisor)?;
    let twice = magnitude(remainder)?.checked_mul(i256::from_i128(2))?;
    if twice.cmp(&magnitude(divisor)?) == Ordering::Less {
        return Some(quotient);
    }
    let is_negative = (dividend < i256::ZERO) != (divisor < i256::ZERO);
    if is_negative {
        quotient.checked_sub(i256::ONE)
    } else {
        quotient.checked_add(i256::ONE)
    }
}

fn magnitude(value: i256) -> Option<i256> {
    if value < i256::ZERO {
        value.checked_neg()
    } else {
        Some(value)
    }
}

/// The operand types that arithmetic works on as they are.
pub(crate) fn is_uniform(left: &DataType, right: &DataType) -> bool {
    let kinds = (Kind::of(left), Kind::of(right));
    kinds == (Kind::Decimal, Kind::Decimal) || (left == right && kinds.0.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimals(values: &[i128], precision: u8, scale: i8) -> ArrayRef {
        let values = Decimal128Array::from(values.to_vec());
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    }

    fn integers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn numbers(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[test]
    fn integers_truncate_and_do_not_wrap() {
        let divided = Arithmetic::Divide
            .apply(&integers(&[7, -7, 7, -7]), &integers(&[2, 2, -2, -2]))
            .unwrap();
        assert_eq!(&divided, &integers(&[3, -3, -3, 3]));
        let rest = Arithmetic::Remainder
            .apply(&integers(&[7, -7]), &integers(&[2, 2]))
            .unwrap();
        assert_eq!(&rest, &integers(&[1, -1]));
        for (operation, left, right) in [
            (Arithmetic::Add, i64::MAX, 1),
            (Arithmetic::Subtract, i64::MIN, 1),
            (Arithmetic::Multiply, i64::MAX, 2),
            (Arithmetic::Divide, 1, 0),
            (Arithmetic::Remainder, 1, 0),
            (Arithmetic::Divide, i64::MIN, -1),
        ] {
            let failed = operation.apply(&integers(&[left]), &integers(&[right]));
            assert!(failed.is_err(), "{left} {} {right}", operation.symbol());
        }
    }

    #[test]
    fn numbers_have_one_zero_and_no_division_by_it() {
        let product = Arithmetic::Multiply
            .apply(&numbers(&[-1.0]), &numbers(&[0.0]))
            .unwrap();
        let product = product.as_primitive::<Float64Type>().value(0);
        assert_eq!(product.to_bits(), 0.0_f64.to_bits());
        assert!(
            Arithmetic::Divide
                .apply(&numbers(&[1.0]), &numbers(&[-0.0]))
                .is_err()
        );
        let absent: ArrayRef = Arc::new(Float64Array::from(vec![None]));
        assert!(Arithmetic::Divide.apply(&absent, &numbers(&[0.0])).is_ok());
    }

    #[test]
    fn quotients_of_decimals_round_half_up() {
        // 1.00 / 3, 2.00 / 3, -2.00 / 3, 0.0000005 as the half of a millionth.
        let quotient = Arithmetic::Divide
            .apply(
                &decimals(&[100, 200, -200], 10, 2),
                &decimals(&[3, 3, 3], 5, 0),
            )
            .unwrap();
        assert_eq!(&quotient, &decimals(&[333_333, 666_667, -666_667], 38, 6));
        let half = Arithmetic::Divide
            .apply(&decimals(&[1, -1], 10, 6), &decimals(&[2, 2], 5, 0))
            .unwrap();
        assert_eq!(&half, &decimals(&[1, -1], 38, 6));
        assert!(
            Arithmetic::Divide
                .apply(&decimals(&[1], 10, 6), &decimals(&[0], 5, 0))
                .is_err()
        );
    }

    #[test]
    fn sums_of_decimals_keep_every_digit_or_fail() {
        let sum = Arithmetic::Add
            .apply(&decimals(&[150], 5, 2), &decimals(&[25], 5, 1))
            .unwrap();
        assert_eq!(&sum, &decimals(&[400], 7, 2));
        let most = decimals(&[10_i128.pow(38) - 1], 38, 0);
        assert!(Arithmetic::Add.apply(&most, &most).is_err());
    }
}
