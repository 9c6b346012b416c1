//! The ports that every other part stands behind, and the words they speak: ids, errors, secrets, jobs, parts, checkpoints.
//!
//! Nothing here does I/O. Implementations live in their own crates and never depend on each other.

pub mod audit;
pub mod cancel;
pub mod checkpoint;
pub mod clock;
pub mod commit;
pub mod engine;
pub mod error;
pub mod fault;
pub mod feed;
pub mod ids;
pub mod job;
pub mod part;
pub mod position;
pub mod progress;
pub mod quarantine;
pub mod ranges;
pub mod report;
pub mod secret;
pub mod segments;
pub mod transition;

pub use cancel::Cancel;
pub use checkpoint::{Checkpoint, Checkpoints, ResumeState};
pub use clock::{Clock, SystemClock};
pub use commit::{Committer, Committers, Fence, LoadContext, Written};
pub use engine::{Artifact, Engine, EngineInfo, RunContext, RunHandle, RunStatus};
pub use error::{Blame, Error, ErrorKind, Result, Retry};
pub use feed::{CursorState, FeedState, FeedStore};
pub use ids::{Attempt, FeedId, JobId, LoadId, Operator, Seq, SubmissionId, TenantId, WorkerId};
pub use job::{Claim, Created, Job, JobState, JobStore, NewJob, Transition};
pub use part::Part;
pub use position::{ChainEnd, ChainKey, PageCursor, Position};
pub use progress::{Progress, ProgressEvent, ProgressSink};
pub use quarantine::QuarantineStore;
pub use secret::{Secret, SecretRef, SecretStore};
pub use segments::{Segment, Segments};
