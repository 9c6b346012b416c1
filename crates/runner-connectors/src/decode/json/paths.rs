//! Values of a row by path, for columns whose path is more than names, and for rows that are looked at singly.

use std::collections::HashMap;
use std::ops::Range;

use runner_plan::model::{RowPath, RowPathStep};
use runner_spec::parse_json_path;
use serde_json_path::{JsonPath, NormalizedPath, PathElement};

use super::cursor::{Cursor, Stop};
use crate::decode::keys::TypeSet;

/// Whether the rows, or a value that is wanted beside them, can only be found in the whole document.
pub(crate) fn needs_whole(rows: &[RowPathStep], captures: &[RowPath]) -> bool {
    captures.iter().any(|path| match path {
        RowPath::Query(_) => true,
        // A document that is a row is at hand as a whole anyway.
        RowPath::Steps(steps) if rows.is_empty() => {
            !matches!(steps.first(), Some(RowPathStep::Name(_)))
        }
        // One that lies within the rows, or around them.
        RowPath::Steps(steps) => steps
            .iter()
            .zip(rows)
            .all(|(wanted, row)| match (wanted, row) {
                (wanted, row) if wanted == row => true,
                (RowPathStep::Each, _) | (_, RowPathStep::Each) => true,
                _ => false,
            }),
    })
}

/// The path of rows as people write it.
pub(crate) fn row_path_text(path: &RowPath) -> String {
    match path {
        RowPath::Steps(steps) => path_text(steps),
        RowPath::Query(query) => query.clone(),
    }
}

/// A path as people write it.
pub(crate) fn path_text(steps: &[RowPathStep]) -> String {
    let mut text = String::from("$");
    for step in steps {
        match step {
            RowPathStep::Name(name)
                if name
                    .chars()
                    .all(|character| character.is_alphanumeric() || character == '_') =>
            {
                text.push('.');
                text.push_str(name);
            }
            RowPathStep::Name(name) => text.extend(["['", name, "']"]),
            RowPathStep::Index(index) => text.extend(["[", &index.to_string(), "]"]),
            RowPathStep::Each => text.push_str("[*]"),
        }
    }
    text
}

/// A column's path, ready to be followed.
#[derive(Debug)]
pub(crate) enum Path {
    Steps(Vec<RowPathStep>),
    /// Needs the row as a tree: the one case where a row is parsed into one.
    Query(Box<JsonPath>),
    /// The row itself, where it is no object.
    Row,
}

/// The value at a path: a piece of the row, or a text made of several.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Nothing,
    Piece(&'a [u8]),
    Made(Vec<u8>),
}

impl Path {
    pub(crate) fn new(path: &RowPath) -> Result<Self, serde_json_path::ParseError> {
        Ok(match path {
            RowPath::Steps(steps) => Self::Steps(steps.clone()),
            RowPath::Query(query) => Self::Query(Box::new(parse_json_path(query)?)),
        })
    }

    pub(crate) fn find<'a>(&self, row: &'a [u8], max_depth: usize) -> Result<Found<'a>, Stop> {
        match self {
            Self::Row if row.trim_ascii_start().starts_with(b"{") => Ok(Found::Nothing),
            Self::Row => Ok(Found::Piece(row)),
            Self::Steps(steps) => {
                let mut pieces = Vec::new();
                follow(row, steps, max_depth, &mut pieces)?;
                let is_list = steps.contains(&RowPathStep::Each);
                Ok(match pieces.as_slice() {
                    [piece] if !is_list => Found::Piece(piece),
                    [] if !is_list => Found::Nothing,
                    pieces => Found::Made(list(pieces.iter().copied())),
                })
            }
            Self::Query(query) => {
                let value: serde_json::Value =
                    serde_json::from_slice(row).map_err(|_| Stop::Syntax {
                        at: 0,
                        what: "a row that a JSONPath can't be applied to",
                    })?;
                let mut pieces = Vec::new();
                for node in query.query_located(&value).iter() {
                    follow(row, &steps_to(node.location()), max_depth, &mut pieces)?;
                }
                Ok(match pieces.as_slice() {
                    [] => Found::Nothing,
                    [piece] => Found::Piece(piece),
                    pieces => Found::Made(list(pieces.iter().copied())),
                })
            }
        }
    }
}

/// The steps that lead to a node.
pub(crate) fn steps_to(location: &NormalizedPath<'_>) -> Vec<RowPathStep> {
    location
        .iter()
        .map(|element| match element {
            PathElement::Name(name) => RowPathStep::Name((*name).to_owned()),
            PathElement::Index(index) => RowPathStep::Index(*index as u64),
        })
        .collect()
}

impl Found<'_> {
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Piece(piece) => Some(piece),
            Self::Made(text) => Some(text),
        }
    }
}

fn list<'a>(items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = vec![b'['];
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    text.push(b']');
    text
}

/// Collects the values at `steps` below a value.
fn follow<'a>(
    value: &'a [u8],
    steps: &[RowPathStep],
    max_depth: usize,
    found: &mut Vec<&'a [u8]>,
) -> Result<(), Stop> {
    let Some((step, below)) = steps.split_first() else {
        found.push(value);
        return Ok(());
    };
    match step {
        RowPathStep::Name(name) => {
            for field in fields(value, max_depth)? {
                if field.name == name.as_bytes() {
                    follow(&value[field.value], below, max_depth, found)?;
                }
            }
        }
        RowPathStep::Index(wanted) => {
            let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX);
            if let Some(item) = items(value, max_depth)?.get(wanted) {
                follow(&value[item.clone()], below, max_depth, found)?;
            }
        }
        RowPathStep::Each => {
            for item in items(value, max_depth)? {
                follow(&value[item], below, max_depth, found)?;
            }
            for field in fields(value, max_depth)? {
                follow(&value[field.value], below, max_depth, found)?;
            }
        }
    }
    Ok(())
}

