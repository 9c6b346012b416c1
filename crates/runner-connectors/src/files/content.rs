//! The bytes of a file for the thread that decodes it: from a disk or an object store, decompressed, from any offset on.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use bytes::{Buf, Bytes};
use runner_core::{Error, Result};
use tokio::runtime::Handle;

use super::error;
use super::piece::{Part, Piece};
use super::remote::{RemoteBytes, RemoteFile};
use crate::storage::Storage;

/// Read at once.
const READ_BYTES: usize = 256 << 10;
/// A file may always grow to this size: the ratio of small ones says nothing.
const ALWAYS_ALLOWED: u64 = 8 << 20;
/// Enough to know a compression by.
const MAGIC_BYTES: u64 = 4;

/// Opens files of one stream.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// None where files are this machine's own.
    pub(super) storage: Option<Storage>,
    pub(super) runtime: Handle,
    pub(super) max_ratio: u64,
}

/// Bytes of a file, or of a part of one, as they are without compression.
pub(super) struct Content {
    stages: Stages,
    received: Arc<AtomicU64>,
    produced: u64,
    max_ratio: u64,
}

enum Stages {
    Plain(Raw),
    Decompressed(Box<dyn BufRead + Send>),
}

/// Bytes as they are stored.
enum Raw {
    Local { file: File, path: String, left: u64 },
    Remote(RemoteBytes),
}

/// Stored bytes as a reader, counted.
struct RawReader {
    raw: Raw,
    current: Bytes,
    received: Arc<AtomicU64>,
}

impl Access {
    /// The piece's bytes from an offset of the file on, which counts bytes without compression.
    pub(super) fn content(&self, piece: &Piece, from: u64) -> Result<Content> {
        let received = Arc::new(AtomicU64::new(0));
        let start = self.start(piece, MAGIC_BYTES)?;
        let Some(compression) = piece.kind.packed.compression(piece.kind.format, &start) else {
            let end = piece.part.map_or(piece.bytes, |Part { end, .. }| end);
            return Ok(Content {
                stages: Stages::Plain(self.raw(piece, from, end)?),
                received,
                produced: 0,
                max_ratio: self.max_ratio,
            });
        };
        let reader = RawReader {
            raw: self.raw(piece, 0, piece.bytes)?,
            current: Bytes::new(),
            received: Arc::clone(&received),
        };
        let mut content = Content {
            stages: Stages::Decompressed(compression.undo(Box::new(reader)).map_err(broken)?),
            received,
            produced: 0,
            max_ratio: self.max_ratio,
        };
        content.skip(from)?;
        Ok(content)
    }

    /// The first bytes of the file as they are stored.
    pub(super) fn start(&self, piece: &Piece, bytes: u64) -> Result<Bytes> {
        self.stored(piece, 0, bytes.min(piece.bytes))
    }

    /// Some bytes of the file as they are stored.
    pub(super) fn stored(&self, piece: &Piece, start: u64, end: u64) -> Result<Bytes> {
        if let Some(file) = self.remote(piece)? {
            return self.runtime.block_on(file.get(start..end));
        }
        let mut bytes = Vec::new();
        let read = open(piece).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))
                .and_then(|_| file.take(end - start).read_to_end(&mut bytes))
                .map_err(|cause| error::unreadable(&piece.path, cause))
        });
        read.map(|_| bytes.into())
    }

    /// The file where it is one of an object store.
    pub(super) fn remote(&self, piece: &Piece) -> Result<Option<RemoteFile>> {
        match (&self.storage, &piece.key) {
            (Some(storage), Some(key)) => RemoteFile::new(storage, key, piece).map(Some),
            _ => Ok(None),
        }
    }

    fn raw(&self, piece: &Piece, start: u64, end: u64) -> Result<Raw> {
        if let Some(file) = self.remote(piece)? {
            return Ok(Raw::Remote(file.read(start..end, &self.runtime)));
        }
        let mut file = open(piece)?;
        file.seek(SeekFrom::Start(start))
            .map_err(|cause| error::unreadable(&piece.path, cause))?;
        Ok(Raw::Local {
            file,
            path: piece.path.clone(),
            left: end.saturating_sub(start),
        })
    }
}

