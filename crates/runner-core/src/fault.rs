//! Places where a test can kill the process, to show that a crash there costs nothing.
//!
//! With the feature `fault-points`, `INGESTION_RUNNER_FAULT=name[:nth]` ends the process (as SIGABRT does: nothing is flushed, no
//! destructor runs) when the point of that name is passed for the nth time, the first unless said. Without the feature it is nothing.

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
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "INGESTION_RUNNER_FAULT";

    /// Which point ends the process, and at which passing.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Fault {
        pub(super) name: String,
        pub(super) nth: u64,
    }

    impl Fault {
        /// Load ids may hold colons: only a number behind the last one is a count.
        pub(super) fn parse(text: &str) -> Self {
            let counted = text
                .rsplit_once(':')
                .and_then(|(name, nth)| Some((name, nth.parse::<u64>().ok()?)));
            match counted {
                Some((name, nth)) => Self {
                    name: name.to_owned(),
                    nth: nth.max(1),
                },
                None => Self {
                    name: text.to_owned(),
                    nth: 1,
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

    fn pass(nth: u64) {
        static PASSED: AtomicU64 = AtomicU64::new(0);
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            std::process::abort();
        }
    }

    pub fn point(name: &str) {
        if let Some(fault) = fault().filter(|fault| fault.name == name) {
            pass(fault.nth);
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
            pass(fault.nth);
        }
    }
}

#[cfg(all(test, feature = "fault-points"))]
mod tests {
    use super::armed::Fault;

    #[test]
    fn a_count_stands_behind_the_last_colon() {
        for (text, name, nth) in [
            ("page.mid", "page.mid", 1),
            ("page.mid:3", "page.mid", 3),
            ("page.mid:0", "page.mid", 1),
            ("commit.0:orders.before", "commit.0:orders.before", 1),
            ("commit.0:orders.before:2", "commit.0:orders.before", 2),
        ] {
            let expected = Fault {
                name: name.to_owned(),
                nth,
            };
            assert_eq!(Fault::parse(text), expected, "{text}");
        }
    }
}
