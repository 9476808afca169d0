//! Weighted means over neighbours: `gaussian_blur`, and the smoothing behind the policies'
//! sharpness.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distributions::uniform;
use super::spelling::Between;
use crate::decode::Pixels;
use crate::geometry::Size;
use crate::violations::Violations;

/// The largest kernel side, in pixels; the time grows with it.
const MAX_KERNEL: u32 = 255;

/// A blur by a Gaussian of random width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// Size of the kernel in pixels: one odd number, or a pair `[height, width]` of odd numbers, 1
    /// to 255.
    pub kernel_size: Size,
    /// Range `[min, max]` of the standard deviation in pixels, above 0, or one number. Default
    /// `[0.1, 2.0]`.
    #[serde(default = "default_sigma")]
    pub sigma: Between,
    /// Probability that it happens. Default 1.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_sigma() -> Between {
    Between([0.1, 2.0])
}

fn always() -> f64 {
    1.0
}

impl GaussianBlur {
    /// The standard deviation, in pixels. None with probability 1 - p.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Option<f64> {
        (self.p >= 1.0 || rng.random::<f64>() < self.p).then(|| uniform(rng, self.sigma.0))
    }

    /// `output`: the size of the images, if known.
    pub(super) fn check(&self, output: Option<Size>, problems: &mut Violations) {
        let Size { height, width } = self.kernel_size;
        let odd = |side: u32| side % 2 == 1 && side <= MAX_KERNEL;
        problems.check("gaussian_blur.kernel_size", odd(height) && odd(width), || {
            format!("must be odd, within 1 to {MAX_KERNEL}, got [{height}, {width}]")
        });
        if let Some(output) = output {
            // The image is mirrored at its edges, which gives no more than its own size.
            let fits = height / 2 < output.height && width / 2 < output.width;
            problems.check("gaussian_blur.kernel_size", fits, || {
                format!(
                    "[{height}, {width}] is too large for images of [{}, {}]; half of it must fit",
                    output.height, output.width
                )
            });
        }
        problems.check_positive_range("gaussian_blur.sigma", self.sigma.0, f64::INFINITY);
        problems.check_probability("gaussian_blur.p", self.p);
    }
}

/// A Gaussian of standard deviation `sigma` at `count` places around its middle, adding up to 1.
fn gaussian(count: usize, sigma: f64) -> Vec<f32> {
    let half = (count as f32 - 1.0) * 0.5;
    let sigma = sigma as f32;
    let heights: Vec<f32> = (0..count).map(|i| (-0.5 * ((i as f32 - half) / sigma).powi(2)).exp()).collect();
    let sum: f32 = heights.iter().sum();
    heights.into_iter().map(|height| height / sum).collect()
}

/// torchvision's `gaussian_blur`: a kernel of `kernel` (both sides odd), the image mirrored at its
/// edges without repeating the edge; in f32, rounded.
pub fn gaussian_blur(pixels: &Pixels, kernel: Size, sigma: f64) -> Pixels {
    let (width, height) = (pixels.width as usize, pixels.height as usize);
    let along_x = gaussian(kernel.width as usize, sigma);
    let along_y = gaussian(kernel.height as usize, sigma);
    let row_length = width * 3;
    // Rows first: [height, width, 3] in f32.
    let mut rows = vec![0.0_f32; row_length * height];
    let columns: Vec<usize> = mirrored(width, along_x.len() / 2).collect();
    let mut padded = vec![0.0_f32; columns.len() * 3];
    for (row, out) in pixels.data.chunks_exact(row_length).zip(rows.chunks_exact_mut(row_length)) {
        let (from, _) = row.as_chunks::<3>();
        for (place, &column) in padded.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            *place = from[column].map(f32::from);
        }
        for (shift, weight) in along_x.iter().enumerate() {
            add_weighted(out, &padded[shift * 3..][..row_length], *weight);
        }
    }
    let lines: Vec<usize> = mirrored(height, along_y.len() / 2).collect();
    let mut sums = vec![0.0_f32; row_length];
    let mut data = vec![0; pixels.data.len()];
    for (y, out) in data.chunks_exact_mut(row_length).enumerate() {
        sums.fill(0.0);
        for (line, weight) in lines[y..].iter().zip(&along_y) {
            add_weighted(&mut sums, &rows[line * row_length..][..row_length], *weight);
        }
        for (value, sum) in out.iter_mut().zip(&sums) {
            *value = sum.round_ties_even() as u8;
        }
    }
    Pixels { data, ..*pixels }
}

fn add_weighted(sums: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// The numbers `-padding .. side + padding`, mirrored at both ends into `0..side`.
fn mirrored(side: usize, padding: usize) -> impl Iterator<Item = usize> {
    let (side, padding) = (side as i64, padding as i64);
    let period = (2 * (side - 1)).max(1);
    (-padding..side + padding).map(move |place| {
        let place = place.rem_euclid(period);
        place.min(period - place).min(side - 1) as usize
    })
}

/// Pillow's `SMOOTH` filter: the mean of the 3x3 pixels around, the middle counting five times,
/// rounded. The outermost pixels stay.
pub fn smooth(pixels: &Pixels) -> Pixels {
    let (width, height) = (pixels.width as usize, pixels.height as usize);
    let mut out = pixels.clone();
    if width < 3 || height < 3 {
        return out;
    }
    let row_length = width * 3;
    for y in 1..height - 1 {
        let line = |y: usize| &pixels.data[y * row_length..][..row_length];
        let (above, here, below) = (line(y - 1), line(y), line(y + 1));
        let out = &mut out.data[y * row_length + 3..][..row_length - 6];
        for (i, value) in out.iter_mut().enumerate() {
            let of_row = |row: &[u8]| u32::from(row[i]) + u32::from(row[i + 3]) + u32::from(row[i + 6]);
            let sum = of_row(above) + of_row(here) + of_row(below) + 4 * u32::from(here[i + 3]);
            *value = ((2 * sum + 13) / 26) as u8;
        }
    }
    out
}

/// Pillow's sharpness: away from the smoothed image by `factor`, which is at least 0; 1 changes
/// nothing.
pub fn sharpness(pixels: &mut Pixels, factor: f64) {
    let factor = factor as f32;
    if factor == 1.0 {
        return;
    }
    let smoothed = smooth(pixels);
    for (value, base) in pixels.data.iter_mut().zip(&smoothed.data) {
        let base = f32::from(*base);
        // A conversion from float drops fractions and saturates.
        *value = (base + factor * (f32::from(*value) - base)) as u8;
    }
}
