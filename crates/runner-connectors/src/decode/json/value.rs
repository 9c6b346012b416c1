//! JSON values straight into columns: no tree, no copy beside the column's own.

use super::cursor::{Cursor, Stop, Text};
use super::paths;
use crate::decode::column::{Binding, ColumnBuffer, Misfit, Values};
use crate::decode::convert;
use crate::decode::keys::{Action, Keys, TypeSet};
use crate::decode::number;
use crate::decode::time;
use crate::decode::trace::Kinds;
use crate::table::json;

impl From<Misfit> for Stop {
    fn from(_: Misfit) -> Self {
        Self::Misfit
    }
}

/// Takes the value that begins here into a column, and says what it was.
#[inline]
pub(crate) fn take(
    cursor: &mut Cursor<'_>,
    column: &mut ColumnBuffer,
    depth: usize,
) -> Result<TypeSet, Stop> {
    match cursor.peek()? {
        b'"' => {
            let text = cursor.string()?;
            take_text(text, column)?;
            Ok(TypeSet::STRING)
        }
        b'{' => take_object(cursor, column, depth).map(|()| TypeSet::OBJECT),
        b'[' => take_list(cursor, column, depth).map(|()| TypeSet::ARRAY),
        b'n' => {
            cursor.literal(b"null")?;
            column.push_null();
            Ok(TypeSet::NULL)
        }
        b't' => {
            cursor.literal(b"true")?;
            column.push_boolean(true)?;
            Ok(TypeSet::BOOLEAN)
        }
        b'f' => {
            cursor.literal(b"false")?;
            column.push_boolean(false)?;
            Ok(TypeSet::BOOLEAN)
        }
        _ => {
            if let Some((value, end)) = number::short_integer(cursor.bytes, cursor.at)
                && column.push_short_integer(value)
            {
                cursor.at = end;
                return Ok(TypeSet::INTEGER);
            }
            let number = cursor.number()?;
            column.push_number(&number)?;
            Ok(if number.is_integer() {
                TypeSet::INTEGER
            } else {
                TypeSet::NUMBER
            })
        }
    }
}

#[inline]
fn take_text(text: Text<'_>, column: &mut ColumnBuffer) -> Result<(), Misfit> {
    match &mut column.values {
        Values::Text(texts) if column.binding != Binding::Unclosed => {
            if text.has_escapes {
                texts.push_with(|out| text.write(out)).map_err(|_| Misfit)?;
            } else {
                texts.push(text.raw);
            }
            column.seen.insert(Kinds::TEXT);
            column.pushed();
            return Ok(());
        }
        Values::Json(texts) if column.binding != Binding::Unclosed => {
            texts.push_with(|out| quote(text, out))?;
            column.seen.insert(Kinds::TEXT);
            column.pushed();
            return Ok(());
        }
        _ if matches!(column.binding, Binding::Open | Binding::Unclosed) => return Err(Misfit),
        Values::Timestamp(values) if !text.has_escapes => {
            // The usual form, without the detour over the other conversions.
            if let Some(micros) = time::timestamp(text.raw) {
                values.push(micros);
                column.seen.insert(Kinds::IRREGULAR);
                column.pushed();
                return Ok(());
            }
        }
        _ => {}
    }
    if text.has_escapes {
        let mut plain = Vec::with_capacity(text.raw.len());
        text.write(&mut plain).map_err(|_| Misfit)?;
        column.convert_text(&plain)
    } else {
        column.convert_text(text.raw)
    }
}

/// The text as canonical JSON: one that came as text and one that came as JSON text are the same then.
fn quote(text: Text<'_>, out: &mut Vec<u8>) -> Result<(), Misfit> {
    if text.has_escapes {
        let mut plain = Vec::with_capacity(text.raw.len());
        text.write(&mut plain).map_err(|_| Misfit)?;
        let plain = String::from_utf8(plain).map_err(|_| Misfit)?;
        let mut quoted = String::with_capacity(plain.len() + 2);
        json::quote(&mut quoted, &plain);
        out.extend_from_slice(quoted.as_bytes());
    } else {
        out.push(b'"');
        out.extend_from_slice(text.raw);
        out.push(b'"');
    }
    Ok(())
}

