//! A body as the decoding thread reads it: chunks from the network, decompressed, within bounds, text in UTF-8.

use std::io::{self, BufRead as _};

use bytes::Bytes;
use runner_core::{Error, ErrorKind, Retry};
use tokio::sync::mpsc;

use super::charset::Transcoder;
use crate::compression::Compression;
use crate::unpacked::{PieceReader, Pieces, UnpackError, Unpacked};

/// Decompressed bytes that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;
const MOST_ENCODINGS: usize = 3;

/// What the network hands over.
#[derive(Debug)]
pub(super) enum Chunk {
    Data(Bytes),
    /// The body is complete. Without it, the channel's end means that the connection was lost.
    End,
}

/// Why a body could not be read on.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The other side has gone away: it knows why.
    Aborted,
    Broken(Error),
}

/// A body, decompressed as it is read.
pub(super) struct Body {
    unpacked: Unpacked<Chunks>,
    transcoder: Option<Transcoder>,
}

/// Chunks of a channel until their end.
struct Chunks {
    source: mpsc::Receiver<Chunk>,
    is_complete: bool,
}

/// The network has gone away; carried through the decompressors as an I/O error.
#[derive(Debug, thiserror::Error)]
#[error("the body was given up")]
struct GivenUp;

impl Body {
    /// `content_encoding` and `content_type` are the headers' texts. A body that is gzip or zstd by its first bytes is decompressed without one too: servers
    /// send compressed files as they lie there.
    pub(super) fn open(
        source: mpsc::Receiver<Chunk>,
        content_encoding: Option<&str>,
        content_type: Option<&str>,
        max_ratio: u64,
    ) -> Result<Self, BodyError> {
        let mut chunks = PieceReader::new(Chunks {
            source,
            is_complete: false,
        });
        let mut encodings = encodings(content_encoding).map_err(BodyError::Broken)?;
        if encodings.is_empty() {
            let start = chunks.fill_buf().map_err(broken)?;
            encodings.extend(Compression::of_magic(start));
        }
        let unpacked =
            Unpacked::open(chunks, &encodings, max_ratio, PIECE_BYTES).map_err(broken)?;
        Ok(Self {
            unpacked,
            transcoder: content_type.and_then(Transcoder::of),
        })
    }

    /// The next bytes, never empty; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let bytes = self.unpacked()?;
            let Some(transcoder) = &mut self.transcoder else {
                return Ok(bytes);
            };
            let is_last = bytes.is_none();
            let text = match bytes {
                Some(bytes) => transcoder.push(&bytes),
                None => transcoder.end(),
            };
            if is_last {
                self.transcoder = None;
            }
            let text = text.map_err(BodyError::Broken)?;
            // A piece may be no more than the beginning of a character.
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }

    fn unpacked(&mut self) -> Result<Option<Bytes>, BodyError> {
        let max_ratio = self.unpacked.max_ratio();
        self.unpacked.next().map_err(|error| match error {
            UnpackError::Broken(cause) => broken(cause),
            UnpackError::Bomb { received, produced } => {
                BodyError::Broken(bomb(max_ratio, received, produced))
            }
        })
    }
}

fn bomb(max_ratio: u64, received: u64, produced: u64) -> Error {
    Error::new(
        ErrorKind::SourceData,
        format!(
            "the compressed response grows to more than {max_ratio} times its size ({received} bytes became {produced})"
        ),
    )
    .with_help("it looks like a decompression bomb; if it is not, raise `config.max_decompression_ratio`")
}

impl Pieces for Chunks {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.is_complete {
            match self.source.blocking_recv() {
                Some(Chunk::Data(bytes)) if bytes.is_empty() => {}
                Some(Chunk::Data(bytes)) => return Ok(Some(bytes)),
                Some(Chunk::End) => self.is_complete = true,
                None => return Err(io::Error::other(GivenUp)),
            }
        }
        Ok(None)
    }
}

fn encodings(header: Option<&str>) -> Result<Vec<Compression>, Error> {
    let mut encodings = Vec::new();
    for name in header.unwrap_or_default().split(',') {
        encodings.push(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" | "utf-8" => continue,
            "gzip" | "x-gzip" => Compression::Gzip,
            "deflate" => Compression::Deflate,
            "br" => Compression::Brotli,
            "zstd" => Compression::Zstd,
            other => {
                return Err(Error::new(
                    ErrorKind::SourceData,
                    format!("the response is encoded as `{other}`, which can't be decoded"),
                )
                .with_help(
                    "ask the API for another encoding with the header `Accept-Encoding: gzip`",
                ));
            }
        });
    }
    if encodings.len() > MOST_ENCODINGS {
        return Err(Error::new(
            ErrorKind::SourceData,
            format!("the response is encoded {} times over", encodings.len()),
        ));
    }
    Ok(encodings)
}

