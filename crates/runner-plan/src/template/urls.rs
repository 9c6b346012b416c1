//! Percent-encoding of what variables put into a URL.

use minijinja::{OutputSpan, OutputSpanKind};

use super::error::TemplateError;

/// Encodes the output of expressions behind the authority. The template's own text, and what stands for the base URL itself,
/// stays as it is; so does the output of an expression that ends in `| safe` (for a value that is a path by itself).
pub(super) fn encode(
    source: &str,
    output: &str,
    spans: &[OutputSpan],
) -> Result<String, TemplateError> {
    let mut encoded = String::with_capacity(output.len());
    let mut done = 0;
    for span in spans {
        let range = span.output_range();
        if span.kind() != OutputSpanKind::Expression || range.start < done {
            continue;
        }
        let (Some(before), Some(value)) =
            (output.get(done..range.start), output.get(range.clone()))
        else {
            continue;
        };
        encoded.push_str(before);
        done = range.end;
        if is_before_path(&encoded) || is_safe(source.get(span.source_range()).unwrap_or_default())
        {
            encoded.push_str(value);
            continue;
        }
        let after = output[range.end..].chars().next();
        if is_dot_segment(value) && is_segment(&encoded, after) {
            return Err(TemplateError::DotSegment {
                template: source.to_owned(),
            });
        }
        encoded.extend(percent_encoded(value));
    }
    encoded.push_str(output.get(done..).unwrap_or_default());
    Ok(encoded)
}

/// Whether a URL that begins like this has not reached its path yet.
fn is_before_path(beginning: &str) -> bool {
    match beginning.split_once("://") {
        Some((_, rest)) => !rest.contains(['/', '?', '#']),
        None => !beginning.contains(['/', '?']),
    }
}

fn is_safe(expression: &str) -> bool {
    expression
        .rsplit_once('|')
        .is_some_and(|(_, filter)| filter.trim() == "safe")
}

fn is_dot_segment(value: &str) -> bool {
    matches!(value, "." | "..")
}

/// Whether the value would be a whole segment of the path.
fn is_segment(before: &str, after: Option<char>) -> bool {
    before.ends_with('/') && after.is_none_or(|next| matches!(next, '/' | '?' | '#'))
}

/// Everything but RFC 3986's unreserved characters.
fn percent_encoded(value: &str) -> impl Iterator<Item = char> + '_ {
    value.bytes().flat_map(|byte| {
        let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let digit = |nibble: u8| {
            char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase())
        };
        let encoded = if is_unreserved {
            [Some(char::from(byte)), None, None]
        } else {
            [Some('%'), digit(byte >> 4), digit(byte & 15)]
        };
        encoded.into_iter().flatten()
    })
}
