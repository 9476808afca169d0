//! Scores of each class against the rest → ROC-AUC and average precision by class, their means, and
//! the precision-recall curve of one class.
//!
//! Both are functions of how many samples score at least as high as each of the class's own, so
//! only those are sorted; every other sample is a binary search among them. All counts are whole
//! numbers: the results are exact but for the last divisions and the same for any number of
//! threads.

use super::Probabilities;
use super::parallel::map_in_order;

/// Classes that are counted in one walk over the rows: 128 bytes of each.
pub(super) const CLASSES_AT_ONCE: usize = 32;

/// How well each class's score ranks its samples before all others.
#[derive(Clone, Debug, PartialEq)]
pub struct RankingMetrics {
    /// By class: the probability that a sample of the class scores higher than one of another (a
    /// tie counts half), in `0..=1`; `None` where the class, or the rest, has no samples.
    pub roc_auc: Vec<Option<f64>>,
    /// By class: the mean over the class's samples of the precision at their score, in `0..=1`;
    /// `None` where the class has no samples.
    pub average_precision: Vec<Option<f64>>,
    /// Mean of `roc_auc` over the classes that have one; `None` without any.
    pub macro_roc_auc: Option<f64>,
    /// Mean of `average_precision` over the classes that have one; `None` without any.
    pub macro_average_precision: Option<f64>,
}

impl RankingMetrics {
    /// The metrics of `scores` `[N, K]` and `targets` `[N]`, on at most `threads` threads. Only the
    /// order of a class's scores matters, so logits are as good as probabilities for two classes;
    /// for more, a softmax makes the rows comparable.
    ///
    /// ROC-AUC is scikit-learn's `roc_auc_score` of each class against the rest (Fawcett, "An
    /// introduction to ROC analysis", 2006), average precision its `average_precision_score`:
    /// `Σ (R_n - R_{n-1}) P_n` over the distinct scores, not interpolated. Equal scores share one
    /// threshold in both. A NaN score counts against the classifier: that of a sample of the class
    /// is below all scores, that of another sample above all.
    ///
    /// # Panics
    /// If `targets` are not one class of `0..K` for each row.
    pub fn new(scores: Probabilities, targets: &[usize], threads: usize) -> RankingMetrics {
        scores.check_targets(targets);
        let num_classes = scores.num_classes();
        let blocks = map_in_order(num_classes.div_ceil(CLASSES_AT_ONCE), threads, |block| {
            let first = block * CLASSES_AT_ONCE;
            let classes = first..(first + CLASSES_AT_ONCE).min(num_classes);
            let of_class = |counts: Thresholds| (counts.roc_auc(), counts.average_precision());
            count(scores, targets, classes).into_iter().map(of_class).collect::<Vec<_>>()
        });
        let (roc_auc, average_precision): (Vec<_>, Vec<_>) = blocks.into_iter().flatten().unzip();
        RankingMetrics {
            macro_roc_auc: mean(&roc_auc),
            macro_average_precision: mean(&average_precision),
            roc_auc,
            average_precision,
        }
    }
}

/// A point of a precision-recall curve: what is predicted as the class if it scores `threshold` or
/// more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecallPoint {
    /// A score of a sample of the class; `-inf` in the place of NaN.
    pub threshold: f32,
    /// Of the samples at or above the threshold, the fraction that is of the class, in `0..=1`.
    pub precision: f64,
    /// Of the samples of the class, the fraction at or above the threshold, in `0..=1`, above 0.
    pub recall: f64,
}

/// The precision-recall curve of `class`, from the highest threshold to recall 1: a point for each
/// distinct score of its own samples (between them recall stays and precision falls), thinned
/// evenly to `max_points` with the first and the last kept. Empty where the class has no samples or
/// `max_points` is 0. The points are among those of scikit-learn's `precision_recall_curve`; NaN
/// counts as in [`RankingMetrics::new`].
///
/// # Panics
/// If `targets` are not one class of `0..K` for each row, or `class` is not in `0..K`.
pub fn precision_recall_curve(
    scores: Probabilities,
    targets: &[usize],
    class: usize,
    max_points: usize,
) -> Vec<PrecisionRecallPoint> {
    scores.check_targets(targets);
    assert!(class < scores.num_classes(), "a class of the scores");
    count(scores, targets, class..class + 1).remove(0).curve(max_points)
}

/// At most `limit` of the indices `0..count`, evenly spaced, the first and the last among them (the
/// last alone if `limit` is 1).
pub(super) fn evenly(count: usize, limit: usize) -> impl Iterator<Item = usize> {
    let kept = count.min(limit);
    (0..kept).map(move |index| match kept {
        1 => count - 1,
        // In u128, the product cannot overflow.
        _ => ((index as u128 * (count - 1) as u128) / (kept - 1) as u128) as usize,
    })
}

/// The distinct scores of a class's own samples, and where the other samples' scores lie.
#[derive(Clone)]
pub(super) struct Thresholds {
    /// Sorted, distinct: `[T]`.
    keys: Vec<u32>,
    /// Samples of the class with this score: `[T]`.
    hits: Vec<u64>,
    /// Other samples with exactly this score: `[T]`.
    ties: Vec<u64>,
    /// Other samples between the scores: `[T + 1]`; index i is below `keys[i]`, above
    /// `keys[i - 1]`.
    between: Vec<u64>,
    pub(super) positives: u64,
}

