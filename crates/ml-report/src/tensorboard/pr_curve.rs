//! Scores and truths of one class → a precision–recall curve in TensorBoard.
//!
//! In: for each sample the score (probability) that it is of the class, and whether it is. Out: at
//! [`THRESHOLDS`] scores from 0 to 1 how many samples reach it, right and wrong, in the layout of
//! TensorBoard's plugin `pr_curves`.

use tensorboard_proto::plugin_pr_curve::PrCurvePluginData;
use tensorboard_proto::types::DataType;

use super::{EventError, EventWriter, tensor, tensor_entry};

/// Points on a curve, evenly spaced from 0 to 1: as many as PyTorch's writer has.
pub const THRESHOLDS: usize = 127;

/// Division by fewer samples than this would be by zero; the value is TensorBoard's.
const LEAST: f64 = 1e-7;

/// How many samples of a class (true positives) and of others (false positives) reach each
/// threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrCurve {
    true_positives: [u64; THRESHOLDS],
    false_positives: [u64; THRESHOLDS],
}

impl PrCurve {
    /// Of scores in `0..=1` (one outside counts as the nearer end) with whether the sample is of
    /// the class. None if a score is NaN.
    pub fn of(samples: impl IntoIterator<Item = (f32, bool)>) -> Option<PrCurve> {
        let mut curve = PrCurve { true_positives: [0; THRESHOLDS], false_positives: [0; THRESHOLDS] };
        for (score, is_positive) in samples {
            if score.is_nan() {
                return None;
            }
            let counts = if is_positive { &mut curve.true_positives } else { &mut curve.false_positives };
            // In f32, as TensorBoard computes it.
            let reached = (score.clamp(0.0, 1.0) * (THRESHOLDS - 1) as f32) as usize;
            if let Some(count) = counts.get_mut(reached) {
                *count += 1;
            }
        }
        // A sample that reaches a threshold reaches those before it.
        for counts in [&mut curve.true_positives, &mut curve.false_positives] {
            let mut above = 0;
            for count in counts.iter_mut().rev() {
                above += *count;
                *count = above;
            }
        }
        Some(curve)
    }

    /// `[6, THRESHOLDS]`: true positives, false positives, true negatives, false negatives,
    /// precision = TP / (TP + FP), recall = TP / (TP + FN).
    fn rows(&self) -> Vec<f32> {
        // All samples reach the first threshold, which is 0.
        let ([positives, ..], [negatives, ..]) = (self.true_positives, self.false_positives);
        let share = |of: u64, all: u64| (of as f64 / (all as f64).max(LEAST)) as f32;
        let points = || self.true_positives.iter().copied().zip(self.false_positives);
        let mut rows = Vec::with_capacity(6 * THRESHOLDS);
        rows.extend(points().map(|(tp, _)| tp as f32));
        rows.extend(points().map(|(_, fp)| fp as f32));
        rows.extend(points().map(|(_, fp)| (negatives - fp) as f32));
        rows.extend(points().map(|(tp, _)| (positives - tp) as f32));
        rows.extend(points().map(|(tp, fp)| share(tp, tp + fp)));
        rows.extend(points().map(|(tp, _)| share(tp, positives)));
        rows
    }
}

impl EventWriter {
    /// Adds a precision–recall curve.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_pr_curve(
        &mut self,
        tag: &str,
        curve: &PrCurve,
        step: u64,
        wall_time: f64,
    ) -> Result<(), EventError> {
        let mut content = PrCurvePluginData::new();
        content.set_num_thresholds(THRESHOLDS as u32);
        let mut rows = tensor(DataType::DT_FLOAT, &[6, THRESHOLDS]);
        rows.set_float_val(curve.rows());
        let entry = tensor_entry(tag, "pr_curves", self.encode(&content)?, rows);
        self.add(entry, step, wall_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_up_to_the_threshold_that_its_score_reaches() {
        let curve = PrCurve::of([(1.0, true), (0.5, false), (-3.0, true), (7.0, false)]).unwrap();
        assert_eq!([curve.true_positives[0], curve.true_positives[1], curve.true_positives[126]], [2, 1, 1]);
        assert_eq!([curve.false_positives[63], curve.false_positives[64]], [2, 1]);
        let rows = curve.rows();
        assert_eq!(rows.len(), 6 * THRESHOLDS);
        let [last, precision, recall] = [126, 4 * THRESHOLDS + 126, 5 * THRESHOLDS + 126];
        assert_eq!([rows[last], rows[precision], rows[recall]], [1.0, 0.5, 0.5]);
    }

    #[test]
    fn nan_has_no_curve_and_no_samples_have_one_of_zeros() {
        assert_eq!(PrCurve::of([(0.5, true), (f32::NAN, false)]), None);
        assert!(PrCurve::of([]).unwrap().rows().iter().all(|&value| value == 0.0));
    }
}
