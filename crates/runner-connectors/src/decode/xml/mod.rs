//! XML: rows are the elements at a path of names, from the root on; with the path `$` the root's children.
//!
//! An element becomes a JSON value, and is taken like one: its attributes under `@name`, its children under their names (those that are
//! there more than once as a list), its text under `#text`, and as the value itself where it has nothing else. A text that means null
//! ([`runner_plan::model::TextFormat::nulls`], by default the empty one) is null, and so is an element that says `xsi:nil="true"`.
//! Every scalar is a text: a type comes from the contract.

mod element;
mod page;
mod token;

#[cfg(test)]
mod tests;

pub(crate) use page::XmlPage;
