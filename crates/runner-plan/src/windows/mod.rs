//! The arithmetic of incremental reading: which windows a run reads, and how their bounds are written into requests.
//!
//! Pure. Windows are half-open, `[from, to)`, whatever the API's own parameters mean: a coarser format widens a bound
//! (`from` down, `to` up), and rows outside the window are dropped by whoever reads.

mod cursor;
mod duration;
mod format;

#[cfg(test)]
mod tests;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use cursor::{CursorKind, CursorValue};
pub use duration::format_duration;
pub use format::{WINDOW_VARIABLES, format_from, format_to, is_time_format, window_variables};

use crate::model::{ExplicitWindow, IncrementalPlan, TimeFormat, Window};

/// More steps than this are a mistake in `initial` or `window`.
pub const MAX_WINDOWS: usize = 100_000;

/// One window, as canonical texts of the cursor's type (RFC 3339 in UTC, a date, a number); either end may be open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    pub from: Option<String>,
    pub to: Option<String>,
    /// The stored cursor as it is, else `initial`: for `{{ last_cursor }}`.
    pub last_cursor: Option<String>,
}

/// Everything that decides the windows of one chain.
#[derive(Clone, Copy, Debug)]
pub struct WindowInputs<'a> {
    pub incremental: &'a IncrementalPlan,
    /// Type of the cursor column; where it isn't known, [`CursorKind::guess`] tells it from a value.
    pub kind: Option<CursorKind>,
    /// The stored cursor of the chain.
    pub cursor: Option<&'a str>,
    pub nominal_time: DateTime<Utc>,
    pub explicit: Option<&'a ExplicitWindow>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("the cursor `{cursor}` is not {expected}")]
    BadCursor { cursor: String, expected: String },
    #[error("a cursor of type {kind} has no `{setting}`: it isn't a time")]
    NoArithmetic {
        kind: &'static str,
        setting: &'static str,
    },
    #[error(
        "`incremental.window` needs `incremental.initial`: there is no cursor yet to step from"
    )]
    NoStart,
    #[error(
        "the time from `{from}` on has more than {MAX_WINDOWS} windows; make `incremental.window` longer"
    )]
    TooMany { from: String },
}

/// The windows to read, in order; none where there is nothing new to ask for.
pub fn windows(inputs: WindowInputs<'_>) -> Result<Vec<Bounds>, WindowError> {
    if let Window::LastDays { days } = inputs.incremental.window {
        return Ok(last_days(inputs, days));
    }
    let last_cursor = inputs
        .cursor
        .or(inputs.incremental.initial.as_deref())
        .map(str::to_owned);
    let ends = Ends::of(inputs)?;
    let to_bounds = |from: Option<&CursorValue>, to: Option<&CursorValue>| Bounds {
        from: from.map(ToString::to_string),
        to: to.map(ToString::to_string),
        last_cursor: last_cursor.clone(),
    };
    let (from, to) = (ends.from.as_ref(), ends.to.as_ref());
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Ok(Vec::new());
    }
    let Window::Steps { step_ms } = inputs.incremental.window else {
        return Ok(vec![to_bounds(from, to)]);
    };
    let (Some(from), Some(to)) = (from, to) else {
        return Err(WindowError::NoStart);
    };
    let mut bounds = Vec::new();
    let mut start = from.clone();
    while start < *to {
        if bounds.len() == MAX_WINDOWS {
            return Err(WindowError::TooMany {
                from: from.to_string(),
            });
        }
        let end = start
            .step(step_ms)
            .ok_or(WindowError::NoArithmetic {
                kind: start.kind().name(),
                setting: "incremental.window",
            })?
            .min(to.clone());
        bounds.push(to_bounds(Some(&start), Some(&end)));
        start = end;
    }
    Ok(bounds)
}

/// Days back from the nominal time; both ends are dates, and the day of the nominal time is the last one asked for.
fn last_days(inputs: WindowInputs<'_>, days: u32) -> Vec<Bounds> {
    let today = inputs.nominal_time.date_naive();
    let first = TimeDelta::try_days(i64::from(days))
        .and_then(|days| today.checked_sub_signed(days))
        .unwrap_or(NaiveDate::MIN);
    let explicit = inputs.explicit.cloned().unwrap_or_default();
    vec![Bounds {
        from: Some(explicit.from.unwrap_or_else(|| first.to_string())),
        to: Some(explicit.to.unwrap_or_else(|| today.to_string())),
        last_cursor: inputs.cursor.map(str::to_owned),
    }]
}

/// Both ends of everything that is to be read.
struct Ends {
    from: Option<CursorValue>,
    to: Option<CursorValue>,
}

impl Ends {
    fn of(inputs: WindowInputs<'_>) -> Result<Self, WindowError> {
        let incremental = inputs.incremental;
        let explicit = inputs.explicit.cloned().unwrap_or_default();
        let start = explicit
            .from
            .as_deref()
            .or(inputs.cursor)
            .or(incremental.initial.as_deref());
        let kind = inputs
            .kind
            .or_else(|| start.map(CursorKind::guess))
            .unwrap_or(CursorKind::Timestamp);
        let mut from = start.map(|text| kind.parse(text)).transpose()?;
        // Only a cursor is looked back from: `initial` and an explicit start say where to begin.
        if incremental.lookback_ms > 0 && inputs.cursor.is_some() && explicit.from.is_none() {
            from = from
                .map(|from| {
                    from.back(incremental.lookback_ms)
                        .ok_or(WindowError::NoArithmetic {
                            kind: kind.name(),
                            setting: "incremental.lookback",
                        })
                })
                .transpose()?;
        }
        let to = match (&explicit.to, incremental.window) {
            (Some(to), _) => Some(kind.parse(to)?),
            (None, Window::Open | Window::LastDays { .. }) => None,
            (None, Window::Whole | Window::Steps { .. }) => {
                Some(upper(inputs, kind, from.as_ref())?)
            }
        };
        Ok(Self { from, to })
    }
}

/// The nominal time less `settle`, in the cursor's type.
fn upper(
    inputs: WindowInputs<'_>,
    kind: CursorKind,
    from: Option<&CursorValue>,
) -> Result<CursorValue, WindowError> {
    let settle = TimeDelta::try_milliseconds(
        i64::try_from(inputs.incremental.settle_ms).unwrap_or(i64::MAX),
    );
    let now = settle
        .and_then(|settle| inputs.nominal_time.checked_sub_signed(settle))
        .unwrap_or(DateTime::UNIX_EPOCH);
    let no_arithmetic = WindowError::NoArithmetic {
        kind: kind.name(),
        setting: "incremental.to_param",
    };
    match kind {
        CursorKind::Timestamp => Ok(CursorValue::Timestamp(now)),
        CursorKind::Date => Ok(CursorValue::Date(now.date_naive())),
        CursorKind::Integer => {
            let unit = match inputs.incremental.format {
                TimeFormat::EpochSeconds => Some(cursor::EpochUnit::Seconds),
                TimeFormat::EpochMillis => Some(cursor::EpochUnit::Milliseconds),
                _ => from.and_then(CursorValue::epoch_unit),
            };
            let value = unit.and_then(|unit| unit.of(now)).ok_or(no_arithmetic)?;
            Ok(CursorValue::Integer(value))
        }
        CursorKind::Number | CursorKind::Text => Err(no_arithmetic),
    }
}
