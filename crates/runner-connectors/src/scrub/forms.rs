//! The texts under which one secret can occur.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encodeURIComponent` leaves alone beside letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// RFC 3986: everything but the unreserved characters.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// What the WHATWG rules encode in a query.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\'');
/// What the WHATWG rules encode in a path.
const PATH: &AsciiSet = &QUERY.add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');

/// A base64 text that holds the secret at an offset is looked for only where enough of it is left to be distinctive.
const SHORTEST_PIECE: usize = 8;

/// Every form with its name, the plain one (without a name) first. Forms that are equal are named once.
pub(super) fn encoded_forms(value: &str) -> Vec<(&'static str, String)> {
    let mut forms: Vec<(&'static str, String)> = Vec::new();
    let mut add = |name: &'static str, text: String| {
        if !text.is_empty() && !forms.iter().any(|(_, known)| *known == text) {
            forms.push((name, text));
        }
    };
    add("", value.to_owned());
    let percent_sets: [(&'static str, &'static str, &AsciiSet); 5] = [
        ("percent", "percent-lower", UNRESERVED),
        ("component", "component-lower", COMPONENT),
        ("all", "all-lower", NON_ALPHANUMERIC),
        ("query", "query-lower", QUERY),
        ("path", "path-lower", PATH),
    ];
    for (name, lower, set) in percent_sets {
        let encoded = utf8_percent_encode(value, set).to_string();
        add(lower, lower_case_escapes(&encoded));
        add(name, encoded);
    }
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    add("form-lower", lower_case_escapes(&form));
    add("form", form);

    add("json", json_escaped(value, false));
    add("json-slash", json_escaped(value, false).replace('/', "\\/"));
    add("json-ascii", json_escaped(value, true));
    add(
        "json-html",
        numbered(&json_escaped(value, false), &['<', '>', '&'], false),
    );
    // As .NET writes it by default.
    add(
        "json-cautious",
        numbered(value, &['<', '>', '&', '\'', '"', '+', '`'], true),
    );
    add("csv", value.replace('"', "\"\""));
    add("xml", xml_escaped(value, false));
    add("xml-quotes", xml_escaped(value, true));

    add("base64", STANDARD.encode(value));
    add("base64-unpadded", STANDARD_NO_PAD.encode(value));
    add("base64url", URL_SAFE.encode(value));
    add("base64url-unpadded", URL_SAFE_NO_PAD.encode(value));
    let pieces: [(&'static str, &'static str, usize); 3] = [
        ("base64+0", "base64url+0", 0),
        ("base64+1", "base64url+1", 1),
        ("base64+2", "base64url+2", 2),
    ];
    for (name, url_name, offset) in pieces {
        let piece = base64_piece(value.as_bytes(), offset);
        if piece.len() >= SHORTEST_PIECE {
            add(url_name, piece.replace('+', "-").replace('/', "_"));
            add(name, piece);
        }
    }
    forms
}

/// The characters of a base64 text that only these bytes decide, when they stand at this offset (modulo 3) of what is encoded.
fn base64_piece(value: &[u8], offset: usize) -> String {
    let mut padded = vec![0_u8; offset];
    padded.extend_from_slice(value);
    let encoded = STANDARD_NO_PAD.encode(&padded);
    // Each character holds six bits: those that share bits with what stands before or after are left out.
    let first = (offset * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    encoded.get(first..last).unwrap_or_default().to_owned()
}

fn lower_case_escapes(encoded: &str) -> String {
    let mut lowered = String::with_capacity(encoded.len());
    let mut in_escape = 0;
    for character in encoded.chars() {
        if in_escape > 0 {
            in_escape -= 1;
            lowered.push(character.to_ascii_lowercase());
        } else {
            if character == '%' {
                in_escape = 2;
            }
            lowered.push(character);
        }
    }
    lowered
}

/// These characters, and with `upper_case` all that are not ASCII, as JSON's numbers of characters.
fn numbered(text: &str, characters: &[char], upper_case: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        let is_plain = !characters.contains(&character) && (character.is_ascii() || !upper_case);
        match character {
            '\\' if upper_case => escaped.push_str("\\\\"),
            _ if is_plain => escaped.push(character),
            _ => {
                let mut units = [0_u16; 2];
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = if upper_case {
                        write!(escaped, "\\u{unit:04X}")
                    } else {
                        write!(escaped, "\\u{unit:04x}")
                    };
                }
            }
        }
    }
    escaped
}

fn xml_escaped(value: &str, with_quotes: bool) -> String {
    let escaped = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    if with_quotes {
        escaped.replace('"', "&quot;").replace('\'', "&apos;")
    } else {
        escaped
    }
}

/// As it stands between the quotes of a JSON string.
fn json_escaped(value: &str, ascii_only: bool) -> String {
    let quoted = serde_json::Value::String(value.to_owned()).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    if !ascii_only {
        return inner.to_owned();
    }
    let mut escaped = String::with_capacity(inner.len());
    for character in inner.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            let mut units = [0_u16; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}
