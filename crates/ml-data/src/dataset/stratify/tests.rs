use serde_json::Value;

use super::*;
use crate::dataset::divide::{Division, Ratio, VAL, divide};

/// Classes, their images, and sets of at least two of them, as a patient's images in one class or
/// several.
fn random(seed: u64) -> (Vec<usize>, Vec<Vec<u32>>) {
    let mut rng = stream(seed, Purpose::Order, 0, 0);
    let mut below = |n: u64| rng.next_u64() % n;
    let classes = 1 + below(6) as usize;
    let sizes: Vec<usize> = (0..classes).map(|_| 30 + below(200) as usize).collect();
    let offset: Vec<usize> = (0..classes).map(|class| sizes[..class].iter().sum()).collect();
    let mut next = vec![0; classes];
    let mut groups = Vec::new();
    for _ in 0..40 {
        let spans = if below(3) == 0 { classes } else { 1 };
        let first = below(classes as u64) as usize;
        let mut group = Vec::new();
        for class in (first..first + spans).map(|class| class % classes) {
            for _ in 0..=below(9) {
                if next[class] < sizes[class] {
                    group.push((offset[class] + next[class]) as u32);
                    next[class] += 1;
                }
            }
        }
        group.sort_unstable();
        if group.len() > 1 {
            groups.push(group);
        }
    }
    (sizes, groups)
}

fn targets(sizes: &[usize], division: &Division, parts: usize) -> Vec<Vec<u32>> {
    let alone = divide(sizes, division, 0).unwrap();
    let count = |of: &[u16], part: usize| of.iter().filter(|p| usize::from(**p) == part).count() as u32;
    alone.iter().map(|of| (0..parts).map(|part| count(of, part)).collect()).collect()
}

fn divisions() -> [(Division, usize, usize); 4] {
    let ratio = |shares: &[f64]| Division::Ratio(Ratio::new(shares).unwrap());
    [
        (ratio(&[0.7, 0.15, 0.15]), 3, 0),
        (ratio(&[0.8, 0.2]), 3, 0),
        (Division::Folds { folds: 5, test_ratio: 0.2 }, 6, 5),
        (Division::Folds { folds: 3, test_ratio: 0.0 }, 4, 3),
    ]
}

