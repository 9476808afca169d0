//! Pixels + a sample's random stream → pixels at network size. One documented order.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use rand_chacha::ChaCha8Rng;

use crate::decode::Pixels;

/// One split's transforms as YAML writes them. Keys may stand in any order; they run in a fixed one.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformConfig {}

/// A [`TransformConfig`] checked and made ready.
#[derive(Clone, Debug)]
pub struct Pipeline {}

impl TransformConfig {
    /// The default training transform of `configs/default.yaml`.
    pub fn default_train() -> TransformConfig {
        todo!()
    }
    /// The default validation and test transform of `configs/default.yaml`.
    pub fn default_eval() -> TransformConfig {
        todo!()
    }
    /// What is wrong, as (key relative to this struct, message): `("color_jitter.hue", "must be in 0..=0.5, got 0.7")`.
    pub fn problems(&self) -> Vec<(String, String)> {
        todo!()
    }
}

impl Pipeline {
    /// # Panics
    /// Never for a configuration without [`TransformConfig::problems`].
    pub fn new(config: &TransformConfig) -> Pipeline {
        let _ = config;
        todo!()
    }
    /// Output `(height, width)` if every picture comes out at the same size, whatever its own.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        todo!()
    }
    /// Decoded pixels → pixels at network size.
    pub fn apply(&self, pixels: Pixels, rng: &mut ChaCha8Rng) -> Pixels {
        let _ = (pixels, rng);
        todo!()
    }
    /// `[H, W, 3]` u8 → `[3, H, W]` f32: `(x / 255 - mean) / std`, into `out` of `3 * H * W`.
    pub fn normalize_into(&self, pixels: &Pixels, out: &mut [f32]) {
        let _ = (pixels, out);
        todo!()
    }
}
