//! A chain that a task or thread of its own reads: its steps on their way to the driver, and how far it has come.

use runner_core::{ChainEnd, ChainKey, Error, ErrorKind, PageCursor, Position, Result};
use tokio::sync::mpsc;

use super::{ChainRequest, Fetched};

/// Steps that wait for the driver.
const WAITING: usize = 2;

/// What the driver takes steps from.
#[derive(Debug)]
pub struct Steps {
    receiver: mpsc::Receiver<Result<Fetched>>,
    is_ended: bool,
    reader: &'static str,
}

/// What the reader of a chain hands its steps to.
#[derive(Clone, Debug)]
pub struct StepSender(mpsc::Sender<Result<Fetched>>);

/// The driver takes no more: it was cut off, or has stopped.
#[derive(Debug)]
pub struct Gone;

/// How far a chain has been read.
#[derive(Clone, Debug)]
pub struct ChainProgress {
    pub key: ChainKey,
    pub generation: u32,
    pub pages: u64,
    pub rows: u64,
}

/// `reader` is who reads the chain, for the error that says that it stopped: `the thread that reads a file`.
pub fn steps(reader: &'static str) -> (StepSender, Steps) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let steps = Steps {
        receiver,
        is_ended: false,
        reader,
    };
    (StepSender(sender), steps)
}

impl Steps {
    /// Of a chain that has ended.
    pub fn ended() -> Self {
        let (_, mut steps) = steps("");
        steps.is_ended = true;
        steps
    }

    /// The next step; none after the chain's end, a new start or an error.
    pub async fn next(&mut self) -> Result<Option<Fetched>> {
        if self.is_ended {
            return Ok(None);
        }
        let step = self.receiver.recv().await.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Internal,
                format!("{} stopped before its end", self.reader),
            ))
        });
        self.is_ended = match &step {
            Ok(Fetched::Replayed(_) | Fetched::Rows(_)) => false,
            Ok(Fetched::PageEnd(page)) => page.position.end.is_some(),
            Ok(Fetched::Restart { .. }) | Err(_) => true,
        };
        step.map(Some)
    }
}

impl StepSender {
    pub async fn send(&self, step: Result<Fetched>) -> Result<(), Gone> {
        self.0.send(step).await.map_err(|_| Gone)
    }

    /// For threads that may wait.
    pub fn blocking_send(&self, step: Result<Fetched>) -> Result<(), Gone> {
        self.0.blocking_send(step).map_err(|_| Gone)
    }
}

impl ChainProgress {
    /// At the chain's beginning, or where an earlier attempt has left it.
    pub fn new(request: &ChainRequest, from: Option<&Position>) -> Self {
        Self {
            key: request.key.clone(),
            generation: request.generation,
            pages: from.map_or(0, |position| position.pages),
            rows: from.map_or(0, |position| position.rows),
        }
    }

    /// One more page has been read: where the chain stands behind it.
    pub fn end_page(
        &mut self,
        page: PageCursor,
        hash: String,
        next: Option<PageCursor>,
        end: Option<ChainEnd>,
        now_ms: i64,
    ) -> Position {
        self.pages += 1;
        Position {
            chain: self.key.clone(),
            generation: self.generation,
            pages: self.pages,
            rows: self.rows,
            last_page: page,
            last_page_hash: hash,
            next,
            end,
            seen: Vec::new(),
            sealed_at_ms: now_ms,
        }
    }
}
