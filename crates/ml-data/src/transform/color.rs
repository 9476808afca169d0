//! Colour without randomness: pixels and a factor → pixels, in 8 bits, as torchvision does it to a
//! PIL image (which is Pillow's `ImageEnhance` for all but the hue).

use super::point;
use crate::decode::Pixels;

/// A change of colour. A factor of 1, or a shift of 0, changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Factor, at least 0: away from black.
    Brightness(f64),
    /// Factor, at least 0: away from the image's mean grey.
    Contrast(f64),
    /// Factor, at least 0: away from the pixel's own grey.
    Saturation(f64),
    /// Shift in turns of the colour wheel, within -0.5 to 0.5.
    Hue(f64),
}

/// Makes one change.
pub fn adjust(pixels: &mut Pixels, change: Change) {
    match change {
        Change::Brightness(factor) => blend_with_one(pixels, factor, 0),
        Change::Contrast(factor) => blend_with_one(pixels, factor, mean_luma(pixels)),
        Change::Saturation(factor) => blend_with(pixels, factor, luma),
        Change::Hue(shift) => shift_hue(pixels, shift),
    }
}

/// Takes colour away: three equal channels of luma.
pub fn grayscale(pixels: &mut Pixels) {
    for pixel in pixels.data.as_chunks_mut::<3>().0 {
        *pixel = [luma(*pixel); 3];
    }
}

/// ITU-R 601-2: `0.299 R + 0.587 G + 0.114 B`, in 16-bit fixed point, rounded.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}

fn mean_luma(pixels: &Pixels) -> u8 {
    let (all, _) = pixels.data.as_chunks::<3>();
    let sum: u64 = all.iter().map(|pixel| u64::from(luma(*pixel))).sum();
    (sum as f64 / all.len().max(1) as f64 + 0.5) as u8
}

/// `base + factor * (value - base)` in f32, cut off at 0 and 255, fractions dropped.
fn blend(base: u8, value: u8, factor: f32) -> u8 {
    // A conversion from float saturates, which is the cut.
    (f32::from(base) + factor * (f32::from(value) - f32::from(base))) as u8
}

/// Blends all values with the same one.
fn blend_with_one(pixels: &mut Pixels, factor: f64, base: u8) {
    point::look_up_all(pixels, |value| blend(base, value, factor as f32));
}

/// Blends each pixel with a grey of its own.
fn blend_with(pixels: &mut Pixels, factor: f64, base: impl Fn([u8; 3]) -> u8) {
    let factor = factor as f32;
    if factor == 1.0 {
        return;
    }
    for pixel in pixels.data.as_chunks_mut::<3>().0 {
        let base = base(*pixel);
        for value in pixel {
            *value = blend(base, *value, factor);
        }
    }
}

/// Turns the hue in 8-bit HSV, where a full turn is 256 steps; the step count drops fractions. Even
/// a shift of 0 goes to HSV and back, which rounds.
fn shift_hue(pixels: &mut Pixels, shift: f64) {
    let steps = (shift * 255.0) as i32 as u8;
    for pixel in pixels.data.as_chunks_mut::<3>().0 {
        let [h, s, v] = to_hsv(*pixel);
        *pixel = from_hsv([h.wrapping_add(steps), s, v]);
    }
}

/// RGB → HSV, each 0 to 255, fractions dropped.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let max = r.max(g).max(b);
    let min = r.min(g).min(b);
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let saturation = range / f32::from(max);
    let below_max = |channel: u8| f64::from(f32::from(max - channel) / range);
    let sixth = if r == max {
        below_max(b) - below_max(g)
    } else if g == max {
        2.0 + below_max(r) - below_max(b)
    } else {
        4.0 + below_max(g) - below_max(r)
    };
    let hue = (sixth as f32 as f64 / 6.0 + 1.0) % 1.0;
    [(f64::from(hue as f32) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, max]
}

/// HSV, each 0 to 255 → RGB, rounded.
fn from_hsv([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let sixth = f32::from(h) * 6.0 / 255.0;
    let fraction = f64::from(sixth - sixth.floor());
    let saturation = f64::from(f32::from(s) / 255.0);
    let value = f64::from(v);
    let low = (value * (1.0 - saturation)).round() as u8;
    let falling = (value * (1.0 - saturation * fraction)).round() as u8;
    let rising = (value * (1.0 - saturation * (1.0 - fraction))).round() as u8;
    match sixth.floor() as u32 % 6 {
        0 => [v, rising, low],
        1 => [falling, v, low],
        2 => [low, v, rising],
        3 => [low, falling, v],
        4 => [rising, low, v],
        _ => [v, low, falling],
    }
}
