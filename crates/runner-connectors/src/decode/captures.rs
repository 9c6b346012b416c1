//! Values of the envelope that are wanted, or that may say where the next page is.

use std::collections::BTreeMap;

use runner_plan::model::{RowPath, RowPathStep};
use serde_json::Value;

use super::json::{Path, Stop, paths};
use super::keys::TypeSet;
use super::number;

/// Levels of the envelope whose scalars are kept without being asked for.
const KEPT_LEVELS: usize = 4;
const KEPT_VALUES: usize = 256;
const KEPT_BYTES: usize = 8 << 10;

/// Keys and indices from the document's root down to a value.
#[derive(Debug, Default)]
pub(crate) struct Place {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Open,
    Key(String),
    Index(u64),
}

impl Place {
    /// A container opens: its first key or item follows.
    pub(crate) fn open(&mut self) {
        self.parts.push(Part::Open);
    }

    pub(crate) fn close(&mut self) {
        self.parts.pop();
    }

    pub(crate) fn enter_key(&mut self, key: String) {
        if let Some(part) = self.parts.last_mut() {
            *part = Part::Key(key);
        }
    }

    pub(crate) fn enter_index(&mut self, index: u64) {
        if let Some(part) = self.parts.last_mut() {
            *part = Part::Index(index);
        }
    }

    /// The key of the innermost object, if the innermost container is one.
    pub(crate) fn key(&self) -> Option<&str> {
        match self.parts.last() {
            Some(Part::Key(key)) => Some(key),
            _ => None,
        }
    }

    fn is(&self, steps: &[RowPathStep]) -> bool {
        self.parts.len() == steps.len() && self.begins(steps)
    }

    fn is_above(&self, steps: &[RowPathStep]) -> bool {
        self.parts.len() < steps.len() && self.begins(steps)
    }

    fn begins(&self, steps: &[RowPathStep]) -> bool {
        self.parts.iter().zip(steps).all(|(part, step)| match step {
            RowPathStep::Name(name) => matches!(part, Part::Key(key) if key == name),
            RowPathStep::Index(wanted) => matches!(part, Part::Index(index) if index == wanted),
            RowPathStep::Each => !matches!(part, Part::Open),
        })
    }

    /// Only keys lead here, and few of them.
    fn is_shallow(&self) -> bool {
        self.parts.len() <= KEPT_LEVELS
            && self.parts.iter().all(|part| matches!(part, Part::Key(_)))
    }

    fn dotted(&self) -> String {
        let keys: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Key(key) => Some(key.as_str()),
                Part::Open | Part::Index(_) => None,
            })
            .collect();
        keys.join(".")
    }
}

/// What is kept of an envelope.
#[derive(Debug)]
pub(crate) struct Captures {
    wanted: Vec<Vec<RowPathStep>>,
    taken: Vec<Option<Value>>,
    envelope: BTreeMap<String, Value>,
}

impl Captures {
    /// Bytes of a value that is asked for.
    pub(crate) const LIMIT: u64 = 64 << 10;

    /// Paths that are more than steps are looked for in the whole document, by others.
    pub(crate) fn new(paths: &[RowPath]) -> Self {
        let wanted: Vec<_> = paths
            .iter()
            .map(|path| match path {
                RowPath::Steps(steps) => steps.clone(),
                RowPath::Query(_) => Vec::new(),
            })
            .collect();
        Self {
            taken: vec![None; wanted.len()],
            wanted,
            envelope: BTreeMap::new(),
        }
    }

    pub(crate) fn wants(&self, place: &Place) -> bool {
        self.wanted
            .iter()
            .any(|steps| !steps.is_empty() && place.is(steps))
    }

    /// Whether a container may hold something wanted.
    pub(crate) fn wants_below(&self, place: &Place, is_object: bool) -> bool {
        (is_object && place.parts.len() < KEPT_LEVELS && place.is_shallow())
            || self.wanted.iter().any(|steps| place.is_above(steps))
    }

    /// Whether a scalar is kept without being asked for.
    pub(crate) fn keeps(&self, place: &Place) -> bool {
        !place.parts.is_empty() && place.is_shallow() && self.envelope.len() < KEPT_VALUES
    }

    pub(crate) fn take(&mut self, place: &Place, text: &[u8]) {
        let Some(value) = value_of(text) else {
            return;
        };
        for (steps, taken) in self.wanted.iter().zip(&mut self.taken) {
            if !steps.is_empty() && taken.is_none() && place.is(steps) {
                *taken = Some(value.clone());
            }
        }
        let is_scalar = !value.is_object() && !value.is_array();
        if is_scalar && text.len() <= KEPT_BYTES && self.keeps(place) {
            self.envelope.entry(place.dotted()).or_insert(value);
        }
    }

    /// Takes what is wanted, and what is kept, of a document that is at hand.
    pub(crate) fn take_all(&mut self, text: &[u8], max_depth: usize) -> Result<(), Stop> {
        for (steps, taken) in self.wanted.iter().zip(&mut self.taken) {
            let found = Path::Steps(steps.clone()).find(text, max_depth)?;
            if let Some(value) = found
                .bytes()
                .filter(|value| value.len() as u64 <= Self::LIMIT)
            {
                *taken = value_of(value);
            }
        }
        self.keep(text, &mut Place::default(), max_depth)
    }

    fn keep(&mut self, text: &[u8], place: &mut Place, max_depth: usize) -> Result<(), Stop> {
        if !self.wants_below(place, true) {
            return Ok(());
        }
        place.open();
        for field in paths::fields(text, max_depth)? {
            place.enter_key(String::from_utf8_lossy(&field.name).into_owned());
            let value = &text[field.value];
            match field.seen {
                TypeSet::OBJECT => self.keep(value, place, max_depth)?,
                TypeSet::ARRAY => {}
                _ => self.take(place, value),
            }
        }
        place.close();
        Ok(())
    }

    pub(crate) fn finish(self) -> (Vec<Option<Value>>, BTreeMap<String, Value>) {
        (self.taken, self.envelope)
    }
}

/// The value of a text; a number that a JSON number here can't hold exactly becomes its text, since cursors have to go back as they came.
pub(crate) fn value_of(text: &[u8]) -> Option<Value> {
    match number::whole(text) {
        Some(number) if number.is_integer() => Some(match number.integer() {
            Some(value) => Value::from(value),
            None => Value::from(String::from_utf8_lossy(text).into_owned()),
        }),
        Some(number) => Some(match number.double().filter(|_| number.is_shortest()) {
            Some(value) => Value::from(value),
            None => Value::from(String::from_utf8_lossy(text).into_owned()),
        }),
        None => serde_json::from_slice(text).ok(),
    }
}
