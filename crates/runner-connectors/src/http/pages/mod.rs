//! Pagination as plain state: it is told what each page gave, and says where the next one is or why there is none.
//!
//! End conditions: no next page stated, an empty page, a page shorter than the page size (offset and page kinds), `max_pages`, the
//! row limit. Loop guard, on every kind: a page equal to the one before it, or a next page that was seen before, is an error.

mod link;
mod next;
mod seen;

use runner_core::checkpoint::Warning;
use runner_core::{ChainEnd, Error, ErrorKind, PageCursor, Position, Result};
use runner_plan::model::{PageKind, PagePlan};

pub(crate) use next::{Captures, ResponseFacts, StatedNext};
use seen::Seen;

/// Numbers of rows that look like a page filled to an API's default size.
const ROUND_PAGES: [u64; 12] = [20, 25, 30, 50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000];

/// What a page gave.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    /// Where it was asked for.
    pub(crate) cursor: &'a PageCursor,
    pub(crate) rows: u64,
    /// Of its rows, hex.
    pub(crate) hash: &'a str,
    /// The next page that it states, as the cursor with which it is asked for.
    pub(crate) next: Option<PageCursor>,
    /// Whether it says, in whatever way, that there is more, or that there isn't.
    pub(crate) says_more: Option<bool>,
    pub(crate) total: Option<u64>,
}

/// Where the chain goes from a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Next(PageCursor),
    End(ChainEnd),
}

/// A step with what the report has to tell of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) step: Step,
    pub(crate) warnings: Vec<Warning>,
    /// The page before it has come again: its rows are not to be taken.
    pub(crate) is_repeat: bool,
}

/// State of one chain's pagination.
#[derive(Clone, Debug)]
pub(crate) struct Paginator {
    plan: PagePlan,
    stream: String,
    /// As asked for: the plan's, else what the request's own parameters say.
    page_size: Option<u64>,
    row_limit: Option<u64>,
    pages: u64,
    rows: u64,
    total: Option<u64>,
    /// The last page said that nothing follows it.
    is_last_stated: bool,
    last_hash: Option<String>,
    seen: Seen,
}

impl Paginator {
    pub(crate) fn new(
        plan: &PagePlan,
        stream: &str,
        page_size: Option<u64>,
        row_limit: Option<u64>,
    ) -> Self {
        Self {
            plan: plan.clone(),
            stream: stream.to_owned(),
            page_size: page_size.filter(|size| *size > 0),
            row_limit,
            pages: 0,
            rows: 0,
            total: None,
            is_last_stated: false,
            last_hash: None,
            seen: Seen::default(),
        }
    }

    /// Goes on after a sealed position, whose last page is asked for again and handed to [`Paginator::verified`].
    pub(crate) fn resume(&mut self, position: &Position) {
        self.pages = position.pages;
        self.rows = position.rows;
        self.seen = Seen::restored(&position.seen);
        self.last_hash = Some(position.last_page_hash.clone());
    }

    /// What the first request asks for, where the plan doesn't say.
    pub(crate) fn set_page_size(&mut self, size: Option<u64>) {
        self.page_size = size.filter(|size| *size > 0);
    }

    pub(crate) fn first(&self) -> PageCursor {
        match &self.plan.kind {
            PageKind::Offset { .. } => PageCursor::Offset(0),
            PageKind::Page { start_page, .. } => PageCursor::Page(*start_page),
            PageKind::None
            | PageKind::Cursor { .. }
            | PageKind::LinkHeader { .. }
            | PageKind::NextUrl { .. } => PageCursor::First,
        }
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// For a position: bounded.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.stored()
    }

