//! How often which class was taken for which.

/// Counts of (true class, predicted class).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    num_classes: usize,
    /// Row by row: `counts[truth * num_classes + prediction]`.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// All counts zero.
    pub fn new(num_classes: usize) -> ConfusionMatrix {
        ConfusionMatrix { num_classes, counts: vec![0; num_classes * num_classes] }
    }

    /// Counts one sample.
    ///
    /// # Panics
    /// If a class is not in `0..num_classes`.
    pub fn add(&mut self, truth: usize, prediction: usize) {
        assert!(truth < self.num_classes && prediction < self.num_classes, "a class is in 0..num_classes");
        self.counts[truth * self.num_classes + prediction] += 1;
    }

    /// Adds `count` samples of class `truth` that were predicted as `prediction`.
    ///
    /// # Panics
    /// A class is not in `0..num_classes`.
    pub fn add_many(&mut self, truth: usize, prediction: usize, count: u64) {
        assert!(truth < self.num_classes && prediction < self.num_classes, "a class of the matrix");
        self.counts[truth * self.num_classes + prediction] += count;
    }

    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Samples of class `truth` that were predicted as `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        self.row(truth)[prediction]
    }

    /// Samples of class `truth` by predicted class, `num_classes` long.
    pub fn row(&self, truth: usize) -> &[u64] {
        &self.counts[truth * self.num_classes..][..self.num_classes]
    }

    /// Row after row: by true class, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks_exact(self.num_classes.max(1))
    }

    /// Samples of class `truth`.
    pub fn support(&self, truth: usize) -> u64 {
        self.row(truth).iter().sum()
    }

    /// Samples that were predicted as `prediction`.
    pub fn predicted(&self, prediction: usize) -> u64 {
        self.rows().map(|row| row[prediction]).sum()
    }

    /// Samples that were predicted right.
    pub fn correct(&self) -> u64 {
        (0..self.num_classes).map(|class| self.count(class, class)).sum()
    }

    /// All samples.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The pairs of different classes that were confused most often: (true, predicted, count), most
    /// first, at most `limit`.
    pub fn most_confused(&self, limit: usize) -> Vec<(usize, usize, u64)> {
        let mut pairs: Vec<_> = self
            .rows()
            .enumerate()
            .flat_map(|(truth, row)| row.iter().enumerate().map(move |(guess, &count)| (truth, guess, count)))
            .filter(|&(truth, guess, count)| truth != guess && count > 0)
            .collect();
        pairs.sort_by_key(|&(truth, guess, count)| (std::cmp::Reverse(count), truth, guess));
        pairs.truncate(limit);
        pairs
    }
}
