//! The keys of objects: where the value of each goes, found by guessing that keys come in the order in which they last came.

use std::collections::{BTreeMap, HashMap};

use runner_core::checkpoint::{Observed, ObservedField};
use runner_plan::model::ColumnField;

use super::column::{ColumnBuffer, Values};
use crate::schema::TypeBinding;

/// Keys beyond this are neither remembered nor observed one by one: an object with more of them is a map.
const MAX_KEYS: usize = 4096;

/// The keys of the objects at one place.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    slots: Vec<Slot>,
    by_name: HashMap<Box<[u8]>, usize>,
    /// The key that came first last time.
    first: usize,
    /// The key that came last in this object.
    last: Option<usize>,
    unknown: Unknown,
    /// Values under keys that were not remembered.
    pub(crate) overflow: u64,
}

/// What becomes of a value under a key that nothing names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is dropped, and counted.
    #[default]
    Drop,
    /// It asks for a column, unless it is null.
    Ask,
}

#[derive(Debug)]
pub(crate) struct Slot {
    /// As it stands in the text when nothing in it is escaped.
    quoted: Box<[u8]>,
    /// The key that came after this one last time.
    follower: usize,
    pub(crate) name: Box<str>,
    pub(crate) action: Action,
    pub(crate) seen: Seen,
}

/// Where the value of a key goes.
#[derive(Debug)]
pub(crate) enum Action {
    Column(usize),
    /// Columns lie below it.
    Nested(Box<Keys>),
    /// Several columns come from it, or from it and from below it.
    Several(Vec<usize>, Option<Box<Keys>>),
    Drop,
    Ask,
}

/// What a batch holds under a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) present: u64,
    pub(crate) nulls: u64,
    pub(crate) types: TypeSet,
}

/// JSON types, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TypeSet(u8);

impl TypeSet {
    pub(crate) const NULL: Self = Self(0);
    pub(crate) const ARRAY: Self = Self(1);
    pub(crate) const BOOLEAN: Self = Self(1 << 1);
    pub(crate) const INTEGER: Self = Self(1 << 2);
    pub(crate) const NUMBER: Self = Self(1 << 3);
    pub(crate) const OBJECT: Self = Self(1 << 4);
    pub(crate) const STRING: Self = Self(1 << 5);

    const NAMES: [&'static str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter_map(move |(bit, name)| (self.0 >> bit & 1 == 1).then_some(name))
    }
}

impl Seen {
    #[inline]
    pub(crate) fn count(&mut self, value: TypeSet) {
        if value == TypeSet::NULL {
            self.nulls += 1;
        } else {
            self.present += 1;
            self.types.0 |= value.0;
        }
    }

    /// Takes a count back; the type stays, since the same value comes again.
    pub(crate) fn uncount(&mut self, value: TypeSet) {
        if value == TypeSet::NULL {
            self.nulls = self.nulls.saturating_sub(1);
        } else {
            self.present = self.present.saturating_sub(1);
        }
    }
}

impl Keys {
    pub(crate) fn new(unknown: Unknown) -> Self {
        Self {
            unknown,
            ..Self::default()
        }
    }

    /// The keys of a struct's fields, in their order: its children.
    pub(crate) fn of_struct(fields: &[ColumnField], binding: TypeBinding) -> Self {
        // A contract's object says which of its fields are wanted; in any other, a new field is something new.
        let mut keys = Self::new(match binding {
            TypeBinding::Fixed => Unknown::Drop,
            TypeBinding::Pinned | TypeBinding::Known | TypeBinding::Open => Unknown::Ask,
        });
        for (index, field) in fields.iter().enumerate() {
            keys.insert(&field.name, Action::Column(index));
        }
        keys
    }

    /// Leads a value (by keys from here down) to a column.
    pub(crate) fn route(&mut self, path: &[&str], column: usize) {
        let Some((name, below)) = path.split_first() else {
            return;
        };
        let index = match self.by_name.get(name.as_bytes()) {
            Some(index) => *index,
            None => self.insert(name, Action::Drop),
        };
        let action = &mut self.slots[index].action;
        if below.is_empty() {
            *action = match std::mem::replace(action, Action::Drop) {
                Action::Column(other) => Action::Several(vec![other, column], None),
                Action::Several(mut columns, nested) => {
                    columns.push(column);
                    Action::Several(columns, nested)
                }
                Action::Nested(nested) => Action::Several(vec![column], Some(nested)),
                Action::Drop | Action::Ask => Action::Column(column),
            };
            return;
        }
        // What a path doesn't name below it is dropped: it names what is wanted.
        let mut nested = match std::mem::replace(action, Action::Drop) {
            Action::Nested(nested) => (Vec::new(), nested),
            Action::Several(columns, nested) => (columns, nested.unwrap_or_default()),
            Action::Column(other) => (vec![other], Box::default()),
            Action::Drop | Action::Ask => (Vec::new(), Box::default()),
        };
        nested.1.route(below, column);
        self.slots[index].action = match nested {
            (columns, nested) if columns.is_empty() => Action::Nested(nested),
            (columns, nested) => Action::Several(columns, Some(nested)),
        };
    }