fn broken(error: io::Error) -> BodyError {
    if error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<GivenUp>)
    {
        return BodyError::Aborted;
    }
    let message = if error.kind() == io::ErrorKind::UnexpectedEof {
        "the compressed response is truncated"
    } else {
        "the compressed response is damaged"
    };
    // It may have been damaged on the way: another try may bring it whole.
    BodyError::Broken(
        Error::new(ErrorKind::SourceData, message)
            .with_source(error)
            .with_retry(Retry::WithBackoff)
            .with_help("if it happens every time, the server sends it so: ask for it uncompressed with the header `Accept-Encoding: identity`"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn brotlied(data: &[u8]) -> Vec<u8> {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 3, 20);
        encoder.write_all(data).unwrap();
        encoder.into_inner()
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).unwrap()
    }

    /// Reads a body that comes in chunks of this size.
    fn read(
        bytes: &[u8],
        chunk: usize,
        encoding: Option<&str>,
        end: bool,
    ) -> Result<Vec<u8>, BodyError> {
        let pieces: Vec<Bytes> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
        let (sender, source) = mpsc::channel(pieces.len() + 1);
        for piece in pieces {
            sender.try_send(Chunk::Data(piece)).unwrap();
        }
        if end {
            sender.try_send(Chunk::End).unwrap();
        }
        drop(sender);
        let mut body = Body::open(source, encoding, None, 100)?;
        let mut all = Vec::new();
        while let Some(piece) = body.next()? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn data() -> Vec<u8> {
        (0..30_000_u32)
            .flat_map(|number| format!("{{\"id\":{number}}}\n").into_bytes())
            .collect()
    }

    #[test]
    fn every_encoding_is_undone_however_the_bytes_are_cut() {
        let data = data();
        let two_members = [gzip(&data[..1000]), gzip(&data[1000..])].concat();
        let cases: [(Vec<u8>, Option<&str>); 11] = [
            (data.clone(), None),
            (data.clone(), Some("identity")),
            (gzip(&data), Some("gzip")),
            (gzip(&data), Some("X-GZIP")),
            (two_members, Some("gzip")),
            (gzip(&data), None),
            (zlib(&data), Some("deflate")),
            (raw_deflate(&data), Some("deflate")),
            (brotlied(&data), Some("br")),
            (zstd(&data), Some("zstd")),
            (gzip(&brotlied(&data)), Some("br, gzip")),
        ];
        for (bytes, encoding) in cases {
            for chunk in [7, 1_000, 1 << 20] {
                let decoded = read(&bytes, chunk, encoding, true).unwrap();
                assert!(decoded == data, "{encoding:?} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn a_truncated_body_is_an_error_that_may_be_tried_again() {
        let data = data();
        for (bytes, encoding) in [
            (gzip(&data), "gzip"),
            (zlib(&data), "deflate"),
            (raw_deflate(&data), "deflate"),
            (brotlied(&data), "br"),
            (zstd(&data), "zstd"),
        ] {
            for cut in [bytes.len() / 2, bytes.len() - 1] {
                match read(&bytes[..cut], 500, Some(encoding), true) {
                    Err(BodyError::Broken(error)) => {
                        assert_eq!(error.kind(), ErrorKind::SourceData);
                        assert_eq!(error.retry(), Retry::WithBackoff, "{encoding} cut at {cut}");
                    }
                    other => panic!(
                        "{encoding} cut at {cut}: {:?}",
                        other.map(|read| read.len())
                    ),
                }
            }
        }
    }

    #[test]
    fn a_lost_connection_is_not_taken_for_damage() {
        let data = data();
        for (bytes, encoding) in [
            (data.clone(), None),
            (gzip(&data), Some("gzip")),
            (zlib(&data), Some("deflate")),
            (brotlied(&data), Some("br")),
            (zstd(&data), Some("zstd")),
        ] {
            let cut = &bytes[..bytes.len() / 2];
            assert!(
                matches!(read(cut, 500, encoding, false), Err(BodyError::Aborted)),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn a_bomb_is_stopped_before_it_fills_the_memory() {
        let zeros = vec![0_u8; 64 << 20];
        for (bytes, encoding) in [
            (gzip(&zeros), "gzip"),
            (brotlied(&zeros), "br"),
            (zstd(&zeros), "zstd"),
        ] {
            let Err(BodyError::Broken(error)) = read(&bytes, 1 << 20, Some(encoding), true) else {
                panic!("{encoding}: a bomb of {} bytes went off", bytes.len())
            };
            assert!(error.message().contains("more than 100 times"), "{error}");
            assert_eq!(error.retry(), Retry::Never);
        }
    }

    #[test]
    fn an_empty_body_is_empty_whatever_its_header_says() {
        for encoding in [
            None,
            Some("gzip"),
            Some("br"),
            Some("zstd"),
            Some("deflate"),
        ] {
            assert_eq!(read(b"", 10, encoding, true).unwrap(), b"", "{encoding:?}");
        }
        assert!(matches!(
            read(b"x", 10, Some("compress"), true),
            Err(BodyError::Broken(_))
        ));
    }
}
