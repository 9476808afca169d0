//! What an image looks like, in 64 bits and a miniature: equal or close for copies that were
//! re-encoded or resized, far apart for others.
//!
//! The hash is the well-known pHash: the image in grey at 32 x 32, its discrete cosine transform,
//! and for each of the 8 x 8 lowest frequencies whether it is above their median. The miniature (8
//! x 8 RGB) then confirms what the hash proposes. `docs/data.md` says how the thresholds were
//! measured.

use crate::decode::Pixels;
use crate::transform::ops::resize;
use crate::transform::{Interpolation, Size};

/// Side of the image that is transformed.
const SIDE: usize = 32;
/// Frequencies kept in each direction.
const KEPT: usize = 8;

/// Copies differ by at most so much in their miniatures (root of the mean square, of 255).
const MAX_DIFFERENCE: f32 = 12.0;
/// Copies' miniatures are correlated at least so much.
const MIN_CORRELATION: f32 = 0.95;

/// The looks of one image.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub hash: u64,
    /// `[8, 8, 3]`, `0..=255`.
    miniature: [u8; KEPT * KEPT * 3],
}

impl Look {
    pub(super) fn of(pixels: Pixels) -> Look {
        let size = Size { height: SIDE as u32, width: SIDE as u32 };
        let small = resize(pixels, size, Interpolation::Bilinear);
        Look { hash: hash(&small.data), miniature: miniature(&small.data) }
    }

    /// Bits in which the hashes differ, 0 to 64.
    pub(super) fn distance(&self, other: &Look) -> u32 {
        (self.hash ^ other.hash).count_ones()
    }

    /// Whether the miniatures are those of copies.
    pub(super) fn confirms(&self, other: &Look) -> bool {
        let count = self.miniature.len() as f32;
        let mean = |look: &Look| look.miniature.iter().map(|v| u32::from(*v)).sum::<u32>() as f32 / count;
        let (mean_a, mean_b) = (mean(self), mean(other));
        let (mut square, mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0, 0.0);
        for (a, b) in self.miniature.iter().zip(&other.miniature) {
            let (a, b) = (f32::from(*a), f32::from(*b));
            square += (a - b) * (a - b);
            both += (a - mean_a) * (b - mean_b);
            of_a += (a - mean_a) * (a - mean_a);
            of_b += (b - mean_b) * (b - mean_b);
        }
        square <= MAX_DIFFERENCE * MAX_DIFFERENCE * count
            && both >= MIN_CORRELATION * (of_a * of_b).sqrt()
            && both > 0.0
    }
}

/// `rgb` is `[32, 32, 3]`.
fn hash(rgb: &[u8]) -> u64 {
    let grey: Vec<f32> = rgb
        .chunks_exact(3)
        .map(|c| 0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2]))
        .collect();
    // cosines[k][x] = cos(pi (2x + 1) k / 64): DCT-II up to factors that the comparison must keep:
    // the lowest frequency of each direction is scaled by 1/sqrt(2), as in the orthonormal
    // transform.
    let cosine = |k: usize, x: usize| {
        let angle = std::f32::consts::PI * (2 * x + 1) as f32 * k as f32 / (2 * SIDE) as f32;
        angle.cos() * if k == 0 { std::f32::consts::FRAC_1_SQRT_2 } else { 1.0 }
    };
    let cosines: Vec<[f32; SIDE]> = (0..KEPT).map(|k| std::array::from_fn(|x| cosine(k, x))).collect();
    let project =
        |values: &[f32; SIDE], k: usize| -> f32 { values.iter().zip(&cosines[k]).map(|(v, c)| v * c).sum() };
    // rows[k][y]: frequency k along row y.
    let mut rows = [[0.0_f32; SIDE]; KEPT];
    for (y, row) in grey.as_chunks::<SIDE>().0.iter().enumerate() {
        for (k, column) in rows.iter_mut().enumerate() {
            column[y] = project(row, k);
        }
    }
    let coefficients: Vec<f32> =
        (0..KEPT).flat_map(|v| (0..KEPT).map(move |u| (v, u))).map(|(v, u)| project(&rows[u], v)).collect();
    // The first is the mean brightness, far from all others.
    let mut sorted = coefficients[1..].to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[sorted.len() / 2];
    coefficients.iter().enumerate().fold(0, |hash, (i, value)| hash | u64::from(*value > median) << i)
}

/// Means of 4 x 4 pixels.
fn miniature(rgb: &[u8]) -> [u8; KEPT * KEPT * 3] {
    const BLOCK: usize = SIDE / KEPT;
    std::array::from_fn(|i| {
        let (y, x, channel) = (i / (KEPT * 3), i / 3 % KEPT, i % 3);
        let value = |j: usize| {
            let (row, column) = (y * BLOCK + j / BLOCK, x * BLOCK + j % BLOCK);
            u32::from(rgb[(row * SIDE + column) * 3 + channel])
        };
        ((0..BLOCK * BLOCK).map(value).sum::<u32>() / (BLOCK * BLOCK) as u32) as u8
    })
}
