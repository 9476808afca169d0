//! The networks that a preset chooses from, and what is to be expected of each after a number of images.

use crate::network::Architecture;

/// A network at a size of images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub architecture: Architecture,
    /// Height and width at most, in pixels; none takes that of the images.
    pub side: Option<u32>,
    /// Accuracy in percent that it comes to, given time: of published weights on ImageNet, of others on
    /// data sets like those that it is for. Only the order and the distances count.
    pub reached: f64,
    /// Images, all epochs together, after which one point is missing; after half of them two.
    pub looks: f64,
    /// Training images that it takes to be worth it.
    pub least_images: usize,
    /// Time of a training step, relative to that of the first in its list.
    pub cost: f64,
}

const fn small(
    architecture: Architecture,
    reached: f64,
    looks: f64,
    least_images: usize,
    cost: f64,
) -> Candidate {
    Candidate { architecture, side: None, reached, looks, least_images, cost }
}

/// For images up to 64 pixels, from random weights.
pub const SMALL: [Candidate; 4] = [
    small(Architecture::TinyNet, 70.0, 1e5, 0, 1.0),
    small(Architecture::SimpleCnn, 86.0, 5e5, 5_000, 8.0),
    small(Architecture::Resnet9, 94.0, 1.2e6, 5_000, 90.0),
    small(Architecture::Resnet18Cifar, 95.5, 3e6, 20_000, 180.0),
];

const fn photo(
    architecture: Architecture,
    side: u32,
    reached: f64,
    least_images: usize,
    cost: f64,
) -> Candidate {
    Candidate { architecture, side: Some(side), reached, looks: 2e6, least_images, cost }
}

/// For photographs, from random weights.
pub const PHOTOGRAPHS: [Candidate; 4] = [
    photo(Architecture::Resnet18, 96, 60.0, 0, 1.0),
    photo(Architecture::Resnet18, 128, 65.0, 0, 1.8),
    photo(Architecture::Resnet18, 224, 69.8, 0, 5.4),
    photo(Architecture::Resnet50, 224, 76.1, 100_000, 14.0),
];

/// `reached` is the published top-1 accuracy, `cost` measured by benches/python/candidates.py.
const fn pretrained(architecture: Architecture, reached: f64, cost: f64) -> Candidate {
    Candidate { architecture, side: Some(224), reached, looks: 6e4, least_images: 0, cost }
}

/// For photographs, from published weights; no network here is both slower and less accurate than another.
pub const PRETRAINED: [Candidate; 7] = [
    pretrained(Architecture::MobilenetV3Small, 67.668, 1.0),
    pretrained(Architecture::MobilenetV3Large, 75.274, 2.6),
    pretrained(Architecture::RegnetY400Mf, 75.804, 2.9),
    pretrained(Architecture::EfficientnetB0, 77.692, 5.5),
    pretrained(Architecture::RegnetY1_6Gf, 80.876, 7.8),
    pretrained(Architecture::RegnetY3_2Gf, 81.982, 12.1),
    pretrained(Architecture::ConvnextTiny, 82.52, 16.1),
];

impl Candidate {
    /// The expected accuracy after so many images, in points; may be below 0.
    pub fn expected(&self, looks: f64) -> f64 {
        self.reached - self.looks / looks.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Published;

    #[test]
    fn pretrained_candidates_have_the_published_accuracy_and_none_is_dominated() {
        for candidate in PRETRAINED {
            let mut published = Published::of(candidate.architecture.name());
            let acc1 = published.find(|published| published.is_default).and_then(|published| published.acc1);
            assert_eq!(acc1, Some(candidate.reached), "{}", candidate.architecture.name());
        }
        for list in [&SMALL[..], &PHOTOGRAPHS, &PRETRAINED] {
            let rises =
                |one: &Candidate, next: &Candidate| one.cost < next.cost && one.reached < next.reached;
            assert!(list.windows(2).all(|pair| rises(&pair[0], &pair[1])));
            assert_eq!((list[0].cost, list[0].least_images), (1.0, 0));
        }
    }

    /// Accuracy of ImageNet alone would take the last one always.
    #[test]
    fn the_slower_network_is_expected_to_be_better_only_after_more_images() {
        let best = |images_per_second: f64, seconds: f64| {
            let expected =
                |candidate: &Candidate| candidate.expected(images_per_second / candidate.cost * seconds);
            let best = PRETRAINED.iter().max_by(|a, b| expected(a).total_cmp(&expected(b)));
            best.unwrap().architecture
        };
        assert_eq!(best(40.0, 300.0), Architecture::MobilenetV3Small);
        assert_eq!(best(100.0, 1200.0), Architecture::RegnetY1_6Gf);
        assert_eq!(best(3000.0, 3600.0), Architecture::ConvnextTiny);
    }
}