fn take_list(cursor: &mut Cursor<'_>, column: &mut ColumnBuffer, depth: usize) -> Result<(), Stop> {
    if let Values::Json(texts) = &mut column.values {
        if column.binding == Binding::Unclosed {
            return Err(Stop::Misfit);
        }
        let start = cursor.at;
        cursor.skip()?;
        texts.push(&cursor.bytes[start..cursor.at]);
        column.seen.insert(Kinds::LIST);
        column.pushed();
        return Ok(());
    }
    let Values::List { offsets, item } = &mut column.values else {
        return Err(Stop::Misfit);
    };
    if depth >= cursor.max_depth {
        return Err(cursor.syntax("too many levels of nesting"));
    }
    cursor.at += 1;
    if cursor.peek()? == b']' {
        cursor.at += 1;
    } else {
        loop {
            take(cursor, item, depth + 1)?;
            match cursor.peek()? {
                b',' => cursor.at += 1,
                b']' => {
                    cursor.at += 1;
                    break;
                }
                _ => return Err(cursor.syntax("`,` or `]` was expected")),
            }
        }
    }
    offsets.push(i32::try_from(item.len()).map_err(|_| Stop::Misfit)?);
    column.seen.insert(Kinds::LIST);
    column.pushed();
    Ok(())
}

fn take_object(
    cursor: &mut Cursor<'_>,
    column: &mut ColumnBuffer,
    depth: usize,
) -> Result<(), Stop> {
    if let Values::Json(texts) = &mut column.values {
        let start = cursor.at;
        cursor.skip()?;
        let text = &cursor.bytes[start..cursor.at];
        if column.binding == Binding::Unclosed {
            let fields = paths::fields(text, cursor.max_depth)?;
            if fields.iter().any(|field| field.seen != TypeSet::NULL) {
                return Err(Stop::Misfit);
            }
        }
        texts.push(text);
        column.seen.insert(Kinds::OBJECT);
        column.pushed();
        return Ok(());
    }
    let len = column.len();
    let Values::Struct { keys, children } = &mut column.values else {
        return Err(Stop::Misfit);
    };
    take_fields(cursor, keys, children, len, depth)?;
    for child in children {
        if child.len() == len {
            child.push_null();
        }
    }
    column.seen.insert(Kinds::OBJECT);
    column.pushed();
    Ok(())
}

/// Takes the fields of the object that begins here into columns that have `len` rows; those that it doesn't have are left as they are.
pub(crate) fn take_fields(
    cursor: &mut Cursor<'_>,
    keys: &mut Keys,
    columns: &mut [ColumnBuffer],
    len: usize,
    depth: usize,
) -> Result<(), Stop> {
    if depth >= cursor.max_depth {
        return Err(cursor.syntax("too many levels of nesting"));
    }
    cursor.at += 1;
    keys.begin();
    if cursor.peek()? == b'}' {
        cursor.at += 1;
        return Ok(());
    }
    loop {
        let slot = key(cursor, keys)?;
        take_field(cursor, keys, slot, columns, len, depth)?;
        match cursor.peek()? {
            b',' => {
                cursor.at += 1;
                cursor.peek()?;
            }
            b'}' => {
                cursor.at += 1;
                return Ok(());
            }
            _ => return Err(cursor.syntax("`,` or `}` was expected")),
        }
    }
}

/// Reads a key and its colon.
#[inline]
pub(crate) fn key(cursor: &mut Cursor<'_>, keys: &mut Keys) -> Result<Option<usize>, Stop> {
    let slot = match keys.guess(&cursor.bytes[cursor.at..]) {
        Some((slot, length)) => {
            cursor.at += length;
            Some(slot)
        }
        None => unguessed_key(cursor, keys)?,
    };
    cursor.expect(b':', "`:` was expected after a key")?;
    Ok(slot)
}

#[cold]
fn unguessed_key(cursor: &mut Cursor<'_>, keys: &mut Keys) -> Result<Option<usize>, Stop> {
    if cursor.peek()? != b'"' {
        return Err(cursor.syntax("a key was expected"));
    }
    let text = cursor.string()?;
    if !text.has_escapes {
        return Ok(keys.find(text.raw));
    }
    let mut plain = Vec::with_capacity(text.raw.len());
    text.write(&mut plain).map_err(|_| Stop::Misfit)?;
    Ok(keys.find(&plain))
}