/// A field of an object.
pub(crate) struct Field {
    /// Without quotes and escapes.
    pub(crate) name: Vec<u8>,
    pub(crate) value: Range<usize>,
    pub(crate) seen: TypeSet,
}

/// The fields of an object; none where the value is something else.
pub(crate) fn fields(value: &[u8], max_depth: usize) -> Result<Vec<Field>, Stop> {
    let mut fields = Vec::new();
    let mut cursor = Cursor::new(value, 0, max_depth);
    if cursor.peek()? != b'{' {
        return Ok(fields);
    }
    cursor.at += 1;
    if cursor.peek()? == b'}' {
        return Ok(fields);
    }
    loop {
        if cursor.peek()? != b'"' {
            return Err(cursor.syntax("a key was expected"));
        }
        let text = cursor.string()?;
        let mut name = Vec::with_capacity(text.raw.len());
        if text.write(&mut name).is_err() {
            name.clear();
            name.extend_from_slice(text.raw);
        }
        cursor.expect(b':', "`:` was expected after a key")?;
        cursor.peek()?;
        let start = cursor.at;
        let seen = cursor.skip()?;
        fields.push(Field {
            name,
            value: start..cursor.at,
            seen,
        });
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => return Ok(fields),
            _ => return Err(cursor.syntax("`,` or `}` was expected")),
        }
    }
}

/// The items of a list; none where the value is something else.
pub(crate) fn items(value: &[u8], max_depth: usize) -> Result<Vec<Range<usize>>, Stop> {
    let mut items = Vec::new();
    let mut cursor = Cursor::new(value, 0, max_depth);
    if cursor.peek()? != b'[' {
        return Ok(items);
    }
    cursor.at += 1;
    if cursor.peek()? == b']' {
        return Ok(items);
    }
    loop {
        cursor.peek()?;
        let start = cursor.at;
        cursor.skip()?;
        items.push(start..cursor.at);
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b']' => return Ok(items),
            _ => return Err(cursor.syntax("`,` or `]` was expected")),
        }
    }
}

/// Many places of one document, found in one walk.
#[derive(Debug, Default)]
pub(crate) struct Located {
    root: Branch,
    ranges: Vec<Range<usize>>,
}

#[derive(Debug, Default)]
struct Branch {
    /// Indices of the places that end here.
    ends: Vec<usize>,
    below: HashMap<RowPathStep, Branch>,
}

impl Located {
    pub(crate) fn new(places: &[Vec<RowPathStep>]) -> Self {
        let mut root = Branch::default();
        for (index, steps) in places.iter().enumerate() {
            let mut branch = &mut root;
            for step in steps {
                branch = branch.below.entry(step.clone()).or_default();
            }
            branch.ends.push(index);
        }
        Self {
            root,
            ranges: vec![0..0; places.len()],
        }
    }

    /// Ranges of the places, in their order.
    pub(crate) fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        self.ranges.into_iter()
    }

    pub(crate) fn locate(&mut self, document: &[u8], max_depth: usize) -> Result<(), Stop> {
        let mut cursor = Cursor::new(document, 0, max_depth);
        cursor.peek()?;
        let start = cursor.at;
        cursor.skip()?;
        let Self { root, ranges } = self;
        locate(document, start..cursor.at, root, max_depth, ranges)
    }
}

fn locate(
    document: &[u8],
    value: Range<usize>,
    branch: &Branch,
    max_depth: usize,
    ranges: &mut [Range<usize>],
) -> Result<(), Stop> {
    for index in &branch.ends {
        ranges[*index] = value.clone();
    }
    if branch.below.is_empty() {
        return Ok(());
    }
    let text = &document[value.clone()];
    let shifted = |range: Range<usize>| value.start + range.start..value.start + range.end;
    for (index, item) in items(text, max_depth)?.into_iter().enumerate() {
        if let Some(below) = branch.below.get(&RowPathStep::Index(index as u64)) {
            locate(document, shifted(item), below, max_depth, ranges)?;
        }
    }
    for field in fields(text, max_depth)? {
        let name = String::from_utf8_lossy(&field.name).into_owned();
        if let Some(below) = branch.below.get(&RowPathStep::Name(name)) {
            locate(document, shifted(field.value), below, max_depth, ranges)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_pieces_of_a_row() {
        let row =
            br#"{"a": {"b": [1, 2.50, {"c": "x"}]}, "\u0064": null, "e": {"x": 1, "y": [2]}}"#;
        let name = |name: &str| RowPathStep::Name(name.to_owned());
        for (steps, wanted) in [
            (
                vec![name("a"), name("b"), RowPathStep::Index(1)],
                Some("2.50"),
            ),
            (vec![name("a"), name("b"), RowPathStep::Index(9)], None),
            (
                vec![name("a"), name("b"), RowPathStep::Each, name("c")],
                Some(r#"["x"]"#),
            ),
            (vec![name("d")], Some("null")),
            (vec![name("e"), RowPathStep::Each], Some("[1,[2]]")),
            (vec![name("nothing"), name("b")], None),
            (vec![name("nothing"), RowPathStep::Each], Some("[]")),
        ] {
            let path = Path::Steps(steps);
            let found = path.find(row, 16).expect("valid");
            let text = found
                .bytes()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            assert_eq!(text.as_deref(), wanted, "{path:?}");
        }
        let query = Path::new(&RowPath::Query("$..c".to_owned())).expect("valid");
        assert_eq!(query.find(row, 16), Ok(Found::Piece(b"\"x\"")));
    }
}
