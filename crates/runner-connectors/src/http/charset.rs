//! Text in another encoding than UTF-8, where its content type says so.
//!
//! That holds for CSV and lines: JSON is UTF-8 whatever its content type says (RFC 8259, 8.1), and XML names its encoding itself.

use bytes::Bytes;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use runner_core::{Error, ErrorKind};

/// Makes UTF-8 of a text as it comes. A byte order mark outweighs what the content type says.
pub(super) struct Transcoder {
    decoder: Decoder,
    name: &'static str,
}

impl Transcoder {
    /// None for what is UTF-8 already, and for an encoding that nobody knows: its rows show whether it is.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';');
        let media = parts.next()?.trim().to_ascii_lowercase();
        if !(media.starts_with("text/") || media.ends_with("/csv")) || media.ends_with("xml") {
            return None;
        }
        let label = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"'))
        })?;
        let encoding = Encoding::for_label(label.as_bytes()).filter(|found| *found != UTF_8)?;
        Some(Self {
            decoder: encoding.new_decoder(),
            name: encoding.name(),
        })
    }

    pub(super) fn push(&mut self, text: &[u8]) -> Result<Bytes, Error> {
        self.decode(text, false)
    }

    /// What is left when the text has ended.
    pub(super) fn end(&mut self) -> Result<Bytes, Error> {
        self.decode(&[], true)
    }

    fn decode(&mut self, text: &[u8], is_last: bool) -> Result<Bytes, Error> {
        // Without a bound only where a text would fill the address space.
        let room = self
            .decoder
            .max_utf8_buffer_length_without_replacement(text.len())
            .unwrap_or(usize::MAX);
        let mut decoded = vec![0; room];
        let (result, _, written) =
            self.decoder
                .decode_to_utf8_without_replacement(text, &mut decoded, is_last);
        if let DecoderResult::Malformed(..) = result {
            return Err(Error::new(
                ErrorKind::SourceData,
                format!(
                    "the content type says that the response is {}, and it is not",
                    self.name
                ),
            )
            .with_help(
                "the server's `Content-Type` has to name the encoding that its text is in",
            ));
        }
        decoded.truncate(written);
        Ok(decoded.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(content_type: &str, text: &[u8], pieces: usize) -> Option<Result<String, String>> {
        let mut transcoder = Transcoder::of(content_type)?;
        let mut utf8 = Vec::new();
        for piece in text.chunks(pieces) {
            match transcoder.push(piece) {
                Ok(bytes) => utf8.extend_from_slice(&bytes),
                Err(error) => return Some(Err(error.message().to_owned())),
            }
        }
        Some(match transcoder.end() {
            Ok(bytes) => {
                utf8.extend_from_slice(&bytes);
                Ok(String::from_utf8(utf8).unwrap())
            }
            Err(error) => Err(error.message().to_owned()),
        })
    }

    #[test]
    fn declared_encodings_become_utf_8_wherever_the_text_is_cut() {
        let utf_16: Vec<u8> = "Zürich €"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for pieces in [1, 3, 100] {
            for (content_type, text, expected) in [
                ("text/csv; charset=iso-8859-1", &b"Z\xfcrich"[..], "Zürich"),
                (
                    "text/csv; header=present; Charset=\"Windows-1252\"",
                    b"\x80",
                    "€",
                ),
                (
                    "application/csv;charset=shift_jis",
                    b"\x93\xfa\x96\x7b",
                    "日本",
                ),
                ("text/plain; charset=utf-16le", &utf_16, "Zürich €"),
                (
                    "text/csv; charset=latin1",
                    "\u{feff}Zürich".as_bytes(),
                    "Zürich",
                ),
            ] {
                let decoded = decoded(content_type, text, pieces).expect(content_type);
                assert_eq!(
                    decoded.as_deref(),
                    Ok(expected),
                    "{content_type} by {pieces}"
                );
            }
        }
    }

    #[test]
    fn what_is_utf_8_stays_as_it_is() {
        for content_type in [
            "text/csv",
            "text/csv; charset=utf-8",
            "text/csv; charset=UTF8",
            "text/csv; charset=no-such",
            "application/json; charset=iso-8859-1",
            "text/xml; charset=iso-8859-1",
        ] {
            assert!(Transcoder::of(content_type).is_none(), "{content_type}");
        }
    }

    #[test]
    fn text_that_is_not_what_was_declared_is_an_error() {
        let error = decoded("text/csv; charset=shift_jis", b"\x81", 1).unwrap();
        assert_eq!(
            error.unwrap_err(),
            "the content type says that the response is Shift_JIS, and it is not"
        );
    }
}
