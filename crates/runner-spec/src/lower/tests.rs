//! Whether lowering reads every field of the table.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static READS: RefCell<BTreeSet<(&'static str, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Called by the view for each field that lowering looks at.
pub(super) fn note_read(object: &'static str, field: &'static str) {
    READS.with_borrow_mut(|reads| reads.insert((object, field)));
}
