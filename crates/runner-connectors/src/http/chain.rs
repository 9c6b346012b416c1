//! One chain of pages: asked for ahead where that is possible, delivered in order.
//!
//! The next page of a chain by cursor is asked for as soon as its cursor is known, while the rows before it are still being taken. Pages
//! by offset or number are asked for ahead, more of them the longer the chain turns out to be, up to the stream's parallelism; those
//! that lie behind the end are dropped without a look.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use runner_core::checkpoint::{Observed, Warning};
use runner_core::{ChainEnd, Error, ErrorKind, PageCursor, Position, Result};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::origin::resolve;
use super::page::{PageContent, PageEvent, PageOutcome, PageRead, PageTask};
use super::pages::{self, Decision, Page, Paginator, StatedNext, Step};
use super::stream::{ChainState, StreamState};
use crate::source::{self, Chain, Fetched, PageEnd, StepSender, Steps};

/// A chain, read by a task of its own. Dropping it stops the task.
pub(super) struct HttpChain {
    steps: Steps,
    _task: Option<AbortOnDropHandle<()>>,
}

/// Why a chain starts over.
type Reason = String;

/// A page that has been asked for.
struct Ahead {
    cursor: PageCursor,
    events: mpsc::Receiver<PageEvent>,
    _task: AbortOnDropHandle<()>,
}

/// Reads a chain.
struct Reader {
    stream: Arc<StreamState>,
    chain: Arc<ChainState>,
    paginator: Paginator,
    ahead: VecDeque<Ahead>,
    /// Pages that this attempt has taken.
    taken: u32,
    steps: StepSender,
}

/// A page that has come whole.
struct Drained {
    read: Box<PageRead>,
    /// Some of its rows have been handed over already, since it is too large to be held.
    is_begun: bool,
}

/// A page as the chain goes on from it.
struct Ended {
    rows: u64,
    hash: String,
    observed: Observed,
    fields_dropped: u64,
    decision: Decision,
}

