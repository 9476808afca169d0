use super::*;

/// Class sizes of all kinds: tiny, equal, uneven, many.
fn class_sizes() -> Vec<Vec<usize>> {
    let uneven = |count: usize, seed: u64| {
        let mut rng = stream(seed, Purpose::Order, 0, 0);
        (0..count).map(|_| 1 + (rng.next_u64() % 97) as usize).collect::<Vec<_>>()
    };
    vec![
        vec![1],
        vec![2, 1, 3],
        vec![10; 300],
        vec![3; 50],
        vec![178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
        vec![1000, 1, 1, 1],
        uneven(7, 1),
        uneven(100, 2),
        uneven(1000, 3),
    ]
}

fn ratios() -> Vec<Ratio> {
    [
        &[0.7, 0.15, 0.15][..],
        &[0.8, 0.2],
        &[0.34, 0.33, 0.33],
        &[0.98, 0.01, 0.01],
        &[80.0, 10.0, 10.0],
        &[0.05, 0.05, 0.9],
    ]
    .map(|shares| Ratio::new(shares).unwrap())
    .to_vec()
}

fn count(parts: &[u16], part: u16) -> usize {
    parts.iter().filter(|p| **p == part).count()
}

#[test]
fn every_image_is_in_one_split_and_every_class_in_every_split_it_can_reach() {
    let mut checked = 0;
    for sizes in class_sizes() {
        for ratio in ratios() {
            let splits = ratio.weights.iter().filter(|weight| **weight > 0).count();
            let parts = divide(&sizes, &Division::Ratio(ratio), 7).unwrap();
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            for (parts, &size) in parts.iter().zip(&sizes) {
                let counts = [TRAIN, VAL, TEST].map(|part| count(parts, part));
                assert_eq!(counts.iter().sum::<usize>(), size);
                assert!(counts[0] >= 1, "training never goes without: {counts:?} of {size}");
                for part in 0..3 {
                    if ratio.weights[part] == 0 {
                        assert_eq!(counts[part], 0);
                    } else if size >= splits {
                        assert!(counts[part] >= 1, "{counts:?} of {size} for {ratio:?}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 10_000);
}

#[test]
fn counts_are_their_quotas_rounded_down_or_up_in_each_class_and_in_total() {
    for sizes in class_sizes() {
        for ratio in ratios() {
            let minima = ratio.weights.map(|weight| u64::from(weight > 0));
            let sizes: Vec<_> = sizes.iter().map(|size| *size as u64).filter(|size| *size >= 3).collect();
            let quotas: Vec<_> =
                sizes.iter().map(|size| quotas(*size, ratio.weights, minima).unwrap()).collect();
            let counts = round(&quotas);
            let close = |count: u64, quota: u64| (count * ONE).abs_diff(quota) < ONE;
            for ((quota, count), size) in quotas.iter().zip(&counts).zip(&sizes) {
                assert_eq!(quota.iter().sum::<u64>(), size * ONE);
                assert_eq!(count.iter().sum::<u64>(), *size);
                for part in 0..3 {
                    assert!(close(count[part], quota[part]), "{count:?} for {quota:?}");
                    let proportional = size * ratio.weights[part];
                    if ratio.weights.iter().all(|weight| *weight == 0 || size * weight >= ONE) {
                        assert_eq!(quota[part], proportional, "large classes are in exact proportion");
                    }
                }
            }
            for part in 0..3 {
                let sum = |table: &[[u64; 3]]| table.iter().map(|row| row[part]).sum::<u64>();
                assert!(close(sum(&counts), sum(&quotas)), "totals of part {part} for {ratio:?}");
            }
        }
    }
}

#[test]
fn ties_do_not_pile_up_in_one_split() {
    // Each class's quotas are 7, 1.5, 1.5; rounding each for itself would give every class 7, 2, 1.
    let parts = divide(&[10; 300], &Division::Ratio(ratios()[0]), 0).unwrap();
    let total = |part| parts.iter().map(|parts| count(parts, part)).sum::<usize>();
    assert_eq!([TRAIN, VAL, TEST].map(total), [2100, 450, 450]);
}

#[test]
fn the_largest_remainder_decides_where_a_class_stands_alone() {
    // 182 · (0.7, 0.15, 0.15) = 127.4, 27.3, 27.3
    assert_eq!(largest_remainder(&[127_400_000_000, 27_300_000_000, 27_300_000_000]), [128, 27, 27]);
    assert_eq!(largest_remainder(&[7_000_000_000, 1_500_000_000, 1_500_000_000]), [7, 2, 1]);
}

#[test]
fn moving_by_way_of_a_third_part_levels_the_totals() {
    // Part 0 is one too many and part 2 one short, but no class can move an image from 0 to 2.
    let half = ONE / 2;
    let quotas = [[half, half, 0], [0, half, half]];
    let mut counts = [[1, 0, 0], [0, 1, 0]];
    Leveller::new(&quotas, &mut counts).level(&[0, 1, 1]);
    assert_eq!(counts, [[0, 1, 0], [0, 0, 1]]);
}

#[test]
fn folds_share_each_class_evenly_and_validate_each_image_once() {
    for sizes in class_sizes() {
        for (folds, test_ratio) in [(2, 0.0), (5, 0.15), (10, 0.2), (3, 0.5)] {
            let division = Division::Folds { folds, test_ratio };
            let parts = divide(&sizes, &division, 3).unwrap();
            let mut totals = vec![0; folds as usize];
            for (parts, &size) in parts.iter().zip(&sizes) {
                assert_eq!(parts.len(), size);
                assert!(parts.iter().all(|part| u32::from(*part) <= folds));
                let test = count(parts, folds as u16);
                assert!(test_ratio > 0.0 || test == 0);
                let counts: Vec<_> = (0..folds as u16).map(|fold| count(parts, fold)).collect();
                for (total, count) in totals.iter_mut().zip(&counts) {
                    *total += count;
                }
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{counts:?}");
                if size > folds as usize {
                    assert!(*least >= 1 && (test_ratio == 0.0 || test >= 1), "{test}, {counts:?} of {size}");
                }
            }
            assert!(totals.iter().max().unwrap() - totals.iter().min().unwrap() <= 1, "{totals:?}");
        }
    }
}

#[test]
fn the_test_split_is_the_same_with_and_without_folds() {
    let sizes = [100, 40];
    let by_ratio = divide(&sizes, &Division::Ratio(Ratio::new(&[0.6, 0.2, 0.2]).unwrap()), 5).unwrap();
    let by_folds = divide(&sizes, &Division::Folds { folds: 4, test_ratio: 0.2 }, 5).unwrap();
    for (a, b) in by_ratio.iter().zip(&by_folds) {
        let test = |parts: &[u16], test| (0..parts.len()).filter(|i| parts[*i] == test).collect::<Vec<_>>();
        assert_eq!(test(a, TEST), test(b, 4));
        assert!(!test(a, TEST).is_empty());
    }
}

#[test]
fn seeds_and_classes_draw_from_streams_of_their_own() {
    let divide = |seed| divide(&[50, 50], &Division::Ratio(ratios()[0]), seed).unwrap();
    assert_eq!(divide(1), divide(1));
    assert_ne!(divide(1), divide(2));
    assert_ne!(divide(1)[0], divide(1)[1]);
}

/// Pinned: users rely on the same splits from the next version.
#[test]
fn the_division_of_seed_42_never_changes() {
    let parts = divide(&[12, 7], &Division::Ratio(ratios()[0]), 42).unwrap();
    assert_eq!(parts, GOLDEN_RATIO);
    let parts = divide(&[7, 8], &Division::Folds { folds: 3, test_ratio: 0.2 }, 42).unwrap();
    assert_eq!(parts, GOLDEN_FOLDS);
}

const GOLDEN_RATIO: [&[u16]; 2] = [&[0, 0, 1, 2, 0, 1, 0, 0, 0, 2, 0, 0], &[2, 1, 0, 0, 0, 0, 0]];
const GOLDEN_FOLDS: [&[u16]; 2] = [&[1, 0, 0, 2, 1, 3, 2], &[3, 0, 3, 1, 0, 1, 2, 2]];

#[test]
fn shuffles_are_permutations_and_uniform() {
    let mut places = [[0u32; 4]; 4];
    for seed in 0..4000 {
        let order = shuffled(4, seed, 0);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
        for (place, item) in order.into_iter().enumerate() {
            places[place][item] += 1;
        }
    }
    // 1000 expected, standard deviation 27: five of them.
    for count in places.into_iter().flatten() {
        assert!((863..=1137).contains(&count), "{places:?}");
    }
}

#[test]
fn shares_that_make_no_sense_are_refused_with_what_was_given() {
    for (shares, part) in [
        (&[0.5, 0.2, 0.2][..], "0.9"),
        (&[1.0][..], "two or three"),
        (&[][..], "two or three"),
        (&[0.5, -0.1, 0.6][..], "negative"),
        (&[f64::NAN, 0.5, 0.5][..], "finite"),
        (&[0.0, 0.5, 0.5][..], "training share"),
        (&[0.8, 0.0, 0.2][..], "validation share"),
        (&[7.0, 2.0, 1.0][..], "sum to 1"),
    ] {
        let message = Ratio::new(shares).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("for example"), "{message}");
    }
    assert_eq!(Ratio::new(&[70.0, 15.0, 15.0]).unwrap(), Ratio::new(&[0.7, 0.15, 0.15]).unwrap());
    assert_eq!(
        Ratio::new(&[0.333_333_3, 0.333_333_3, 0.333_333_4]).unwrap().weights.iter().sum::<u64>(),
        ONE
    );
}

#[test]
fn folds_that_make_no_sense_are_refused() {
    let refused =
        |folds, test_ratio| divide(&[9], &Division::Folds { folds, test_ratio }, 0).unwrap_err().to_string();
    for folds in [0, 1, 1001] {
        assert!(refused(folds, 0.1).contains("2 to 1000"));
    }
    for test_ratio in [-0.1, 1.0, f64::NAN] {
        assert!(refused(5, test_ratio).contains("--test_ratio"));
    }
}
