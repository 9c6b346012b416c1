//! Reading only what is new: the window of a stream, and what speaks against it.

use runner_spec::model::Incremental;
use runner_spec::{Code, Diagnostic, FieldPath};

use super::bindings::Binding;
use super::context::{Context, milliseconds_of};
use super::drafts::Draft;
use super::findings::{Findings, did_you_mean, list};
use crate::model::{Columns, IncrementalPlan, TimeFormat, Window};
use crate::windows::{CursorKind, is_time_format};

const DEFAULT_LOOKBACK_DAYS: u64 = 7;
/// Names of the window's start.
pub(super) const FROM_VARIABLES: [&str; 4] = ["from_date", "last_cursor", "since", "start_date"];
/// Names of its end.
pub(super) const TO_VARIABLES: [&str; 3] = ["end_date", "to_date", "until"];

pub(crate) fn build(
    context: Context<'_>,
    draft: &Draft<'_>,
    binding: &Binding,
    columns: &Columns,
    findings: &mut Findings,
) -> Option<IncrementalPlan> {
    match &draft.endpoint.incremental {
        Some(incremental) => Builder {
            context,
            draft,
            columns,
            incremental,
        }
        .build(findings),
        None => default_window(context, draft, binding, findings),
    }
}

/// Window variables without `incremental`: days back from the run's nominal time.
fn default_window(
    context: Context<'_>,
    draft: &Draft<'_>,
    binding: &Binding,
    findings: &mut Findings,
) -> Option<IncrementalPlan> {
    if binding.window.is_empty() {
        return None;
    }
    if binding.window.iter().any(|name| name == "last_cursor") {
        let used = draft
            .uses
            .iter()
            .find(|used| used.variable.name == "last_cursor");
        findings.error(
            Code::WindowVariables,
            used.map_or(&draft.path, |used| &used.path),
            format!("`{{{{ last_cursor }}}}` is the stored cursor, and `{}` has no `incremental` to store one", draft.name()),
            "add `incremental: {cursor_field: …}`, or use `{{ from_date }}`",
        );
    }
    let days = context
        .setting_number("lookback_days", findings)
        .unwrap_or(DEFAULT_LOOKBACK_DAYS);
    Some(IncrementalPlan {
        cursor_field: None,
        initial: None,
        lookback_ms: 0,
        settle_ms: 0,
        from_param: None,
        to_param: None,
        window: Window::LastDays {
            days: u32::try_from(days).unwrap_or(u32::MAX),
        },
        format: TimeFormat::Natural,
    })
}

struct Builder<'a> {
    context: Context<'a>,
    draft: &'a Draft<'a>,
    columns: &'a Columns,
    incremental: &'a Incremental,
}

