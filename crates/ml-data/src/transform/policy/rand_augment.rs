//! RandAugment (Cubuk et al. 2019, arXiv:1909.13719): a few operations of one strength, chosen at
//! random.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::config::Size;
use super::super::spelling::{Color, Short, switch_schema};
use super::super::warp::Sampling;
use super::{Space, Step, WITHOUT_INVERT};
use crate::violations::Violations;

/// A few operations of one strength, chosen at random. In YAML `true` for the defaults, or a
/// mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations one after another, 1 to 20. Default 2.
    pub num_ops: u32,
    /// Number of the strength, from 0 to `num_magnitude_bins` - 1. Default 9.
    pub magnitude: u32,
    /// Strengths there are, 2 to 1000. Default 31.
    pub num_magnitude_bins: u32,
    /// `nearest` or `bilinear`, for operations that move pixels. Default nearest.
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    pub fill: Color,
}

impl Default for RandAugment {
    fn default() -> Self {
        RandAugment {
            num_ops: 2,
            magnitude: 9,
            num_magnitude_bins: 31,
            interpolation: Sampling::Nearest,
            fill: Color::default(),
        }
    }
}

impl RandAugment {
    /// The steps for an image of size `of`, uniform over the operations, with replacement.
    pub fn draw(&self, rng: &mut ChaCha8Rng, of: Size) -> Vec<Step> {
        let step = |_| {
            let operation = WITHOUT_INVERT[rng.random_range(0..WITHOUT_INVERT.len())];
            let magnitude = Space::Standard.magnitude(operation, self.magnitude, self.num_magnitude_bins, of);
            Step::draw(rng, operation, magnitude)
        };
        (0..self.num_ops).map(step).collect()
    }

    pub(in super::super) fn check(&self, problems: &mut Violations) {
        problems.check("rand_augment.num_ops", (1..=20).contains(&self.num_ops), || {
            format!("must be within 1 to 20, got {}", self.num_ops)
        });
        check_bins("rand_augment.num_magnitude_bins", self.num_magnitude_bins, problems);
        problems.check("rand_augment.magnitude", self.magnitude < self.num_magnitude_bins, || {
            format!("must be below num_magnitude_bins, {}, got {}", self.num_magnitude_bins, self.magnitude)
        });
    }
}

pub(super) fn check_bins(key: &str, bins: u32, problems: &mut Violations) {
    problems.check(key, (2..=1000).contains(&bins), || format!("must be within 2 to 1000, got {bins}"));
}

impl Short for RandAugment {
    type Full = Self;
    const EXPECTING: &'static str =
        "`true`, or a mapping of num_ops, magnitude, num_magnitude_bins, interpolation and fill";

    fn from_true() -> Option<Self> {
        Some(RandAugment::default())
    }
    fn short_schemas() -> Vec<Json> {
        vec![switch_schema()]
    }
}
