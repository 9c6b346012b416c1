//! What happens to a process at its steps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What a process does once it has passed so many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lives,
    /// It stands still before the step of this number, and for good unless it is woken.
    StopsAt(u64),
}

/// One process: every port that it calls passes here before and after what it does.
#[derive(Clone, Debug)]
pub struct Chaos {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fate: Mutex<Fate>,
    steps: AtomicU64,
    has_stopped: AtomicBool,
    stopped: watch::Sender<bool>,
    /// Every change is done twice, as by someone who doesn't know how the first time ended.
    repeats: bool,
    /// The stream or transform whose next checkpoint is lost with its process.
    lost: Mutex<Option<String>>,
}

impl Chaos {
    pub fn new(fate: Fate) -> Self {
        Self::with(fate, false)
    }

    /// A process that does every change twice.
    pub fn repeating() -> Self {
        Self::with(Fate::Lives, true)
    }

    fn with(fate: Fate, repeats: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                fate: Mutex::new(fate),
                steps: AtomicU64::new(0),
                has_stopped: AtomicBool::new(false),
                stopped: watch::Sender::new(false),
                repeats,
                lost: Mutex::default(),
            }),
        }
    }

    /// The process dies on its way to the next checkpoint of this stream or transform.
    pub fn lose_checkpoint(&self, stream: &str) {
        *self.lost() = Some(stream.to_owned());
    }

    pub(crate) fn loses_checkpoint(&self, stream: &str) -> bool {
        self.lost().take_if(|lost| lost == stream).is_some()
    }

    pub(crate) fn repeats(&self) -> bool {
        self.inner.repeats
    }

    /// Steps passed so far.
    pub fn steps(&self) -> u64 {
        self.inner.steps.load(Ordering::SeqCst)
    }

    /// Passes a step, or stands still at it.
    pub async fn step(&self) {
        let number = self.inner.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let stops = match *self.fate() {
            Fate::Lives => false,
            Fate::StopsAt(at) => number >= at,
        };
        if stops {
            self.inner.has_stopped.store(true, Ordering::SeqCst);
            self.inner.stopped.send_replace(true);
        }
        self.awake().await;
    }

    /// Completes while the process moves; what runs beside the work stands still with it.
    pub async fn awake(&self) {
        let mut stopped = self.inner.stopped.subscribe();
        // The sender lives as long as this does.
        let _ = stopped.wait_for(|stopped| !*stopped).await;
    }

    /// Completes when the process has stopped.
    pub async fn stopped(&self) {
        let mut stopped = self.inner.stopped.subscribe();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Whether it ever stopped.
    pub fn has_stopped(&self) -> bool {
        self.inner.has_stopped.load(Ordering::SeqCst)
    }

    /// Lets a process that stood still go on, as if nothing had happened meanwhile.
    pub fn wake(&self) {
        *self.fate() = Fate::Lives;
        self.inner.stopped.send_replace(false);
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.inner
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> std::sync::MutexGuard<'_, Fate> {
        self.inner
            .fate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
