//! What happens to an image after its crop: the random changes that keep its size, in their fixed
//! order.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::config::{Probability, Size, TransformConfig};
use super::{Pipeline, blur, color, ops, params, policy, warp};
use crate::decode::Pixels;

impl Pipeline {
    /// All that is done after the crop and before normalising. Draws nothing for what is off.
    pub(super) fn augment(&self, mut pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
        let config = self.config();
        if happens(config.random_horizontal_flip, rng) {
            ops::flip_horizontal(&mut pixels);
        }
        if happens(config.random_vertical_flip, rng) {
            ops::flip_vertical(&mut pixels);
        }
        self.augment_after_flips(pixels, rng)
    }

    /// What is behind the flips.
    pub(super) fn augment_after_flips(&self, mut pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
        let config = self.config();
        apply_policy(config, &mut pixels, rng);
        pixels = move_pixels(config, pixels, rng);
        if let Some(jitter) = &config.color_jitter {
            for change in params::color_jitter(rng, jitter) {
                color::adjust(&mut pixels, change);
            }
        }
        if config.grayscale || happens(config.random_grayscale, rng) {
            color::grayscale(&mut pixels);
        }
        if let Some(gaussian) = &config.gaussian_blur
            && let Some(sigma) = gaussian.draw(rng)
        {
            pixels = blur::gaussian_blur(&pixels, gaussian.kernel_size, sigma);
        }
        pixels
    }
}

pub(super) fn happens(probability: Probability, rng: &mut ChaCha8Rng) -> bool {
    probability.0 > 0.0 && rng.random::<f64>() < probability.0
}

/// The policies; a valid configuration has one at most.
fn apply_policy(config: &TransformConfig, pixels: &mut Pixels, rng: &mut ChaCha8Rng) {
    let size = Size::of(pixels);
    if let Some(policy) = &config.auto_augment {
        policy::apply_all(&policy.draw(rng, size), pixels, policy.interpolation, policy.fill);
    }
    if let Some(policy) = &config.rand_augment {
        policy::apply_all(&policy.draw(rng, size), pixels, policy.interpolation, policy.fill);
    }
    if let Some(policy) = &config.trivial_augment_wide {
        policy.draw(rng).apply(pixels, policy.interpolation, policy.fill);
    }
    if let Some(policy) = &config.augmix {
        let mixture = policy.draw(rng, size);
        policy.apply(pixels, &mixture);
    }
}

/// Rotation, affine map, perspective.
fn move_pixels(config: &TransformConfig, mut pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
    let size = Size::of(&pixels);
    if let Some(rotation) = &config.random_rotation {
        pixels = warp::rotate(&pixels, rotation.draw(rng), rotation.interpolation, rotation.fill.0);
    }
    if let Some(affine) = &config.random_affine {
        let params = affine.draw(rng, size);
        pixels = warp::affine(&pixels, &params, affine.interpolation, affine.fill.0);
    }
    if let Some(perspective) = &config.random_perspective
        && let Some(corners) = perspective.draw(rng, size)
    {
        pixels = warp::perspective(&pixels, &corners, perspective.interpolation, perspective.fill.0);
    }
    pixels
}