    /// Takes a page in, in order.
    pub(crate) fn page(&mut self, page: &Page<'_>) -> Result<Decision> {
        self.total = page.total.or(self.total);
        if page.rows > 0 && self.last_hash.as_deref() == Some(page.hash) {
            if self.is_past_a_short_page() || self.is_past_the_end() {
                // The API gives its last page for whatever lies behind it.
                return Ok(Decision {
                    is_repeat: true,
                    ..self.end(ChainEnd::Natural, page)
                });
            }
            return Err(self.no_progress(page));
        }
        if self.pages == 0 {
            self.seen.note(page.cursor);
        }
        self.pages += 1;
        self.rows += page.rows;
        self.last_hash = Some(page.hash.to_owned());
        self.is_last_stated = page.says_more == Some(false);
        let Some(next) = self.next(page) else {
            return Ok(self.ended(page));
        };
        if let Some(end) = self.cut() {
            return Ok(self.end(end, page));
        }
        if !self.seen.note(&next) {
            return Err(self.seen_before(page, &next));
        }
        Ok(Decision {
            step: Step::Next(next),
            warnings: Vec::new(),
            is_repeat: false,
        })
    }

    /// Takes the last sealed page in again, after it was found to be the same: only where it leads is new.
    pub(crate) fn verified(&mut self, page: &Page<'_>) -> Decision {
        self.total = page.total.or(self.total);
        self.is_last_stated = page.says_more == Some(false);
        let Some(next) = self.next(page) else {
            return self.ended(page);
        };
        if let Some(end) = self.cut() {
            return self.end(end, page);
        }
        // It was noted when the page was sealed, unless the source writes its cursors anew each time.
        self.seen.note(&next);
        Decision {
            step: Step::Next(next),
            warnings: Vec::new(),
            is_repeat: false,
        }
    }

    /// The page that follows `cursor` if that page, the `number`th of the chain, turns out to be full: it can be asked for ahead.
    pub(crate) fn ahead(&self, cursor: &PageCursor, number: u64) -> Option<PageCursor> {
        if self.row_limit.is_some() || self.plan.max_pages.is_some_and(|most| number >= most) {
            return None;
        }
        let size = self.page_size?;
        // A stated total bounds what is asked for ahead; only pages end a chain.
        if self
            .total
            .is_some_and(|total| number.saturating_mul(size) >= total)
        {
            return None;
        }
        match cursor {
            PageCursor::Offset(offset) => Some(PageCursor::Offset(offset + size)),
            PageCursor::Page(page) => Some(PageCursor::Page(page + 1)),
            PageCursor::First | PageCursor::Token(_) | PageCursor::Url(_) | PageCursor::Byte(_) => {
                None
            }
        }
    }

    fn next(&self, page: &Page<'_>) -> Option<PageCursor> {
        if page.rows == 0 {
            return None;
        }
        let is_short = self.page_size.is_some_and(|size| page.rows < size);
        match page.cursor {
            PageCursor::Offset(_) | PageCursor::Page(_) if is_short && !self.total_says_more() => {
                None
            }
            PageCursor::Offset(offset) => Some(PageCursor::Offset(offset + page.rows)),
            PageCursor::Page(number) => Some(PageCursor::Page(number + 1)),
            PageCursor::First | PageCursor::Token(_) | PageCursor::Url(_) | PageCursor::Byte(_) => {
                page.next.clone()
            }
        }
    }

    /// The API gives fewer rows a page than it was asked for, and says that there are more than it has given so far.
    fn total_says_more(&self) -> bool {
        self.total.is_some_and(|total| self.rows < total)
    }

    /// The pages so far were all, by what the API itself says: only a full last page makes one ask for another, and an API may refuse
    /// that one, or give its last page again.
    pub(crate) fn is_past_the_end(&self) -> bool {
        let is_total_read = self.total.is_some_and(|total| self.rows >= total);
        self.is_counted() && self.pages > 0 && (self.is_last_stated || is_total_read)
    }

    fn is_counted(&self) -> bool {
        matches!(
            self.plan.kind,
            PageKind::Offset { .. } | PageKind::Page { .. }
        )
    }

    fn is_past_a_short_page(&self) -> bool {
        self.is_counted()
            && self.total_says_more()
            && self
                .page_size
                .is_some_and(|size| self.rows < self.pages.saturating_mul(size))
    }

    /// Why the chain ends although there is a next page.
    fn cut(&self) -> Option<ChainEnd> {
        if self.row_limit.is_some_and(|limit| self.rows >= limit) {
            Some(ChainEnd::RowLimit)
        } else if self.plan.max_pages.is_some_and(|most| self.pages >= most) {
            Some(ChainEnd::MaxPages)
        } else {
            None
        }
    }

