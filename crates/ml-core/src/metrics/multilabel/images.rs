//! What is summed over the images: labels predicted at the thresholds, and how each image's labels
//! rank among its scores.

use super::{ClassThresholds, MultiHot};
use crate::metrics::Probabilities;
use crate::metrics::classification::{Average, ratio};
use crate::metrics::parallel::map_in_order;
use crate::metrics::ranking::{Thresholds, key_of};

/// Images that one job sums: fixed, so that sums round alike with any number of threads.
const IMAGES_AT_ONCE: usize = 1024;

/// Sums over images.
pub(super) struct ImageSums {
    /// By class.
    pub(super) classes: Vec<ClassCounts>,
    /// Images without labels.
    pub(super) unlabeled: u64,
    /// Images whose labels are predicted exactly.
    pub(super) exact: u64,
    /// Numbers of scores at or above the lowest of the image's labels.
    pub(super) coverage: u64,
    /// Mean precisions at the image's labels; 1 of an image without labels.
    pub(super) ranking_precision: f64,
    /// Precision, recall and F1 of each image's labels.
    pub(super) average: Average,
}

/// Images by what is true of a class.
#[derive(Clone, Copy, Default)]
pub(super) struct ClassCounts {
    /// With the label and predicted.
    pub(super) hits: u64,
    /// Predicted.
    pub(super) predicted: u64,
    /// With the label.
    pub(super) support: u64,
}

impl ClassCounts {
    pub(super) fn add(&mut self, other: ClassCounts) {
        self.hits += other.hits;
        self.predicted += other.predicted;
        self.support += other.support;
    }

    /// Precision, recall and F1.
    pub(super) fn metrics(self) -> Average {
        Average {
            precision: ratio(self.hits, self.predicted),
            recall: ratio(self.hits, self.support),
            f1: ratio(2 * self.hits, self.support + self.predicted),
        }
    }
}

/// The sums of all images.
pub(super) fn sum(
    scores: Probabilities,
    labels: &MultiHot,
    thresholds: &ClassThresholds,
    threads: usize,
) -> ImageSums {
    let jobs = scores.len().div_ceil(IMAGES_AT_ONCE);
    let parts = map_in_order(jobs, threads, |job| {
        let mut sums = ImageSums::new(scores.num_classes());
        let first = job * IMAGES_AT_ONCE;
        for image in first..(first + IMAGES_AT_ONCE).min(scores.len()) {
            sums.add_predicted(scores.row(image), labels, image, thresholds.values());
            sums.add_ranked(scores.row(image), labels, image);
        }
        sums
    });
    parts.into_iter().fold(ImageSums::new(scores.num_classes()), ImageSums::merge)
}

impl ImageSums {
    fn new(num_classes: usize) -> ImageSums {
        ImageSums {
            classes: vec![ClassCounts::default(); num_classes],
            unlabeled: 0,
            exact: 0,
            coverage: 0,
            ranking_precision: 0.0,
            average: Average::default(),
        }
    }

    fn add_predicted(&mut self, row: &[f32], labels: &MultiHot, image: usize, thresholds: &[f32]) {
        let mut of_image = ClassCounts::default();
        for (class, (counts, (score, threshold))) in
            self.classes.iter_mut().zip(row.iter().zip(thresholds)).enumerate()
        {
            let (present, predicted) = (labels.contains(image, class), score >= threshold);
            let entry = ClassCounts {
                hits: u64::from(present && predicted),
                predicted: u64::from(predicted),
                support: u64::from(present),
            };
            counts.add(entry);
            of_image.add(entry);
        }
        self.unlabeled += u64::from(of_image.support == 0);
        self.exact += u64::from(of_image.hits == of_image.support && of_image.hits == of_image.predicted);
        self.average = sum_of(self.average, of_image.metrics());
    }

    /// The precision at a label's score, among the scores of its image, is that of average
    /// precision with classes in the place of images.
    fn add_ranked(&mut self, row: &[f32], labels: &MultiHot, image: usize) {
        let own = labels.labels(image).map(|class| key_of(row[class]).unwrap_or(u32::MIN)).collect();
        let mut ranked = Thresholds::new(own);
        for (class, score) in row.iter().enumerate() {
            if !labels.contains(image, class) {
                ranked.add_other(key_of(*score).unwrap_or(u32::MAX));
            }
        }
        self.coverage += ranked.descending().last().map_or(0, |lowest| lowest.hits + lowest.others);
        self.ranking_precision += ranked.average_precision().unwrap_or(1.0);
    }

    fn merge(mut self, other: ImageSums) -> ImageSums {
        for (counts, added) in self.classes.iter_mut().zip(other.classes) {
            counts.add(added);
        }
        ImageSums {
            classes: self.classes,
            unlabeled: self.unlabeled + other.unlabeled,
            exact: self.exact + other.exact,
            coverage: self.coverage + other.coverage,
            ranking_precision: self.ranking_precision + other.ranking_precision,
            average: sum_of(self.average, other.average),
        }
    }
}

fn sum_of(a: Average, b: Average) -> Average {
    Average { precision: a.precision + b.precision, recall: a.recall + b.recall, f1: a.f1 + b.f1 }
}
