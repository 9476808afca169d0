//! The bootstrap intervals of mean average precision, and of the difference of two.

use std::cmp::Reverse;

use super::{MultiHot, check_shapes};
use crate::metrics::Probabilities;
use crate::metrics::intervals::{BootstrapConfig, Estimate, percentile_interval, replicate};
use crate::metrics::parallel::map_in_order;
use crate::metrics::ranking::{key_of, mean};

/// The mAP of `scores` `[N, K]` and its percentile interval. Each replicate draws N images with
/// replacement, each with all its labels and scores (with several labels an image there are no
/// strata to draw within); its mAP is the mean over the classes that have positives among them. A
/// replicate without any label is left out. `None` where no image has a label.
///
/// After sorting each class once, a replicate takes time in proportion to N · K. Needs 5 · N · K
/// bytes of memory.
///
/// Efron and Tibshirani, "An introduction to the bootstrap" (1993), section 13.3.
///
/// # Panics
/// If `labels` has not as many images and classes as `scores`, `replicates` is 0, or `level` is not
/// between 0 and 1.
pub fn bootstrap_mean_average_precision(
    scores: Probabilities,
    labels: &MultiHot,
    config: &BootstrapConfig,
) -> Option<Estimate> {
    config.check();
    check_shapes(scores, labels);
    let ranked = RankedClasses::new(scores, labels, config.threads);
    estimate(scores.len(), config, |times| ranked.mean_average_precision(times))
}

/// The mAP of `first` less that of `second`, both `[N, K]` scores of the same images, and its
/// percentile interval: each replicate draws images as [`bootstrap_mean_average_precision`] does,
/// with the scores of both. `None` where no image has a label. Takes twice the time and memory.
///
/// # Panics
/// If `labels` has not as many images and classes as `first` and `second`, `replicates` is 0, or
/// `level` is not between 0 and 1.
pub fn paired_bootstrap_mean_average_precision(
    first: Probabilities,
    second: Probabilities,
    labels: &MultiHot,
    config: &BootstrapConfig,
) -> Option<Estimate> {
    config.check();
    check_shapes(first, labels);
    check_shapes(second, labels);
    let both = [first, second].map(|scores| RankedClasses::new(scores, labels, config.threads));
    estimate(first.len(), config, |times| {
        Some(both[0].mean_average_precision(times)? - both[1].mean_average_precision(times)?)
    })
}

/// A figure of all `images`, and of those of each replicate, where it is given how often each is
/// drawn.
fn estimate(
    images: usize,
    config: &BootstrapConfig,
    figure: impl Fn(&[u32]) -> Option<f64> + Sync,
) -> Option<Estimate> {
    let value = figure(&vec![1; images])?;
    let replicates = replicate(
        config,
        || vec![0u32; images],
        |random, times| {
            times.fill(0);
            for _ in 0..images {
                times[random.below(images)] += 1;
            }
            figure(times)
        },
    );
    let mut values: Vec<f64> = replicates.into_iter().flatten().collect();
    if values.is_empty() {
        values.push(value);
    }
    Some(Estimate { value, interval: percentile_interval(values, config.level) })
}

/// The images by descending score of each class.
struct RankedClasses(Vec<RankedImages>);

impl RankedClasses {
    fn new(scores: Probabilities, labels: &MultiHot, threads: usize) -> RankedClasses {
        let ranked = |class| RankedImages::new(scores, labels, class);
        RankedClasses(map_in_order(scores.num_classes(), threads, ranked))
    }

    /// With each image counted so many times; `None` where none of them has a label.
    fn mean_average_precision(&self, times: &[u32]) -> Option<f64> {
        let figures: Vec<_> = self.0.iter().map(|class| class.average_precision(times)).collect();
        mean(&figures)
    }
}

/// The images by descending score of one class.
struct RankedImages {
    /// `[N]`.
    images: Vec<u32>,
    /// `[N]`: [`LABEL`] of an image with the label, [`LAST`] of the last image with its score.
    flags: Vec<u8>,
}

const LABEL: u8 = 1;
const LAST: u8 = 2;

impl RankedImages {
    fn new(scores: Probabilities, labels: &MultiHot, class: usize) -> RankedImages {
        let mut ranked: Vec<(u32, u32)> = scores
            .rows()
            .enumerate()
            .map(|(image, row)| {
                // NaN counts against the classifier, as in `ranking`.
                let of_nan = if labels.contains(image, class) { u32::MIN } else { u32::MAX };
                (key_of(row[class]).unwrap_or(of_nan), image as u32)
            })
            .collect();
        ranked.sort_unstable_by_key(|&entry| Reverse(entry));
        let flags = ranked.iter().enumerate().map(|(rank, &(key, image))| {
            let label = if labels.contains(image as usize, class) { LABEL } else { 0 };
            let is_last = ranked.get(rank + 1).is_none_or(|&(next, _)| next != key);
            label | if is_last { LAST } else { 0 }
        });
        RankedImages { flags: flags.collect(), images: ranked.iter().map(|&(_, image)| image).collect() }
    }

    /// With each image counted so many times; `None` where none of them has the label.
    fn average_precision(&self, times: &[u32]) -> Option<f64> {
        let (mut hits, mut seen, mut hits_here, mut sum) = (0, 0, 0, 0.0);
        for (&image, &flags) in self.images.iter().zip(&self.flags) {
            let count = u64::from(times[image as usize]);
            seen += count;
            if flags & LABEL != 0 {
                hits_here += count;
            }
            if flags & LAST != 0 && hits_here > 0 {
                hits += hits_here;
                sum += hits_here as f64 * hits as f64 / seen as f64;
                hits_here = 0;
            }
        }
        (hits > 0).then(|| sum / hits as f64)
    }
}
