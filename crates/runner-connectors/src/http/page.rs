//! Reading one page: its tries, its decoding, and the promise that a row is delivered once however often the page is asked for.
//!
//! The rows of a page are held back until the page is whole, so that a try that fails on the way has delivered nothing. A page that
//! is larger than what may be held is delivered as it is decoded; when it fails on the way, its rows are compared with those that were
//! delivered, and the rest follows. Where they differ the chain starts over.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use runner_core::{Error, ErrorKind, PageCursor, Result, Retry};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use url::Url;

use super::body::Chunk;
use super::content::{self, Judged};
use super::decoding::{self, DecodeJob};
use super::delivered::{Collector, Delivered, Differs};
use super::exchange::Response;
use super::failure::{Cause, Failure, Recovery, timed_out, transport};
use super::request::PageRequest;
use super::retry::Tries;
use super::sniff::excerpt;
use super::status::{self, Head, Verdict};
use super::stream::{ChainState, StreamState};
use crate::decode::PageSummary;
use crate::rows::Rows;

/// A body may take this much longer for every piece of it that has come: a large one that flows is not too slow.
const BYTES_PER_SECOND: u64 = 64 << 10;
/// Of the body of an error.
const EXCERPT_BYTES: usize = 16 << 10;
const EXCERPT_TIME: Duration = Duration::from_secs(10);
/// Bytes between two updates of the meter.
const METERED_BYTES: u64 = 512 << 10;

/// What a page's task tells its chain.
#[derive(Debug)]
pub(super) enum PageEvent {
    /// Rows of a page that is too large to be held.
    Rows(Rows),
    Done(Box<PageRead>),
    /// What was asked for again is not what was delivered.
    Changed(String),
    /// A status by which APIs say that there is no page of this number.
    Refused(Error),
    Failed(Error),
}

/// A page that has been read whole.
#[derive(Debug)]
pub(super) struct PageRead {
    pub(super) outcome: PageOutcome,
    /// What has not been delivered yet.
    pub(super) rows: Vec<Rows>,
}

impl PageRead {
    /// A page without rows.
    pub(super) fn empty() -> Self {
        Self::without_rows(PageOutcome::Empty)
    }