impl Builder<'_> {
    fn build(&self, findings: &mut Findings) -> Option<IncrementalPlan> {
        let incremental = self.incremental;
        let path = self.path();
        let cursor_field = self.cursor_field(findings);
        let initial = incremental.initial.as_deref().and_then(|initial| {
            self.context
                .settled(initial, &path.key("initial"), findings)
        });
        let format = self.format(findings);
        let kind = self.cursor_kind(cursor_field.as_deref(), initial.as_deref());
        let window = self.window(initial.as_deref(), kind, &format, findings);
        let lookback_ms = self.duration("lookback", incremental.lookback.as_deref(), findings);
        if lookback_ms > 0 && matches!(kind, Some(CursorKind::Text | CursorKind::Number)) {
            self.no_time("lookback", kind, findings);
        }
        self.late_rows(incremental.lookback.as_deref(), findings);
        Some(IncrementalPlan {
            cursor_field: Some(cursor_field?),
            initial,
            lookback_ms,
            settle_ms: self.duration("settle", incremental.settle.as_deref(), findings),
            from_param: incremental.from_param.clone(),
            to_param: incremental.to_param.clone(),
            window,
            format,
        })
    }

    fn path(&self) -> FieldPath {
        self.draft.path.key("incremental")
    }

    fn cursor_field(&self, findings: &mut Findings) -> Option<String> {
        let field = &self.incremental.cursor_field;
        let is_column = self
            .columns
            .known
            .iter()
            .any(|column| column.name == *field);
        let found = if is_column {
            Some(field.clone())
        } else {
            self.draft.mapping.column_of(field)
        };
        if found.is_none() {
            let known: Vec<&str> = self
                .columns
                .known
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            findings.error(
                Code::CursorFieldMissing,
                &self.path().key("cursor_field"),
                format!(
                    "`{field}` is no column of `{}`, so that no cursor can be read",
                    self.draft.name()
                ),
                did_you_mean(
                    field,
                    known.iter().copied(),
                    format!(
                        "map it to a column; those of the mapping are {}",
                        list(&known)
                    ),
                ),
            );
        }
        found
    }

    fn cursor_kind(&self, column: Option<&str>, initial: Option<&str>) -> Option<CursorKind> {
        let column = self
            .columns
            .known
            .iter()
            .find(|known| Some(known.name.as_str()) == column);
        let of_type = column
            .and_then(|column| column.column_type.as_ref())
            .map(CursorKind::of);
        // A date as `initial` says little: the values may be points in time.
        of_type.or_else(|| {
            initial
                .map(CursorKind::guess)
                .filter(|kind| *kind != CursorKind::Date)
        })
    }

    fn format(&self, findings: &mut Findings) -> TimeFormat {
        match self.incremental.format.as_deref() {
            None => TimeFormat::Natural,
            Some("epoch_s") => TimeFormat::EpochSeconds,
            Some("epoch_ms") => TimeFormat::EpochMillis,
            Some("%Y-%m-%d" | "%F") => TimeFormat::Date,
            Some(pattern) => {
                if !is_time_format(pattern) {
                    findings.error(
                        Code::BadTimeFormat,
                        &self.path().key("format"),
                        format!("`{pattern}` has a `%` that stands for nothing"),
                        "write a pattern like `%Y-%m-%dT%H:%M:%SZ`, or `epoch_s` or `epoch_ms`",
                    );
                }
                TimeFormat::Strftime(pattern.to_owned())
            }
        }
    }

    fn window(
        &self,
        initial: Option<&str>,
        kind: Option<CursorKind>,
        format: &TimeFormat,
        findings: &mut Findings,
    ) -> Window {
        let uses = |names: &[&str]| names.iter().any(|name| self.draft.uses_name(name));
        let is_bounded = self.incremental.to_param.is_some() || uses(&TO_VARIABLES);
        let has_start = self.incremental.from_param.is_some() || uses(&FROM_VARIABLES);
        let is_file = self.context.reads_files();
        if !is_bounded && !has_start && !is_file {
            findings.hint(
                Code::WindowIncomplete,
                &self.path(),
                format!(
                    "no request of `{}` says from when to read, so every run reads everything and drops what is old; name the \
                     parameter in `from_param`, or use `{{{{ since }}}}`",
                    self.draft.name()
                ),
            );
        }
        let step = self.incremental.window.as_deref();
        if is_bounded && kind.is_some_and(|kind| !is_time(kind, initial, format)) {
            self.no_time("to_param", kind, findings);
        }
        let Some(step) = step else {
            return if is_bounded {
                Window::Whole
            } else {
                Window::Open
            };
        };
        let step_ms = self.duration("window", Some(step), findings);
        if !is_bounded {
            findings.error(
                Code::WindowIncomplete,
                &self.path().key("window"),
                "`window` reads in steps, and no request says where a step ends".to_owned(),
                "name the parameter in `to_param`, or use `{{ until }}`",
            );
        }
        if initial.is_none() {
            findings.error(
                Code::WindowIncomplete,
                &self.path().key("window"),
                "`window` reads in steps, and nothing says where the first run begins".to_owned(),
                "add `initial`, as in `initial: 2024-01-01T00:00:00Z`",
            );
        }
        Window::Steps { step_ms }
    }

    fn no_time(&self, setting: &str, kind: Option<CursorKind>, findings: &mut Findings) {
        let name = kind.map_or("unknown", CursorKind::name);
        findings.error(
            Code::WindowIncomplete,
            &self.path().key(setting),
            format!("`{}` is a cursor of type {name}, which is no time: it has no `{setting}`", self.incremental.cursor_field),
            "give the column a date or date-time in the contract (`format: date-time`), or leave the upper end open",
        );
    }

    fn duration(&self, name: &str, text: Option<&str>, findings: &mut Findings) -> u64 {
        let Some(text) = text else { return 0 };
        let path = self.path().key(name);
        let Some(text) = self.context.settled(text, &path, findings) else {
            return 0;
        };
        milliseconds_of(&text).unwrap_or_else(|| {
            findings.error(
                Code::BadDuration,
                &path,
                format!("`{text}` is no duration"),
                "write `90s`, `15m`, `1h` or `7d`",
            );
            0
        })
    }

    fn late_rows(&self, lookback: Option<&str>, findings: &mut Findings) {
        let reach = match lookback {
            Some(lookback) => format!("more than {lookback} behind the cursor"),
            None => "behind the cursor".to_owned(),
        };
        findings.push(
            Diagnostic::hint(
                Code::LateRowsUnseen,
                self.path(),
                format!(
                    "rows of `{}` that turn up {reach} are not seen by later runs",
                    self.draft.name()
                ),
            )
            .help("`backfill` reads a range again"),
        );
    }
}

/// Whether bounds of this kind can be made from the run's nominal time.
fn is_time(kind: CursorKind, initial: Option<&str>, format: &TimeFormat) -> bool {
    match kind {
        CursorKind::Timestamp | CursorKind::Date => true,
        CursorKind::Integer => {
            let is_epoch = matches!(format, TimeFormat::EpochSeconds | TimeFormat::EpochMillis);
            let looks_like_one = initial
                .and_then(|initial| initial.trim().parse::<i64>().ok())
                .is_none_or(|number| number.unsigned_abs() >= 100_000_000);
            is_epoch || looks_like_one
        }
        CursorKind::Number | CursorKind::Text => false,
    }
}

/// The sentence about a stream that reads the same days on every run.
pub(crate) fn overlap(stream: &str, days: u32, path: &FieldPath, findings: &mut Findings) {
    let days_read = if days == 1 {
        "the last day".to_owned()
    } else {
        format!("the last {days} days")
    };
    findings.warning(
        Code::OverlapWithoutKey,
        path,
        format!("every run of `{stream}` reads {days_read} again and, without a `primary_key`, loads their rows again"),
        format!("add a `primary_key`, or write `config.lookback_days: 0` (now {days}) and run it once a day"),
    );
}
