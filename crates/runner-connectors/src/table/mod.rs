//! What every table has in common, whatever keeps it: rows in the table's columns ([`conform`]), wider types ([`widen`]),
//! rows that were superseded ([`segments`]), nested values as JSON text ([`json`]).

pub mod conform;
pub mod json;
pub mod segments;
pub mod widen;
