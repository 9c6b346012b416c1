//! Names that stay the same across attempts, processes and upgrades.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Whose feed it is.
    TenantId
);
text_id!(
    /// One run of a feed; the caller has it from the first moment.
    JobId
);
text_id!(
    /// A process that claims jobs.
    WorkerId
);
text_id!(
    /// Written to the job before anything is sent to an engine, kept across attempts.
    SubmissionId
);

text_id!(
    /// Who asked for something: a caller's name, or the user of the command line. It stands in the audit.
    Operator
);

impl JobId {
    /// A new id; ids of later jobs sort after those of earlier ones.
    pub fn generate() -> Self {
        Self(format!("job-{}", uuid::Uuid::now_v7().simple()))
    }
}

impl SubmissionId {
    pub fn generate() -> Self {
        Self(format!("sub-{}", uuid::Uuid::new_v4().simple()))
    }
}

impl WorkerId {
    pub fn generate() -> Self {
        Self(format!("worker-{}", uuid::Uuid::new_v4().simple()))
    }
}

/// A feed of a tenant: what state belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedId {
    pub tenant: TenantId,
    pub name: String,
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

/// A number per feed that only grows; one a job.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// One claim of a job by a worker; it fences the job store and nothing else.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// A job and one of its tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LoadId {
    pub job: JobId,
    /// [`runner_plan::LoadPlan::id`].
    pub load: String,
}

impl fmt::Display for LoadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.load)
    }
}
