//! Quality gates over a whole run, per stream or transform output; the worst decides.

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

/// Every threshold of the document, measured for every stream.
pub fn measure(gates: &Gates, streams: &[(String, Totals)]) -> Vec<Measurement> {
    let mut measurements = Vec::new();
    for (stream, totals) in streams {
        if let Some(threshold) = gates.completeness_threshold {
            measurements.push(Measurement {
                stream: stream.clone(),
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
                stream: stream.clone(),
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

    #[test]
    fn the_worst_stream_decides_and_no_rows_pass() {
        let gates = Gates {
            accuracy_threshold: Some(0.95),
            block_on_quality_drop: true,
            ..Gates::default()
        };
        let streams = [
            ("a".to_owned(), totals(94, 6)),
            ("b".to_owned(), totals(50, 50)),
            ("c".to_owned(), totals(0, 0)),
        ];
        let measurements = measure(&gates, &streams);
        assert_eq!(worst(&measurements).unwrap().stream, "b");
        assert_eq!(measurements[2].value, None);
        assert!(worst(&measure(&gates, &[("d".to_owned(), totals(95, 5))])).is_none());
    }
}
