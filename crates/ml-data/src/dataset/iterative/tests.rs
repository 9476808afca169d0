use serde_json::Value;

use super::*;

fn random(seed: u64, images: usize, num_classes: u32) -> LabelSets {
    let mut rng = stream(seed, Purpose::Order, 0, 0);
    let mut labels = |_| -> Vec<u32> {
        (0..num_classes).filter(|class| rng.next_u64().is_multiple_of(u64::from(*class) + 3)).collect()
    };
    (0..images).map(&mut labels).collect()
}

fn count(sets: &LabelSets, parts: &[u16], part: u16, label: u32) -> usize {
    sets.iter().zip(parts).filter(|(labels, of)| **of == part && labels.contains(&label)).count()
}

#[test]
fn labels_that_no_other_label_disturbs_are_dealt_to_exact_counts() {
    // One label an image: 60 of class 0, 20 of class 1, and 20 images without a label.
    let sets: LabelSets = (0..100)
        .map(|image| match image {
            0..60 => vec![0],
            60..80 => vec![1],
            _ => vec![],
        })
        .collect();
    for seed in 0..20 {
        let parts = assign(&Images { sets: &sets, num_classes: 2, groups: &[], seed }, &[70, 15, 15]);
        let counts = |label| [0, 1, 2].map(|part| count(&sets, &parts, part, label));
        assert_eq!((counts(0), counts(1)), ([42, 9, 9], [14, 3, 3]), "seed {seed}");
        let sizes = [0, 1, 2].map(|part| parts.iter().filter(|of| **of == part).count());
        assert_eq!(sizes, [70, 15, 15]);
    }
}

#[test]
fn the_rarest_label_comes_first_and_is_in_each_part() {
    // Label 2 is on 5 of the images that label 0 is on.
    let sets: LabelSets = (0..200).map(|image| if image % 40 == 0 { vec![0, 2] } else { vec![0] }).collect();
    for seed in 0..20 {
        let parts = assign(&Images { sets: &sets, num_classes: 3, groups: &[], seed }, &[1; 5]);
        for part in 0..5 {
            assert_eq!((count(&sets, &parts, part, 2), count(&sets, &parts, part, 0)), (1, 40));
        }
    }
}

#[test]
fn groups_stay_together_and_parts_without_a_share_stay_empty() {
    for seed in 0..20 {
        let sets = random(seed, 300, 8);
        let groups: Vec<Vec<u32>> = (0..40).map(|group| (group * 5..group * 5 + 5).collect()).collect();
        let images = Images { sets: &sets, num_classes: 8, groups: &groups, seed };
        let parts = assign(&images, &[80, 20, 0]);
        assert!(parts.iter().all(|part| *part < 2));
        for group in &groups {
            assert!(group.iter().all(|image| parts[*image as usize] == parts[group[0] as usize]));
        }
        let val = parts.iter().filter(|part| **part == 1).count();
        assert!((45..=80).contains(&val), "{val} of 300 for 20 %");
        assert_eq!(assign(&images, &[80, 20, 0]), parts, "the same again");
    }
}

#[test]
fn another_seed_gives_another_division() {
    let sets = random(0, 100, 4);
    let assigned = |seed| assign(&Images { sets: &sets, num_classes: 4, groups: &[], seed }, &[1; 3]);
    assert_ne!(assigned(1), assigned(2));
}

/// As `tests/reference/iterative_stratification.py` measures it: LD and ED.
fn measure(sets: &LabelSets, num_classes: usize, parts: &[u16], shares: &[u64]) -> [f64; 2] {
    let all = sets.len() as f64;
    let totals = sets.counts(num_classes);
    let odds = |with: f64, of: f64| with / (of - with);
    let whole: u64 = shares.iter().sum();
    let (mut labels, mut examples) = (0.0, 0.0);
    for (part, share) in (0..).zip(shares) {
        let size = parts.iter().filter(|of| **of == part).count() as f64;
        for (label, total) in (0..).zip(&totals) {
            let with = count(sets, parts, part, label) as f64;
            labels += (odds(with, size) - odds(*total as f64, all)).abs();
        }
        examples += (size - all * *share as f64 / whole as f64).abs();
    }
    let parts = shares.len() as f64;
    [labels / (parts * num_classes as f64), examples / parts]
}

#[test]
fn parts_are_as_even_as_those_of_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/iterative_stratification.json");
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (mut ours, mut theirs, mut runs) = ([0.0; 2], [0.0; 3], 0.0);
    for case in reference["cases"].as_array().unwrap() {
        let labels: Vec<Vec<u32>> = serde_json::from_value(case["labels"].clone()).unwrap();
        let shares: Vec<u64> = serde_json::from_value(case["shares"].clone()).unwrap();
        let num_classes = case["classes"].as_u64().unwrap() as usize;
        let sets: LabelSets = labels.into_iter().collect();
        for (seed, measures) in (0..).zip(case["measures"].as_array().unwrap()) {
            let parts = assign(&Images { sets: &sets, num_classes, groups: &[], seed }, &shares);
            let mine = measure(&sets, num_classes, &parts, &shares);
            (0..2).for_each(|i| ours[i] += mine[i]);
            (0..3).for_each(|i| theirs[i] += measures[i].as_f64().unwrap());
            runs += 1.0;
        }
    }
    let (ours, theirs) = (ours.map(|sum| sum / runs), theirs.map(|sum| sum / runs));
    println!(
        "LD {:.5} ({:.5}, by chance {:.5}), ED {:.3} ({:.3})",
        ours[0], theirs[0], theirs[2], ours[1], theirs[1]
    );
    assert!(runs >= 30.0);
    // Both draw among equals; means over other seeds differ by as much.
    assert!(ours[0] <= 1.25 * theirs[0], "LD {} for {}", ours[0], theirs[0]);
    assert!(ours[1] <= 1.5 * theirs[1] + 0.2, "ED {} for {}", ours[1], theirs[1]);
    assert!(ours[0] < 0.5 * theirs[2], "LD {} and by chance {}", ours[0], theirs[2]);
}
