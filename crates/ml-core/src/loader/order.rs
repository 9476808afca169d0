//! Which samples an epoch shows, and in which order: a function of the index, the setting, the seed
//! and the epoch.

use ml_data::dataset::Sample;
use ml_data::rng::{self, Purpose};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How training samples are drawn. An epoch has as many as the training split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum SamplingConfig {
    /// Each image once, in random order; or fewer images several times.
    Shuffle(ShuffleConfig),
    /// Each class equally often: images of rare classes come several times an epoch, each time
    /// augmented anew.
    Balanced(BalancedConfig),
    /// Each class as often as its weight says.
    Weighted(WeightedConfig),
}

/// Settings of `shuffle`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShuffleConfig {
    /// Repeated augmentation (Hoffer et al. 2020; torchvision's `--ra-reps`): each image that an
    /// epoch shows comes this many times in a row, each time augmented anew, and an epoch shows so
    /// many times fewer images. 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub repeats: usize,
}

/// Settings of `balanced`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalancedConfig {}

/// Settings of `weighted`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedConfig {
    /// One number a class, in the order of the classes, from 0 up: its share of the samples,
    /// relative to the others.
    pub class_weights: Vec<f64>,
}

impl Default for ShuffleConfig {
    fn default() -> ShuffleConfig {
        ShuffleConfig { repeats: 1 }
    }
}

impl Default for SamplingConfig {
    fn default() -> SamplingConfig {
        SamplingConfig::Shuffle(ShuffleConfig::default())
    }
}

impl SamplingConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let bad = |key: &str, message: String| vec![(key.to_owned(), message)];
        match self {
            SamplingConfig::Shuffle(ShuffleConfig { repeats }) if !(1..=64).contains(repeats) => {
                bad("repeats", format!("must be within 1 to 64, got {repeats}"))
            }
            SamplingConfig::Weighted(WeightedConfig { class_weights }) => {
                if let Some(weight) =
                    class_weights.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0))
                {
                    bad("class_weights", format!("must be finite and not negative, got {weight}"))
                } else if class_weights.iter().sum::<f64>() <= 0.0 {
                    bad("class_weights", "at least one must be positive".to_owned())
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        }
    }

    /// How many class weights are given, if they are.
    pub fn num_class_weights(&self) -> Option<usize> {
        match self {
            SamplingConfig::Weighted(config) => Some(config.class_weights.len()),
            _ => None,
        }
    }
}

/// The order of the samples in an epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// As the index has them.
    Sequential,
    /// Drawn anew for each epoch, a function of seed and epoch.
    Drawn {
        /// How.
        sampling: SamplingConfig,
        /// Of the draws.
        seed: u64,
    },
}

impl Order {
    /// Each sample once, in random order.
    pub fn shuffled(seed: u64) -> Order {
        Order::Drawn { sampling: SamplingConfig::default(), seed }
    }

    /// The samples of `epoch`; none where they are those of the index in its order.
    pub(super) fn entries(&self, samples: &[Sample], epoch: u64) -> Option<Vec<Entry>> {
        let Order::Drawn { sampling, seed } = self else { return None };
        let mut rng = rng::stream(*seed, Purpose::Order, epoch, 0);
        let all: Vec<u32> = (0..samples.len() as u32).collect();
        Some(match sampling {
            SamplingConfig::Shuffle(ShuffleConfig { repeats }) => {
                let mut all = all;
                all.shuffle(&mut rng);
                let repeated = all.into_iter().flat_map(|index| {
                    (0..(*repeats).max(1) as u32).map(move |repeat| Entry { index, repeat })
                });
                repeated.take(samples.len()).collect()
            }
            SamplingConfig::Balanced(BalancedConfig {}) => {
                let classes = samples.iter().map(|sample| sample.class + 1).max().unwrap_or(0);
                weighted(samples, &vec![1.0; classes as usize], &mut rng)
            }
            SamplingConfig::Weighted(WeightedConfig { class_weights }) => {
                weighted(samples, class_weights, &mut rng)
            }
        })
    }
}

/// One sample of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// In the index.
    pub index: u32,
    /// How often this image has come before in the epoch: each time it is augmented anew.
    pub repeat: u32,
}

/// As many entries as samples, in random order. Each class has its share, rounded by the largest
/// remainder; its images come in rounds, each a permutation, so that none comes twice more often
/// than another.
fn weighted(samples: &[Sample], weights: &[f64], rng: &mut ChaCha8Rng) -> Vec<Entry> {
    let mut classes: Vec<Vec<u32>> = vec![Vec::new(); weights.len()];
    for (index, sample) in (0..).zip(samples) {
        if let Some(class) = classes.get_mut(sample.class as usize) {
            class.push(index);
        }
    }
    // A class without images has no share.
    let weights: Vec<f64> =
        weights.iter().zip(&classes).map(|(w, class)| if class.is_empty() { 0.0 } else { *w }).collect();
    let mut entries = Vec::with_capacity(samples.len());
    for (class, count) in classes.into_iter().zip(shares(samples.len(), &weights)) {
        let mut order = class;
        for first in 0..count {
            let (round, at) = (first / order.len(), first % order.len());
            if at == 0 {
                order.shuffle(rng);
            }
            entries.push(Entry { index: order[at], repeat: round as u32 });
        }
    }
    entries.shuffle(rng);
    entries
}

