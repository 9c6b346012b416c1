//! The thread that decodes a page: chunks in, batches out, both through bounded channels.

use bytes::{Bytes, BytesMut};
use runner_core::{Error, ErrorKind, Result};
use runner_plan::model::{DataFormat, RowPath};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::body::{Body, BodyError, Chunk};
use super::sniff::{self, Content, HEAD_BYTES};
use crate::decode::{DecodeOptions, PageDecoder, PageSummary};
use crate::rows::Rows;
use crate::schema::StreamSchema;

/// Chunks that wait for the decoder, and batches that wait to be taken.
const CHUNKS: usize = 8;
const BATCHES: usize = 2;
/// White space before anything else that is waited through.
const MOST_BLANK_BYTES: usize = 1 << 20;

/// Everything that decides how a page is decoded.
#[derive(Clone, Debug)]
pub(super) struct DecodeJob {
    pub(super) declared: Option<DataFormat>,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) rows: RowPath,
    pub(super) schema: StreamSchema,
    pub(super) options: DecodeOptions,
    pub(super) max_ratio: u64,
}

/// A page being decoded. Dropping the chunks' sender without [`Chunk::End`], or the rows' receiver, stops it.
#[derive(Debug)]
pub(super) struct Decoding {
    pub(super) chunks: mpsc::Sender<Chunk>,
    pub(super) rows: mpsc::Receiver<Rows>,
    pub(super) outcome: JoinHandle<Result<Option<PageSummary>>>,
}

impl DecodeJob {
    pub(super) fn start(self) -> Decoding {
        let (chunks, source) = mpsc::channel(CHUNKS);
        let (sink, rows) = mpsc::channel(BATCHES);
        Decoding {
            chunks,
            rows,
            outcome: tokio::task::spawn_blocking(move || self.run(source, &sink)),
        }
    }

    /// None where one of the other sides has gone away.
    fn run(
        self,
        source: mpsc::Receiver<Chunk>,
        sink: &mpsc::Sender<Rows>,
    ) -> Result<Option<PageSummary>> {
        match self.decode(source, sink) {
            Ok(summary) => Ok(Some(summary)),
            Err(BodyError::Aborted) => Ok(None),
            Err(BodyError::Broken(error)) => Err(error),
        }
    }

    fn decode(
        mut self,
        source: mpsc::Receiver<Chunk>,
        sink: &mpsc::Sender<Rows>,
    ) -> Result<PageSummary, BodyError> {
        let mut body = Body::open(
            source,
            self.content_encoding.as_deref(),
            self.content_type.as_deref(),
            self.max_ratio,
        )?;
        let head = read_head(&mut body)?;
        let content = sniff::decide(self.declared, self.content_type.as_deref(), &head)
            .map_err(BodyError::Broken)?;
        let format = match content {
            Content::Data(format) => format,
            Content::TabSeparated => {
                self.options.text.delimiter = '\t';
                DataFormat::Csv
            }
            Content::Nothing => {
                return Ok(PageSummary {
                    rows_found: true,
                    captured: vec![None; self.options.captures.len()],
                    ..PageSummary::default()
                });
            }
        };
        let mut decoder = PageDecoder::new(format, &self.rows, self.schema, self.options)
            .map_err(BodyError::Broken)?;
        let mut next = Some(head);
        while let Some(bytes) = next {
            decoder.push(bytes).map_err(BodyError::Broken)?;
            deliver(&mut decoder, sink)?;
            next = body.next()?;
        }
        decoder.end().map_err(BodyError::Broken)?;
        deliver(&mut decoder, sink)?;
        decoder.finish().map_err(BodyError::Broken)
    }
}

/// Enough of the body to tell what it is.
fn read_head(body: &mut Body) -> Result<Bytes, BodyError> {
    let is_enough = |head: &[u8]| {
        let says_something = !head.trim_ascii().is_empty() || head.len() >= MOST_BLANK_BYTES;
        head.len() >= HEAD_BYTES && says_something
    };
    let Some(first) = body.next()? else {
        return Ok(Bytes::new());
    };
    if is_enough(&first) {
        return Ok(first);
    }
    let mut head = BytesMut::from(&first[..]);
    while !is_enough(&head) {
        match body.next()? {
            Some(bytes) => head.extend_from_slice(&bytes),
            None => break,
        }
    }
    Ok(head.freeze())
}

fn deliver(decoder: &mut PageDecoder, sink: &mpsc::Sender<Rows>) -> Result<(), BodyError> {
    while let Some(rows) = decoder.next_rows().map_err(BodyError::Broken)? {
        if sink.blocking_send(rows).is_err() {
            return Err(BodyError::Aborted);
        }
    }
    Ok(())
}

/// A panic in the decoder is a bug of ours, and never a silent end of a page.
pub(super) fn outcome(
    joined: Result<Result<Option<PageSummary>>, tokio::task::JoinError>,
) -> Result<Option<PageSummary>> {
    joined.unwrap_or_else(|failure| {
        Err(Error::new(ErrorKind::Internal, "the decoder of a page stopped").with_source(failure))
    })
}
