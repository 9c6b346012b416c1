//! Conversion of a scalar's text to a type, where nothing is lost. `None` is never a null: it makes the row invalid.

use super::number::{self, Lexeme};
use super::time;

/// The text without the blanks around it, which no type but text gives a meaning.
#[inline]
pub(crate) fn trimmed(text: &[u8]) -> &[u8] {
    match text {
        [first, .., last] if *first > b' ' && *last > b' ' => text,
        _ => text.trim_ascii(),
    }
}

/// A number as people and exports write it: JSON's grammar, and beside it a leading `+`, leading zeros, `.5` and `5.`.
pub(crate) fn with_number<T>(text: &[u8], convert: impl Fn(&Lexeme<'_>) -> Option<T>) -> Option<T> {
    let text = trimmed(text);
    if let Some(number) = number::whole(text) {
        return convert(&number);
    }
    let (sign, digits) = match text {
        [b'-', digits @ ..] => ("-", digits),
        [b'+', digits @ ..] => ("", digits),
        digits => ("", digits),
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let is_mantissa = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if !mantissa.bytes().all(is_mantissa) || !mantissa.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mantissa = mantissa.trim_start_matches('0');
    let mantissa = match mantissa.split_once('.') {
        Some(("", "")) => "0".to_owned(),
        Some((integer, "")) => integer.to_owned(),
        Some(("", fraction)) => format!("0.{fraction}"),
        Some(_) => mantissa.to_owned(),
        None if mantissa.is_empty() => "0".to_owned(),
        None => mantissa.to_owned(),
    };
    let normal = format!("{sign}{mantissa}{exponent}");
    convert(&number::whole(normal.as_bytes())?)
}

pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    match trimmed(text) {
        b"true" | b"1" => Some(true),
        b"false" | b"0" => Some(false),
        other if other.eq_ignore_ascii_case(b"true") => Some(true),
        other if other.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    with_number(text, |number| number.integral())
}

pub(crate) fn double(text: &[u8]) -> Option<f64> {
    with_number(text, |number| number.exact_double())
}

pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    with_number(text, |number| decimal_of(number, precision, scale))
}

pub(crate) fn decimal_of(number: &Lexeme<'_>, precision: u8, scale: i8) -> Option<i128> {
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    number
        .decimal(scale)
        .filter(|unscaled| unscaled.abs() < limit)
}

/// An ISO date, or an instant that is a midnight in UTC.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    let text = trimmed(text);
    time::date(text).or_else(|| midnight(time::timestamp(text)?))
}

pub(crate) fn date_of_epoch(number: &Lexeme<'_>) -> Option<i32> {
    midnight(time::epoch(number)?)
}

fn midnight(micros: i64) -> Option<i32> {
    (micros.rem_euclid(time::MICROS_PER_DAY) == 0)
        .then(|| i32::try_from(micros.div_euclid(time::MICROS_PER_DAY)).ok())
        .flatten()
}

/// An ISO instant, or the digits of an epoch number.
#[inline]
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    let text = trimmed(text);
    time::timestamp(text).or_else(|| time::epoch(&number::whole(text)?))
}

pub(crate) fn time_of_day(text: &[u8]) -> Option<i64> {
    time::time_of_day(trimmed(text))
}

/// In the hyphenated form with small letters.
pub(crate) fn uuid(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(trimmed(text)).ok()?;
    Some(
        uuid::Uuid::try_parse(text)
            .ok()?
            .as_hyphenated()
            .to_string(),
    )
}

pub(crate) fn binary(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(trimmed(text))
        .ok()
}
