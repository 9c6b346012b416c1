//! Checks of the items of lists: one kernel over the items of all rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use datafusion::physical_plan::PhysicalExpr;
use runner_core::Result;
use runner_sql::Subject;

use super::{Evaluated, Failing, internal, shown_value};

/// A check of every item of a list.
#[derive(Debug)]
pub(super) struct ItemsCheck {
    pub(super) list: Arc<dyn PhysicalExpr>,
    pub(super) check: Box<Evaluated>,
}

impl ItemsCheck {
    /// Rows with an item that fails, each with the first.
    pub(super) fn failing(&self, batch: &RecordBatch) -> Result<Failing> {
        let value = self.list.evaluate(batch).map_err(internal)?;
        let list = value.into_array(batch.num_rows()).map_err(internal)?;
        let Some(list) = list.as_list_opt::<i32>() else {
            return Ok(Failing::new());
        };
        let offsets = list.value_offsets();
        let (first, end) = (offset(offsets, 0), offset(offsets, list.len()));
        let items = list.values().slice(first, end - first);
        let column = (Subject::VALUE, Arc::clone(&items), true);
        let nested = RecordBatch::try_from_iter_with_nullable([column]).map_err(internal)?;
        let mut failing = Failing::new();
        let mut row = 0;
        for (item, value) in self.check.failing(&nested)? {
            while offset(offsets, row + 1) <= first + item {
                row += 1;
            }
            let is_known = failing.last().is_some_and(|(known, _)| *known == row);
            // What lies behind a null list is nobody's.
            if !is_known && list.is_valid(row) {
                failing.push((row, value.or_else(|| shown_value(items.as_ref(), item))));
            }
        }
        Ok(failing)
    }
}

fn offset(offsets: &[i32], index: usize) -> usize {
    offsets
        .get(index)
        .and_then(|offset| usize::try_from(*offset).ok())
        .unwrap_or(usize::MAX)
}