    /// Values under this key are looked for by others: they are neither taken nor dropped.
    pub(crate) fn keep(&mut self, name: &str) {
        let index = match self.by_name.get(name.as_bytes()) {
            Some(index) => *index,
            None => self.insert(name, Action::Drop),
        };
        let action = &mut self.slots[index].action;
        if matches!(action, Action::Drop | Action::Ask) {
            *action = Action::Several(Vec::new(), None);
        }
    }

    /// The slot whose key stands here as it is written, and the length of the key with its quotes. Most keys are found by the first guess.
    #[inline]
    pub(crate) fn guess(&mut self, text: &[u8]) -> Option<(usize, usize)> {
        let mut index = self.expected();
        // The second guess serves rows that leave a key out; it teaches nothing, since the next row may have it again.
        for _ in 0..2 {
            let slot = self.slots.get(index)?;
            if text.starts_with(&slot.quoted) {
                self.last = Some(index);
                return Some((index, slot.quoted.len()));
            }
            index = slot.follower;
        }
        None
    }

    #[inline]
    fn expected(&self) -> usize {
        match self.last {
            Some(last) => self.slots[last].follower,
            None => self.first,
        }
    }

    /// A key was not guessed: next time it is expected where it came.
    fn learn(&mut self, index: usize) {
        match self.last {
            Some(last) => self.slots[last].follower = index,
            None => self.first = index,
        }
        self.last = Some(index);
    }

    /// The slot of a key, without its quotes and escapes; a new one where it is new, none where there are too many.
    pub(crate) fn find(&mut self, name: &[u8]) -> Option<usize> {
        if let Some(index) = self.by_name.get(name) {
            let index = *index;
            self.learn(index);
            return Some(index);
        }
        if self.slots.len() >= MAX_KEYS {
            return None;
        }
        let action = match self.unknown {
            Unknown::Drop => Action::Drop,
            Unknown::Ask => Action::Ask,
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let index = self.insert(&name, action);
        self.learn(index);
        Some(index)
    }

    /// An object begins.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.last = None;
    }

    #[inline]
    pub(crate) fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    pub(crate) fn asks(&self) -> bool {
        self.unknown == Unknown::Ask
    }

    /// Names in the order of the columns that they lead to, where each leads to one.
    pub(crate) fn names_of_columns(&self) -> impl Iterator<Item = &str> {
        self.slots
            .iter()
            .filter(|slot| matches!(slot.action, Action::Column(_)))
            .map(|slot| &*slot.name)
    }

    /// Forgets what the batch holds.
    pub(crate) fn reset(&mut self, columns: &mut [ColumnBuffer]) {
        self.overflow = 0;
        for slot in &mut self.slots {
            slot.seen = Seen::default();
            match &mut slot.action {
                Action::Nested(keys) | Action::Several(_, Some(keys)) => keys.reset(columns),
                Action::Column(column) => {
                    if let Some(Values::Struct { keys, children }) =
                        columns.get_mut(*column).map(|column| &mut column.values)
                    {
                        keys.reset(children);
                    }
                }
                Action::Several(_, None) | Action::Drop | Action::Ask => {}
            }
        }
    }

    /// Adds what the batch holds under each key to what was observed, by dotted name, and returns how many values were dropped.
    pub(crate) fn observe(
        &self,
        prefix: &str,
        columns: &[ColumnBuffer],
        observed: &mut Observed,
    ) -> u64 {
        let mut dropped = self.overflow;
        for slot in &self.slots {
            let seen = slot.seen;
            if seen.present + seen.nulls == 0 {
                continue;
            }
            let name = format!("{prefix}{}", slot.name);
            let below = match &slot.action {
                Action::Drop => {
                    dropped += seen.present;
                    None
                }
                Action::Nested(keys) | Action::Several(_, Some(keys)) => Some((keys, columns)),
                Action::Column(column) => match columns.get(*column).map(|column| &column.values) {
                    Some(Values::Struct { keys, children }) => Some((keys, children.as_slice())),
                    _ => None,
                },
                Action::Several(_, None) | Action::Ask => None,
            };
            if let Some((keys, columns)) = below {
                dropped += keys.observe(&format!("{name}."), columns, observed);
            }
            add(&mut observed.fields, name, seen);
        }
        dropped
    }

    fn insert(&mut self, name: &str, action: Action) -> usize {
        let index = self.slots.len();
        let quoted = serde_json::Value::from(name).to_string();
        self.slots.push(Slot {
            quoted: quoted.into_bytes().into(),
            follower: index + 1,
            name: name.into(),
            action,
            seen: Seen::default(),
        });
        self.by_name.insert(name.as_bytes().into(), index);
        index
    }
}

fn add(fields: &mut BTreeMap<String, ObservedField>, name: String, seen: Seen) {
    let field = fields.entry(name).or_default();
    field.present += seen.present;
    field.nulls += seen.nulls;
    for name in seen.types.names() {
        if let Err(at) = field
            .types
            .binary_search_by(|known| known.as_str().cmp(name))
        {
            field.types.insert(at, name.to_owned());
        }
    }
}
