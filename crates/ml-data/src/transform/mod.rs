//! Pixels + a sample's random stream → pixels at network size.
//!
//! In: [`Pixels`] of any size and the sample's own [`ChaCha8Rng`]. Out: pixels of
//! [`Pipeline::output_size`], then `[3, H, W]` f32 by [`Pipeline::normalize_into`].
//!
//! [`TransformConfig`] is one split's transforms as YAML writes them. Its keys may stand in any order;
//! they run in this one, and each that is random draws from the stream in this order:
//!
//! 1. `resize`
//! 2. `center_crop`, `random_crop` or `random_resized_crop` (one of them)
//! 3. `random_horizontal_flip`
//! 4. `random_vertical_flip`
//! 5. `color_jitter`
//! 6. `grayscale`
//! 7. `normalize`
//!
//! [`params`] draws the random parameters, [`ops`] and [`color`] apply them; each operation does to a
//! picture what torchvision's does to a PIL image with the same parameters.

pub mod color;
mod config;
mod geometry;
pub mod ops;
pub mod params;
mod parse;
#[cfg(test)]
mod tests;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::decode::Pixels;

pub use config::{
    ColorJitter, Decoding, Interpolation, JitterAmount, MAX_SIDE, Normalize, Probability, RandomCrop,
    RandomResizedCrop, Resize, Size, TransformConfig,
};
pub use geometry::Prepared;

/// A [`TransformConfig`] checked and made ready.
#[derive(Clone, Debug)]
pub struct Pipeline {
    config: TransformConfig,
    /// `[channel][value]` → the normalised value.
    normalized: Box<[[f32; 256]; 3]>,
}

impl Pipeline {
    /// Makes `config` ready. It should have no [`TransformConfig::problems`]; with some, pictures come out
    /// wrong, but never by a panic here.
    pub fn new(config: &TransformConfig) -> Pipeline {
        let (mean, std) = config.normalize.map_or(([0.0; 3], [1.0; 3]), |n| (n.mean, n.std));
        let normalized = std::array::from_fn(|c| {
            let (mean, std) = (mean[c] as f32, std[c] as f32);
            std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
        });
        Pipeline { config: config.clone(), normalized: Box::new(normalized) }
    }

    /// The configuration this was made from.
    pub fn config(&self) -> &TransformConfig {
        &self.config
    }

    /// Channels of the output: 3.
    pub fn channels(&self) -> usize {
        3
    }

    /// Mean and standard deviation of each channel, on the scale 0 to 1; 0 and 1 without `normalize`.
    pub fn normalization(&self) -> (Vec<f64>, Vec<f64>) {
        self.config.normalize.map_or_else(
            || (vec![0.0; self.channels()], vec![1.0; self.channels()]),
            |Normalize { mean, std }| (mean.to_vec(), std.to_vec()),
        )
    }

    /// Output `(height, width)` if every picture comes out at the same size, whatever its own.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        self.config.output_size().map(|size| (size.height, size.width))
    }

    /// What follows the crop.
    fn augment(&self, mut pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
        let TransformConfig { random_horizontal_flip, random_vertical_flip, color_jitter, grayscale, .. } =
            &self.config;
        if random_horizontal_flip.0 > 0.0 && rng.random::<f64>() < random_horizontal_flip.0 {
            ops::flip_horizontal(&mut pixels);
        }
        if random_vertical_flip.0 > 0.0 && rng.random::<f64>() < random_vertical_flip.0 {
            ops::flip_vertical(&mut pixels);
        }
        if let Some(jitter) = color_jitter {
            for change in params::color_jitter(rng, jitter) {
                color::adjust(&mut pixels, change);
            }
        }
        if *grayscale {
            color::grayscale(&mut pixels);
        }
        pixels
    }

    /// `[H, W, 3]` u8 → `[3, H, W]` f32: `(x / 255 - mean) / std` in f32, or `x / 255` without `normalize`.
    ///
    /// # Panics
    /// If `out` is not `3 * H * W` long.
    pub fn normalize_into(&self, pixels: &Pixels, out: &mut [f32]) {
        assert_eq!(out.len(), pixels.data.len(), "one float a channel of a pixel");
        let (red, rest) = out.split_at_mut(out.len() / 3);
        let (green, blue) = rest.split_at_mut(rest.len() / 2);
        let [of_red, of_green, of_blue] = &*self.normalized;
        for (((pixel, r), g), b) in pixels.data.chunks_exact(3).zip(red).zip(green).zip(blue) {
            *r = of_red[usize::from(pixel[0])];
            *g = of_green[usize::from(pixel[1])];
            *b = of_blue[usize::from(pixel[2])];
        }
    }

    /// [`Pipeline::normalize_into`] for a buffer of bytes: each float in the machine's byte order.
    ///
    /// # Panics
    /// If `out` is not `4 * 3 * H * W` long.
    pub fn normalize_into_bytes(&self, pixels: &Pixels, out: &mut [u8]) {
        assert_eq!(out.len(), 4 * pixels.data.len(), "four bytes a channel of a pixel");
        let (out, _) = out.as_chunks_mut::<4>();
        let (red, rest) = out.split_at_mut(out.len() / 3);
        let (green, blue) = rest.split_at_mut(rest.len() / 2);
        let [of_red, of_green, of_blue] = &*self.normalized;
        for (((pixel, r), g), b) in pixels.data.chunks_exact(3).zip(red).zip(green).zip(blue) {
            *r = of_red[usize::from(pixel[0])].to_ne_bytes();
            *g = of_green[usize::from(pixel[1])].to_ne_bytes();
            *b = of_blue[usize::from(pixel[2])].to_ne_bytes();
        }
    }
}
