//! What rows must look like: the contract, lowered from JSON Schema.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// `schema_contract`, lowered from JSON Schema.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    pub properties: IndexMap<String, Property>,
    pub required: Vec<String>,
    /// `false` makes a column that the contract doesn't name an invalid one.
    pub additional_properties: bool,
}

/// One property of the contract, or the items of an array.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Absent where the contract leaves the type open.
    pub kind: Option<PropertyType>,
    /// Null is among its types, or the contract doesn't require it.
    pub nullable: bool,
    pub description: Option<String>,
    pub constraints: Constraints,
    /// Of an array.
    pub items: Option<Box<Property>>,
    /// Of an object; empty means "any object".
    pub properties: IndexMap<String, Property>,
    pub required: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PropertyType {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
    Date,
    DateTime,
    Time,
    Uuid,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Constraints {
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: Option<f64>,
    pub exclusive_maximum: Option<f64>,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<String>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub enumeration: Option<Vec<serde_json::Value>>,
    pub constant: Option<serde_json::Value>,
    /// A format that is a check rather than a type: `email`, `uri`, `ipv4`, …
    pub format: Option<String>,
}