#[test]
fn no_group_is_divided_and_counts_are_close_for_any_seed() {
    let (mut sum, mut number) = (0.0, 0.0);
    for seed in 0..60 {
        let (sizes, groups) = random(seed);
        for (division, parts, folds) in divisions() {
            let targets = targets(&sizes, &division, parts);
            let task = Task { sizes: &sizes, targets: &targets, groups: &groups, folds, seed };
            let assigned = assign(&task);
            assert_eq!(assigned.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let flat: Vec<u16> = assigned.iter().flatten().copied().collect();
            for group in &groups {
                assert!(group.iter().all(|i| flat[*i as usize] == flat[group[0] as usize]), "{group:?}");
            }
            for (class, row) in targets.iter().enumerate() {
                for (part, target) in row.iter().enumerate() {
                    let count = assigned[class].iter().filter(|p| usize::from(**p) == part).count() as f64;
                    let off = (count - f64::from(*target)).abs();
                    assert!(*target > 0 || count == 0.0, "a part without a share stays empty");
                    assert!(off <= 9.0, "class {class} part {part}: {count} for {target}, seed {seed}");
                    sum += off / sizes[class] as f64;
                    number += 1.0;
                }
            }
            assert_eq!(assign(&task), assigned, "the same again");
        }
    }
    assert!(sum / number < 0.005, "{}", sum / number);
}

#[test]
fn counts_are_exact_where_images_that_stand_alone_can_make_them_so() {
    // 20 pairs among 200 images.
    let groups: Vec<Vec<u32>> = (0..20).map(|i| vec![2 * i, 2 * i + 1]).collect();
    for (division, parts, folds) in divisions() {
        let targets = targets(&[100, 100], &division, parts);
        let task = Task { sizes: &[100, 100], targets: &targets, groups: &groups, folds, seed: 1 };
        for (of, target) in assign(&task).iter().zip(&targets) {
            let count = |p: usize| of.iter().filter(|q| usize::from(**q) == p).count() as u32;
            assert_eq!((0..parts).map(count).collect::<Vec<_>>(), *target);
        }
    }
}

#[test]
fn another_seed_gives_another_division() {
    let (sizes, groups) = random(3);
    let (division, parts, folds) = divisions()[0];
    let targets = targets(&sizes, &division, parts);
    let assigned = |seed| assign(&Task { sizes: &sizes, targets: &targets, groups: &groups, folds, seed });
    assert_ne!(assigned(1), assigned(2));
}

#[test]
fn a_class_of_two_groups_is_trained_on_and_validated() {
    // Class 1 is in two groups that class 0 dominates; both would be drawn away from training by
    // it.
    let sizes = [40, 2];
    let groups = [(0..5).chain([40]).collect::<Vec<u32>>(), (5..10).chain([41]).collect()];
    for seed in 0..20 {
        let division = Division::Ratio(Ratio::new(&[0.1, 0.45, 0.45]).unwrap());
        let targets = targets(&sizes, &division, 3);
        let parts = assign(&Task { sizes: &sizes, targets: &targets, groups: &groups, folds: 0, seed });
        assert!(parts[1].contains(&TRAIN) && parts[0].contains(&TRAIN) && parts[0].contains(&VAL));
        let division = Division::Folds { folds: 2, test_ratio: 0.5 };
        let targets = super::tests::targets(&sizes, &division, 3);
        let parts = assign(&Task { sizes: &sizes, targets: &targets, groups: &groups, folds: 2, seed });
        assert_eq!(parts[1].iter().collect::<std::collections::BTreeSet<_>>(), [&0, &1].into());
    }
}

/// As `tests/reference/group_folds.py` measures it.
fn measure(counts: &[Vec<f64>]) -> [f64; 2] {
    let deviation = |of: Vec<f64>| {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        (of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / of.len() as f64).sqrt()
    };
    let classes = counts[0].len();
    let column = |class: usize| counts.iter().map(|fold| fold[class]).collect::<Vec<f64>>();
    let share = |class| {
        let of = column(class);
        let sum: f64 = of.iter().sum();
        deviation(of.into_iter().map(|n| n / sum).collect())
    };
    let sizes: Vec<f64> = counts.iter().map(|fold| fold.iter().sum()).collect();
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    [(0..classes).map(share).sum::<f64>() / classes as f64, deviation(sizes) / mean]
}

#[test]
fn folds_are_at_least_as_even_as_those_of_scikit_learn() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/group_folds.json");
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() >= 20);
    let (mut theirs, mut ours, mut runs) = ([0.0; 2], [0.0; 2], 0.0);
    for case in cases {
        let folds = case["folds"].as_u64().unwrap() as usize;
        let table: Vec<Vec<usize>> = serde_json::from_value(case["groups"].clone()).unwrap();
        let classes = table[0].len();
        let sizes: Vec<usize> = (0..classes).map(|class| table.iter().map(|row| row[class]).sum()).collect();
        let mut next: Vec<usize> = (0..classes).map(|class| sizes[..class].iter().sum()).collect();
        let mut groups = Vec::new();
        for row in &table {
            let mut group = Vec::new();
            for class in 0..classes {
                group.extend(next[class] as u32..(next[class] + row[class]) as u32);
                next[class] += row[class];
            }
            groups.push(group);
        }
        let division = Division::Folds { folds: folds as u32, test_ratio: 0.0 };
        let targets = targets(&sizes, &division, folds + 1);
        for (seed, measures) in (0..).zip(case["measures"].as_array().unwrap()) {
            let parts = assign(&Task { sizes: &sizes, targets: &targets, groups: &groups, folds, seed });
            let count = |fold: usize| {
                let of = |of: &Vec<u16>| of.iter().filter(|p| usize::from(**p) == fold).count() as f64;
                parts.iter().map(of).collect()
            };
            let mine = measure(&(0..folds).map(count).collect::<Vec<_>>());
            for i in 0..2 {
                ours[i] += mine[i];
                theirs[i] += measures[i].as_f64().unwrap();
            }
            runs += 1.0;
        }
    }
    let [ours, theirs] = [ours, theirs].map(|sum| sum.map(|sum| sum / runs));
    println!(
        "classes' shares {:.5} (scikit-learn {:.5}), sizes {:.4} ({:.4})",
        ours[0], theirs[0], ours[1], theirs[1]
    );
    assert!(ours[0] <= theirs[0] && ours[1] <= theirs[1], "{ours:?} {theirs:?}");
}
