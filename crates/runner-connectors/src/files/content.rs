//! The bytes of a file for the thread that decodes it: from a disk or an object store, decompressed, from any offset on.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use runner_core::{Error, Result};
use tokio::runtime::Handle;

use super::error;
use super::piece::{Part, Piece};
use super::remote::{RemoteBytes, RemoteFile};
use crate::compression::Compression;
use crate::storage::Storage;
use crate::unpacked::{PieceReader, Pieces, UnpackError, Unpacked};

/// Read at once.
const READ_BYTES: usize = 256 << 10;
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
pub(super) struct Content(Unpacked<Raw>);

/// Bytes as they are stored.
enum Raw {
    Local { file: File, path: String, left: u64 },
    Remote(RemoteBytes),
}

impl Access {
    /// The piece's bytes from an offset of the file on, which counts bytes without compression.
    pub(super) fn content(&self, piece: &Piece, from: u64) -> Result<Content> {
        let start = self.start(piece, MAGIC_BYTES)?;
        let Some(compression) = piece.kind.packed.compression(piece.kind.format, &start) else {
            let end = piece.part.map_or(piece.bytes, |Part { end, .. }| end);
            return self.unpacked(self.raw(piece, from, end)?, &[]).map(Content);
        };
        let raw = self.raw(piece, 0, piece.bytes)?;
        let mut unpacked = self.unpacked(raw, &[compression])?;
        unpacked.skip(from).map_err(broken)?;
        Ok(Content(unpacked))
    }

    fn unpacked(&self, raw: Raw, compressions: &[Compression]) -> Result<Unpacked<Raw>> {
        let reader = PieceReader::new(raw);
        Unpacked::open(reader, compressions, self.max_ratio, READ_BYTES).map_err(broken)
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
        let max_ratio = self.0.max_ratio();
        self.0.next().map_err(|error| match error {
            UnpackError::Broken(cause) => broken(cause),
            UnpackError::Bomb { received, produced } => error::bomb(max_ratio, received, produced),
        })
    }

    /// Bytes read so far, as they are stored.
    pub(super) fn received(&self) -> u64 {
        self.0.received()
    }
}

impl Pieces for Raw {
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

/// An error of ours that came through a reader, or one of the decompression.
fn broken(cause: io::Error) -> Error {
    cause.downcast::<Error>().unwrap_or_else(error::damaged)
}
