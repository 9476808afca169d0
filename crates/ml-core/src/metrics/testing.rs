//! What the tests of the metrics share.

use serde::de::DeserializeOwned;

/// The cases of `reference/<name>.json`, which `reference/<name>.py` wrote.
pub(super) fn reference<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../../tests/reference/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether two figures agree to `tolerance`, absolute below 1 and relative above.
pub(super) fn close(ours: f64, theirs: f64, tolerance: f64) -> bool {
    (ours - theirs).abs() <= tolerance * theirs.abs().max(1.0)
}

/// As [`close`], where a figure may be undefined.
pub(super) fn close_option(ours: Option<f64>, theirs: Option<f64>, tolerance: f64) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => close(ours, theirs, tolerance),
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    }
}

/// Fixed numbers in `-1.0..1.0` that look random: SplitMix64 of the index.
pub(super) fn noise(index: u64) -> f32 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
}

/// Logits `[samples, num_classes]` of a mediocre classifier, and its targets.
pub(super) fn logits(samples: usize, num_classes: usize) -> (Vec<f32>, Vec<usize>) {
    let targets: Vec<usize> = (0..samples).map(|sample| sample * 7919 % num_classes).collect();
    let mut values: Vec<f32> = (0..samples * num_classes).map(|index| 3.0 * noise(index as u64)).collect();
    for (row, &target) in values.chunks_exact_mut(num_classes).zip(&targets) {
        row[target] += 2.5;
    }
    (values, targets)
}

/// The softmax of each row of `logits`.
pub(super) fn softmax(logits: &[f32], num_classes: usize) -> Vec<f32> {
    let mut values = logits.to_vec();
    for row in values.chunks_exact_mut(num_classes) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|value| *value = (*value - top).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    values
}
