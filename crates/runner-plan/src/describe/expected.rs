//! How many requests a stream takes, as far as that can be known before the first one.

use chrono::{DateTime, Utc};

use super::streams::column_list;
use crate::model::{Chains, HttpSource, PageKind, Plan, StreamPlan, Window};
use crate::windows::{WindowInputs, windows};

/// Text of the number of requests.
pub(super) fn requests(
    plan: &Plan,
    stream: &StreamPlan,
    http: &HttpSource,
    nominal_time: Option<DateTime<Utc>>,
) -> String {
    let (chains, per_chain) = match &http.chains {
        Chains::Single => (Some(1), None),
        Chains::Values { values, .. } => (u64::try_from(values.len()).ok(), None),
        Chains::Range { from, to, step, .. } => (Some(range_length(*from, *to, *step)), None),
        Chains::Parent { stream, .. } => {
            let columns = column_list(&http.chains.parent_columns());
            (
                None,
                Some(format!("for each distinct {columns} of {stream}")),
            )
        }
    };
    let windows = window_count(plan, stream, nominal_time);
    let pages = &http.pages;
    let (minimum, maximum) = match pages.kind {
        PageKind::None => (1, Some(1)),
        _ => (1, pages.max_pages),
    };
    let Some(windows) = windows else {
        return format!(
            "at least {} for each window; how many windows there are depends on the cursor",
            plural(minimum)
        );
    };
    let chains = chains.map(|chains| chains.saturating_mul(windows));
    match (chains, per_chain, maximum) {
        (Some(chains), _, Some(maximum)) if maximum == minimum => {
            plural(chains.saturating_mul(minimum))
        }
        (Some(chains), _, Some(maximum)) => {
            format!("{} to {}", chains, plural(chains.saturating_mul(maximum)))
        }
        (Some(chains), _, None) => {
            format!(
                "at least {}; the number of pages isn't known before they are read",
                plural(chains)
            )
        }
        (None, Some(parents), Some(maximum)) if maximum == minimum => {
            format!("{} {parents}", plural(windows))
        }
        (None, Some(parents), Some(maximum)) => {
            format!(
                "{windows} to {} {parents}",
                plural(windows.saturating_mul(maximum))
            )
        }
        (None, parents, _) => format!(
            "at least {} {}; neither the number of parents nor of pages is known before they are read",
            plural(windows),
            parents.unwrap_or_default()
        ),
    }
}

/// Windows of one chain; nothing where the stored cursor decides.
fn window_count(
    plan: &Plan,
    stream: &StreamPlan,
    nominal_time: Option<DateTime<Utc>>,
) -> Option<u64> {
    let Some(incremental) = &stream.incremental else {
        return Some(1);
    };
    if !matches!(incremental.window, Window::Steps { .. }) {
        return Some(1);
    }
    let explicit = plan
        .window
        .as_ref()
        .filter(|window| window.from.is_some())?;
    let found = windows(WindowInputs {
        incremental,
        kind: None,
        cursor: None,
        nominal_time: nominal_time?,
        explicit: Some(explicit),
    });
    u64::try_from(found.ok()?.len()).ok()
}

fn range_length(from: i64, to: i64, step: i64) -> u64 {
    if step == 0 {
        return 0;
    }
    let steps = (i128::from(to) - i128::from(from)) / i128::from(step);
    u64::try_from(steps + 1).unwrap_or(0)
}

fn plural(count: u64) -> String {
    if count == 1 {
        "1 request".to_owned()
    } else {
        format!("{count} requests")
    }
}
