//! Quality gates over a whole run, per stream or transform output; the worst decides.

use std::fmt;

use runner_core::checkpoint::Totals;
use runner_plan::Gates;

/// What one threshold says of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub stream: String,
    pub gate: &'static str,
    /// Absent where nothing was measured: no rows.
    pub value: Option<f64>,
    pub threshold: f64,
    /// The numbers behind it, for people.
    pub explanation: String,
}

impl Measurement {
    pub fn is_broken(&self) -> bool {
        self.value.is_some_and(|value| value < self.threshold)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}` ", self.gate, self.stream)?;
        match self.value {
            Some(value) => {
                let relation = if self.is_broken() {
                    "below"
                } else {
                    "at least"
                };
                write!(
                    f,
                    "is {value:.4}, {relation} its threshold of {}: {}",
                    self.threshold, self.explanation
                )
            }
            None => f.write_str("was not measured: there were no rows"),
        }
    }
}

/// Every threshold of the document, measured for every stream and transform.
pub fn measure<'a>(
    gates: &Gates,
    streams: impl IntoIterator<Item = (&'a str, &'a Totals)>,
) -> Vec<Measurement> {
    let mut measurements = Vec::new();
    for (stream, totals) in streams {
        if let Some(threshold) = gates.completeness_threshold {
            measurements.push(Measurement {
                stream: stream.to_owned(),
                gate: "completeness",
                value: share(totals.required_present, totals.required_cells),
                threshold,
                explanation: format!(
                    "{} of {} required values are there",
                    totals.required_present, totals.required_cells
                ),
            });
        }
        if let Some(threshold) = gates.accuracy_threshold {
            let judged = totals.rows_passed + totals.rows_quarantined;
            measurements.push(Measurement {
                stream: stream.to_owned(),
                gate: "accuracy",
                value: share(totals.rows_passed, judged),
                threshold,
                explanation: format!("{} of {judged} rows pass every check", totals.rows_passed),
            });
        }
    }
    measurements
}

/// The broken threshold that is furthest below its mark.
pub fn worst(measurements: &[Measurement]) -> Option<&Measurement> {
    let distance =
        |measurement: &Measurement| measurement.value.unwrap_or(1.0) - measurement.threshold;
    measurements
        .iter()
        .filter(|measurement| measurement.is_broken())
        .min_by(|left, right| distance(left).total_cmp(&distance(right)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more digits than a double has"
)]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: u64, quarantined: u64) -> Totals {
        Totals {
            rows_passed: passed,
            rows_quarantined: quarantined,
            ..Totals::default()
        }
    }

    fn gates(accuracy: Option<f64>, completeness: Option<f64>) -> Gates {
        Gates {
            accuracy_threshold: accuracy,
            completeness_threshold: completeness,
            block_on_quality_drop: true,
            ..Gates::default()
        }
    }

    #[test]
    fn the_worst_stream_decides_and_no_rows_pass() {
        let gates = gates(Some(0.95), None);
        let (poor, worse, empty) = (totals(94, 6), totals(50, 50), totals(0, 0));
        let measurements = measure(&gates, [("a", &poor), ("b", &worse), ("c", &empty)]);
        let broken = worst(&measurements).unwrap();
        assert_eq!(
            broken.to_string(),
            "accuracy of `b` is 0.5000, below its threshold of 0.95: 50 of 100 rows pass every check"
        );
        assert_eq!(
            measurements[2].to_string(),
            "accuracy of `c` was not measured: there were no rows"
        );
    }

    #[test]
    fn a_threshold_that_is_just_met_passes() {
        for (passed, quarantined, threshold, breaks) in [
            (95, 5, 0.95, false),
            (94, 6, 0.95, true),
            (97, 3, 0.99, true),
            (97, 3, 0.95, false),
            (1, 0, 1.0, false),
            (999_999, 1, 1.0, true),
            (0, 1, 0.0, false),
        ] {
            let totals = totals(passed, quarantined);
            let measurements = measure(&gates(Some(threshold), None), [("a", &totals)]);
            assert_eq!(
                worst(&measurements).is_some(),
                breaks,
                "{passed}/{quarantined}"
            );
        }
    }

    #[test]
    fn completeness_counts_cells_of_all_rows_that_were_read() {
        let totals = Totals {
            required_cells: 200,
            required_present: 150,
            ..totals(100, 0)
        };
        let measurements = measure(&gates(Some(0.5), Some(0.8)), [("a", &totals)]);
        assert_eq!(
            worst(&measurements).map(|broken| broken.gate),
            Some("completeness")
        );
        // Without thresholds nothing is measured.
        assert!(measure(&gates(None, None), [("a", &totals)]).is_empty());
    }
}
