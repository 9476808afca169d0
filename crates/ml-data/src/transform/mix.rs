//! `mixup` (Zhang et al. 2017, arXiv:1710.09412) and `cutmix` (Yun et al. 2019, arXiv:1905.04899):
//! what is done to one batch, without tensors.
//!
//! Sample i is mixed with sample i - 1, the first with the last. Its target becomes lambda times
//! its own plus 1 - lambda times the partner's.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::distributions::beta;
use super::spelling::{Short, number_schema};
use crate::geometry::{Area, Size};
use crate::violations::Violations;

/// Settings of mixup or cutmix. In YAML the number `alpha`, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MixConfig {
    /// Lambda is drawn from Beta(alpha, alpha); above 0, at most 1000. Default 1.
    pub alpha: f64,
}

impl Default for MixConfig {
    fn default() -> Self {
        MixConfig { alpha: 1.0 }
    }
}

impl MixConfig {
    pub(super) fn check(self, key: &str, problems: &mut Violations) {
        problems.check_alpha(&format!("{key}.alpha"), self.alpha);
    }
}

impl Short for MixConfig {
    type Full = Self;
    const EXPECTING: &'static str = "a number, or a mapping of alpha";

    fn from_number(alpha: f64) -> Option<Self> {
        Some(MixConfig { alpha })
    }
    fn short_schemas() -> Vec<Json> {
        vec![number_schema()]
    }
}

/// What is done to one batch. The partner of sample i is sample [`Mix::partner`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Images and targets become `lambda * own + (1 - lambda) * partner's`.
    Mixup {
        /// Within 0 to 1.
        lambda: f64,
    },
    /// The area is taken from the partner; targets become `lambda * own + (1 - lambda) *
    /// partner's`.
    Cutmix {
        /// Lies within the image.
        area: Area,
        /// The share of the image outside of the area.
        lambda: f64,
    },
}

impl Mix {
    /// Draws what is done to a batch of `samples` images of size `of`. If both are given, each is
    /// as likely. None if neither is given, the batch has no two samples, or the area has no
    /// pixels; nothing is drawn in the first two cases.
    pub fn draw(
        mixup: Option<&MixConfig>,
        cutmix: Option<&MixConfig>,
        rng: &mut ChaCha8Rng,
        samples: usize,
        of: Size,
    ) -> Option<Mix> {
        if samples < 2 {
            return None;
        }
        match (mixup, cutmix) {
            (None, None) => None,
            (Some(mixup), None) => Some(Mix::draw_mixup(*mixup, rng)),
            (None, Some(cutmix)) => Mix::draw_cutmix(*cutmix, rng, of),
            (Some(mixup), Some(cutmix)) => {
                if rng.random::<bool>() {
                    Some(Mix::draw_mixup(*mixup, rng))
                } else {
                    Mix::draw_cutmix(*cutmix, rng, of)
                }
            }
        }
    }

    fn draw_mixup(config: MixConfig, rng: &mut ChaCha8Rng) -> Mix {
        Mix::Mixup { lambda: beta(rng, config.alpha) }
    }

    fn draw_cutmix(config: MixConfig, rng: &mut ChaCha8Rng, of: Size) -> Option<Mix> {
        let lambda = beta(rng, config.alpha);
        let (x, y) = (rng.random_range(0..of.width), rng.random_range(0..of.height));
        Mix::cut(lambda, [x, y], of)
    }

    /// CutMix with a box about the pixel `center` (x, y) that would cover `1 - lambda` of the image
    /// if it all lay inside; `lambda` becomes the share that is really kept. None if the box has no
    /// pixels.
    pub fn cut(lambda: f64, [x, y]: [u32; 2], of: Size) -> Option<Mix> {
        let half = 0.5 * (1.0 - lambda).max(0.0).sqrt();
        let span = |center: u32, side: u32| {
            let half = (half * f64::from(side)) as u32;
            (center.saturating_sub(half), (center + half).min(side))
        };
        let ((left, right), (top, bottom)) = (span(x, of.width), span(y, of.height));
        let size = Size { height: bottom - top, width: right - left };
        if size.height == 0 || size.width == 0 {
            return None;
        }
        let covered = f64::from(size.height) * f64::from(size.width);
        let lambda = 1.0 - covered / (f64::from(of.height) * f64::from(of.width));
        Some(Mix::Cutmix { area: Area { top, left, size }, lambda })
    }

    /// The share of a sample's own target, within 0 to 1.
    pub fn lambda(&self) -> f64 {
        match self {
            Mix::Mixup { lambda } | Mix::Cutmix { lambda, .. } => *lambda,
        }
    }

    /// The number of the sample with which sample `index` of `samples` is mixed.
    pub fn partner(index: usize, samples: usize) -> usize {
        (index + samples - 1) % samples
    }
}