/// `total` in proportion to `weights`, as whole numbers; of equal remainders the first is rounded
/// up.
fn shares(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let quotas: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let mut counts: Vec<usize> = quotas.iter().map(|quota| *quota as usize).collect();
    let missing = total.saturating_sub(counts.iter().sum());
    let mut order: Vec<usize> = (0..weights.len()).filter(|class| weights[*class] > 0.0).collect();
    order.sort_by(|a, b| quotas[*b].fract().total_cmp(&quotas[*a].fract()));
    for class in order.into_iter().cycle().take(missing) {
        counts[class] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// 60, 30 and 10 samples of three classes.
    fn samples() -> Vec<Sample> {
        let classes = [vec![0; 60], vec![1; 30], vec![2; 10]].concat();
        classes.into_iter().map(|class| Sample { path: Path::new("x").into(), class }).collect()
    }

    fn drawn(yaml: &str, epoch: u64) -> Vec<Entry> {
        let sampling: SamplingConfig = serde_yaml::from_str(yaml).unwrap();
        assert!(sampling.problems().is_empty(), "{:?}", sampling.problems());
        Order::Drawn { sampling, seed: 3 }.entries(&samples(), epoch).unwrap()
    }

    fn by_class(entries: &[Entry]) -> [usize; 3] {
        let samples = samples();
        let mut counts = [0; 3];
        for entry in entries {
            counts[samples[entry.index as usize].class as usize] += 1;
        }
        counts
    }

    #[test]
    fn every_order_is_a_function_of_seed_and_epoch_and_numbers_the_repeats() {
        for yaml in [
            "name: shuffle",
            "{name: shuffle, repeats: 3}",
            "name: balanced",
            "{name: weighted, class_weights: [1, 0, 5.5]}",
        ] {
            let entries = drawn(yaml, 2);
            assert_eq!(entries.len(), 100);
            assert_eq!(entries, drawn(yaml, 2));
            assert_ne!(entries, drawn(yaml, 3));
            let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for entry in &entries {
                seen.entry(entry.index).or_default().push(entry.repeat);
            }
            for repeats in seen.values_mut() {
                repeats.sort_unstable();
                assert!(repeats.iter().copied().eq(0..repeats.len() as u32), "{repeats:?}");
            }
        }
    }

    #[test]
    fn shuffling_shows_each_image_once_and_repeating_shows_fewer_in_a_row() {
        let mut indices: Vec<u32> = drawn("name: shuffle", 0).iter().map(|entry| entry.index).collect();
        indices.sort_unstable();
        assert!(indices.into_iter().eq(0..100));
        let repeated = drawn("{name: shuffle, repeats: 3}", 0);
        for three in repeated.chunks_exact(3) {
            assert!(three.iter().all(|entry| entry.index == three[0].index));
        }
        assert_eq!(repeated[99].repeat, 0);
    }

    #[test]
    fn classes_have_their_shares_and_their_images_come_equally_often() {
        let entries = drawn("name: balanced", 0);
        assert_eq!(by_class(&entries), [34, 33, 33]);
        // Ten images fill 33 places: three or four times each.
        let rare = |index: u32| entries.iter().filter(|entry| entry.index == index).count();
        assert!((90..100).all(|index| (3..=4).contains(&rare(index))));
        assert_eq!(by_class(&drawn("{name: weighted, class_weights: [1, 0, 3]}", 0)), [25, 0, 75]);
        // A class without images leaves its share to the others.
        assert_eq!(by_class(&drawn("{name: weighted, class_weights: [1, 1, 0, 7]}", 0)), [50, 50, 0]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (yaml, key) in [
            ("{name: shuffle, repeats: 0}", "repeats"),
            ("{name: weighted, class_weights: [-1]}", "class_weights"),
            ("{name: weighted, class_weights: [.nan]}", "class_weights"),
            ("{name: weighted, class_weights: []}", "class_weights"),
        ] {
            let sampling: SamplingConfig = serde_yaml::from_str(yaml).unwrap();
            assert_eq!(sampling.problems()[0].0, key, "{yaml}");
        }
        assert!(serde_yaml::from_str::<SamplingConfig>("{name: balanced, repeats: 2}").is_err());
    }
}
