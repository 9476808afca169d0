//! Out-of-sample probabilities and given labels → labels that are likely wrong, by confident
//! learning: Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset
//! labels" (JAIR 2021).
//!
//! The numbers are those of cleanlab 2.9's `find_label_issues` with its default
//! `filter_by="prune_by_noise_rate"` and `return_indices_ranked_by="self_confidence"`, for the
//! probabilities as `float64`. One thing differs: cleanlab leaves the order of equal values to
//! NumPy's default sort, which is another on other processors, and the counts of many classes
//! contain many equal fractions; here every sort is stable. cleanlab finds the same issues if its
//! sorts are, too.

mod rounding;
#[cfg(test)]
mod tests;

use super::Probabilities;
use super::parallel::map_in_order;
use super::probabilities::{is_distribution, top_label};
use rounding::{pairwise_sum, round_preserving_sum};

/// Probabilities that differ by less are taken for equal.
const MARGIN: f64 = 1e-6;

/// No class's threshold is lower.
const LOWEST_THRESHOLD: f64 = 2e-6;

/// Samples that are compared with the thresholds in one job.
const SAMPLES_AT_ONCE: usize = 512;

/// How label issues are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelIssuesConfig {
    /// Samples of each class that are left unquestioned if possible; 1 by default. A class with no
    /// more samples has no issues.
    pub min_examples_per_class: u32,
    /// The fraction of the estimated number of issues to report, in `0..=1`; 1 by default.
    pub frac_noise: f64,
    /// Threads to use at most, at least 1; 1 by default. The result does not depend on it.
    pub threads: usize,
}

impl Default for LabelIssuesConfig {
    fn default() -> LabelIssuesConfig {
        LabelIssuesConfig { min_examples_per_class: 1, frac_noise: 1.0, threads: 1 }
    }
}

/// A sample whose label is likely wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelIssue {
    /// Index of the sample.
    pub sample: usize,
    /// Its given label.
    pub label: usize,
    /// The most probable class, never `label`.
    pub suggested: usize,
    /// The probability of `label`, in `0..=1`.
    pub self_confidence: f32,
}

/// What [`find_label_issues`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelIssues {
    /// The least self-confident first; of equals the first sample.
    pub issues: Vec<LabelIssue>,
    /// `[K]`: the mean probability of the class over the samples labelled as it; `None` for a class
    /// without samples.
    pub thresholds: Vec<Option<f64>>,
    /// The calibrated confident joint.
    pub joint: ConfidentJoint,
    /// Samples that are left out: their row contains NaN, a negative value, or one above 1. They
    /// are never an issue.
    pub left_out: u64,
}

/// Estimated numbers of samples by given label and true class, `[K, K]`. The counts of a label add
/// up to its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfidentJoint {
    num_classes: usize,
    /// `counts[label * num_classes + class]`
    counts: Vec<u32>,
}

impl ConfidentJoint {
    /// The counts of the samples with this label, by true class, `[K]`.
    ///
    /// # Panics
    /// If `label` is not in `0..K`.
    pub fn row(&self, label: usize) -> &[u32] {
        &self.counts[label * self.num_classes..][..self.num_classes]
    }

    /// The estimated number of samples with a wrong label.
    pub fn off_diagonal(&self) -> u64 {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        all - (0..self.num_classes).map(|class| u64::from(self.row(class)[class])).sum::<u64>()
    }
}

/// Finds the samples of `labels` `[N]` that are likely mislabelled, from `probabilities` `[N, K]`
/// that a model gave them which was *not* trained on them (as by cross-validation). The memory
/// needed is `K²` counts, and a few numbers a sample.
///
/// A sample counts as confidently of class j if its probability is at least the class's threshold
/// (of several such classes, of the most probable); these counts, scaled to the samples of each
/// label, say how many samples labelled k are of class j, and as many with the largest margin
/// `p_j - p_k` are issues, unless k is their most probable class.
///
/// # Panics
/// If `labels` are not one class of `0..K` for each row.
pub fn find_label_issues(
    probabilities: Probabilities,
    labels: &[usize],
    config: &LabelIssuesConfig,
) -> LabelIssues {
    probabilities.check_targets(labels);
    let num_classes = probabilities.num_classes();
    let mut by_label = vec![Vec::new(); num_classes];
    let mut left_out = 0;
    for (sample, (row, &label)) in probabilities.rows().zip(labels).enumerate() {
        if is_distribution(row) {
            by_label[label].push(sample);
        } else {
            left_out += 1;
        }
    }
    let thresholds: Vec<Option<f64>> = by_label
        .iter()
        .enumerate()
        .map(|(class, samples)| {
            let own = |index: usize| f64::from(probabilities.row(samples[index])[class]);
            (!samples.is_empty())
                .then(|| (pairwise_sum(0..samples.len(), &own) / samples.len() as f64).max(LOWEST_THRESHOLD))
        })
        .collect();
    let mut joint = confident_counts(probabilities, labels, &thresholds, config.threads);
    let supports: Vec<usize> = by_label.iter().map(Vec::len).collect();
    calibrate(&mut joint, &supports);
    let found = map_in_order(num_classes, config.threads, |label| {
        issues_of_label(probabilities, label, &by_label[label], joint.row(label), config)
    });
    let mut issues: Vec<LabelIssue> = found.into_iter().flatten().collect();
    issues.sort_unstable_by(|a, b| {
        a.self_confidence.total_cmp(&b.self_confidence).then(a.sample.cmp(&b.sample))
    });
    LabelIssues { issues, thresholds, joint, left_out }
}

