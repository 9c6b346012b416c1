//! Which process of this machine works on a job, so that the next one needn't wait for the lease of a process that died.
//!
//! A process holds a lock on a file of the job while it works. The operating system takes the lock away when the process ends,
//! however it ends: who can lock the file knows that the claim written in it is dead, and gives it back. Nothing depends on it:
//! where a folder has no locks, or the machine went down, the lease runs out as everywhere.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runner_core::job::{Claim, Job, JobStore, Transition};
use runner_core::{Error, ErrorKind, JobId, Result};

/// How long a look at the lock takes, with room, and how many may follow each other.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 5;

/// The lock of this process on a job; it ends with the process or the value.
#[derive(Debug)]
pub(crate) struct Holding {
    file: File,
    path: PathBuf,
}

/// What is known of the process that holds a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It runs on this machine.
    Alive,
    /// It ran on this machine and has ended; its claim was given back.
    Dead,
    /// It runs elsewhere, or there are no locks here.
    Unknown,
}

impl Holding {
    /// Locks the job for this process. `None` where that can't be told: the lease alone counts then.
    pub(crate) fn begin(data: &Path, job: &JobId) -> Option<Self> {
        let path = path_of(data, job);
        fs::create_dir_all(path.parent()?).ok()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .ok()?;
        lock(&file).ok()?;
        Some(Self { file, path })
    }

    /// Writes down the claim, for whoever finds this process dead.
    pub(crate) fn keep(&mut self, claim: &Claim) -> Result<()> {
        let text = serde_json::to_vec(claim).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to serialize a claim").with_source(error)
        })?;
        // A note that is cut off isn't read, and one that is missing costs the wait for the lease.
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(&text));
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path.display(), "failed to note which process holds the job");
        }
        Ok(())
    }

    /// The job has been left in order: nobody will ask who held it.
    pub(crate) fn end(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "failed to remove the note of who holds the job");
        }
    }
}

/// Whether the process that held the job in its last attempt ran on this machine and has ended.
pub(crate) fn is_dead(data: &Path, job: &Job) -> bool {
    let Ok(mut file) = File::open(path_of(data, &job.id)) else {
        return false;
    };
    // Shared: two who look at once see the same.
    let is_free = file.try_lock_shared().is_ok();
    is_free
        && claim(&mut file).is_some_and(|claim| claim.job == job.id && claim.attempt == job.attempt)
}

/// Finds out whether the process that holds the job is still there, and gives its claim back if it isn't.
pub(crate) async fn release_dead(store: &dyn JobStore, data: &Path, job: &JobId) -> Result<Holder> {
    let Ok(mut file) = File::open(path_of(data, job)) else {
        return Ok(Holder::Unknown);
    };
    match lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Holder::Alive),
        Err(TryLockError::Error(_)) => return Ok(Holder::Unknown),
    }
    let Some(claim) = claim(&mut file).filter(|claim| claim.job == *job) else {
        return Ok(Holder::Unknown);
    };
    // The store refuses a claim that is not the job's last: then somebody else's lease is what holds it.
    match store.record(&claim, Transition::Released).await {
        Ok(()) => Ok(Holder::Dead),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(Holder::Unknown),
        Err(error) => Err(error),
    }
}

/// Locks the file, or finds that a process holds it. Who only looks ([`is_dead`]) has it for a moment, which is not holding it.
fn lock(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 1..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

/// What [`Holding::keep`] wrote.
fn claim(file: &mut File) -> Option<Claim> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn path_of(data: &Path, job: &JobId) -> PathBuf {
    data.join("holders").join(format!("{job}.json"))
}
