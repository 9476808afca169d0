//! The random parameters of one sample's transforms, drawn as torchvision documents them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::color::Change;
use super::config::{ColorJitter, RandomCrop, RandomResizedCrop, Size};
use super::ops::Area;

/// Tries before [`random_resized_crop`] falls back on a centred crop.
const TRIES: u32 = 10;

/// An area of a picture of size `of`: a share of its area uniform in `scale`, an aspect ratio log-uniform in
/// `ratio`, a uniform place. After ten misfits, the largest centred area whose ratio is within `ratio`.
pub fn random_resized_crop(rng: &mut ChaCha8Rng, of: Size, crop: &RandomResizedCrop) -> Area {
    let area = f64::from(of.height) * f64::from(of.width);
    let log_ratio = crop.ratio.map(f64::ln);
    for _ in 0..TRIES {
        let target = area * uniform(rng, crop.scale);
        let ratio = uniform(rng, log_ratio).exp();
        let width = (target * ratio).sqrt().round_ties_even() as u32;
        let height = (target / ratio).sqrt().round_ties_even() as u32;
        if (1..=of.width).contains(&width) && (1..=of.height).contains(&height) {
            let top = rng.random_range(0..=of.height - height);
            let left = rng.random_range(0..=of.width - width);
            return Area { top, left, size: Size { height, width } };
        }
    }
    let size = largest_within(of, crop.ratio);
    Area { top: (of.height - size.height) / 2, left: (of.width - size.width) / 2, size }
}

/// The largest size within `of` whose aspect ratio lies in `[least, most]`.
fn largest_within(of: Size, [least, most]: [f64; 2]) -> Size {
    let own = f64::from(of.width) / f64::from(of.height);
    let rounded = |length: f64, limit: u32| (length.round_ties_even() as u32).clamp(1, limit);
    if own < least {
        Size { height: rounded(f64::from(of.width) / least, of.height), width: of.width }
    } else if own > most {
        Size { height: of.height, width: rounded(f64::from(of.height) * most, of.width) }
    } else {
        of
    }
}

/// Where a crop of a picture of size `of` starts, relative to the unpadded picture: `(top, left)`, uniform
/// over the places that the padding allows. A side that is too short even so is padded on both ends by what
/// is missing.
pub fn random_crop(rng: &mut ChaCha8Rng, of: Size, crop: &RandomCrop) -> (i64, i64) {
    let mut start = |side: u32, crop_side: u32| {
        let padding = i64::from(crop.padding);
        let missing = (i64::from(crop_side) - i64::from(side) - 2 * padding).max(0);
        let padding = padding + missing;
        let last = i64::from(side) + 2 * padding - i64::from(crop_side);
        rng.random_range(0..=last) - padding
    };
    (start(of.height, crop.size.height), start(of.width, crop.size.width))
}

/// The colour changes of one sample, in the random order in which they are to be made.
pub fn color_jitter(rng: &mut ChaCha8Rng, jitter: &ColorJitter) -> impl Iterator<Item = Change> + use<> {
    let mut order = [0, 1, 2, 3];
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    let changes = [
        jitter.brightness.factor_range().map(|range| Change::Brightness(uniform(rng, range))),
        jitter.contrast.factor_range().map(|range| Change::Contrast(uniform(rng, range))),
        jitter.saturation.factor_range().map(|range| Change::Saturation(uniform(rng, range))),
        jitter.hue.shift_range().map(|range| Change::Hue(uniform(rng, range))),
    ];
    order.into_iter().filter_map(move |which| changes[which])
}

/// Uniform in `[min, max)`; `min` if they are equal.
fn uniform(rng: &mut ChaCha8Rng, [min, max]: [f64; 2]) -> f64 {
    min + (max - min) * rng.random::<f64>()
}
