//! What an unquoted scalar means: the core schema of YAML 1.2, in which `yes` is a string and `0777` a decimal number.

use crate::tree::{Number, Style, Text, Value};

/// A number that no JSON number can stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrepresentable;

/// The value of a plain scalar.
pub(super) fn resolve_plain(text: &str) -> Result<Value, Unrepresentable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Boolean(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Boolean(false)),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return number;
    }
    if is_special_float(text) {
        return Err(Unrepresentable);
    }
    if is_float(text) {
        let value = text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .ok_or(Unrepresentable)?;
        return Ok(number(text, value));
    }
    Ok(Value::Text(Text {
        value: text.to_owned(),
        style: Style::Plain,
    }))
}

/// A JSON number, which has been scanned by the grammar already.
pub(super) fn resolve_json_number(text: &str) -> Result<Value, Unrepresentable> {
    if let Some(number) = integer(text) {
        return number;
    }
    let value = text
        .parse::<f64>()
        .ok()
        .and_then(serde_json::Number::from_f64)
        .ok_or(Unrepresentable)?;
    Ok(number(text, value))
}

fn number(written: &str, value: serde_json::Number) -> Value {
    Value::Number(Number {
        written: written.to_owned(),
        value,
    })
}

/// Nothing where the text is no integer, and an error where it is one beyond 64 bits.
fn integer(text: &str) -> Option<Result<Value, Unrepresentable>> {
    let (digits, radix) = match text.get(..2) {
        Some("0o") => (&text[2..], 8),
        Some("0x") => (&text[2..], 16),
        _ => (text.strip_prefix(['-', '+']).unwrap_or(text), 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = if text.starts_with('-') {
        text.parse::<i64>().ok().map(serde_json::Number::from)
    } else {
        u64::from_str_radix(digits, radix)
            .ok()
            .map(serde_json::Number::from)
    };
    Some(
        value
            .map(|value| number(text, value))
            .ok_or(Unrepresentable),
    )
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Option<serde_json::Value> {
        let value = resolve_plain(text).ok()?;
        Some(
            crate::tree::Node {
                span: crate::tree::Span::default(),
                value,
            }
            .to_json(),
        )
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("~", serde_json::json!(null)),
            ("", serde_json::json!(null)),
            ("TRUE", serde_json::json!(true)),
            ("yes", serde_json::json!("yes")),
            ("no", serde_json::json!("no")),
            ("on", serde_json::json!("on")),
            ("0777", serde_json::json!(777)),
            ("0o17", serde_json::json!(15)),
            ("0xFf", serde_json::json!(255)),
            ("-9223372036854775808", serde_json::json!(i64::MIN)),
            ("18446744073709551615", serde_json::json!(u64::MAX)),
            ("+12", serde_json::json!(12)),
            ("1.", serde_json::json!(1.0)),
            (".5", serde_json::json!(0.5)),
            ("1e3", serde_json::json!(1000.0)),
            ("1_000", serde_json::json!("1_000")),
            ("12:30", serde_json::json!("12:30")),
            ("2024-01-01", serde_json::json!("2024-01-01")),
            ("1.2.3", serde_json::json!("1.2.3")),
            ("e3", serde_json::json!("e3")),
            (".", serde_json::json!(".")),
            ("-", serde_json::json!("-")),
            ("0x", serde_json::json!("0x")),
        ] {
            assert_eq!(json(text), Some(value), "{text}");
        }
        for text in [
            ".inf",
            "-.INF",
            ".nan",
            "18446744073709551616",
            "-9223372036854775809",
            "1e999",
        ] {
            assert_eq!(json(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_keeps_how_it_was_written() {
        let Ok(Value::Number(number)) = resolve_plain("1.10") else {
            panic!("a number")
        };
        assert_eq!(number.written, "1.10");
    }
}
