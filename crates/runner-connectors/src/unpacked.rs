//! Bytes that come in pieces, perhaps compressed: plain bytes out, within bounds.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};

use crate::compression::Compression;

/// What is compressed may always grow to this size: the ratio of little says nothing.
const ALWAYS_ALLOWED: u64 = 8 << 20;

/// Where bytes come from.
pub(crate) trait Pieces: Send {
    /// The next bytes, never empty; none at the end, however often it is asked.
    fn next(&mut self) -> io::Result<Option<Bytes>>;
}

/// Pieces as a reader, counted.
pub(crate) struct PieceReader<P> {
    pieces: P,
    current: Bytes,
    received: Arc<AtomicU64>,
}

/// Pieces without their compression.
pub(crate) struct Unpacked<P> {
    stages: Stages<P>,
    received: Arc<AtomicU64>,
    produced: u64,
    max_ratio: u64,
    /// Handed on at once.
    piece_bytes: usize,
}

enum Stages<P> {
    /// As they come: nothing is copied.
    Plain(PieceReader<P>),
    Decompressed(Box<dyn BufRead + Send>),
}

/// Why bytes could not be made plain.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// They grow more than they may.
    Bomb { received: u64, produced: u64 },
    /// Of the pieces, or of the decompression.
    Broken(io::Error),
}

impl<P: Pieces> PieceReader<P> {
    pub(crate) fn new(pieces: P) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
            received: Arc::default(),
        }
    }

    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        self.fill_buf()?;
        let piece = std::mem::take(&mut self.current);
        Ok((!piece.is_empty()).then_some(piece))
    }
}

impl<P: Pieces + 'static> Unpacked<P> {
    /// `compressions` stand in the order in which they were applied.
    pub(crate) fn open(
        reader: PieceReader<P>,
        compressions: &[Compression],
        max_ratio: u64,
        piece_bytes: usize,
    ) -> io::Result<Self> {
        let received = Arc::clone(&reader.received);
        let stages = if compressions.is_empty() {
            Stages::Plain(reader)
        } else {
            let mut reader: Box<dyn BufRead + Send> = Box::new(reader);
            for compression in compressions.iter().rev() {
                reader = compression.undo(reader)?;
            }
            Stages::Decompressed(reader)
        };
        Ok(Self {
            stages,
            received,
            produced: 0,
            max_ratio: max_ratio.max(1),
            piece_bytes,
        })
    }

    /// The next bytes, never empty; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, UnpackError> {
        let reader = match &mut self.stages {
            Stages::Plain(reader) => return reader.piece().map_err(UnpackError::Broken),
            Stages::Decompressed(reader) => reader,
        };
        let mut piece = vec![0; self.piece_bytes];
        let mut filled = 0;
        // Decompressors give what they have: a piece is filled before it is handed on.
        while filled < piece.len() {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(read) => {
                    filled += read;
                    self.produced += read as u64;
                    let received = self.received.load(Ordering::Relaxed);
                    let allowed = received.saturating_mul(self.max_ratio).max(ALWAYS_ALLOWED);
                    if self.produced > allowed {
                        let produced = self.produced;
                        return Err(UnpackError::Bomb { received, produced });
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(UnpackError::Broken(cause)),
            }
        }
        piece.truncate(filled);
        Ok((filled > 0).then(|| piece.into()))
    }

    /// Passes over plain bytes of what is compressed.
    pub(crate) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if let Stages::Decompressed(reader) = &mut self.stages {
            self.produced += io::copy(&mut reader.take(bytes), &mut io::sink())?;
        }
        Ok(())
    }

    pub(crate) fn max_ratio(&self) -> u64 {
        self.max_ratio
    }

    /// Bytes that have come, as they came.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl<P: Pieces> BufRead for PieceReader<P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty()
            && let Some(bytes) = self.pieces.next()?
        {
            self.received
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.current = bytes;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl<P: Pieces> Read for PieceReader<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let taken = available.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&available[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}