/// What scores at least as high as one of the thresholds.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) key: u32,
    /// Samples of the class at or above the threshold.
    pub(super) hits: u64,
    /// Other samples at or above it.
    pub(super) others: u64,
    /// Samples of the class exactly at it.
    hits_here: u64,
    /// Other samples exactly at it.
    others_here: u64,
}

impl Thresholds {
    /// Of the keys ([`key_of`]) of the class's own samples.
    pub(super) fn new(mut own: Vec<u32>) -> Thresholds {
        own.sort_unstable();
        let positives = own.len() as u64;
        let (mut keys, mut hits) = (Vec::new(), Vec::new());
        for run in own.chunk_by(|a, b| a == b) {
            keys.push(run[0]);
            hits.push(run.len() as u64);
        }
        Thresholds { ties: vec![0; keys.len()], between: vec![0; keys.len() + 1], keys, hits, positives }
    }

    pub(super) fn add_other(&mut self, key: u32) {
        let at_most = self.keys.partition_point(|&own| own <= key);
        if at_most > 0 && self.keys[at_most - 1] == key {
            self.ties[at_most - 1] += 1;
        } else {
            self.between[at_most] += 1;
        }
    }

    /// Adds the other samples of `part`, which has the same own samples.
    pub(super) fn add_others_of(&mut self, part: &Thresholds) {
        let counts = self.ties.iter_mut().chain(&mut self.between);
        for (count, added) in counts.zip(part.ties.iter().chain(&part.between)) {
            *count += added;
        }
    }

    /// The thresholds from the highest down.
    pub(super) fn descending(&self) -> impl Iterator<Item = Step> {
        let (mut hits, mut others) = (0, 0);
        (0..self.keys.len()).rev().map(move |index| {
            hits += self.hits[index];
            others += self.between[index + 1] + self.ties[index];
            Step {
                key: self.keys[index],
                hits,
                others,
                hits_here: self.hits[index],
                others_here: self.ties[index],
            }
        })
    }

    pub(super) fn roc_auc(&self) -> Option<f64> {
        let negatives: u64 = self.between.iter().chain(&self.ties).sum();
        if self.positives == 0 || negatives == 0 {
            return None;
        }
        // Pairs in the right order, counted twice, and ties once.
        let twice: u128 = self
            .descending()
            .map(|step| {
                u128::from(step.hits_here) * u128::from(2 * (negatives - step.others) + step.others_here)
            })
            .sum();
        Some(twice as f64 / (2 * u128::from(self.positives) * u128::from(negatives)) as f64)
    }

    /// The precision-recall curve, see [`precision_recall_curve`].
    pub(super) fn curve(&self, max_points: usize) -> Vec<PrecisionRecallPoint> {
        let points: Vec<_> = self.descending().collect();
        evenly(points.len(), max_points)
            .map(|index| {
                let Step { key, hits, others, .. } = points[index];
                PrecisionRecallPoint {
                    threshold: score_of(key),
                    precision: hits as f64 / (hits + others) as f64,
                    recall: hits as f64 / self.positives as f64,
                }
            })
            .collect()
    }

    pub(super) fn average_precision(&self) -> Option<f64> {
        let sum: f64 = self
            .descending()
            .map(|step| step.hits_here as f64 * step.hits as f64 / (step.hits + step.others) as f64)
            .sum();
        (self.positives > 0).then(|| sum / self.positives as f64)
    }
}

/// The thresholds of each of `classes`, in one walk over the rows.
fn count(scores: Probabilities, targets: &[usize], classes: std::ops::Range<usize>) -> Vec<Thresholds> {
    let mut own = vec![Vec::new(); classes.len()];
    for (row, &target) in scores.rows().zip(targets) {
        if classes.contains(&target) {
            // NaN: below every score.
            own[target - classes.start].push(key_of(row[target]).unwrap_or(u32::MIN));
        }
    }
    let mut counts: Vec<Thresholds> = own.into_iter().map(Thresholds::new).collect();
    for (row, &target) in scores.rows().zip(targets) {
        for (class, counts) in classes.clone().zip(&mut counts) {
            if class != target {
                // NaN: above every score.
                counts.add_other(key_of(row[class]).unwrap_or(u32::MAX));
            }
        }
    }
    counts
}

/// An integer that orders as the score does, neither 0 nor `u32::MAX`; `None` for NaN.
pub(super) fn key_of(score: f32) -> Option<u32> {
    // `+ 0.0`: the two zeros are equal.
    let bits = (score + 0.0).to_bits();
    let key = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    (!score.is_nan()).then_some(key)
}

/// The score of a key of [`key_of`]; `-inf` for 0.
pub(super) fn score_of(key: u32) -> f32 {
    match key {
        0 => f32::NEG_INFINITY,
        _ if key >> 31 == 1 => f32::from_bits(key ^ 1 << 31),
        _ => f32::from_bits(!key),
    }
}

pub(super) fn mean(figures: &[Option<f64>]) -> Option<f64> {
    let defined: Vec<f64> = figures.iter().flatten().copied().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

#[cfg(test)]
mod tests;
