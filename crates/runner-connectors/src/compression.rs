//! How bytes were made smaller on their way, and undoing it while they stream.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// Window of Brotli's reader.
const BROTLI_BUFFER_BYTES: usize = 64 << 10;

/// A compression that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Compression {
    /// What the first bytes give away. Brotli and deflate have no mark of their own.
    pub(crate) fn of_magic(start: &[u8]) -> Option<Self> {
        if start.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// A reader of the bytes as they were. An end before the stream's own end is [`io::ErrorKind::UnexpectedEof`].
    pub(crate) fn undo(
        self,
        mut reader: Box<dyn BufRead + Send>,
    ) -> io::Result<Box<dyn BufRead + Send>> {
        if reader.fill_buf()?.is_empty() {
            // What has no bytes is no compressed text, however it is called.
            return Ok(reader);
        }
        Ok(match self {
            Self::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            Self::Deflate => Box::new(BufReader::new(Inflated::new(reader)?)),
            Self::Brotli => Box::new(BufReader::new(brotli::Decompressor::new(
                reader,
                BROTLI_BUFFER_BYTES,
            ))),
            Self::Zstd => Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(
                reader,
            )?)),
        })
    }
}

/// `deflate`: with the zlib wrapper, as the standard says, or without, as some servers send it. Unlike `flate2`'s own readers it takes
/// an end before the stream's own end for what it is.
struct Inflated<R> {
    reader: R,
    state: Decompress,
    is_ended: bool,
}

impl<R: BufRead> Inflated<R> {
    fn new(mut reader: R) -> io::Result<Self> {
        let has_wrapper = match reader.fill_buf()? {
            [first, second, ..] => {
                first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
            }
            _ => true,
        };
        Ok(Self {
            reader,
            state: Decompress::new(has_wrapper),
            is_ended: false,
        })
    }
}

impl<R: BufRead> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_ended && !buffer.is_empty() {
            let input = self.reader.fill_buf()?;
            let is_last = input.is_empty();
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let flush = if is_last {
                FlushDecompress::Finish
            } else {
                FlushDecompress::None
            };
            let status = self
                .state
                .decompress(input, buffer, flush)
                .map_err(io::Error::other)?;
            let consumed = self.state.total_in() - before_in;
            let produced = self.state.total_out() - before_out;
            self.reader
                .consume(usize::try_from(consumed).unwrap_or(usize::MAX));
            self.is_ended = status == Status::StreamEnd;
            if produced > 0 {
                return usize::try_from(produced).map_err(io::Error::other);
            }
            if is_last && !self.is_ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}
