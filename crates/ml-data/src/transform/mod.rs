//! Pixels + a sample's random stream → pixels at network size.
//!
//! In: [`Pixels`] of any size and the sample's own [`ChaCha8Rng`]. Out: pixels of
//! [`Pipeline::output_size`], then `[C, H, W]` f32 by [`Pipeline::normalize_into`].
//!
//! [`TransformConfig`] is one split's transforms as YAML writes them. Its keys may stand in any
//! order; they run in this one, and each that is random draws from the stream in this order:
//!
//! 1. `resize` or `letterbox`
//! 2. `center_crop`, `random_crop` or `random_resized_crop` (one of them)
//! 3. `random_horizontal_flip`
//! 4. `random_vertical_flip`
//! 5. `auto_augment`, `rand_augment`, `trivial_augment_wide` or `augmix` (one of them)
//! 6. `random_rotation`
//! 7. `random_affine`
//! 8. `random_perspective`
//! 9. `color_jitter`
//! 10. `grayscale` or `random_grayscale`
//! 11. `gaussian_blur`
//! 12. `channels`
//! 13. `normalize`
//! 14. `random_erasing` (drawn by [`Pipeline::draw_erasure`], after all others)
//! 15. `mixup`, `cutmix` (on batches, from a stream of the batch; see [`mix`])
//!
//! Images of other than 1 or 3 channels, or of 16 bits, go through the same steps as planes of floats
//! ([`Pipeline::load_raster`], [`planes`]); what needs RGB bytes is refused for them.
//!
//! Drawing and applying are apart: [`params`], [`geometric`] and [`policy`] draw random parameters,
//! [`ops`], [`color`], [`warp`], [`point`] and [`blur`] apply them; each operation does to an image
//! what torchvision's does to a PIL image with the same parameters.

mod augment;
pub mod blur;
mod check;
pub mod color;
mod config;
pub mod crop_loss;
mod deep;
mod distributions;
pub mod erasing;
mod fit;
pub mod geometric;
mod geometry;
mod interpolation;
mod jitter;
mod letterbox;
pub mod mix;
mod normalize;
pub mod ops;
pub mod params;
mod parse;
pub mod planes;
pub mod point;
pub mod policy;
mod problems;
mod rescale;
mod spelling;
pub mod statistics;
#[cfg(test)]
mod tests;
mod views;
pub mod warp;

use rand_chacha::ChaCha8Rng;

use crate::decode::Pixels;

pub use crate::decode::Depth;
pub use config::{
    ColorJitter, Decoding, Interpolation, JitterAmount, MAX_SIDE, Probability, RandomCrop, RandomResizedCrop,
    Resize, Size, TransformConfig,
};
pub use erasing::{Erasure, Fill};
pub use fit::{Fit, FitMode};
pub use letterbox::Letterbox;
pub use mix::{Mix, MixConfig};
pub use normalize::{Channels, Normalize, UnresolvedStatistics};
pub use spelling::{Between, Color, Shear};

use crate::setting::Auto;
pub use geometry::Prepared;
use normalize::Normalizer;

/// A [`TransformConfig`] checked and made ready.
#[derive(Clone, Debug)]
pub struct Pipeline {
    config: TransformConfig,
    normalizer: Normalizer,
}

impl Pipeline {
    /// Makes `config` ready. It should have no [`TransformConfig::problems`]; with some, images
    /// come out wrong, but never by a panic here.
    ///
    /// # Errors
    /// `normalize` is `auto`: the statistics must be put in first, by
    /// [`TransformConfig::with_statistics`].
    pub fn new(config: &TransformConfig) -> Result<Pipeline, UnresolvedStatistics> {
        let normalize = match &config.normalize {
            Some(Auto::Auto) => return Err(UnresolvedStatistics),
            Some(Auto::Value(normalize)) => Some(normalize),
            None => None,
        };
        Ok(Pipeline { config: config.clone(), normalizer: Normalizer::new(normalize, config.channels) })
    }

    /// The same without `normalize`.
    fn without_normalizing(config: &TransformConfig) -> Pipeline {
        let config = TransformConfig { normalize: None, ..config.clone() };
        Pipeline { normalizer: Normalizer::new(None, config.channels), config }
    }

    /// The configuration this was made from.
    pub fn config(&self) -> &TransformConfig {
        &self.config
    }

    /// Output `(height, width)` if every image comes out at the same size, whatever its own.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        self.config.output_size().map(|size| (size.height, size.width))
    }

    /// Channels of the result, 1 to 64.
    pub fn channels(&self) -> usize {
        self.normalizer.channels().count()
    }

    /// `[H, W, 3]` u8 → `[C, H, W]` f32, `C` = [`Pipeline::channels`]: `(x / 255 - mean) / std` in
    /// f32, or `x / 255` without `normalize`.
    ///
    /// # Panics
    /// If `out` is not `C * H * W` long.
    pub fn normalize_into(&self, pixels: &Pixels, out: &mut [f32]) {
        self.normalizer.write(pixels, out, |value| value);
    }

    /// [`Pipeline::normalize_into`] for a buffer of bytes: each float in the machine's byte order.
    ///
    /// # Panics
    /// If `out` is not `4 * C * H * W` long.
    pub fn normalize_into_bytes(&self, pixels: &Pixels, out: &mut [u8]) {
        let (out, rest) = out.as_chunks_mut::<4>();
        assert!(rest.is_empty(), "four bytes a value");
        self.normalizer.write(pixels, out, f32::to_ne_bytes);
    }

    /// Mean and standard deviation of each channel, on the scale 0 to 1; 0 and 1 without
    /// `normalize`.
    pub fn normalization(&self) -> (Vec<f64>, Vec<f64>) {
        match &self.config.normalize {
            Some(Auto::Value(Normalize { mean, std })) => (mean.clone(), std.clone()),
            _ => (vec![0.0; self.channels()], vec![1.0; self.channels()]),
        }
    }

    /// `[H, W, 3]` u8 → `[H, W, C]` u8, before normalising: what [`Pipeline::normalization`] is to
    /// be applied to.
    ///
    /// # Panics
    /// If `out` is not `H * W * C` long.
    pub fn bytes_into(&self, pixels: &Pixels, out: &mut [u8]) {
        if self.channels() == 3 {
            out.copy_from_slice(&pixels.data);
        } else {
            let (all, _) = pixels.data.as_chunks::<3>();
            assert_eq!(out.len(), all.len(), "one byte a pixel");
            all.iter().zip(out).for_each(|(pixel, out)| *out = color::luma(*pixel));
        }
    }

    /// What `random_erasing` does to a sample of size `of`, to be applied after normalising; drawn
    /// from the sample's stream after [`Pipeline::apply`]. None if it is off (nothing is drawn
    /// then) or does not happen.
    pub fn draw_erasure(&self, rng: &mut ChaCha8Rng, of: Size) -> Option<Erasure> {
        self.config.random_erasing.as_ref().and_then(|erasing| erasing.draw(rng, of))
    }

    /// Whether batches are mixed.
    pub fn mixes(&self) -> bool {
        self.config.mixes()
    }

    /// What `mixup` or `cutmix` does to a batch of `samples` images of size `of`, drawn from the
    /// batch's own stream. See [`Mix::draw`].
    pub fn draw_mix(&self, rng: &mut ChaCha8Rng, samples: usize, of: Size) -> Option<Mix> {
        Mix::draw(self.config.mixup.as_ref(), self.config.cutmix.as_ref(), rng, samples, of)
    }
}
