//! What a stream has done so far, as seen while it runs: shared by its chains, the driver and whoever shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runner_core::progress::Waiting;
use runner_core::{Progress, ProgressEvent, ProgressSink};

/// One per stream; clones share it. Every change is told to the [`ProgressSink`].
#[derive(Clone)]
pub struct StreamMeter {
    shared: Arc<Shared>,
}

struct Shared {
    sink: Arc<dyn ProgressSink>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    waits: BTreeMap<u64, Waiting>,
    next_wait: u64,
    rate_limit_hits: u64,
}

/// Something is waited for until this is dropped.
#[derive(Debug)]
pub struct Wait {
    meter: StreamMeter,
    id: u64,
}

impl StreamMeter {
    pub fn new(stream: impl Into<String>, sink: Arc<dyn ProgressSink>) -> Self {
        let progress = Progress {
            stream: stream.into(),
            ..Progress::default()
        };
        Self {
            shared: Arc::new(Shared {
                sink,
                state: Mutex::new(State {
                    progress,
                    ..State::default()
                }),
            }),
        }
    }

    pub fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// Changes the counts and tells of it. `waiting` is kept by [`StreamMeter::wait`] and is not to be set here.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        let progress = {
            let mut state = self.state();
            change(&mut state.progress);
            state.shown()
        };
        self.shared.sink.event(ProgressEvent::Stream(progress));
    }

    /// Shows that a chain waits, until the returned value is dropped.
    #[must_use]
    pub fn wait(&self, waiting: Waiting) -> Wait {
        let (id, progress) = {
            let mut state = self.state();
            let id = state.next_wait;
            state.next_wait += 1;
            state.waits.insert(id, waiting);
            (id, state.shown())
        };
        self.shared.sink.event(ProgressEvent::Stream(progress));
        Wait {
            meter: self.clone(),
            id,
        }
    }

    /// The source answered that too much was asked of it.
    pub fn count_rate_limit_hit(&self) {
        self.state().rate_limit_hits += 1;
    }

    pub fn rate_limit_hits(&self) -> u64 {
        self.state().rate_limit_hits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters are plain numbers: a panic elsewhere leaves them usable.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The progress with the latest of the waits: one line has room for one.
    fn shown(&mut self) -> Progress {
        self.progress.waiting = self.waits.values().next_back().cloned();
        self.progress.clone()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let progress = {
            let mut state = self.meter.state();
            state.waits.remove(&self.id);
            state.shown()
        };
        self.meter
            .shared
            .sink
            .event(ProgressEvent::Stream(progress));
    }
}

impl std::fmt::Debug for StreamMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMeter")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Progress>>);

    impl ProgressSink for Recorder {
        fn event(&self, event: ProgressEvent) {
            if let ProgressEvent::Stream(progress) = event {
                self.0.lock().unwrap().push(progress);
            }
        }
    }

    #[test]
    fn a_wait_is_shown_until_it_is_dropped_and_the_others_stay() {
        let recorder = Arc::new(Recorder::default());
        let sink: Arc<dyn ProgressSink> = Arc::<Recorder>::clone(&recorder);
        let meter = StreamMeter::new("trades", sink);
        let first = meter.wait(Waiting::Sink);
        let second = meter.wait(Waiting::RateLimit { until_ms: 7 });
        drop(second);
        meter.update(|progress| progress.rows += 3);
        drop(first);

        let seen = recorder.0.lock().unwrap();
        let waits: Vec<_> = seen
            .iter()
            .map(|progress| progress.waiting.clone())
            .collect();
        assert_eq!(
            waits,
            [
                Some(Waiting::Sink),
                Some(Waiting::RateLimit { until_ms: 7 }),
                Some(Waiting::Sink),
                Some(Waiting::Sink),
                None
            ]
        );
        assert_eq!(seen.last().unwrap().rows, 3);
    }
}
