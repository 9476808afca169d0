//! The random parameters of one sample's transforms, drawn as torchvision documents them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::color::Change;
use super::config::{ColorJitter, RandomCrop, RandomResizedCrop, Size};
use super::distributions::uniform;
use super::ops::Area;

/// Tries before [`random_resized_crop`] falls back on a centred crop.
const TRIES: u32 = 10;

/// An area of an image of size `of`: a share of its area uniform in `scale`, an aspect ratio
/// log-uniform in `ratio`, a uniform place. After ten misfits, the largest centred area whose ratio
/// is within `ratio`.
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

/// Where a crop of an image of size `of` starts, relative to the unpadded image: `(top, left)`,
/// uniform over the places that the padding allows. A side that is too short even so is padded on
/// both ends by what is missing.
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

#[cfg(test)]
mod tests {
    use super::super::config::JitterAmount;
    use super::*;
    use crate::rng::{Purpose, stream};

    fn streams(count: u64) -> impl Iterator<Item = ChaCha8Rng> {
        (0..count).map(|sample| stream(0, Purpose::Augmentation, 0, sample))
    }

    const SQUARE: Size = Size { height: 10, width: 10 };

    #[test]
    fn resized_crops_have_the_documented_area_ratio_and_place() {
        let of = Size { height: 1000, width: 1000 };
        let crop = RandomResizedCrop { size: SQUARE, scale: [0.1, 0.5], ratio: [0.5, 2.0] };
        let count = 4000;
        let (mut scales, mut log_ratios, mut centers) = (0.0, 0.0, 0.0);
        for mut rng in streams(count) {
            let Area { top, left, size } = random_resized_crop(&mut rng, of, &crop);
            assert!(top + size.height <= 1000 && left + size.width <= 1000);
            let (height, width) = (f64::from(size.height), f64::from(size.width));
            let (scale, ratio) = (height * width / 1e6, width / height);
            assert!((0.099..0.501).contains(&scale) && (0.495..2.02).contains(&ratio), "{size:?}");
            scales += scale;
            log_ratios += ratio.ln();
            centers += f64::from(top) + height / 2.0;
        }
        let mean = |sum: f64| sum / count as f64;
        // Each within about five standard errors of a uniform variable's mean.
        assert!((mean(scales) - 0.3).abs() < 0.01, "{}", mean(scales));
        assert!(mean(log_ratios).abs() < 0.035, "{}", mean(log_ratios));
        assert!((mean(centers) - 500.0).abs() < 12.0, "{}", mean(centers));
    }

    #[test]
    fn an_image_that_no_crop_fits_gives_the_largest_centred_one() {
        let crop = RandomResizedCrop { size: SQUARE, scale: [0.9, 1.0], ratio: [0.75, 4.0 / 3.0] };
        for (of, expected) in [
            (
                Size { height: 10, width: 1000 },
                Area { top: 0, left: 493, size: Size { height: 10, width: 13 } },
            ),
            (
                Size { height: 1000, width: 12 },
                Area { top: 492, left: 0, size: Size { height: 16, width: 12 } },
            ),
        ] {
            for mut rng in streams(20) {
                assert_eq!(random_resized_crop(&mut rng, of, &crop), expected);
            }
        }
    }

    #[test]
    fn random_crops_reach_every_place_that_the_padding_allows_and_no_other() {
        let crop = RandomCrop { size: SQUARE, padding: 2, fill: 0 };
        let mut seen = std::collections::BTreeMap::new();
        for mut rng in streams(4900) {
            let (top, left) = random_crop(&mut rng, Size { height: 12, width: 10 }, &crop);
            assert!((-2..=4).contains(&top) && (-2..=2).contains(&left));
            *seen.entry((top, left)).or_insert(0) += 1;
        }
        // 35 places, 140 times each; five standard deviations are 59.
        assert_eq!(seen.len(), 35);
        assert!(seen.values().all(|count| (81..=199).contains(count)), "{seen:?}");
        // Without padding and room there is one place; too small an image lies anywhere within.
        let bare = RandomCrop { padding: 0, ..crop };
        for mut rng in streams(50) {
            assert_eq!(random_crop(&mut rng, SQUARE, &bare), (0, 0));
            let (top, _) = random_crop(&mut rng, Size { height: 7, width: 10 }, &bare);
            assert!((-3..=0).contains(&top), "{top}");
        }
    }

    #[test]
    fn colour_changes_come_in_any_order_within_their_ranges_and_only_if_asked_for() {
        let jitter = ColorJitter {
            brightness: JitterAmount::Symmetric(0.4),
            contrast: JitterAmount::Symmetric(2.0),
            saturation: JitterAmount::Range([0.5, 0.6]),
            hue: JitterAmount::Symmetric(0.1),
        };
        let mut orders = std::collections::BTreeSet::new();
        for mut rng in streams(600) {
            let changes: Vec<Change> = color_jitter(&mut rng, &jitter).collect();
            let mut order = String::new();
            for change in changes {
                let (letter, value, [min, max]) = match change {
                    Change::Brightness(value) => ('b', value, [0.6, 1.4]),
                    Change::Contrast(value) => ('c', value, [0.0, 3.0]),
                    Change::Saturation(value) => ('s', value, [0.5, 0.6]),
                    Change::Hue(value) => ('h', value, [-0.1, 0.1]),
                };
                assert!((min..=max).contains(&value), "{change:?}");
                order.push(letter);
            }
            assert_eq!(order.len(), 4);
            orders.insert(order);
        }
        assert_eq!(orders.len(), 24, "{orders:?}");
        let only_hue = ColorJitter { hue: JitterAmount::Symmetric(0.1), ..ColorJitter::default() };
        for mut rng in streams(20) {
            let changes: Vec<Change> = color_jitter(&mut rng, &only_hue).collect();
            assert!(matches!(changes[..], [Change::Hue(_)]), "{changes:?}");
        }
    }
}
