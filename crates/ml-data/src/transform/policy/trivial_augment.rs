//! TrivialAugment, wide (Müller and Hutter 2021, arXiv:2103.10158): one operation of random
//! strength.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::config::Size;
use super::super::spelling::{Color, Short, switch_schema};
use super::super::warp::Sampling;
use super::rand_augment::check_bins;
use super::{Space, Step, WITHOUT_INVERT};
use crate::violations::Violations;

/// One operation of random strength. In YAML `true` for the defaults, or a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrivialAugmentWide {
    /// Strengths there are, 2 to 1000. Default 31.
    pub num_magnitude_bins: u32,
    /// `nearest` or `bilinear`, for operations that move pixels. Default nearest.
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    pub fill: Color,
}

impl Default for TrivialAugmentWide {
    fn default() -> Self {
        TrivialAugmentWide {
            num_magnitude_bins: 31,
            interpolation: Sampling::Nearest,
            fill: Color::default(),
        }
    }
}

impl TrivialAugmentWide {
    /// The step for an image, uniform over operations, strengths and signs.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Step {
        let operation = WITHOUT_INVERT[rng.random_range(0..WITHOUT_INVERT.len())];
        let index =
            if operation.has_magnitude() { rng.random_range(0..self.num_magnitude_bins.max(1)) } else { 0 };
        // Its magnitudes do not depend on the size.
        let of = Size { height: 1, width: 1 };
        let magnitude = Space::Wide.magnitude(operation, index, self.num_magnitude_bins, of);
        Step::draw(rng, operation, magnitude)
    }

    pub(in super::super) fn check(&self, problems: &mut Violations) {
        check_bins("trivial_augment_wide.num_magnitude_bins", self.num_magnitude_bins, problems);
    }
}

impl Short for TrivialAugmentWide {
    type Full = Self;
    const EXPECTING: &'static str = "`true`, or a mapping of num_magnitude_bins, interpolation and fill";

    fn from_true() -> Option<Self> {
        Some(TrivialAugmentWide::default())
    }
    fn short_schemas() -> Vec<Json> {
        vec![switch_schema()]
    }
}
