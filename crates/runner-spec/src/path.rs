//! The path of a field in the document, as people read it: `provider.endpoints[0].field_mapping.open`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    Key(String),
    Index(usize),
}

/// Where a field stands, from the root of the document down.
///
/// Keys are the canonical (snake_case) names or the ones that the author wrote: [`crate::SourceMap`] finds both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FieldPath {
    segments: Vec<Segment>,
}

impl FieldPath {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// This path, one key deeper.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.child(Segment::Key(key.into()))
    }

    /// This path, one list element deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.child(Segment::Index(index))
    }

    /// This path, deeper by every key of `keys`.
    #[must_use]
    pub fn keys<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        keys.into_iter()
            .fold(self.clone(), |path, key| path.key(key))
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// The last key of the path, list positions left out.
    pub fn last_key(&self) -> Option<&str> {
        self.segments
            .iter()
            .rev()
            .find_map(|segment| match segment {
                Segment::Key(key) => Some(key.as_str()),
                Segment::Index(_) => None,
            })
    }

    /// Whether this is the other field, or an object or list that holds it.
    pub fn encloses(&self, other: &Self) -> bool {
        other.segments.starts_with(&self.segments)
    }

    /// The path of the object or list that holds this field.
    pub fn parent(&self) -> Option<Self> {
        let (_, segments) = self.segments.split_last()?;
        Some(Self {
            segments: segments.to_vec(),
        })
    }

    fn child(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.segments.len() + 1);
        segments.extend_from_slice(&self.segments);
        segments.push(segment);
        Self { segments }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Key(key) if is_plain(key) => {
                    if position > 0 {
                        formatter.write_str(".")?;
                    }
                    formatter.write_str(key)?;
                }
                Segment::Key(key) => {
                    write!(formatter, "[{}]", serde_json::Value::from(key.as_str()))?;
                }
                Segment::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for FieldPath {
    type Error = BadFieldPath;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text that is no field path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a field path such as `provider.endpoints[0].name`")]
pub struct BadFieldPath(String);

impl FromStr for FieldPath {
    type Err = BadFieldPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadFieldPath(text.to_owned());
        let mut path = Self::root();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (segment, after) = bracketed(inner).ok_or_else(bad)?;
                path.segments.push(segment);
                rest = after;
            } else {
                let name = if path.is_root() {
                    rest
                } else {
                    rest.strip_prefix('.').ok_or_else(bad)?
                };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 || name[..end].contains(']') {
                    return Err(bad());
                }
                path.segments.push(Segment::Key(name[..end].to_owned()));
                rest = &name[end..];
            }
        }
        Ok(path)
    }
}

/// Reads `3]…` or `"a.b"]…`, the opening bracket being gone.
fn bracketed(text: &str) -> Option<(Segment, &str)> {
    if text.starts_with('"') {
        let mut keys = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let rest = text.get(keys.byte_offset()..)?.strip_prefix(']')?;
        return Some((Segment::Key(key), rest));
    }
    let (digits, rest) = text.split_once(']')?;
    Some((Segment::Index(digits.parse().ok()?), rest))
}

/// Whether a key reads well between dots.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|character| {
            character.is_alphanumeric() || matches!(character, '_' | '-' | '$' | '@')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_like_the_document() {
        let path = FieldPath::root()
            .keys(["provider", "endpoints"])
            .index(0)
            .key("field_mapping")
            .key("a.b");
        assert_eq!(
            path.to_string(),
            r#"provider.endpoints[0].field_mapping["a.b"]"#
        );
        assert_eq!(path.last_key(), Some("a.b"));
        assert_eq!(FieldPath::root().to_string(), "");
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [".a", "a..b", "a[", "a[x]", "a]", "a[\"b]", "a.", "[0]b"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn is_read_back_as_written(segments in prop::collection::vec(prop_oneof![
            ".{0,6}".prop_map(Segment::Key),
            (0usize..100).prop_map(Segment::Index),
        ], 0..6)) {
            let path = FieldPath { segments };
            prop_assert_eq!(path.to_string().parse::<FieldPath>(), Ok(path));
        }
    }
}
