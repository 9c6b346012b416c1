//! What a query may refer to: the transform's views, the functions of the list, the types of columns. Nothing else exists.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, Result, TableReference, plan_err};
use datafusion_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner,
};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_window::planner::WindowFunctionPlanner;
use runner_plan::arrow::arrow_type;
use sqlparser::ast;

use super::functions::{aggregate_function, scalar_function, window_function};
use super::types;
use super::typing::{SharedTyping, operator};

pub(crate) struct Provider {
    tables: BTreeMap<String, Arc<dyn TableSource>>,
    options: ConfigOptions,
    expressions: Vec<Arc<dyn ExprPlanner>>,
}

impl Provider {
    pub(crate) fn new(
        tables: BTreeMap<String, Arc<dyn TableSource>>,
        typing: SharedTyping,
    ) -> Self {
        Self {
            tables,
            options: ConfigOptions::default(),
            expressions: vec![
                Arc::new(TypedOperators { typing }),
                Arc::new(CoreFunctionPlanner::default()),
                Arc::new(DatetimeFunctionPlanner),
                Arc::new(UnicodeFunctionPlanner),
                Arc::new(AggregateFunctionPlanner),
                Arc::new(WindowFunctionPlanner),
            ],
        }
    }
}

impl ContextProvider for Provider {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let Some(source) = self.tables.get(name.table()) else {
            return plan_err!("there is no table `{name}`");
        };
        Ok(Arc::clone(source))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PortableTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        scalar_function(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        aggregate_function(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        window_function(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The types of a cast are those of columns.
#[derive(Debug)]
struct PortableTypes;

impl TypePlanner for PortableTypes {
    fn plan_type(&self, sql_type: &ast::DataType) -> Result<Option<DataType>> {
        Ok(types::column_type(sql_type).as_ref().map(arrow_type))
    }
}

/// Gives every operator its types before DataFusion would find its own.
#[derive(Debug)]
struct TypedOperators {
    typing: SharedTyping,
}

impl ExprPlanner for TypedOperators {
    fn plan_binary_op(
        &self,
        expression: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let Some(operator) = operator(&expression.op) else {
            return Ok(PlannerResult::Original(expression));
        };
        // What a panic elsewhere left behind is whole: findings are added one by one.
        let mut typing = self.typing.lock().unwrap_or_else(PoisonError::into_inner);
        let RawBinaryExpr { left, right, .. } = expression;
        Ok(PlannerResult::Planned(
            typing.binary(operator, left, right, schema),
        ))
    }
}
