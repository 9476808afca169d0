//! The policies' tables are torchvision's, and they are drawn from as torchvision documents it.

use std::collections::BTreeMap;

use super::*;
use crate::transform::policy::{
    AugMix, AutoAugment, Operation, PolicyName, RandAugment, Space, Step, SubPolicy,
};

fn operation(name: &str) -> Operation {
    serde_json::from_value(name.into()).unwrap()
}

#[test]
fn magnitudes_and_signs_are_torchvisions() {
    for case in reference("policies")["spaces"].as_array().unwrap() {
        let space = match case["policy"].as_str().unwrap() {
            "auto_augment" | "rand_augment" => Space::Standard,
            "augmix" => Space::AugMix,
            _ => Space::Wide,
        };
        let (of, bins) = (size(&case["size"]), case["bins"].as_u64().unwrap() as u32);
        let table = case["table"].as_object().unwrap();
        assert!(table.len() >= 13);
        for (name, entry) in table {
            let operation = operation(name);
            assert_eq!(Some(operation.is_signed()), entry[1].as_bool(), "{name}");
            let expected = entry[0].as_array().unwrap();
            assert_eq!(operation.has_magnitude(), expected.len() > 1, "{name}");
            for (index, expected) in expected.iter().enumerate() {
                let found = space.magnitude(operation, index as u32, bins, of);
                let expected = expected.as_f64().unwrap();
                // As f32, which they are; the JSON reader is off by one unit of an f64.
                assert_eq!(found as f32, expected as f32, "{case}: {name} {index}");
            }
        }
    }
}

#[test]
fn auto_augments_tables_are_torchvisions() {
    for policy in [PolicyName::Imagenet, PolicyName::Cifar10, PolicyName::Svhn] {
        let name = serde_json::to_value(policy).unwrap();
        let expected: Vec<SubPolicy> =
            serde_json::from_value(reference("policies")["policies"][name.as_str().unwrap()].clone())
                .unwrap();
        assert_eq!(expected, policy.table());
    }
}

/// How often each outcome comes in `count` draws lies within five standard deviations of a share of
/// `p`.
fn assert_shares<K: Ord + std::fmt::Debug>(found: &BTreeMap<K, usize>, outcomes: usize, count: usize) {
    let p = 1.0 / outcomes as f64;
    let allowed = 5.0 * (count as f64 * p * (1.0 - p)).sqrt();
    assert_eq!(found.len(), outcomes, "{found:?}");
    for (key, times) in found {
        assert!((*times as f64 - count as f64 * p).abs() < allowed, "{key:?}: {times} of {count}");
    }
}

#[test]
fn rand_augment_draws_operations_and_signs_uniformly() {
    let policy = RandAugment { num_ops: 3, magnitude: 12, ..RandAugment::default() };
    let of = Size { height: 60, width: 90 };
    let (mut operations, mut signs) = (BTreeMap::new(), BTreeMap::new());
    for sample in 0..5000 {
        let steps = policy.draw(&mut rng(sample), of);
        assert_eq!(steps.len(), 3);
        for Step { operation, magnitude } in steps {
            *operations.entry(format!("{operation:?}")).or_insert(0) += 1;
            assert_eq!(magnitude.abs(), Space::Standard.magnitude(operation, 12, 31, of));
            if operation.is_signed() {
                *signs.entry(magnitude < 0.0).or_insert(0) += 1;
            }
        }
    }
    assert_shares(&operations, 14, 15_000);
    let signed = signs.values().sum();
    assert_shares(&signs, 2, signed);
}

#[test]
fn trivial_augment_draws_operations_and_strengths_uniformly() {
    let policy = policy::TrivialAugmentWide::default();
    let (mut operations, mut strengths) = (BTreeMap::new(), BTreeMap::new());
    for sample in 0..20_000 {
        let Step { operation, magnitude } = policy.draw(&mut rng(sample));
        *operations.entry(format!("{operation:?}")).or_insert(0) += 1;
        if operation == Operation::Rotate {
            *strengths.entry((magnitude.abs() / 4.5).round() as u32).or_insert(0) += 1;
        }
    }
    assert_shares(&operations, 14, 20_000);
    let rotations = strengths.values().sum();
    assert_shares(&strengths, 31, rotations);
}

#[test]
fn auto_augment_makes_each_operation_of_a_pair_with_its_probability() {
    let policy = AutoAugment::default();
    let of = Size { height: 32, width: 32 };
    let count = 20_000;
    let mut steps = 0;
    for sample in 0..count {
        steps += policy.draw(&mut rng(sample), of).len();
    }
    let expected: f64 = PolicyName::Imagenet.table().iter().flatten().map(|(_, p, _)| p / 25.0).sum();
    let mean = steps as f64 / count as f64;
    // A sum of two coins has a standard deviation of at most 0.71.
    assert!((mean - expected).abs() < 5.0 * 0.71 / (count as f64).sqrt(), "{mean}, {expected}");
}

#[test]
fn augmix_draws_chains_and_weights_as_documented() {
    let of = Size { height: 32, width: 32 };
    let policy = AugMix { all_ops: false, ..AugMix::default() };
    let (mut depths, mut operations, mut originals) = (BTreeMap::new(), BTreeMap::new(), 0.0);
    let count = 5000;
    for sample in 0..count {
        let mixture = policy.draw(&mut rng(sample), of);
        assert_eq!(mixture.chains.len(), 3);
        let sum: f32 = mixture.original + mixture.chains.iter().map(|(weight, _)| weight).sum::<f32>();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        originals += f64::from(mixture.original);
        for (_, chain) in mixture.chains {
            *depths.entry(chain.len()).or_insert(0) += 1;
            for Step { operation, magnitude } in chain {
                *operations.entry(format!("{operation:?}")).or_insert(0) += 1;
                let strongest = Space::AugMix.magnitude(operation, 2, 10, of);
                assert!(
                    operation == Operation::Solarize
                        || operation == Operation::Posterize
                        || magnitude.abs() <= strongest,
                    "{operation:?} {magnitude}"
                );
            }
        }
    }
    assert_shares(&depths, 3, 3 * count as usize);
    let total = operations.values().sum();
    assert_shares(&operations, 9, total);
    // Uniform for alpha = 1: a standard deviation of 0.29.
    assert!((originals / count as f64 - 0.5).abs() < 5.0 * 0.29 / (count as f64).sqrt(), "{originals}");
    let fixed = AugMix { chain_depth: 5, mixture_width: 2, ..AugMix::default() }.draw(&mut rng(0), of);
    assert!(fixed.chains.len() == 2 && fixed.chains.iter().all(|(_, chain)| chain.len() == 5));
}
