//! A replay: rows of the quarantine, or those that were read for a sink that was given up, are loaded instead of what the source has.

use std::collections::{BTreeMap, BTreeSet};

use runner_spec::model::{Masking, WriteMode};
use serde::{Deserialize, Serialize};

use super::{
    Check, CheckKind, ColumnSource, ColumnType, Input, LoadPlan, MaskedColumn, Plan, StreamPlan,
    TypeOrigin,
};
use crate::template::Template;
use crate::windows::WINDOW_VARIABLES;

/// Which quarantined rows a run loads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// In the order in which they are read: those of earlier runs first.
    pub parts: Vec<ReplayPart>,
    /// A merge without a cursor replaces rows of earlier runs; otherwise it leaves keys alone that are there.
    pub overwrite: bool,
    /// Columns whose values the quarantine has masked already, by stream.
    pub masked: BTreeMap<String, Vec<MaskedColumn>>,
}

/// Rows of one quarantined file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPart {
    pub stream: String,
    /// The run that quarantined them, and its number.
    pub job: String,
    pub seq: u64,
    /// Name of the part; with the job and the row's number it is the row's id.
    pub part: String,
    pub path: String,
    /// Numbers of the file's rows, half-open and in order.
    pub rows: Vec<(u64, u64)>,
}

/// Rows that a job has on hold for a sink that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub job: String,
    /// [`LoadPlan::id`].
    pub load: String,
}

impl Plan {
    /// Why quarantined rows of this stream can't be loaded by this plan; none where they can.
    pub fn replay_refusal(&self, name: &str) -> Option<String> {
        if self.transform(name).is_some() {
            return Some(format!(
                "`{name}` is a transform: its rows are computed again when the feed runs"
            ));
        }
        let Some(stream) = self.stream(name) else {
            return Some(format!("the document has no active endpoint `{name}`"));
        };
        if self.is_staged(name) {
            return Some(format!(
                "a transform reads `{name}`, and it would see nothing but the replayed rows"
            ));
        }
        let mut loads = self.loads_of_stream(name).peekable();
        if loads.peek().is_none() {
            return Some(format!("no table takes rows of `{name}`"));
        }
        if let Some(load) = loads.find(|load| load.write_mode == WriteMode::Replace) {
            return Some(format!(
                "`{}` is replaced by every run: the mended rows come with the next one",
                load.table
            ));
        }
        window_column(stream)
            .map(|column| {
                format!("`{name}.{column}` is made of the window that was read, which the quarantine doesn't keep")
            })
            .or_else(|| {
                let column = hidden_check(stream)?;
                Some(format!(
                    "`{name}.{column}` is masked, so that its check can't be made again of what the quarantine has"
                ))
            })
    }

    /// Whether the rows of this run were read by an earlier one.
    pub fn is_replay(&self) -> bool {
        self.replay.is_some() || self.held.is_some()
    }

    /// Whether this load leaves keys alone that are there.
    pub fn inserts_only(&self, load: &LoadPlan) -> bool {
        if load.write_mode != WriteMode::Merge || load.cursor_field.is_some() {
            return false;
        }
        match (&self.replay, &self.held) {
            (Some(replay), _) => !replay.overwrite,
            // Rows that know their run's number lose to those of later runs, and to no others.
            (None, Some(_)) => !load.load_columns,
            (None, None) => false,
        }
    }

    /// The plan of a run that loads what `job`, a run of this plan, has on hold for one of its loads; or why that can't be.
    pub fn into_held(mut self, job: &str, load: &str) -> Result<Self, String> {
        self.loads.retain(|known| known.id == load);
        let Some(known) = self.loads.first() else {
            return Err(format!("job `{job}` has no load `{load}`"));
        };
        if known.write_mode == WriteMode::Replace {
            return Err(format!(
                "`{}` is replaced by every run: the next one brings its rows",
                known.table
            ));
        }
        self.moves_cursor = false;
        self.row_limit = None;
        self.window = None;
        self.replay = None;
        self.held = Some(Held {
            job: job.to_owned(),
            load: load.to_owned(),
        });
        Ok(self)
    }

    /// The plan of a run that loads these rows. None of its streams may be refused ([`Plan::replay_refusal`]).
    #[must_use]
    pub fn into_replay(mut self, parts: Vec<ReplayPart>, overwrite: bool) -> Self {
        let streams: BTreeSet<&str> = parts.iter().map(|part| part.stream.as_str()).collect();
        self.streams
            .retain(|stream| streams.contains(stream.name.as_str()));
        self.transforms.clear();
        for load in &mut self.loads {
            load.inputs.retain(|input| match input {
                Input::Stream(name) => streams.contains(name.as_str()),
                Input::Transform(_) => false,
            });
        }
        self.loads.retain(|load| !load.inputs.is_empty());
        let mut masked = BTreeMap::new();
        for stream in &mut self.streams {
            let columns = take_masking(stream);
            if !columns.is_empty() {
                masked.insert(stream.name.clone(), columns);
            }
        }
        self.moves_cursor = false;
        self.row_limit = None;
        self.window = None;
        self.replay = Some(Replay {
            parts,
            overwrite,
            masked,
        });
        self
    }
}

/// What the quarantine has masked is not masked twice: its texts are what is loaded.
fn take_masking(stream: &mut StreamPlan) -> Vec<MaskedColumn> {
    let masked = std::mem::take(&mut stream.masking);
    for MaskedColumn { column, masking } in &masked {
        let columns = &mut stream.columns.known;
        match masking {
            Masking::Drop => columns.retain(|known| known.name != *column),
            Masking::Hash | Masking::Redact | Masking::Partial => {
                for known in columns.iter_mut().filter(|known| known.name == *column) {
                    known.column_type = Some(ColumnType::String);
                    known.origin = TypeOrigin::Document;
                }
            }
        }
    }
    masked
}

/// A masked column with a check that its mask can't answer for. A null stays one under a mask, and a dropped column is not there.
fn hidden_check(stream: &StreamPlan) -> Option<&str> {
    let is_hidden = |check: &&Check| {
        stream.masking.iter().any(|masked| {
            let is_of = check
                .column
                .strip_prefix(masked.column.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            is_of && (masked.masking == Masking::Drop || check.kind != CheckKind::Required)
        })
    };
    let check = stream.checks.iter().find(is_hidden)?;
    Some(&check.column)
}

/// A column that every row of a chain has from the bounds of its window.
fn window_column(stream: &StreamPlan) -> Option<&str> {
    let is_bound = |name: &str| WINDOW_VARIABLES.contains(&name);
    let uses_bound = |template: &Template| {
        template.variables().is_ok_and(|variables| {
            variables
                .iter()
                .any(|variable| is_bound(variable.name.as_str()))
        })
    };
    let column = stream
        .columns
        .known
        .iter()
        .find(|column| match &column.source {
            ColumnSource::Template(template) => uses_bound(template),
            ColumnSource::Variable(name) => is_bound(name),
            ColumnSource::Field(_) | ColumnSource::Row => false,
        })?;
    Some(&column.name)
}