/// The confident joint as counted, at least 1 on the diagonal.
fn confident_counts(
    probabilities: Probabilities,
    labels: &[usize],
    thresholds: &[Option<f64>],
    threads: usize,
) -> ConfidentJoint {
    let (samples, num_classes) = (labels.len(), probabilities.num_classes());
    let least: Vec<f32> = thresholds
        .iter()
        .map(|threshold| threshold.map_or(f32::INFINITY, |t| at_least(t - MARGIN)))
        .collect();
    let guesses = map_in_order(samples.div_ceil(SAMPLES_AT_ONCE), threads, |job| {
        let first = job * SAMPLES_AT_ONCE;
        (first..(first + SAMPLES_AT_ONCE).min(samples))
            .map(|sample| confident_class(probabilities.row(sample), &least))
            .collect::<Vec<_>>()
    });
    let mut counts = vec![0; num_classes * num_classes];
    for (guess, label) in guesses.into_iter().flatten().zip(labels) {
        if let Some(class) = guess {
            counts[label * num_classes + class] += 1;
        }
    }
    for class in 0..num_classes {
        let diagonal = &mut counts[class * num_classes + class];
        *diagonal = (*diagonal).max(1);
    }
    ConfidentJoint { num_classes, counts }
}

/// The smallest `f32` that is not below `value`: comparing with it is comparing with `value`.
fn at_least(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}

/// The class that a sample is confidently of, if any; `least` are the thresholds, `[K]`.
fn confident_class(row: &[f32], least: &[f32]) -> Option<usize> {
    if !is_distribution(row) {
        return None;
    }
    let confident: u32 = row.iter().zip(least).map(|(p, least)| u32::from(p >= least)).sum();
    match confident {
        0 => None,
        1 => row.iter().zip(least).position(|(p, least)| p >= least),
        _ => Some(top_label(row).0),
    }
}

/// Scales the counts of each label to its samples (`supports`, `[K]`), and rounds them.
fn calibrate(joint: &mut ConfidentJoint, supports: &[usize]) {
    let num_classes = joint.num_classes;
    let samples: usize = supports.iter().sum();
    let sums: Vec<u64> =
        (0..num_classes).map(|label| joint.row(label).iter().copied().map(u64::from).sum()).collect();
    let scaled = |counts: &[u32], label: usize, class: usize| {
        f64::from(counts[label * num_classes + class]) / sums[label] as f64 * supports[label] as f64
    };
    // It is the number of samples but for rounding, which decides between halves; so it is added up
    // class by class, as NumPy does.
    let by_class = |index: usize| scaled(&joint.counts, index % num_classes, index / num_classes);
    let whole = pairwise_sum(0..num_classes * num_classes, &by_class).max(1e-100);
    for label in 0..num_classes {
        let row: Vec<f64> = (0..num_classes)
            .map(|class| scaled(&joint.counts, label, class) / whole * samples as f64)
            .collect();
        let rounded = round_preserving_sum(&row);
        for (count, rounded) in joint.counts[label * num_classes..].iter_mut().zip(rounded) {
            *count = rounded.max(0.0) as u32;
        }
    }
}

/// The issues among `samples`, which have this `label`; `joint` `[K]` are their estimated numbers
/// by true class.
fn issues_of_label(
    probabilities: Probabilities,
    label: usize,
    samples: &[usize],
    joint: &[u32],
    config: &LabelIssuesConfig,
) -> Vec<LabelIssue> {
    if samples.len() <= (config.min_examples_per_class as usize).max(1) {
        return Vec::new();
    }
    // What the diagonal lacks is taken from the other counts in equal parts.
    let lacking = f64::from(config.min_examples_per_class.saturating_sub(joint[label]));
    let nonzero = joint.iter().filter(|&&count| count > 0).count();
    let less = lacking / (nonzero as f64 - 1.0).max(1.0);
    let margin = |class: usize, sample: usize| {
        let row = probabilities.row(sample);
        f64::from(row[class]) - f64::from(row[label])
    };
    let mut is_issue = vec![false; samples.len()];
    for class in (0..joint.len()).filter(|&class| class != label && joint[class] > 0) {
        let number = ((f64::from(joint[class]) - less).max(0.0) * config.frac_noise) as usize;
        if number == 0 {
            continue;
        }
        let mut order: Vec<(f64, usize)> =
            samples.iter().enumerate().map(|(index, &sample)| (margin(class, sample), index)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        order.iter().take(number).for_each(|&(_, index)| is_issue[index] = true);
    }
    let flagged = samples.iter().zip(is_issue).filter_map(|(&sample, flagged)| flagged.then_some(sample));
    flagged
        .filter_map(|sample| {
            let row = probabilities.row(sample);
            let (suggested, top) = top_label(row);
            let own = f64::from(row[label]) + MARGIN;
            let is_predicted = own > f64::from(top) || (own == f64::from(top) && label < suggested);
            (!is_predicted && suggested != label).then_some(LabelIssue {
                sample,
                label,
                suggested,
                self_confidence: row[label],
            })
        })
        .collect()
}