    /// No next page: the natural end, or a page that looks as if there were more.
    fn ended(&self, page: &Page<'_>) -> Decision {
        let is_full = if self.total_says_more() {
            true
        } else if let Some(size) = self.page_size {
            page.rows >= size
        } else {
            ROUND_PAGES.contains(&page.rows)
        };
        let is_only_page = self.pages == 1 && page.rows > 0;
        let end = match &self.plan.kind {
            PageKind::None if is_only_page && (is_full || page.says_more == Some(true)) => {
                ChainEnd::FullPage
            }
            PageKind::Cursor { .. } | PageKind::LinkHeader { .. } | PageKind::NextUrl { .. }
                if is_only_page && is_full =>
            {
                ChainEnd::FullPage
            }
            _ => ChainEnd::Natural,
        };
        self.end(end, page)
    }

    fn end(&self, end: ChainEnd, page: &Page<'_>) -> Decision {
        let mut warnings = Vec::new();
        match end {
            ChainEnd::FullPage => warnings.push(self.warning(
                "one_page_only",
                format!(
                    "read one page of {} rows, which looks full, and found no next one: {}",
                    page.rows,
                    match self.plan.kind {
                        PageKind::None => "set `pagination` if the API has more",
                        _ => "check where the API states its next page",
                    }
                ),
            )),
            ChainEnd::MaxPages => warnings.push(self.warning(
                "max_pages",
                format!(
                    "cut off after {} pages by `max_pages`; the rest was not read and the cursor stays",
                    self.pages
                ),
            )),
            ChainEnd::Natural if page.rows == 0 && page.next.is_some() => {
                warnings.push(self.warning(
                    "empty_page_with_next",
                    "an empty page ended the stream although it states a next one".to_owned(),
                ));
            }
            ChainEnd::Natural | ChainEnd::RowLimit | ChainEnd::Skipped => {}
        }
        if let (true, Some(total)) = (end.is_natural() && self.begins_at_the_start(), self.total)
            && total != self.rows
        {
            warnings.push(self.warning(
                "count_off",
                format!(
                    "read {} rows where the API says that there are {total}",
                    self.rows
                ),
            ));
        }
        Decision {
            step: Step::End(end),
            warnings,
            is_repeat: false,
        }
    }

    fn begins_at_the_start(&self) -> bool {
        !matches!(self.plan.kind, PageKind::Page { start_page, .. } if start_page > 1)
    }

    fn warning(&self, code: &str, message: String) -> Warning {
        Warning {
            code: code.to_owned(),
            stream: Some(self.stream.clone()),
            message,
        }
    }

    fn no_progress(&self, page: &Page<'_>) -> Error {
        Error::new(
            ErrorKind::SourceData,
            format!(
                "the API loops: page {} has the same {} rows as the page before it",
                self.pages + 1,
                page.rows
            ),
        )
        .with_help(match &self.plan.kind {
            PageKind::Offset { offset_param, .. } => {
                format!("check that the API takes its offset in `{offset_param}`")
            }
            PageKind::Page { page_param, .. } => {
                format!("check that the API takes its page number in `{page_param}`")
            }
            _ => "check how the API takes its cursor: `pagination_config.cursor_param`".to_owned(),
        })
    }

    fn seen_before(&self, page: &Page<'_>, next: &PageCursor) -> Error {
        let what = if page.cursor == next {
            "its own cursor as the next one"
        } else {
            "a next page that was read before"
        };
        Error::new(
            ErrorKind::SourceData,
            format!("the API loops: page {} states {what}", self.pages),
        )
        .with_help("check where the API states its next page: `pagination_config.cursor_path` or `next_url_path`")
    }
}

/// Whether a response says that there is more, for kinds that don't look for a next page.
pub(crate) fn says_more(facts: &ResponseFacts<'_>) -> Option<bool> {
    next::says_there_is_more(facts)
}

#[cfg(test)]
mod tests;