#[inline]
fn take_field(
    cursor: &mut Cursor<'_>,
    keys: &mut Keys,
    slot: Option<usize>,
    columns: &mut [ColumnBuffer],
    len: usize,
    depth: usize,
) -> Result<(), Stop> {
    let Some(index) = slot else {
        let asks = keys.asks();
        let seen = cursor.skip()?;
        keys.overflow += u64::from(seen != TypeSet::NULL);
        return if asks && seen != TypeSet::NULL {
            Err(Stop::Misfit)
        } else {
            Ok(())
        };
    };
    let slot = keys.slot(index);
    let seen = match &mut slot.action {
        Action::Column(column) => {
            let column = &mut columns[*column];
            // The same key twice: which one counts is nowhere said.
            if column.len() != len {
                return Err(Stop::Misfit);
            }
            take(cursor, column, depth + 1)?
        }
        Action::Drop => cursor.skip()?,
        Action::Ask => match cursor.skip()? {
            TypeSet::NULL => TypeSet::NULL,
            _ => return Err(Stop::Misfit),
        },
        Action::Nested(nested) => take_below(cursor, nested, columns, len, depth)?,
        Action::Several(wanted, nested) => {
            let start = cursor.at;
            for column in wanted {
                cursor.at = start;
                if columns[*column].len() != len {
                    return Err(Stop::Misfit);
                }
                take(cursor, &mut columns[*column], depth + 1)?;
            }
            cursor.at = start;
            match nested {
                Some(nested) => take_below(cursor, nested, columns, len, depth)?,
                None => cursor.skip()?,
            }
        }
    };
    slot.seen.count(seen);
    Ok(())
}

/// Takes columns from below a value; one that is no object has nothing there.
fn take_below(
    cursor: &mut Cursor<'_>,
    keys: &mut Keys,
    columns: &mut [ColumnBuffer],
    len: usize,
    depth: usize,
) -> Result<TypeSet, Stop> {
    if cursor.peek()? != b'{' {
        return cursor.skip();
    }
    take_fields(cursor, keys, columns, len, depth + 1)?;
    Ok(TypeSet::OBJECT)
}

/// What is done with the counts of a row's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    Add,
    /// The row ended too early, and will come again: what [`take_fields`] counted of it is taken back.
    TakeBack,
}

/// Counts what the object that begins here has under its keys, and takes nothing.
pub(crate) fn observe(
    cursor: &mut Cursor<'_>,
    keys: &mut Keys,
    columns: &mut [ColumnBuffer],
    counting: Counting,
) -> Result<TypeSet, Stop> {
    if cursor.peek()? != b'{' {
        return cursor.skip();
    }
    cursor.at += 1;
    keys.begin();
    if cursor.peek()? == b'}' {
        cursor.at += 1;
        return Ok(TypeSet::OBJECT);
    }
    loop {
        cursor.peek()?;
        let slot = key(cursor, keys)?;
        let seen = match slot.map(|index| &mut keys.slot(index).action) {
            Some(Action::Nested(nested)) => observe(cursor, nested, columns, counting)?,
            Some(Action::Several(_, Some(nested))) => {
                // The columns are taken first, and each of them reads the whole value.
                let start = cursor.at;
                cursor.skip()?;
                cursor.at = start;
                observe(cursor, nested, columns, counting)?
            }
            Some(Action::Column(column)) => {
                match columns.get_mut(*column).map(|column| &mut column.values) {
                    Some(Values::Struct { keys, children }) => {
                        observe(cursor, keys, children, counting)?
                    }
                    _ => cursor.skip()?,
                }
            }
            _ => cursor.skip()?,
        };
        let is_value = seen != TypeSet::NULL;
        match (slot, counting) {
            (Some(index), Counting::Add) => keys.slot(index).seen.count(seen),
            (Some(index), Counting::TakeBack) => keys.slot(index).seen.uncount(seen),
            (None, Counting::Add) => keys.overflow += u64::from(is_value),
            (None, Counting::TakeBack) => keys.overflow -= u64::from(is_value).min(keys.overflow),
        }
        match cursor.peek()? {
            b',' => cursor.at += 1,
            b'}' => {
                cursor.at += 1;
                return Ok(TypeSet::OBJECT);
            }
            _ => return Err(cursor.syntax("`,` or `}` was expected")),
        }
    }
}

/// Takes a text that is one JSON value and nothing else.
pub(crate) fn take_cell_json(
    text: &[u8],
    column: &mut ColumnBuffer,
    max_depth: usize,
) -> Result<(), Misfit> {
    let text = convert::trimmed(text);
    let mut marked = text.to_vec();
    marked.push(b' ');
    let mut cursor = Cursor::new(&marked, 0, max_depth);
    take(&mut cursor, column, 0).map_err(|_| Misfit)?;
    if cursor.at < text.len() {
        return Err(Misfit);
    }
    Ok(())
}