/// A file of this machine, if it is still the one that was listed.
pub(super) fn open(piece: &Piece) -> Result<File> {
    let unreadable = |cause| error::unreadable(&piece.path, cause);
    let file = File::open(&piece.path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => error::changed(&piece.path).with_source(cause),
        _ => unreadable(cause),
    })?;
    check(piece, &file.metadata().map_err(unreadable)?)?;
    Ok(file)
}

/// Whether a file that has been read is still the one that was listed.
pub(super) fn check_unchanged(piece: &Piece) -> Result<()> {
    if piece.key.is_some() {
        // Each of its pieces was checked when it came.
        return Ok(());
    }
    match std::fs::metadata(&piece.path) {
        Ok(metadata) => check(piece, &metadata),
        Err(cause) => Err(error::changed(&piece.path).with_source(cause)),
    }
}

fn check(piece: &Piece, metadata: &Metadata) -> Result<()> {
    if version(metadata) == piece.version {
        Ok(())
    } else {
        Err(error::changed(&piece.path))
    }
}

/// What changes when a file of this machine does.
pub(super) fn version(metadata: &Metadata) -> String {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .unwrap_or_default();
    format!("{}-{}", metadata.len(), modified.as_nanos())
}

impl Content {
    /// The next bytes, never empty; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>> {
        let reader = match &mut self.stages {
            Stages::Plain(raw) => {
                let bytes = raw.next().map_err(broken)?;
                let count = bytes.as_ref().map_or(0, Bytes::len) as u64;
                self.received.fetch_add(count, Ordering::Relaxed);
                return Ok(bytes);
            }
            Stages::Decompressed(reader) => reader,
        };
        let mut piece = vec![0; READ_BYTES];
        let mut filled = 0;
        // Decompressors give what they have: a piece is filled before it is handed on.
        while filled < piece.len() {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(broken(cause)),
            }
        }
        self.produced += filled as u64;
        self.check_ratio()?;
        piece.truncate(filled);
        Ok((filled > 0).then(|| piece.into()))
    }

    /// Bytes read so far, as they are stored.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        let Stages::Decompressed(reader) = &mut self.stages else {
            return Ok(());
        };
        let skipped = io::copy(&mut reader.take(bytes), &mut io::sink()).map_err(broken)?;
        self.produced += skipped;
        Ok(())
    }

    fn check_ratio(&self) -> Result<()> {
        let received = self.received();
        let allowed = received.saturating_mul(self.max_ratio).max(ALWAYS_ALLOWED);
        if self.produced <= allowed {
            return Ok(());
        }
        Err(error::bomb(self.max_ratio, received, self.produced))
    }
}

impl Raw {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Remote(pieces) => pieces.next().map_err(io::Error::other),
            Self::Local { file, path, left } => {
                let wanted = (*left).min(READ_BYTES as u64);
                let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or(READ_BYTES));
                let read = file
                    .take(wanted)
                    .read_to_end(&mut bytes)
                    .map_err(|cause| io::Error::other(error::unreadable(path, cause)))?;
                if read == 0 && *left > 0 {
                    return Err(io::Error::other(error::changed(path)));
                }
                *left -= read as u64;
                Ok((read > 0).then(|| bytes.into()))
            }
        }
    }
}

impl BufRead for RawReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty()
            && let Some(bytes) = self.raw.next()?
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

impl Read for RawReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let taken = available.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&available[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

/// An error of ours that came through a reader, or one of the decompression.
fn broken(cause: io::Error) -> Error {
    cause.downcast::<Error>().unwrap_or_else(error::damaged)
}
