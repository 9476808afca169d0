//! `random_rotation`, `random_affine`, `random_perspective`: settings, what can be wrong with them,
//! and the random parameters of one image, drawn as torchvision documents them.
//! [`warp`](super::warp) applies them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::distributions::uniform;
use super::jitter::JitterAmount;
use super::spelling::{Color, Shear, Short, number_schema, pair_schema, switch_schema};
use super::warp::{AffineParams, Corners, Sampling};
use crate::geometry::Size;
use crate::violations::Violations;

/// A rotation by a random angle about the middle. In YAML a number, a pair `[min, max]`, or a
/// mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomRotation {
    /// A number x for an angle in `[-x, x]`, or the range `[min, max]` of the angle, in degrees,
    /// counter-clockwise.
    pub degrees: JitterAmount,
    /// `nearest` or `bilinear`. Default nearest.
    #[serde(default)]
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    #[serde(default)]
    pub fill: Color,
}

impl RandomRotation {
    fn of(degrees: JitterAmount) -> RandomRotation {
        RandomRotation { degrees, interpolation: Sampling::Nearest, fill: Color::default() }
    }

    /// The angle, in degrees.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> f64 {
        uniform(rng, self.degrees.around_zero())
    }

    pub(super) fn check(&self, problems: &mut Violations) {
        check_angle("random_rotation.degrees", self.degrees, problems);
    }
}

impl Short for RandomRotation {
    type Full = Self;
    const EXPECTING: &'static str =
        "degrees (a number or [min, max]), or a mapping of degrees, interpolation and fill";

    fn from_number(degrees: f64) -> Option<Self> {
        Some(RandomRotation::of(JitterAmount::Symmetric(degrees)))
    }
    fn from_list(list: &[f64]) -> Option<Self> {
        <[f64; 2]>::try_from(list).ok().map(|range| RandomRotation::of(JitterAmount::Range(range)))
    }
    fn short_schemas() -> Vec<Json> {
        vec![number_schema(), pair_schema()]
    }
}

/// A random rotation, translation, scaling and shear at once, about the middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomAffine {
    /// A number x for an angle in `[-x, x]`, or the range `[min, max]` of the angle, in degrees,
    /// clockwise. 0 for none.
    pub degrees: JitterAmount,
    /// Largest shift in both directions as fractions `[of the width, of the height]`, each 0 to 1.
    /// Off by default.
    #[serde(default)]
    pub translate: Option<[f64; 2]>,
    /// Range `[min, max]` of the factor by which the image grows, above 0. Off by default.
    #[serde(default)]
    pub scale: Option<[f64; 2]>,
    /// Shear in degrees: a number x for `[-x, x]` along x, `[min, max]` along x, or `[min x, max x,
    /// min y, max y]`; within -89 to 89. Off by default.
    #[serde(default)]
    pub shear: Option<Shear>,
    /// `nearest` or `bilinear`. Default nearest.
    #[serde(default)]
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    #[serde(default)]
    pub fill: Color,
}

impl RandomAffine {
    /// The parameters for an image of size `of`.
    pub fn draw(&self, rng: &mut ChaCha8Rng, of: Size) -> AffineParams {
        let mut params =
            AffineParams { angle: uniform(rng, self.degrees.around_zero()), ..AffineParams::IDENTITY };
        if let Some([x, y]) = self.translate {
            let mut shift = |share: f64, side: u32| {
                let most = share * f64::from(side);
                uniform(rng, [-most, most]).round_ties_even() as i64
            };
            params.translate = [shift(x, of.width), shift(y, of.height)];
        }
        if let Some(range) = self.scale {
            params.scale = uniform(rng, range);
        }
        if let Some(Shear { x, y }) = self.shear {
            params.shear = [uniform(rng, x), uniform(rng, y)];
        }
        params
    }

    pub(super) fn check(&self, problems: &mut Violations) {
        check_angle("random_affine.degrees", self.degrees, problems);
        if let Some(translate) = self.translate {
            problems.check(
                "random_affine.translate",
                translate.iter().all(|t| (0.0..=1.0).contains(t)),
                || format!("must be [x, y] within 0 to 1, got {translate:?}"),
            );
        }
        if let Some(range) = self.scale {
            // Below a hundredth there is nothing to see, above a hundred only one pixel.
            problems.check_range("random_affine.scale", range, 0.01, 100.0);
        }
        if let Some(Shear { x, y }) = self.shear {
            problems.check_range("random_affine.shear", x, -89.0, 89.0);
            problems.check_range("random_affine.shear", y, -89.0, 89.0);
        }
    }
}

/// A random change of perspective. In YAML `true` for the defaults, or a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomPerspective {
    /// How far the corners may move, as a fraction of half the width and height, 0 to 1. Default
    /// 0.5.
    pub distortion_scale: f64,
    /// Probability that it happens. Default 0.5.
    pub p: f64,
    /// `nearest` or `bilinear`. Default bilinear.
    pub interpolation: Sampling,
    /// Colour of what lies outside of the image: 0 to 255, or `[red, green, blue]`. Default 0.
    pub fill: Color,
}

impl Default for RandomPerspective {
    fn default() -> Self {
        RandomPerspective {
            distortion_scale: 0.5,
            p: 0.5,
            interpolation: Sampling::Bilinear,
            fill: Color::default(),
        }
    }
}

impl RandomPerspective {
    /// Where the corners of an image of size `of` go: each its own way inwards, uniform in whole
    /// pixels. None with probability 1 - p.
    pub fn draw(&self, rng: &mut ChaCha8Rng, of: Size) -> Option<Corners> {
        if rng.random::<f64>() >= self.p {
            return None;
        }
        let (right, bottom) = (i64::from(of.width) - 1, i64::from(of.height) - 1);
        let reach = |side: u32| (self.distortion_scale.max(0.0) * f64::from(side / 2)) as i64;
        let (reach_x, reach_y) = (reach(of.width), reach(of.height));
        let mut inwards = |x: i64, y: i64| {
            let (dx, dy) = (rng.random_range(0..=reach_x), rng.random_range(0..=reach_y));
            [if x == 0 { dx } else { x - dx }, if y == 0 { dy } else { y - dy }]
        };
        Some([inwards(0, 0), inwards(right, 0), inwards(right, bottom), inwards(0, bottom)])
    }

    pub(super) fn check(&self, problems: &mut Violations) {
        let scale = self.distortion_scale;
        problems.check("random_perspective.distortion_scale", (0.0..=1.0).contains(&scale), || {
            format!("must be within 0 to 1, got {scale}")
        });
        problems.check_probability("random_perspective.p", self.p);
    }
}

impl Short for RandomPerspective {
    type Full = Self;
    const EXPECTING: &'static str = "`true`, or a mapping of distortion_scale, p, interpolation and fill";

    fn from_true() -> Option<Self> {
        Some(RandomPerspective::default())
    }
    fn short_schemas() -> Vec<Json> {
        vec![switch_schema()]
    }
}

fn check_angle(key: &str, degrees: JitterAmount, problems: &mut Violations) {
    match degrees {
        JitterAmount::Symmetric(x) => problems
            .check(key, (0.0..=360.0).contains(&x), || format!("must be within 0 to 360 degrees, got {x}")),
        JitterAmount::Range(range) => problems.check_range(key, range, -360.0, 360.0),
    }
}
