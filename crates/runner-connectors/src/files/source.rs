//! Files as a [`Source`]: checked when it is built, looked at when its list is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use runner_core::{ChainKey, Error, ErrorKind, Position, Result};
use runner_plan::StreamPlan;
use runner_plan::model;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::chain::{FileChain, Opening, StreamState};
use super::content::Access;
use super::lines::CountedLines;
use super::listing;
use super::location::{Location, Place};
use super::piece::Piece;
use super::split::Splitter;
use crate::context::SourceContext;
use crate::decode::DecodeOptions;
use crate::resolve::Resolver;
use crate::row_scope::RowScope;
use crate::source::{Chain, ChainRequest, Source};
use crate::storage::Storage;

/// A stream of files.
#[derive(Debug)]
pub struct FileSource {
    plan: StreamPlan,
    files: model::FileSource,
    context: SourceContext,
    storage: OnceCell<Option<Storage>>,
    taken_up: OnceCell<TakenUp>,
    sizes: Sizes,
}

/// Sizes that tests make small.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub(super) part_bytes: Option<u64>,
    pub(super) page_bytes: Option<u64>,
    pub(super) batch_rows: Option<usize>,
}

/// The pieces of a sealed list.
#[derive(Debug)]
struct TakenUp {
    stream: Arc<StreamState>,
    pieces: Vec<Piece>,
    /// Index of each file, where no file is cut.
    by_path: HashMap<String, usize>,
}

impl FileSource {
    /// Looks at no file yet.
    pub fn build(
        plan: &StreamPlan,
        files: &model::FileSource,
        context: SourceContext,
    ) -> Result<Self> {
        files.location.compile().map_err(|cause| {
            Error::new(
                ErrorKind::Spec,
                format!("the location of `{}` is no template", plan.name),
            )
            .with_source(cause)
        })?;
        Ok(Self {
            plan: plan.clone(),
            files: files.clone(),
            context,
            storage: OnceCell::new(),
            taken_up: OnceCell::new(),
            sizes: Sizes::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn with_sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    fn location(&self) -> Result<Location> {
        let scope = RowScope::new(&self.context, None, None);
        let text = scope.render("the location of the files", &self.files.location)?;
        Location::parse(&text)
    }

    /// The object store, if the location is in one.
    async fn storage(&self) -> Result<Option<&Storage>> {
        let storage = self
            .storage
            .get_or_try_init(|| async {
                let Place::Remote(url) = self.location()?.place else {
                    return Ok::<_, Error>(None);
                };
                let resolver = Resolver::new(Arc::clone(&self.context.secrets), &self.context.plan);
                let settings = resolver.settings(&self.files.storage).await?;
                Storage::open(&url, &settings)
                    .map(Some)
                    .map_err(crate::storage::StorageError::into_source)
            })
            .await?;
        Ok(storage.as_ref())
    }

    async fn access(&self) -> Result<Access> {
        Ok(Access {
            storage: self.storage().await?.cloned(),
            runtime: Handle::current(),
            max_ratio: self.context.plan.limits.max_decompression_ratio,
        })
    }

    async fn pieces(&self) -> Result<Vec<Piece>> {
        let storage = self.storage().await?;
        let files = listing::list(self.location()?, storage, self.files.format).await?;
        // A file that is read by its cursor is one chain: its boundary is one set of rows.
        if self.plan.parallelism < 2 || self.plan.incremental.is_some() {
            return Ok(files);
        }
        let splitter = Splitter {
            access: self.access().await?,
            text: self.files.text.clone(),
            cancel: self.context.cancel.clone(),
            lanes: u64::from(self.plan.parallelism),
            max_row_bytes: self.context.plan.limits.max_document_bytes,
            part_bytes: self.sizes.part_bytes,
        };
        tokio::task::spawn_blocking(move || splitter.split(files))
            .await
            .map_err(|failure| {
                Error::new(ErrorKind::Internal, "the thread that splits files stopped")
                    .with_source(failure)
            })?
    }

    async fn stream(&self, pieces: usize) -> Result<StreamState> {
        let defaults = DecodeOptions::default();
        Ok(StreamState {
            name: self.plan.name.clone(),
            rows: self.files.rows.clone(),
            text: self.files.text.clone(),
            options: DecodeOptions {
                sample_size: usize::try_from(self.plan.sample_size).unwrap_or(usize::MAX),
                max_document_bytes: self.context.plan.limits.max_document_bytes,
                batch_rows: self.sizes.batch_rows.unwrap_or(defaults.batch_rows),
                ..defaults
            },
            schema: self.context.schema.clone(),
            access: self.access().await?,
            scrubber: self.context.secrets.scrubber().clone(),
            meter: self.context.meter.clone(),
            clock: Arc::clone(&self.context.clock),
            cancel: self.context.cancel.clone(),
            page_bytes: self.sizes.page_bytes,
            pieces,
            unreadable: Mutex::new(BTreeMap::new()),
            counted_lines: CountedLines::default(),
        })
    }

    fn locate(&self, error: Error) -> Error {
        let error = error.with_context("stream", &self.plan.name);
        self.context.secrets.scrubber().hide_error(error)
    }
}

impl TakenUp {
    fn piece(&self, key: &ChainKey, is_incremental: bool) -> Option<&Piece> {
        let index = if is_incremental {
            // A file has a chain for each of its windows, and is never cut.
            *self.by_path.get(&key.value)?
        } else {
            usize::try_from(key.index).ok()?
        };
        self.pieces
            .get(index)
            .filter(|piece| piece.path == key.value)
    }
}

#[async_trait]
impl Source for FileSource {
    async fn list(&self) -> Result<Vec<String>> {
        let pieces = self.pieces().await.map_err(|error| self.locate(error))?;
        pieces.iter().map(Piece::to_text).collect()
    }

    async fn take_up(&self, listed: &[String]) -> Result<Vec<ChainKey>> {
        let taken_up = self
            .taken_up
            .get_or_try_init(|| async {
                let pieces = listed
                    .iter()
                    .map(|text| Piece::from_text(text))
                    .collect::<Result<Vec<_>>>()?;
                let by_path = pieces
                    .iter()
                    .enumerate()
                    .map(|(index, piece)| (piece.path.clone(), index))
                    .collect();
                Ok(TakenUp {
                    stream: Arc::new(self.stream(pieces.len()).await?),
                    pieces,
                    by_path,
                })
            })
            .await
            .map_err(|error| self.locate(error))?;
        Ok((0..)
            .zip(&taken_up.pieces)
            .map(|(index, piece)| ChainKey {
                index,
                value: piece.path.clone(),
                window: 0,
            })
            .collect())
    }

    async fn open(&self, request: ChainRequest, from: Option<Position>) -> Result<Box<dyn Chain>> {
        let unknown = || {
            Error::new(
                ErrorKind::Internal,
                format!("the chain `{}` is in no list of files", request.key.value),
            )
        };
        let taken_up = self.taken_up.get().ok_or_else(unknown)?;
        let is_incremental = self.plan.incremental.is_some();
        let piece = taken_up
            .piece(&request.key, is_incremental)
            .cloned()
            .ok_or_else(unknown)?;
        let incremental = self.plan.incremental.as_ref();
        let scope = RowScope::new(&self.context, request.window.as_ref(), incremental);
        let constants = scope.constants().map_err(|error| self.locate(error))?;
        let opening = Opening {
            piece,
            request,
            from,
            constants,
        };
        Ok(Box::new(FileChain::start(&taken_up.stream, opening)))
    }
}
