//! What has been seen of a column's values, as a set that only grows, and the type that follows from it.
//!
//! The type of an open column is a function of the *set* of what its values are, so it does not depend on the order in which rows
//! come, on how they are cut into batches and pages, or on which chain saw them first. [`Trace::join`] is commutative, associative
//! and idempotent, and a larger trace never has a narrower type. `widening` says how rows that were delivered earlier follow.

use runner_plan::model::{ColumnField, ColumnType};
use serde::{Deserialize, Serialize};

/// An object with more different keys than this is a map: it is kept as JSON text.
pub(crate) const MAX_STRUCT_FIELDS: usize = 256;

/// Kinds of value, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kinds(u16);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const BOOLEAN: Self = Self(1);
    /// Any number.
    pub(crate) const NUMBER: Self = Self(1 << 1);
    /// A number with a fraction or an exponent, or `-0`.
    pub(crate) const FRACTION: Self = Self(1 << 2);
    /// An integer that a double may not hold: beyond 2^53.
    pub(crate) const BIG: Self = Self(1 << 3);
    /// An integer beyond 64 bits.
    pub(crate) const WIDE: Self = Self(1 << 4);
    /// A number that neither a double nor 38 digits hold.
    pub(crate) const UNBOUNDED: Self = Self(1 << 5);
    /// A value whose text can't be made again from what is stored of it (`1.10`, `2.0`, `1e3`, `TRUE`).
    pub(crate) const IRREGULAR: Self = Self(1 << 6);
    pub(crate) const TEXT: Self = Self(1 << 7);
    pub(crate) const DATE: Self = Self(1 << 8);
    pub(crate) const TIMESTAMP: Self = Self(1 << 9);
    pub(crate) const LIST: Self = Self(1 << 10);
    pub(crate) const OBJECT: Self = Self(1 << 11);

    const SCALARS: Self =
        Self(Self::BOOLEAN.0 | Self::NUMBER.0 | Self::TEXT.0 | Self::DATE.0 | Self::TIMESTAMP.0);
    const ALL: Self = Self(Self::SCALARS.0 | Self::LIST.0 | Self::OBJECT.0);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const fn only(self, mask: Self) -> Self {
        Self(self.0 & mask.0)
    }
}

/// What has been seen of one column, or of a field or item below it. Nulls leave no trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub(crate) kinds: Kinds,
    /// Of objects, in the order in which their keys were first seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<(String, Trace)>,
    /// Of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<Box<Trace>>,
}

impl Trace {
    pub(crate) fn of(kinds: Kinds) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// Only nulls have been seen, or nothing.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Only objects that had nothing but nulls have been seen: they may still become structs.
    pub(crate) fn is_of_empty_objects(&self) -> bool {
        self.kinds.only(Kinds::ALL) == Kinds::OBJECT
            && self.fields.iter().all(|(_, trace)| trace.is_empty())
    }

    /// Whether a column of this type takes the same values with either trace: what has no type yet asks for one.
    pub(crate) fn is_as_closed_as(&self, other: &Self, column_type: &ColumnType) -> bool {
        match column_type {
            ColumnType::String => self.is_empty() == other.is_empty(),
            ColumnType::Json => self.is_of_empty_objects() == other.is_of_empty_objects(),
            ColumnType::List(item) => {
                let none = Self::default();
                let own = self.item.as_deref().unwrap_or(&none);
                let others = other.item.as_deref().unwrap_or(&none);
                own.is_as_closed_as(others, &item.column_type)
            }
            ColumnType::Struct(fields) => fields.iter().all(|field| {
                let none = Self::default();
                let own = self.known_field(&field.name).unwrap_or(&none);
                let others = other.known_field(&field.name).unwrap_or(&none);
                own.is_as_closed_as(others, &field.column_type)
            }),
            _ => true,
        }
    }

    /// Values of a kind of their own have been seen, not only ones that were converted.
    pub(crate) fn has_values(&self) -> bool {
        !self.kinds.only(Kinds::ALL).is_empty()
    }

    /// Adds what `other` has seen.
    pub(crate) fn join(&mut self, other: &Self) {
        self.kinds.insert(other.kinds);
        for (name, trace) in &other.fields {
            self.field(name).join(trace);
        }
        if let Some(item) = &other.item {
            self.item.get_or_insert_default().join(item);
        }
    }

