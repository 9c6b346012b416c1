//! What every table has in common, whatever keeps it: rows in the table's columns ([`conform`]), wider types ([`widen`]),
//! rows that were superseded ([`segments`]), files of unknown origin ([`infer`]), nested values as JSON text ([`json`]).

pub mod conform;
pub mod infer;
pub mod json;
pub mod segments;
pub mod widen;
