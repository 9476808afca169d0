//! AugMix (Hendrycks et al. 2020, arXiv:1912.02781): a weighted mean of the image and of several
//! chains of operations on it.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::distributions::dirichlet;
use super::super::spelling::{Color, Short, switch_schema};
use super::super::warp::Sampling;
use super::{Operation, Space, Step, apply_all};
use crate::decode::Pixels;
use crate::geometry::Size;
use crate::violations::Violations;

/// Strengths there are.
const BINS: u32 = 10;
/// The longest chain where the length is drawn.
const MAX_DRAWN_DEPTH: u32 = 3;

/// The operations in torchvision's order: first those that AugMix always uses.
const OPERATIONS: [Operation; 13] = [
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
    Operation::Rotate,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AutoContrast,
    Operation::Equalize,
    Operation::Brightness,
    Operation::Color,
    Operation::Contrast,
    Operation::Sharpness,
];
const ALWAYS: usize = 9;

/// A weighted mean of the image and of chains of operations on it. In YAML `true` for the defaults,
/// or a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AugMix {
    /// Strength of the operations, 1 to 10. Default 3.
    pub severity: u32,
    /// Chains, 1 to 10. Default 3.
    pub mixture_width: u32,
    /// Operations a chain, 1 to 20; -1 draws 1 to 3 for each chain. Default -1.
    pub chain_depth: i32,
    /// Parameter of the weights' Beta and Dirichlet distributions, above 0. Default 1.
    pub alpha: f64,
    /// Also changes brightness, contrast, colour and sharpness. Default true.
    pub all_ops: bool,
    /// `nearest` or `bilinear`, for operations that move pixels. Default bilinear.
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    pub fill: Color,
}

impl Default for AugMix {
    fn default() -> Self {
        AugMix {
            severity: 3,
            mixture_width: 3,
            chain_depth: -1,
            alpha: 1.0,
            all_ops: true,
            interpolation: Sampling::Bilinear,
            fill: Color::default(),
        }
    }
}

/// What one image is mixed of.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Weight of the image itself; all weights add up to 1.
    pub original: f32,
    /// Chains of steps with their weights.
    pub chains: Vec<(f32, Vec<Step>)>,
}

impl AugMix {
    /// The mixture for an image of size `of`.
    pub fn draw(&self, rng: &mut ChaCha8Rng, of: Size) -> Mixture {
        let pair = dirichlet(rng, self.alpha, 2);
        let weights = dirichlet(rng, self.alpha, self.mixture_width as usize);
        let operations = if self.all_ops { &OPERATIONS[..] } else { &OPERATIONS[..ALWAYS] };
        let chains = weights.into_iter().map(|weight| {
            let depth = match u32::try_from(self.chain_depth) {
                Ok(depth) if depth > 0 => depth,
                _ => rng.random_range(1..=MAX_DRAWN_DEPTH),
            };
            let step = |_| {
                let operation = operations[rng.random_range(0..operations.len())];
                let index =
                    if operation.has_magnitude() { rng.random_range(0..self.severity.max(1)) } else { 0 };
                Step::draw(rng, operation, Space::AugMix.magnitude(operation, index, BINS, of))
            };
            (weight as f32 * pair[1] as f32, (0..depth).map(step).collect())
        });
        Mixture { original: pair[0] as f32, chains: chains.collect() }
    }

    /// Mixes in f32; fractions are dropped.
    pub fn apply(&self, pixels: &mut Pixels, mixture: &Mixture) {
        let mut sums: Vec<f32> =
            pixels.data.iter().map(|value| mixture.original * f32::from(*value)).collect();
        for (weight, steps) in &mixture.chains {
            let mut changed = pixels.clone();
            apply_all(steps, &mut changed, self.interpolation, self.fill);
            for (sum, value) in sums.iter_mut().zip(&changed.data) {
                *sum += weight * f32::from(*value);
            }
        }
        for (value, sum) in pixels.data.iter_mut().zip(&sums) {
            *value = *sum as u8;
        }
    }

    pub(in super::super) fn check(&self, problems: &mut Violations) {
        problems.check("augmix.severity", (1..=BINS).contains(&self.severity), || {
            format!("must be within 1 to {BINS}, got {}", self.severity)
        });
        problems.check("augmix.mixture_width", (1..=10).contains(&self.mixture_width), || {
            format!("must be within 1 to 10, got {}", self.mixture_width)
        });
        let depth = self.chain_depth;
        problems.check("augmix.chain_depth", depth == -1 || (1..=20).contains(&depth), || {
            format!("must be -1 (1 to 3 at random) or within 1 to 20, got {depth}")
        });
        problems.check_alpha("augmix.alpha", self.alpha);
    }
}

impl Short for AugMix {
    type Full = Self;
    const EXPECTING: &'static str = "`true`, or a mapping of severity, mixture_width, chain_depth, alpha, all_ops, interpolation and fill";

    fn from_true() -> Option<Self> {
        Some(AugMix::default())
    }
    fn short_schemas() -> Vec<Json> {
        vec![switch_schema()]
    }
}
