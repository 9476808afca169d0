//! The labels of each image, as bits.

use thiserror::Error;

/// Bits of a word.
const WORD: usize = u64::BITS as usize;

/// Label sets that are no matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// `num_classes` is 0.
    #[error("a matrix of labels has at least one class")]
    NoClasses,
    /// A label is no class.
    #[error("image {image} has the label {label}, but there are {num_classes} classes, numbered from 0")]
    UnknownClass {
        /// Number of the image, from 0.
        image: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        num_classes: usize,
    },
}

/// A multi-hot matrix `[N, K]`: which of the K classes are labels of each of N images. An image may
/// have no label. One bit an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiHot {
    /// `[N, words]`: class k is bit `k % 64` of word `k / 64` of its row.
    bits: Vec<u64>,
    num_classes: usize,
}

impl MultiHot {
    /// Of the class numbers of each image, in any order; a repeated one counts once.
    ///
    /// # Errors
    /// `num_classes` is 0, or a label is not in `0..num_classes`.
    pub fn from_sets<S: AsRef<[u32]>>(
        num_classes: usize,
        sets: impl IntoIterator<Item = S>,
    ) -> Result<MultiHot, LabelError> {
        if num_classes == 0 {
            return Err(LabelError::NoClasses);
        }
        let words = num_classes.div_ceil(WORD);
        let mut bits = Vec::new();
        for (image, set) in sets.into_iter().enumerate() {
            let start = bits.len();
            bits.resize(start + words, 0);
            for &label in set.as_ref() {
                let class = label as usize;
                if class >= num_classes {
                    return Err(LabelError::UnknownClass { image, label, num_classes });
                }
                bits[start + class / WORD] |= 1u64 << (class % WORD);
            }
        }
        Ok(MultiHot { bits, num_classes })
    }

    /// Number of images, N.
    pub fn len(&self) -> usize {
        self.bits.len() / self.words()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Number of classes, K, at least 1.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Whether `class` is a label of `image`.
    ///
    /// # Panics
    /// If `image` is not in `0..len()` or `class` not in `0..num_classes()`.
    pub fn contains(&self, image: usize, class: usize) -> bool {
        assert!(class < self.num_classes, "a class is in 0..num_classes");
        let word = self.bits[image * self.words() + class / WORD];
        (word >> (class % WORD)) & 1 == 1
    }

    /// The labels of `image`, ascending.
    ///
    /// # Panics
    /// If `image` is not in `0..len()`.
    pub fn labels(&self, image: usize) -> impl Iterator<Item = usize> {
        let words = self.words();
        self.bits[image * words..][..words].iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                Some(index * WORD + bit)
            })
        })
    }

    /// Number of labels of all images together.
    pub fn count(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn words(&self) -> usize {
        self.num_classes.div_ceil(WORD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_in_order_and_once() {
        let sets = [vec![129u32, 0, 64, 0], vec![], vec![63, 65]];
        let labels = MultiHot::from_sets(130, &sets).unwrap();
        assert_eq!((labels.len(), labels.num_classes(), labels.count()), (3, 130, 5));
        assert_eq!(labels.labels(0).collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!(labels.labels(1).count(), 0);
        assert_eq!(labels.labels(2).collect::<Vec<_>>(), [63, 65]);
        assert!(labels.contains(2, 63) && !labels.contains(2, 64) && !labels.contains(1, 0));
    }

    #[test]
    fn a_label_that_is_no_class_is_an_error() {
        let unknown = LabelError::UnknownClass { image: 1, label: 3, num_classes: 3 };
        assert_eq!(MultiHot::from_sets(3, [vec![2u32], vec![0, 3]]).unwrap_err(), unknown);
        let message = "image 1 has the label 3, but there are 3 classes, numbered from 0";
        assert_eq!(unknown.to_string(), message);
        assert_eq!(MultiHot::from_sets(0, [[0u32]]).unwrap_err(), LabelError::NoClasses);
        assert!(MultiHot::from_sets(3, Vec::<Vec<u32>>::new()).unwrap().is_empty());
    }
}
