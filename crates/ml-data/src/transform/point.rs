//! Point operations without randomness: each channel's value goes through a table of 256 entries.
//! As Pillow's `ImageOps` does it, to the byte.

use crate::decode::Pixels;

/// A table for each channel.
type Tables = [[u8; 256]; 3];

fn look_up(pixels: &mut Pixels, [red, green, blue]: &Tables) {
    for [r, g, b] in pixels.data.as_chunks_mut::<3>().0 {
        *r = red[usize::from(*r)];
        *g = green[usize::from(*g)];
        *b = blue[usize::from(*b)];
    }
}

/// One table for all channels.
pub(super) fn look_up_all(pixels: &mut Pixels, table: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| table(value as u8));
    for value in &mut pixels.data {
        *value = table[usize::from(*value)];
    }
}

/// Swaps light and dark.
pub fn invert(pixels: &mut Pixels) {
    look_up_all(pixels, |value| 255 - value);
}

/// Keeps the highest `bits` bits of each value, 0 to 8.
pub fn posterize(pixels: &mut Pixels, bits: u32) {
    let mask = (0xff00_u32 >> bits.min(8)) as u8;
    look_up_all(pixels, |value| value & mask);
}

/// Inverts the values from `threshold` up.
pub fn solarize(pixels: &mut Pixels, threshold: f64) {
    look_up_all(pixels, |value| if f64::from(value) < threshold { value } else { 255 - value });
}

/// How often each value occurs, for each channel.
fn histograms(pixels: &Pixels) -> [[u32; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in pixels.data.as_chunks::<3>().0 {
        for (counts, value) in counts.iter_mut().zip(pixel) {
            counts[usize::from(*value)] += 1;
        }
    }
    counts
}

/// Stretches each channel so that its darkest value becomes 0 and its lightest 255.
pub fn autocontrast(pixels: &mut Pixels) {
    let tables = histograms(pixels).map(|counts| {
        let lowest = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let highest = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        if highest <= lowest {
            return identity();
        }
        let scale = 255.0 / (highest - lowest) as f64;
        let offset = -(lowest as f64) * scale;
        // A conversion from float drops fractions and saturates.
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
    look_up(pixels, &tables);
}

/// Makes each channel's values about equally frequent.
pub fn equalize(pixels: &mut Pixels) {
    let tables = histograms(pixels).map(|counts| {
        let total: u32 = counts.iter().sum();
        let of_highest = counts.iter().rfind(|&&count| count > 0).copied().unwrap_or(0);
        // A channel of one value only has a step of 0 as well.
        let step = (total - of_highest) / 255;
        if step == 0 {
            return identity();
        }
        let mut sum = step / 2;
        counts.map(|count| {
            let value = (sum / step).min(255) as u8;
            sum += count;
            value
        })
    });
    look_up(pixels, &tables);
}

fn identity() -> [u8; 256] {
    std::array::from_fn(|value| value as u8)
}
