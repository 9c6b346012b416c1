//! The run's nominal time: `now()` means the same in every attempt and on every engine.
//!
//! The functions stand in a plan only until its expressions are rewritten ([`super::rewrite`]), which puts the time in their place.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use runner_plan::arrow::arrow_type;
use runner_plan::model::ColumnType;

pub(crate) fn now() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(NominalTime::new(
        "now",
        &ColumnType::Timestamp,
    )))
}

pub(crate) fn today() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(NominalTime::new(
        "current_date",
        &ColumnType::Date,
    )))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NominalTime {
    name: &'static str,
    data_type: DataType,
    signature: Signature,
}

impl NominalTime {
    fn new(name: &'static str, column_type: &ColumnType) -> Self {
        Self {
            name,
            data_type: arrow_type(column_type),
            signature: Signature::nullary(Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for NominalTime {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("`{}` was not replaced by the run's nominal time", self.name)
    }
}
