//! The union of what was seen of a source's schema.

use runner_core::checkpoint::Observed;

/// Adds what was seen on another page.
pub(crate) fn merge_observed(into: &mut Observed, other: &Observed) {
    into.rows += other.rows;
    for (name, field) in &other.fields {
        let known = into.fields.entry(name.clone()).or_default();
        known.present += field.present;
        known.nulls += field.nulls;
        for kind in &field.types {
            if let Err(index) = known.types.binary_search(kind) {
                known.types.insert(index, kind.clone());
            }
        }
    }
}
