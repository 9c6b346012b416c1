//! Places where a test can kill the process, to show that a crash there costs nothing.
//!
//! With the feature `fault-points`, `INGESTION_RUNNER_FAULT=name[:nth]` ends the process (as SIGABRT does: nothing is flushed, no
//! destructor runs) when the point of that name is passed for the nth time, the first unless said. `stop@name[:nth]` stops it there
//! instead, until it gets a SIGCONT: a process that slept while others took its work. Without the feature it is nothing.

/// A point with a fixed name, such as `checkpoint.before`.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_name: &str) {}

/// A point of one load: `commit.<load>.before`. `commit.*.before` names it for any load.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn commit_point(_load: &str, _step: &str) {}

#[cfg(feature = "fault-points")]
pub use armed::{commit_point, point};

#[cfg(feature = "fault-points")]
mod armed {
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "INGESTION_RUNNER_FAULT";
    const STOP: &str = "stop@";

    /// Which point ends the process, or stops it, and at which passing.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Fault {
        pub(super) name: String,
        pub(super) nth: u64,
        pub(super) stops: bool,
    }

    impl Fault {
        /// Load ids may hold colons: only a number behind the last one is a count.
        pub(super) fn parse(text: &str) -> Self {
            let (text, stops) = match text.strip_prefix(STOP) {
                Some(text) => (text, true),
                None => (text, false),
            };
            let counted = text
                .rsplit_once(':')
                .and_then(|(name, nth)| Some((name, nth.parse::<u64>().ok()?)));
            match counted {
                Some((name, nth)) => Self {
                    name: name.to_owned(),
                    nth: nth.max(1),
                    stops,
                },
                None => Self {
                    name: text.to_owned(),
                    nth: 1,
                    stops,
                },
            }
        }
    }

    fn fault() -> Option<&'static Fault> {
        static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
        FAULT
            .get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Fault::parse(&text)))
            .as_ref()
    }

    fn pass(fault: &Fault) {
        static PASSED: AtomicU64 = AtomicU64::new(0);
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 != fault.nth {
            return;
        }
        let is_stopped = fault.stops
            && Command::new("sh")
                .arg("-c")
                .arg(format!("kill -STOP {}", std::process::id()))
                .status()
                .is_ok_and(|status| status.success());
        if !is_stopped {
            std::process::abort();
        }
    }

    pub fn point(name: &str) {
        if let Some(fault) = fault().filter(|fault| fault.name == name) {
            pass(fault);
        }
    }

    pub fn commit_point(load: &str, step: &str) {
        let is_meant = |fault: &&Fault| {
            fault
                .name
                .strip_prefix("commit.")
                .and_then(|rest| rest.strip_suffix(step))
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|meant| meant == "*" || meant == load)
        };
        if let Some(fault) = fault().filter(is_meant) {
            pass(fault);
        }
    }
}

#[cfg(all(test, feature = "fault-points"))]
mod tests {
    use super::armed::Fault;

    #[test]
    fn a_count_stands_behind_the_last_colon() {
        for (text, name, nth, stops) in [
            ("page.mid", "page.mid", 1, false),
            ("page.mid:3", "page.mid", 3, false),
            ("page.mid:0", "page.mid", 1, false),
            ("stop@page.mid:3", "page.mid", 3, true),
            ("commit.0:orders.before", "commit.0:orders.before", 1, false),
            (
                "commit.0:orders.before:2",
                "commit.0:orders.before",
                2,
                false,
            ),
        ] {
            let expected = Fault {
                name: name.to_owned(),
                nth,
                stops,
            };
            assert_eq!(Fault::parse(text), expected, "{text}");
        }
    }
}