    /// Whether [`Trace::join`] would change nothing.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.kinds.has(other.kinds)
            && other.fields.iter().all(|(name, trace)| {
                self.known_field(name)
                    .is_some_and(|known| known.covers(trace))
            })
            && other
                .item
                .as_ref()
                .is_none_or(|item| self.item.as_ref().is_some_and(|known| known.covers(item)))
    }

    pub(crate) fn field(&mut self, name: &str) -> &mut Self {
        let index = match self.fields.iter().position(|(known, _)| known == name) {
            Some(index) => index,
            None => {
                self.fields.push((name.to_owned(), Self::default()));
                self.fields.len() - 1
            }
        };
        &mut self.fields[index].1
    }

    pub(crate) fn known_field(&self, name: &str) -> Option<&Self> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, trace)| trace)
    }

    /// The narrowest type that holds everything seen; `string` where nothing but nulls was.
    pub fn column_type(&self) -> ColumnType {
        let kinds = self.kinds.only(Kinds::ALL);
        if kinds.is_empty() {
            return ColumnType::String;
        }
        if kinds == Kinds::LIST {
            let item = self
                .item
                .as_deref()
                .map_or(ColumnType::String, Self::column_type);
            return ColumnType::List(Box::new(ColumnField {
                name: "item".to_owned(),
                column_type: item,
                nullable: true,
            }));
        }
        if kinds == Kinds::OBJECT {
            return self.object_type();
        }
        if kinds.has(Kinds::LIST) || kinds.has(Kinds::OBJECT) {
            return ColumnType::Json;
        }
        match kinds {
            Kinds::BOOLEAN => ColumnType::Boolean,
            Kinds::NUMBER => self.number_type(),
            Kinds::DATE => ColumnType::Date,
            Kinds::TIMESTAMP => ColumnType::Timestamp,
            _ => ColumnType::String,
        }
    }

    fn number_type(&self) -> ColumnType {
        let has = |kind| self.kinds.has(kind);
        if has(Kinds::UNBOUNDED) {
            ColumnType::String
        } else if has(Kinds::FRACTION) {
            if has(Kinds::BIG) {
                ColumnType::String
            } else {
                ColumnType::Number
            }
        } else if has(Kinds::WIDE) {
            ColumnType::Decimal {
                precision: 38,
                scale: 0,
            }
        } else {
            ColumnType::Integer
        }
    }

    fn object_type(&self) -> ColumnType {
        let fields: Vec<_> = self
            .fields
            .iter()
            .filter(|(_, trace)| !trace.is_empty())
            .map(|(name, trace)| ColumnField {
                name: name.clone(),
                column_type: trace.column_type(),
                nullable: true,
            })
            .collect();
        // A struct without fields can't be stored, and one of thousands of fields is a map whose keys are values.
        if fields.is_empty() || self.fields.len() > MAX_STRUCT_FIELDS {
            ColumnType::Json
        } else {
            ColumnType::Struct(fields)
        }
    }

    /// Whether every value seen, stored as `from`, can be brought to `to` with the result that reading it as `to` at once gives.
    pub(crate) fn can_become(&self, from: &ColumnType, to: &ColumnType) -> bool {
        use ColumnType as T;
        let is_regular = !self.kinds.has(Kinds::IRREGULAR);
        if from == to || self.is_empty() {
            return true;
        }
        match (from, to) {
            (T::Integer, T::Number) => !self.kinds.has(Kinds::BIG),
            (T::Integer, T::Decimal { .. } | T::String | T::Json)
            | (T::Boolean, T::Json)
            | (T::Date, T::String) => is_regular || !matches!(to, T::String | T::Json),
            (T::Number, T::String | T::Json) | (T::Boolean | T::Timestamp, T::String) => is_regular,
            (T::Decimal { scale: 0, .. }, T::String | T::Json) => is_regular,
            (T::String, T::Json) => self.kinds.only(Kinds::ALL) == Kinds::TEXT,
            (T::List(from), T::List(to)) => self
                .item
                .as_ref()
                .is_none_or(|item| item.can_become(&from.column_type, &to.column_type)),
            (T::Struct(from), T::Struct(to)) => from.iter().all(|field| {
                let wider = to.iter().find(|wider| wider.name == field.name);
                let seen = self.known_field(&field.name);
                match (wider, seen) {
                    (Some(wider), Some(seen)) => {
                        seen.can_become(&field.column_type, &wider.column_type)
                    }
                    (Some(_), None) => true,
                    (None, _) => false,
                }
            }),
            _ => false,
        }
    }
}

/// The narrowest type that holds the values of both; for a column whose type was known before its first row.
pub(crate) fn wider(known: &ColumnType, seen: &ColumnType) -> ColumnType {
    use ColumnType as T;
    match (known, seen) {
        (known, seen) if known == seen => known.clone(),
        (T::Number, T::Integer) | (T::Integer, T::Number) => T::Number,
        (decimal @ T::Decimal { precision, scale }, T::Integer)
        | (T::Integer, decimal @ T::Decimal { precision, scale }) => {
            if i16::from(*precision) - i16::from(*scale) >= 19 {
                decimal.clone()
            } else {
                T::Decimal {
                    precision: 38,
                    scale: *scale,
                }
            }
        }
        (T::List(known), T::List(seen)) => T::List(Box::new(ColumnField {
            name: known.name.clone(),
            column_type: wider(&known.column_type, &seen.column_type),
            nullable: true,
        })),
        (T::Struct(known), T::Struct(seen)) => T::Struct(wider_fields(known, seen)),
        (T::List(_) | T::Struct(_) | T::Json, _) | (_, T::List(_) | T::Struct(_) | T::Json) => {
            T::Json
        }
        _ => T::String,
    }
}

fn wider_fields(known: &[ColumnField], seen: &[ColumnField]) -> Vec<ColumnField> {
    let mut fields: Vec<_> = known
        .iter()
        .map(
            |field| match seen.iter().find(|seen| seen.name == field.name) {
                Some(seen) => ColumnField {
                    name: field.name.clone(),
                    column_type: wider(&field.column_type, &seen.column_type),
                    nullable: field.nullable,
                },
                None => field.clone(),
            },
        )
        .collect();
    for field in seen {
        if known.iter().all(|known| known.name != field.name) {
            fields.push(field.clone());
        }
    }
    fields
}