    fn without_rows(outcome: PageOutcome) -> Self {
        Self {
            outcome,
            rows: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) enum PageOutcome {
    Read(Box<PageContent>),
    /// A status that means a page without rows.
    Empty,
    /// A status that means that the chain is to be left out.
    Skipped {
        status: u16,
        request: Arc<str>,
    },
}

#[derive(Debug)]
pub(super) struct PageContent {
    pub(super) summary: PageSummary,
    pub(super) headers: HeaderMap,
    /// Where it came from, redirects followed.
    pub(super) url: Url,
}

/// A page on its way.
pub(super) struct PageTask {
    pub(super) stream: Arc<StreamState>,
    pub(super) chain: Arc<ChainState>,
    pub(super) cursor: PageCursor,
    /// In its chain, from 1.
    pub(super) number: u64,
    /// The page was sealed in an earlier run: a status that refuses its cursor is no error.
    pub(super) is_verified: bool,
    pub(super) events: mpsc::Sender<PageEvent>,
}

/// Why a try ended without a page.
enum Stop {
    Failed(Failure),
    Changed(String),
    /// Nobody takes the rows any more.
    Abandoned,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Differs> for Stop {
    fn from(_: Differs) -> Self {
        Self::Changed(
            "a page that was lost on the way had other rows when it was asked for again".to_owned(),
        )
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl PageTask {
    pub(super) async fn run(self) {
        let last = match self.read().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => PageEvent::Failed(error),
        };
        // A chain that was dropped needs no answer.
        let _ = self.events.send(last).await;
    }

    async fn read(&self) -> Result<Option<PageEvent>> {
        let stream = &*self.stream;
        let exchange = &stream.exchange;
        let permits = Arc::clone(&stream.permits);
        let permit = exchange.bounds.run(permits.acquire_owned()).await?;
        // The semaphore is never closed: without a permit there is just no bound.
        let mut permit = permit.ok();
        let request = stream.template.render(
            &self.chain.scope,
            self.chain.request.window.as_ref(),
            &self.cursor,
        )?;
        let shown: Arc<str> = request.describe(stream.scrubber()).into();
        let mut tries = Tries::new(
            &stream.http.retry,
            &exchange.bounds,
            &exchange.meter,
            &exchange.limiter,
        );
        let mut delivered = Delivered::default();
        loop {
            let outcome = self
                .attempt(
                    &request,
                    &shown,
                    tries.patience(),
                    &mut delivered,
                    &mut permit,
                )
                .await;
            let failure = match outcome {
                Ok(event) => return Ok(Some(event)),
                Err(Stop::Abandoned) => return Ok(None),
                Err(Stop::Changed(reason)) => return Ok(Some(PageEvent::Changed(reason))),
                Err(Stop::Failed(failure)) => failure,
            };
            let located = Failure {
                error: self.locate(failure.error, &shown),
                recovery: failure.recovery,
            };
            let is_refused = self.is_refused(&located.recovery);
            if let Err(error) = tries.recover(located).await {
                return if is_refused {
                    Ok(Some(PageEvent::Refused(error)))
                } else {
                    Err(error)
                };
            }
        }
    }

    /// Whether the API says that it has no page of this number; what that means depends on the pages before it.
    fn is_refused(&self, recovery: &Recovery) -> bool {
        let is_counted = matches!(self.cursor, PageCursor::Offset(_) | PageCursor::Page(_));
        is_counted
            && matches!(recovery, Recovery::Retry(Cause::Status(status)) if status::refuses_page(*status))
    }

    async fn attempt(
        &self,
        request: &PageRequest,
        shown: &Arc<str>,
        patience: Duration,
        delivered: &mut Delivered,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<PageEvent, Stop> {
        let stream = &*self.stream;
        let exchange = &stream.exchange;
        let mut response = exchange
            .send(request, &self.chain.scope, &self.chain.traffic, patience)
            .await?;
        match self.verdict(&mut response).await? {
            Verdict::Page => {}
            Verdict::Empty => return Ok(without_rows(PageOutcome::Empty)),
            Verdict::Skip => {
                return Ok(without_rows(PageOutcome::Skipped {
                    status: response.status().as_u16(),
                    request: Arc::clone(shown),
                }));
            }
            Verdict::Failed(failure) => {
                if failure.recovery == Recovery::NewToken
                    && let Some(token) = &response.token
                {
                    exchange.forget(token, &self.chain.scope).await?;
                }
                if self.is_verified && status::refuses_cursor(response.status()) {
                    return Err(Stop::Changed(format!(
                        "its last page can't be asked for again: status {}",
                        response.status().as_u16()
                    )));
                }
                return Err(failure.into());
            }
        }
        exchange
            .limiter
            .succeeded(exchange.bounds.clock.monotonic(), &response.limits);
        self.decode(response, shown, delivered, permit).await
    }

    async fn verdict(&self, response: &mut Response) -> Result<Verdict, Failure> {
        let stream = &*self.stream;
        let on_status = &stream.http.on_status;
        let status = response.status();
        let reason = if status::is_error(status, on_status) {
            self.excerpt(&mut response.inner).await?
        } else {
            None
        };
        Ok(status::judge(
            &Head {
                status,
                limits: &response.limits,
                sent_at: response.sent_at,
                reason,
                has_token: stream.exchange.auth.has_token(),
            },
            on_status,
        ))
    }

    /// What an error's body says, as far as it comes soon.
    async fn excerpt(&self, response: &mut reqwest::Response) -> Result<Option<String>> {
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                self.chain.traffic.add_bytes(chunk.len() as u64);
                body.extend_from_slice(&chunk);
                if body.len() >= EXCERPT_BYTES {
                    break;
                }
            }
        };
        self.stream
            .exchange
            .bounds
            .within(EXCERPT_TIME, read)
            .await?;
        // Looked for before the text is shortened, and after it is unescaped.
        let scrubber = self.stream.scrubber();
        let text = excerpt(scrubber.hide(&String::from_utf8_lossy(&body)).as_bytes());
        Ok(text.map(|text| scrubber.hide(&text).into_owned()))
    }

    async fn decode(
        &self,
        mut response: Response,
        shown: &Arc<str>,
        delivered: &mut Delivered,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<PageEvent, Stop> {
        let sent_at = response.sent_at;
        let decoding::Decoding {
            chunks,
            mut rows,
            outcome,
        } = self.decode_job(&response, shown).start();
        let stream = &*self.stream;
        let mut collector = Collector::new(delivered, stream.scrubber(), permit, stream.held_bytes);
        let pump = async {
            self.pump(&mut response.inner, chunks)
                .await
                .map_err(Stop::Failed)
        };
        let collect = async {
            while let Some(rows) = rows.recv().await {
                for rows in collector.take(rows)? {
                    self.deliver(rows).await?;
                }
            }
            Ok(())
        };
        tokio::try_join!(pump, collect)?;
        let summary = stream
            .exchange
            .bounds
            .run(outcome)
            .await
            .map(decoding::outcome)?
            .map_err(|error| self.decoding_failed(error))?;
        let Some(mut summary) = summary else {
            return Err(
                Error::new(ErrorKind::Internal, "a page was given up while it was read").into(),
            );
        };
        let held = collector.end()?;
        self.judge(&summary, &response, sent_at)?;
        let errors = stream.errors(&summary);
        let warning = content::warning(&stream.name, &summary, errors);
        summary.warnings.extend(warning);
        Ok(PageEvent::Done(Box::new(PageRead {
            outcome: PageOutcome::Read(Box::new(PageContent {
                summary,
                headers: response.headers().clone(),
                url: response.url,
            })),
            rows: held,
        })))
    }

    fn decode_job(&self, response: &Response, shown: &Arc<str>) -> DecodeJob {
        let stream = &*self.stream;
        let mut options = stream.decode_options.clone();
        options.origin = Arc::clone(shown);
        options.constants.clone_from(&self.chain.constants);
        DecodeJob {
            declared: stream.http.format,
            content_type: response.content_type(),
            content_encoding: response.content_encoding(),
            rows: stream.http.rows.clone(),
            schema: stream.schema.clone(),
            options,
            max_ratio: stream.exchange.limits.max_decompression_ratio,
        }
    }

    /// Moves the body to the decoder, within its time limits. Time in which the decoder is not ready doesn't count.
    async fn pump(
        &self,
        response: &mut reqwest::Response,
        chunks: mpsc::Sender<Chunk>,
    ) -> Result<(), Failure> {
        let exchange = &self.stream.exchange;
        let bounds = &exchange.bounds;
        let idle = Duration::from_millis(exchange.limits.idle_timeout_ms);
        let timeout = Duration::from_millis(exchange.limits.request_timeout_ms);
        let mut waited = Duration::ZERO;
        let mut received = 0_u64;
        let mut metered = 0_u64;
        loop {
            let allowed = timeout + Duration::from_secs(received / BYTES_PER_SECOND);
            let left = allowed.saturating_sub(waited);
            let started = bounds.clock.monotonic();
            let read = bounds.within(left.min(idle), response.chunk()).await?;
            waited += bounds.clock.monotonic().saturating_sub(started);
            let chunk = match read {
                None if left <= idle => return Err(timed_out("the response", allowed)),
                None => return Err(timed_out("a pause in the response", idle)),
                Some(Err(error)) => return Err(transport(error, "read the response")),
                Some(Ok(chunk)) => chunk,
            };
            let size = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            received += size;
            metered += size;
            self.chain.traffic.add_bytes(size);
            if metered > 0 && (metered >= METERED_BYTES || chunk.is_none()) {
                exchange.meter.update(|progress| progress.bytes += metered);
                metered = 0;
            }
            let is_last = chunk.is_none();
            let sent = chunks.send(chunk.map_or(Chunk::End, Chunk::Data));
            // A decoder that takes no more has an error of its own to tell.
            if bounds.run(sent).await?.is_err() || is_last {
                return Ok(());
            }
        }
    }

    async fn deliver(&self, rows: Rows) -> Result<(), Stop> {
        let sent = self.events.send(PageEvent::Rows(rows));
        self.stream
            .exchange
            .bounds
            .run(sent)
            .await?
            .map_err(|_| Stop::Abandoned)
    }

    fn judge(
        &self,
        summary: &PageSummary,
        response: &Response,
        sent_at: Duration,
    ) -> Result<(), Stop> {
        let stream = &*self.stream;
        let facts = stream.facts(summary, response.headers());
        let judged = content::judge(Judged {
            summary,
            errors: stream.errors(summary),
            path: &stream.http.rows,
            is_graphql: stream.is_graphql,
            total: stream.captures.total(&facts),
            sent_at,
        });
        judged.map_err(|failure| {
            if self.is_verified && failure.recovery == Recovery::Nothing {
                Stop::Changed(format!(
                    "its last page can't be asked for again: {}",
                    failure.error.message()
                ))
            } else {
                Stop::Failed(failure)
            }
        })
    }

    fn decoding_failed(&self, error: Error) -> Stop {
        if self.is_verified
            && error.kind() == ErrorKind::SourceData
            && error.retry() == Retry::Never
        {
            return Stop::Changed(format!(
                "its last page can't be read again: {}",
                error.message()
            ));
        }
        if error.retry() == Retry::WithBackoff {
            // A truncated page came over a connection that was cut by somebody on the way.
            return Stop::Failed(Failure::retry(Cause::Connection, error));
        }
        Stop::Failed(error.into())
    }

    /// An error with its place.
    fn locate(&self, error: Error, shown: &str) -> Error {
        if matches!(error.kind(), ErrorKind::Cancelled) {
            return error;
        }
        let error = error
            .with_context("stream", &self.stream.name)
            .with_context("request", shown)
            .with_context("page", self.number);
        self.stream.scrubber().hide_error(error)
    }
}

fn without_rows(outcome: PageOutcome) -> PageEvent {
    PageEvent::Done(Box::new(PageRead::without_rows(outcome)))
}
