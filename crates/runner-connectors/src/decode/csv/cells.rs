//! Cells of CSV into columns. A cell is a text; what it is beside that, an open column sees in how it is written.

use crate::decode::column::{Binding, ColumnBuffer, Misfit, Values};
use crate::decode::json::take_cell_json;
use crate::decode::number::{self, Lexeme};
use crate::decode::time;
use crate::decode::trace::Kinds;
use crate::table::json::timestamp_text;

/// Takes a cell that isn't null. `behind` is the text with at least one byte behind it, which can't belong to a number.
#[inline]
pub(crate) fn take(
    text: &[u8],
    behind: &[u8],
    column: &mut ColumnBuffer,
    max_depth: usize,
) -> Result<(), Misfit> {
    if let Values::Text(texts) = &mut column.values {
        if column.binding == Binding::Unclosed {
            return Err(Misfit);
        }
        texts.push(text);
        column.seen.insert(Kinds::TEXT);
        column.pushed();
        return Ok(());
    }
    if let Some((value, end)) = number::short_integer(behind, 0)
        && end == text.len()
        && column.push_short_integer(value)
    {
        return Ok(());
    }
    if matches!(
        column.values,
        Values::Json(_) | Values::List { .. } | Values::Struct { .. }
    ) {
        return take_cell_json(text, column, max_depth);
    }
    if let Values::Integer(_) | Values::Number(_) | Values::Decimal { .. } = &column.values
        && let Some(number) = lexeme(text, behind)
    {
        return column.push_number(&number);
    }
    match column.binding {
        Binding::Firm => column.convert_text(text),
        Binding::Known => take_natural(text, column).or_else(|Misfit| column.convert_text(text)),
        Binding::Open | Binding::Unclosed => take_natural(text, column),
    }
}

/// Takes a cell that is written as the column's type is.
fn take_natural(text: &[u8], column: &mut ColumnBuffer) -> Result<(), Misfit> {
    let kinds = kinds_of(text);
    match &mut column.values {
        Values::Boolean(values) if kinds.has(Kinds::BOOLEAN) => {
            values.push(text.eq_ignore_ascii_case(b"true"));
        }
        Values::Date(values) if kinds.has(Kinds::DATE) => {
            values.push(time::date(text).ok_or(Misfit)?);
        }
        Values::Timestamp(values) if kinds.has(Kinds::TIMESTAMP) => {
            values.push(time::timestamp(text).ok_or(Misfit)?);
        }
        _ => return Err(Misfit),
    }
    column.seen.insert(kinds);
    column.pushed();
    Ok(())
}

/// What an open column learns of a cell that isn't null.
pub(crate) fn kinds_of(text: &[u8]) -> Kinds {
    if let Some(number) = number::whole(text) {
        return number.kinds();
    }
    match text {
        b"true" | b"false" => return Kinds::BOOLEAN,
        text if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") => {
            return Kinds::BOOLEAN.with(Kinds::IRREGULAR);
        }
        _ => {}
    }
    if time::date(text).is_some() {
        return Kinds::DATE;
    }
    match time::timestamp(text) {
        Some(micros) if time::is_instant(text) => {
            if timestamp_text(micros).as_bytes() == text {
                Kinds::TIMESTAMP
            } else {
                Kinds::TIMESTAMP.with(Kinds::IRREGULAR)
            }
        }
        _ => Kinds::TEXT,
    }
}

#[inline]
fn lexeme<'a>(text: &[u8], behind: &'a [u8]) -> Option<Lexeme<'a>> {
    number::scan(behind, 0)
        .ok()
        .filter(|number| number.text.len() == text.len())
}
