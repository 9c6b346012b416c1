//! The report of a run: the JSON that the command line, the API and Python share.

use serde::{Deserialize, Serialize};

use crate::checkpoint::Warning;
use crate::error::ErrorKind;
use crate::ids::JobId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub success: bool,
    pub job_id: JobId,
    pub spec_name: String,
    pub engine: String,
    /// The job's state, or `interrupted` where it was told to stop before its end and goes on when it is resumed.
    pub status: String,
    /// A sink was abandoned: the rest was loaded.
    pub partial: bool,
    pub error: Option<ReportError>,
    pub duration_seconds: f64,
    pub streams: Vec<StreamReport>,
    pub sinks: Vec<SinkReport>,
    pub warnings: Vec<Warning>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportError {
    pub kind: ErrorKind,
    pub message: String,
    pub help: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    pub name: String,
    pub requests: u64,
    pub pages: u64,
    pub rows_read: u64,
    pub rows_loaded: u64,
    pub rows_quarantined: u64,
    /// Outside the window of an incremental run: they are left out.
    pub rows_outside: u64,
    /// An earlier run loaded them, and they were read again: they are left out.
    pub rows_repeated: u64,
    pub bytes_read: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    #[serde(rename = "type")]
    pub kind: String,
    pub table: String,
    pub location: String,
    pub rows: u64,
    pub bytes: u64,
    pub load_id: String,
}
