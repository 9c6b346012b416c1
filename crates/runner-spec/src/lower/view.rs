//! Reads fields of an object that has been checked: what is missing or wrong reads as absent.

use std::str::FromStr;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as PlainError, StrDeserializer};

use crate::check::{Settled, real_number, settle, whole_number};
use crate::fields::{Object, Shape, Text};
use crate::model::Settings;
use crate::tree::{Node, Value};

/// An object, or the absence of one, with the table of its fields.
#[derive(Clone, Copy)]
pub(super) struct View<'tree> {
    node: Option<&'tree Node>,
    object: &'static Object,
    document: &'tree Node,
}

impl<'tree> View<'tree> {
    pub(super) fn new(document: &'tree Node, object: &'static Object) -> Self {
        Self {
            node: Some(document),
            object,
            document,
        }
    }

    pub(super) fn document(&self) -> &'tree Node {
        self.document
    }

    /// Whether the object is there.
    pub(super) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    /// The value of a field, whichever way it is spelt; null is absent.
    pub(super) fn get(&self, name: &str) -> Option<&'tree Node> {
        let entries = self.node?.as_object()?;
        let field = self.field(name);
        let entry = entries.iter().find(|entry| {
            self.object
                .field(&entry.key)
                .is_some_and(|other| Some(other.name) == field.map(|field| field.name))
        });
        entry
            .map(|entry| &entry.value)
            .filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let takes_scalars =
            matches!(self.field(name)?.shape, Shape::Text(kind) if kind.takes_scalars());
        let is_duration = matches!(self.field(name)?.shape, Shape::Text(Text::Duration));
        let node = self.get(name)?;
        let node = if is_duration {
            self.settled(node)?
        } else {
            node
        };
        text_of(node, takes_scalars)
    }

    /// A required text; the check has reported its absence.
    pub(super) fn required(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.settled(self.get(name)?)?.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn whole<T: TryFrom<i128>>(&self, name: &str) -> Option<T> {
        T::try_from(whole_number(self.settled(self.get(name)?)?)?).ok()
    }

    pub(super) fn real(&self, name: &str) -> Option<f64> {
        real_number(self.settled(self.get(name)?)?)
    }

    /// A number that may be a template until requests are made.
    pub(super) fn late(&self, name: &str) -> Option<String> {
        let node = self.get(name)?;
        match settle(node, self.document) {
            Settled::Value(node) => text_of(node, true),
            Settled::Unknown(_) | Settled::Late => text_of(node, true),
        }
    }

    /// A value of a closed list, which the model spells as the table does.
    pub(super) fn choice<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let known = self.text_of_choice(name)?;
        let deserializer: StrDeserializer<'_, PlainError> = known.into_deserializer();
        T::deserialize(deserializer).ok()
    }

    /// A value of a closed list as the table spells it.
    pub(super) fn text_of_choice(&self, name: &str) -> Option<&'static str> {
        let Shape::Choice(choices) = self.field(name)?.shape else {
            return None;
        };
        choices.find(self.get(name)?.as_text()?)
    }

    /// A list of texts, or one text where the field takes one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let Some((node, field)) = self.get(name).zip(self.field(name)) else {
            return Vec::new();
        };
        let (kind, takes_one) = match field.shape {
            Shape::Texts(kind) => (kind, false),
            Shape::OneOrMore(kind) => (kind, true),
            _ => return Vec::new(),
        };
        match &node.value {
            Value::List(items) => items
                .iter()
                .filter_map(|item| text_of(item, kind.takes_scalars()))
                .collect(),
            _ if takes_one => text_of(node, kind.takes_scalars()).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Texts by keys of the author's choice.
    pub(super) fn map(&self, name: &str) -> IndexMap<String, String> {
        self.entries(name, |node| text_of(node, true))
    }

    /// Values by keys of the author's choice; those that `read` can't read are left out.
    pub(super) fn entries<T>(
        &self,
        name: &str,
        read: impl Fn(&'tree Node) -> Option<T>,
    ) -> IndexMap<String, T> {
        let entries = self.get(name).and_then(Node::as_object).unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), read(&entry.value)?)))
            .collect()
    }

    /// Values of a closed list by keys of the author's choice.
    pub(super) fn choices<T: for<'de> Deserialize<'de>>(&self, name: &str) -> IndexMap<String, T> {
        let Some(Shape::Map(_, Shape::Choice(choices))) = self.field(name).map(|field| field.shape)
        else {
            return IndexMap::new();
        };
        self.entries(name, |node| {
            let deserializer: StrDeserializer<'_, PlainError> =
                choices.find(node.as_text()?)?.into_deserializer();
            T::deserialize(deserializer).ok()
        })
    }

    /// An object as it stands.
    pub(super) fn settings(&self, name: &str) -> Settings {
        match self.get(name).map(Node::to_json) {
            Some(serde_json::Value::Object(settings)) => settings,
            _ => Settings::new(),
        }
    }

    /// An object in a field, absent or not.
    pub(super) fn object(&self, name: &str) -> Self {
        let object = match self.field(name).map(|field| field.shape) {
            Some(Shape::Object(object)) => object,
            Some(Shape::ByKind(by_kind)) => {
                let kind = self.get(by_kind.sibling).and_then(Node::as_text);
                return match by_kind.object(kind) {
                    Some(object) => Self {
                        node: self.get(name),
                        object,
                        document: self.document,
                    },
                    None => Self {
                        node: None,
                        object: self.object,
                        document: self.document,
                    },
                };
            }
            _ => {
                return Self {
                    node: None,
                    ..*self
                };
            }
        };
        Self {
            node: self.get(name),
            object,
            document: self.document,
        }
    }

    /// The objects of a list.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        let Some(Shape::List(object)) = self.field(name).map(|field| field.shape) else {
            return Vec::new();
        };
        let items = self.get(name).and_then(Node::as_list).unwrap_or_default();
        items
            .iter()
            .map(|item| Self {
                node: Some(item),
                object,
                document: self.document,
            })
            .collect()
    }

    fn settled(&self, node: &'tree Node) -> Option<&'tree Node> {
        match settle(node, self.document) {
            Settled::Value(node) => Some(node),
            Settled::Unknown(_) | Settled::Late => None,
        }
    }

    fn field(&self, name: &str) -> Option<&'static crate::fields::Field> {
        let field = self.object.field(name);
        debug_assert!(
            field.is_some() || self.node.is_none(),
            "`{}` has no field `{name}`",
            self.object.name
        );
        #[cfg(test)]
        if let Some(field) = field {
            super::tests::note_read(self.object.name, field.name);
        }
        field
    }
}

fn text_of(node: &Node, takes_scalars: bool) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.value.clone()),
        Value::Number(number) if takes_scalars => Some(number.written.clone()),
        Value::Boolean(value) if takes_scalars => Some(value.to_string()),
        _ => None,
    }
}

/// A number in a list, as ranges have them.
pub(super) fn number_of(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Text(text) => f64::from_str(text.value.trim()).ok(),
        _ => real_number(node),
    }
}
