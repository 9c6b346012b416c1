//! Progress of a run: a line a stream on a terminal, plain lines otherwise, nothing under `--json`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{
    HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use runner_core::progress::{Progress, ProgressEvent, ProgressSink, Waiting};
use runner_core::{Clock, SystemClock};

use crate::terminal::Terminal;

/// Plain lines come no faster than this a stream.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Of a wait that is longer than this people are told until when, at once and on a line of its own.
const LONG_WAIT: TimeDelta = TimeDelta::seconds(LINE_EVERY.as_secs().cast_signed());

/// Shows events to a person.
pub(crate) struct Display {
    terminal: Terminal,
    bars: MultiProgress,
    clock: SystemClock,
    streams: Mutex<HashMap<String, Shown>>,
}

struct Shown {
    bar: ProgressBar,
    last_line: Duration,
    /// End of the long wait that was told last.
    told_wait: Option<DateTime<Utc>>,
    is_finished: bool,
}

impl Display {
    pub(crate) fn new(terminal: Terminal) -> Self {
        let target = if terminal.is_interactive {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            terminal,
            bars: MultiProgress::with_draw_target(target),
            clock: SystemClock::new(),
            streams: Mutex::default(),
        }
    }

    /// Leaves the terminal to whoever prints next.
    pub(crate) fn close(&self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, shown) in streams.drain() {
            shown.bar.abandon();
        }
    }

    fn line(&self, text: &str) {
        if self.terminal.json {
            return;
        }
        if self.terminal.is_interactive {
            // A closed terminal is nobody's loss.
            let _ = self.bars.println(text);
        } else {
            self.terminal.note(text);
        }
    }

    fn stream(&self, progress: &Progress) {
        if self.terminal.json {
            return;
        }
        let now = self.clock.monotonic();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = streams
            .entry(progress.stream.clone())
            .or_insert_with(|| Shown {
                bar: self.bar(&progress.stream),
                // The stage tells that it begins.
                last_line: now,
                told_wait: None,
                is_finished: false,
            });
        let long_wait = long_wait(progress, self.clock.now());
        let is_news = long_wait
            .is_some_and(|until| shown.told_wait.is_none_or(|told| until - told >= LONG_WAIT));
        if let Some(total) = progress.total_rows {
            shown.bar.set_length(total);
        }
        shown.bar.set_position(progress.rows);
        shown.bar.set_message(details(progress));
        if progress.finished && !shown.is_finished {
            shown.is_finished = true;
            shown.bar.abandon();
        }
        let is_due = now.saturating_sub(shown.last_line) >= LINE_EVERY;
        if is_news {
            shown.told_wait = long_wait;
        }
        if !self.terminal.is_interactive && (progress.finished || is_due || is_news) {
            shown.last_line = now;
            self.terminal.note(&format!(
                "{}: {}, {}",
                progress.stream,
                counted(progress.rows, "row"),
                details(progress)
            ));
        }
    }

    fn bar(&self, stream: &str) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::no_length());
        let style = ProgressStyle::with_template(
            "{spinner} {prefix:.bold} {human_pos} rows ({per_sec}) {msg} {elapsed}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(stream.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

impl ProgressSink for Display {
    fn event(&self, event: ProgressEvent) {
        match event {
            ProgressEvent::Stage { name } => self.line(&format!("· {name}")),
            ProgressEvent::Stream(progress) => self.stream(&progress),
            ProgressEvent::Warning {
                stream, message, ..
            } => {
                let at = stream
                    .map(|stream| format!("{stream}: "))
                    .unwrap_or_default();
                self.line(&format!("warning: {at}{message}"));
            }
            ProgressEvent::Resumed {
                attempt,
                pages,
                rows,
            } => {
                let (pages, rows) = (counted(pages, "page"), counted(rows, "row"));
                self.line(&format!(
                    "· resumed (attempt {attempt}): sealed before are {pages} with {rows}"
                ));
            }
        }
    }
}

/// Until when the stream waits for a rate limit, where that is long: an API may ask for an hour.
fn long_wait(progress: &Progress, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let Some(Waiting::RateLimit { until_ms }) = progress.waiting else {
        return None;
    };
    DateTime::from_timestamp_millis(until_ms).filter(|until| *until - now > LONG_WAIT)
}

fn details(progress: &Progress) -> String {
    let mut text = format!(
        "{}, {}",
        counted(progress.pages, "page"),
        HumanBytes(progress.bytes)
    );
    if let (Some(chains), true) = (progress.chains, progress.chains.unwrap_or_default() > 1) {
        text = format!(
            "{text}, {}/{} chains",
            HumanCount(progress.chains_done),
            HumanCount(chains)
        );
    }
    if progress.quarantined > 0 {
        text = format!("{text}, {} quarantined", HumanCount(progress.quarantined));
    }
    if let Some(total) = progress.total_rows {
        text = format!("{text} of {}", counted(total, "row"));
    }
    let waiting = match &progress.waiting {
        None => return text,
        Some(Waiting::RateLimit { until_ms }) => format!(
            "waiting for the rate limit{}",
            DateTime::from_timestamp_millis(*until_ms)
                .map(|until| format!(" until {}", until.format("%H:%M:%S UTC")))
                .unwrap_or_default()
        ),
        Some(Waiting::Retry {
            attempt, reason, ..
        }) => format!("waiting for try {} ({reason})", attempt + 1),
        Some(Waiting::Sink) => "waiting for the sink".to_owned(),
        Some(Waiting::Engine) => "waiting for the engine".to_owned(),
    };
    format!("{text}, {waiting}")
}

/// `1 row`, `2 rows`.
fn counted(count: u64, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {what}{ending}", HumanCount(count))
}
