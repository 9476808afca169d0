//! How many labels an image has ([`Task`]), and the labels of images that may have several
//! ([`LabelSets`]).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many labels an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One.
    #[default]
    SingleLabel,
    /// Any number, or none.
    MultiLabel,
}

impl Task {
    /// `single_label`, `multi_label`.
    pub fn name(self) -> &'static str {
        match self {
            Task::SingleLabel => "single_label",
            Task::MultiLabel => "multi_label",
        }
    }

    /// What a manifest does not say.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_single_label(&self) -> bool {
        *self == Task::SingleLabel
    }
}

/// The labels of each sample, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSets {
    /// `[N + 1]`: where a sample's labels begin, and the end of the last.
    offsets: Vec<usize>,
    /// Class numbers, ascending within a sample.
    classes: Vec<u32>,
}

impl Default for LabelSets {
    fn default() -> LabelSets {
        LabelSets { offsets: vec![0], classes: Vec::new() }
    }
}

impl LabelSets {
    /// Adds a sample with these labels, in any order; one that is there twice counts once.
    pub fn push(&mut self, labels: &[u32]) {
        let start = self.classes.len();
        self.classes.extend_from_slice(labels);
        self.classes[start..].sort_unstable();
        let mut kept = start;
        for at in start..self.classes.len() {
            if kept == start || self.classes[kept - 1] != self.classes[at] {
                self.classes[kept] = self.classes[at];
                kept += 1;
            }
        }
        self.classes.truncate(kept);
        self.offsets.push(kept);
    }

    /// The labels of a sample, ascending; empty if it has none.
    pub fn of(&self, sample: usize) -> &[u32] {
        &self.classes[self.offsets[sample]..self.offsets[sample + 1]]
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels of each sample, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.offsets.windows(2).map(|range| &self.classes[range[0]..range[1]])
    }

    /// Number of labels of all samples.
    pub fn num_labels(&self) -> usize {
        self.classes.len()
    }

    /// Number of samples without a label.
    pub fn num_empty(&self) -> usize {
        self.offsets.windows(2).filter(|range| range[0] == range[1]).count()
    }

    /// Number of samples with each of `num_classes` labels.
    pub fn counts(&self, num_classes: usize) -> Vec<usize> {
        let mut counts = vec![0; num_classes];
        self.classes.iter().for_each(|class| counts[*class as usize] += 1);
        counts
    }

    /// Those of the chosen samples, in that order.
    #[must_use]
    pub fn select(&self, samples: impl IntoIterator<Item = usize>) -> LabelSets {
        samples.into_iter().map(|sample| self.of(sample)).collect()
    }
}

impl<S: AsRef<[u32]>> FromIterator<S> for LabelSets {
    fn from_iter<I: IntoIterator<Item = S>>(samples: I) -> LabelSets {
        let mut sets = LabelSets::default();
        samples.into_iter().for_each(|labels| sets.push(labels.as_ref()));
        sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_counted_once_and_a_sample_may_have_none() {
        let sets: LabelSets = [vec![3, 1, 3], vec![], vec![0]].into_iter().collect();
        assert_eq!(sets.iter().collect::<Vec<_>>(), [&[1, 3][..], &[], &[0]]);
        assert_eq!((sets.len(), sets.num_labels(), sets.num_empty()), (3, 3, 1));
        assert_eq!(sets.counts(5), [1, 1, 0, 1, 0]);
        let chosen = sets.select([2, 0]);
        assert_eq!((chosen.of(0), chosen.of(1), chosen.len()), (&[0][..], &[1, 3][..], 2));
        assert!(LabelSets::default().is_empty());
    }
}
