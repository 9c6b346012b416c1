//! Killing the binary at random times, as a machine that goes away does.

use std::{
    env,
    process::ExitStatus,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, ensure};

use crate::{ThreeSinks, binary::Invocation};

/// Numbers from a seed that is printed, so that a failure can be had again (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// Repeats a failure: the seed that it printed.
pub const SEED_VARIABLE: &str = "INGESTION_RUNNER_SEED";

impl Random {
    /// The seed that the environment names, else another every time; whoever asks prints it.
    pub fn chosen_seed() -> u64 {
        let given = env::var(SEED_VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |since| since.as_secs())
        })
    }

    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// A time shorter than `longest`.
    pub fn shorter_than(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Runs the feed again and again, each time killed (`SIGKILL`) after a random time, at most `kills` times; then lets it end
/// by itself, which it must do well. Gives the number of kills: fewer where it was done before.
pub fn run_through_kills(
    feed: &ThreeSinks<'_>,
    random: &mut Random,
    kills: u32,
    longest: Duration,
) -> Result<u32> {
    for killed in 0..kills {
        if let Some(status) = run_for(feed.sample(), random.shorter_than(longest))? {
            ensure!(
                status.success(),
                "after {killed} kills it ended with {status}: {}",
                feed.sample().run()?.describe()
            );
            return Ok(killed);
        }
        // A process can be killed between the end of the job and its own; running the document again would be another job.
        if feed.last_job_status()?.as_deref() == Some("completed") {
            return Ok(killed + 1);
        }
    }
    feed.sample().succeed()?;
    Ok(kills)
}

/// How the command ended within this time; `None` where it was killed.
pub fn run_for(invocation: Invocation, time: Duration) -> Result<Option<ExitStatus>> {
    const POLL: Duration = Duration::from_millis(2);
    let mut child = invocation.spawn_silent()?;
    let started = Instant::now();
    while started.elapsed() < time {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_the_bound() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert!(numbers(7).iter().all(|number| *number < 10));
    }
}
