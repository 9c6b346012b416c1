//! `gc`: what has outlived its retention.

use runner_core::{Clock as _, Error, ErrorKind, JobId, Result, SystemClock};
use runner_engine_embedded::PartFolder;
use serde_json::json;

use super::feed::registry;
use crate::arguments::GcArguments;
use crate::exit_code;
use crate::settings::Settings;
use crate::terminal::{Terminal, counted};
use crate::wiring::Store;

/// Jobs whose parts are taken away in one call.
const JOBS: u32 = 100;

pub(crate) async fn gc(
    arguments: &GcArguments,
    settings: &Settings,
    terminal: Terminal,
) -> Result<u8> {
    use runner_core::commit::Committers as _;
    let store = Store::open(settings).await?;
    let before = chrono::Duration::try_days(i64::from(arguments.keep_days))
        .and_then(|kept| SystemClock::new().now().checked_sub_signed(kept))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "`--keep-days` is longer than time itself",
            )
        })?;
    let dry_run = !arguments.apply;
    let expired = store.jobs().expire_kept(before, dry_run).await?;
    let mut discarded = Vec::new();
    let registry = registry(settings, &store)?;
    for (job, parts) in store.jobs().undiscarded(JOBS).await? {
        discarded.push(job.id.clone());
        if dry_run {
            continue;
        }
        registry.discard_staged(&job.plan, &parts).await?;
        for load in &job.plan.loads {
            let of_load: Vec<_> = parts
                .iter()
                .filter(|part| part.output == runner_core::part::Output::Load(load.id.clone()))
                .cloned()
                .collect();
            if !of_load.is_empty() {
                registry
                    .committer(&job.plan, load)
                    .await?
                    .discard(&of_load)
                    .await?;
            }
        }
        store.jobs().discarded(&job.id).await?;
    }
    let quarantine = store.quarantine().forget(before, dry_run).await?;
    if !dry_run {
        let parts: Vec<_> = quarantine.iter().map(|file| file.part.clone()).collect();
        PartFolder::discard(&parts)?;
    }
    let purged = store.jobs().purge(before, dry_run).await?;
    let found = Found {
        expired,
        discarded,
        quarantine: quarantine.len(),
        purged,
    };
    found.print(dry_run, terminal)?;
    Ok(exit_code::SUCCESS)
}

/// What has outlived its retention.
struct Found {
    expired: Vec<JobId>,
    discarded: Vec<JobId>,
    quarantine: usize,
    purged: Vec<JobId>,
}

impl Found {
    fn print(&self, dry_run: bool, terminal: Terminal) -> Result<()> {
        if terminal.json {
            return terminal.print_json(&json!({
                "applied": !dry_run,
                "expired_jobs": self.expired,
                "discarded_jobs": self.discarded,
                "quarantine_files": self.quarantine,
                "forgotten_jobs": self.purged,
            }));
        }
        let jobs = |jobs: &[JobId]| counted(jobs.len() as u64, "job");
        let found = [&self.expired, &self.discarded, &self.purged];
        if self.quarantine == 0 && found.iter().all(|jobs| jobs.is_empty()) {
            return terminal.print("nothing has outlived its retention\n");
        }
        let (verb, advice) = if dry_run {
            ("would be taken away", "run it with --apply to do so\n")
        } else {
            ("taken away", "")
        };
        terminal.print(&format!(
            "{verb}: kept rows of {}, leftovers of {}, {}, {} with their events\n{advice}",
            jobs(&self.expired),
            jobs(&self.discarded),
            counted(self.quarantine as u64, "quarantine file"),
            jobs(&self.purged),
        ))
    }
}