impl HttpChain {
    pub(super) fn start(
        stream: Arc<StreamState>,
        chain: ChainState,
        from: Option<Position>,
    ) -> Self {
        let (sender, steps) = source::steps("the task that reads a chain");
        let chain = Arc::new(chain);
        let task = tokio::spawn(async move {
            let failed = match Reader::new(stream, chain, sender.clone()) {
                Ok(mut reader) => reader.read(from).await.err(),
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                // A driver that was dropped needs no answer.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self {
            steps,
            _task: Some(AbortOnDropHandle::new(task)),
        }
    }

    /// A chain whose position says that it has ended.
    pub(super) fn ended() -> Self {
        Self {
            steps: Steps::ended(),
            _task: None,
        }
    }
}

#[async_trait]
impl Chain for HttpChain {
    async fn next(&mut self) -> Result<Option<Fetched>> {
        self.steps.next().await
    }
}

impl Reader {
    fn new(stream: Arc<StreamState>, chain: Arc<ChainState>, steps: StepSender) -> Result<Self> {
        let mut paginator = Paginator::new(
            &stream.http.pages,
            &stream.name,
            stream.http.pages.page_size,
            stream.row_limit,
        );
        if stream.http.pages.page_size.is_none() {
            let first = stream.template.render(
                &chain.scope,
                chain.request.window.as_ref(),
                &paginator.first(),
            )?;
            paginator.set_page_size(stream.template.page_size(&first));
        }
        Ok(Self {
            stream,
            chain,
            paginator,
            ahead: VecDeque::new(),
            taken: 0,
            steps,
        })
    }

    async fn read(&mut self, from: Option<Position>) -> Result<()> {
        let first = match from {
            None => self.paginator.first(),
            Some(position) => match self.verify(position).await? {
                Ok(Some(next)) => next,
                Ok(None) => return Ok(()),
                Err(reason) => return self.deliver(Fetched::Restart { reason }).await,
            },
        };
        let number = self.paginator.pages() + 1;
        self.ask(first, number, false);
        while let Some(page) = self.ahead.pop_front() {
            if let Some(reason) = self.page(page).await? {
                return self.deliver(Fetched::Restart { reason }).await;
            }
        }
        Ok(())
    }

    /// Takes one page in order: its rows, and where the chain goes from it. Gives the reason where the chain has to start over.
    async fn page(&mut self, mut page: Ahead) -> Result<Option<Reason>> {
        let Drained { read, is_begun } = match self.drain(&mut page, true).await? {
            Ok(drained) => drained,
            Err(reason) => return Ok(Some(reason)),
        };
        self.taken = self.taken.saturating_add(1);
        let mut ended = self.end_of(&page.cursor, &read.outcome, false)?;
        let mut rows = read.rows;
        if ended.decision.is_repeat {
            if is_begun {
                return Err(self.taken_twice());
            }
            rows.clear();
            ended = Ended::without_rows(ended.decision);
        }
        match &ended.decision.step {
            // Asked for before the rows are handed over: the driver takes its time with them.
            Step::Next(next) => self.go_on(next),
            Step::End(_) => self.ahead.clear(),
        }
        for rows in rows {
            self.deliver(Fetched::Rows(rows)).await?;
        }
        let end = self.page_end(page.cursor, ended);
        self.deliver(Fetched::PageEnd(Box::new(end))).await?;
        Ok(None)
    }

    /// The last page has come again, and some of its rows are with the driver before that could be seen.
    fn taken_twice(&self) -> Error {
        let error = Error::new(
            ErrorKind::SourceData,
            "the API gives its last page again for the one behind it, and a page is too large to be compared first",
        )
        .with_help("ask for smaller pages, or set `pagination_config.max_pages`")
        .with_context("stream", &self.stream.name)
        .with_context("page", self.paginator.pages() + 1);
        self.stream.scrubber().hide_error(error)
    }

    /// Waits for a page to be whole. Rows that come before that are delivered, or dropped where the page is only compared.
    async fn drain(&self, page: &mut Ahead, delivers: bool) -> Result<Result<Drained, Reason>> {
        let mut is_begun = false;
        loop {
            match page.events.recv().await {
                Some(PageEvent::Rows(rows)) => {
                    if delivers {
                        is_begun = true;
                        self.deliver(Fetched::Rows(rows)).await?;
                    }
                }
                Some(PageEvent::Done(read)) => return Ok(Ok(Drained { read, is_begun })),
                Some(PageEvent::Changed(reason)) => return Ok(Err(reason)),
                Some(PageEvent::Refused(_)) if self.paginator.is_past_the_end() => {
                    let read = Box::new(PageRead::empty());
                    return Ok(Ok(Drained { read, is_begun }));
                }
                Some(PageEvent::Refused(error) | PageEvent::Failed(error)) => return Err(error),
                None => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        "the task that reads a page stopped before its end",
                    ));
                }
            }
        }
    }

    /// Asks for the last sealed page again and compares it. Gives where the chain goes from it: nowhere, where the page turns out to be
    /// the last one.
    async fn verify(&mut self, position: Position) -> Result<Result<Option<PageCursor>, Reason>> {
        if let Some(reason) = self.too_old(&position) {
            return Ok(Err(reason));
        }
        let Ok(cursor) = self.restored(&position.last_page).await else {
            return Ok(Err(
                "its cursor holds a secret that is no longer known".to_owned()
            ));
        };
        self.paginator.resume(&position);
        self.ask(cursor.clone(), position.pages, true);
        let Some(mut page) = self.ahead.pop_front() else {
            return Ok(Ok(None));
        };
        let read = match self.drain(&mut page, false).await? {
            Ok(drained) => drained.read,
            Err(reason) => return Ok(Err(reason)),
        };
        let ended = self.end_of(&cursor, &read.outcome, true)?;
        if ended.hash != position.last_page_hash {
            return Ok(Err(
                "its last page has changed since it was sealed".to_owned()
            ));
        }
        match ended.decision.step.clone() {
            Step::Next(next) => Ok(Ok(Some(next))),
            Step::End(_) => {
                // What followed is gone. The page counts as read, and the chain ends with it.
                let end = self.page_end(cursor, ended);
                let end = PageEnd {
                    rows: 0,
                    observed: Observed::default(),
                    fields_dropped: 0,
                    ..end
                };
                self.deliver(Fetched::PageEnd(Box::new(end))).await?;
                Ok(Ok(None))
            }
        }
    }

    fn too_old(&self, position: &Position) -> Option<Reason> {
        let limits = &self.stream.exchange.limits;
        let most = match position.last_page {
            PageCursor::Offset(_) | PageCursor::Page(_) => limits.resume_max_age_offset_ms,
            PageCursor::First | PageCursor::Token(_) | PageCursor::Url(_) | PageCursor::Byte(_) => {
                limits.resume_max_age_cursor_ms
            }
        };
        let now = self.stream.exchange.bounds.clock.now().timestamp_millis();
        let age = u64::try_from(now.saturating_sub(position.sealed_at_ms)).unwrap_or(0);
        (age > most).then(|| {
            format!(
                "its last checkpoint is {} s old, and pages may have shifted since (`config.resume_max_age`)",
                age / 1000
            )
        })
    }

    /// Where the chain goes from a page that has been read.
    fn end_of(
        &mut self,
        cursor: &PageCursor,
        outcome: &PageOutcome,
        is_verified: bool,
    ) -> Result<Ended> {
        match outcome {
            PageOutcome::Read(content) => self.end_of_content(cursor, content, is_verified),
            PageOutcome::Empty => {
                let page = Page {
                    cursor,
                    rows: 0,
                    hash: "",
                    next: None,
                    says_more: None,
                    total: None,
                };
                let decision = self.decide(&page, is_verified)?;
                Ok(Ended::without_rows(decision))
            }
            PageOutcome::Skipped { status, request } => Ok(Ended::without_rows(Decision {
                step: Step::End(ChainEnd::Skipped),
                warnings: vec![Warning {
                    code: "skipped_status".to_owned(),
                    stream: Some(self.stream.name.clone()),
                    message: format!("left out by `on_status`: status {status} for `{request}`"),
                }],
                is_repeat: false,
            })),
        }
    }

    fn end_of_content(
        &mut self,
        cursor: &PageCursor,
        content: &PageContent,
        is_verified: bool,
    ) -> Result<Ended> {
        let stream = Arc::clone(&self.stream);
        let facts = stream.facts(&content.summary, &content.headers);
        let stated = stream.captures.next(&stream.http.pages.kind, &facts);
        let next = stated
            .map(|stated| self.next_cursor(content, stated))
            .transpose()?;
        let summary = &content.summary;
        let page = Page {
            cursor,
            rows: summary.rows,
            hash: &summary.hash,
            next,
            says_more: pages::says_more(&facts),
            total: stream.captures.total(&facts),
        };
        let mut decision = self.decide(&page, is_verified)?;
        decision.warnings.extend(summary.warnings.iter().cloned());
        Ok(Ended {
            rows: summary.rows,
            hash: summary.hash.clone(),
            observed: summary.observed.clone(),
            fields_dropped: summary.fields_dropped,
            decision,
        })
    }

    fn decide(&mut self, page: &Page<'_>, is_verified: bool) -> Result<Decision> {
        if is_verified {
            return Ok(self.paginator.verified(page));
        }
        self.paginator.page(page).map_err(|error| {
            let error = error
                .with_context("stream", &self.stream.name)
                .with_context("page", self.paginator.pages());
            self.stream.scrubber().hide_error(error)
        })
    }

    fn next_cursor(&self, content: &PageContent, stated: StatedNext) -> Result<PageCursor> {
        let located = |error: Error| {
            let error = error
                .with_context("stream", &self.stream.name)
                .with_context("page", self.paginator.pages() + 1);
            self.stream.scrubber().hide_error(error)
        };
        match stated {
            StatedNext::Token(token) => Ok(PageCursor::Token(token)),
            StatedNext::Url(text) => {
                let own = self.stream.template.own_url(&self.chain.scope)?;
                let url = resolve(&content.url, &own, &text).map_err(located)?;
                Ok(PageCursor::Url(url.into()))
            }
        }
    }

    /// Makes sure that the next page is the one that was asked for ahead, and asks for more.
    fn go_on(&mut self, next: &PageCursor) {
        if self.ahead.front().is_none_or(|page| page.cursor != *next) {
            // Pages were shorter or longer than asked for: what was asked for ahead is not what follows.
            self.ahead.clear();
            let number = self.paginator.pages() + 1;
            self.ask(next.clone(), number, false);
        }
        while self.ahead.len() < self.depth() {
            let number = self.paginator.pages() + self.ahead.len() as u64;
            let following = self
                .ahead
                .back()
                .and_then(|last| self.paginator.ahead(&last.cursor, number));
            match following {
                Some(following) => self.ask(following, number + 1, false),
                None => return,
            }
        }
    }

    /// Pages that may be under way: a chain that was one page long so far gets one, a long one as many as the stream may have. One that
    /// goes on after a checkpoint begins anew: how much is left of it is as unknown.
    fn depth(&self) -> usize {
        2_usize
            .checked_pow(self.taken.saturating_sub(1))
            .unwrap_or(usize::MAX)
            .min(self.stream.parallelism)
    }

    fn ask(&mut self, cursor: PageCursor, number: u64, is_verified: bool) {
        let (sender, events) = mpsc::channel(1);
        let task = PageTask {
            stream: Arc::clone(&self.stream),
            chain: Arc::clone(&self.chain),
            cursor: cursor.clone(),
            number,
            is_verified,
            events: sender,
        };
        self.ahead.push_back(Ahead {
            cursor,
            events,
            _task: AbortOnDropHandle::new(tokio::spawn(task.run())),
        });
    }

    fn page_end(&self, cursor: PageCursor, ended: Ended) -> PageEnd {
        let (requests, bytes) = self.chain.traffic.take();
        let (next, end) = match ended.decision.step {
            Step::Next(next) => (Some(next), None),
            Step::End(end) => (None, Some(end)),
        };
        PageEnd {
            position: Position {
                chain: self.chain.request.key.clone(),
                generation: self.chain.request.generation,
                pages: self.paginator.pages(),
                rows: self.paginator.rows(),
                last_page: self.scrubbed(cursor),
                last_page_hash: ended.hash,
                next: next.map(|next| self.scrubbed(next)),
                end,
                seen: self.paginator.seen(),
                sealed_at_ms: self.stream.exchange.bounds.clock.now().timestamp_millis(),
            },
            rows: ended.rows,
            requests,
            bytes,
            observed: ended.observed,
            fields_dropped: ended.fields_dropped,
            total: self.paginator.total(),
            warnings: ended.decision.warnings,
        }
    }

    /// A cursor as it may be stored.
    fn scrubbed(&self, cursor: PageCursor) -> PageCursor {
        let scrubber = self.stream.scrubber();
        match cursor {
            PageCursor::Token(token) => PageCursor::Token(scrubber.scrub(&token)),
            PageCursor::Url(url) => PageCursor::Url(scrubber.scrub(&url)),
            other => other,
        }
    }

    async fn restored(&self, cursor: &PageCursor) -> Result<PageCursor> {
        let secrets = &self.stream.exchange.secrets;
        Ok(match cursor {
            PageCursor::Token(token) => PageCursor::Token(secrets.restore(token).await?),
            PageCursor::Url(url) => PageCursor::Url(secrets.restore(url).await?),
            other => other.clone(),
        })
    }

    async fn deliver(&self, step: Fetched) -> Result<()> {
        let bounds = &self.stream.exchange.bounds;
        // A driver that was dropped takes this task with it.
        let _ = bounds.run(self.steps.send(Ok(step))).await?;
        Ok(())
    }
}

impl Ended {
    fn without_rows(decision: Decision) -> Self {
        Self {
            rows: 0,
            hash: String::new(),
            observed: Observed::default(),
            fields_dropped: 0,
            decision,
        }
    }
}

impl std::fmt::Debug for HttpChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpChain")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
