//! Augmentation policies: random sequences of the operations of AutoAugment, with its magnitudes.
//!
//! [`Operation`] and [`Space`] are what the policies have in common; each policy draws [`Step`]s
//! for an image, and [`Step::apply`] makes them, to the byte as torchvision does it to a PIL image.

mod augmix;
mod auto_augment;
mod rand_augment;
mod trivial_augment;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::color::{self, Change};
use super::spelling::Color;
use super::warp::{self, AffineParams, Sampling};
use super::{blur, point};
use crate::decode::Pixels;
use crate::geometry::Size;

pub use augmix::{AugMix, Mixture};
pub use auto_augment::{AutoAugment, PolicyName, SubPolicy};
pub use rand_augment::RandAugment;
pub use trivial_augment::TrivialAugmentWide;

/// The operations, by torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Moves each row by magnitude times its number.
    ShearX,
    /// Moves each column by magnitude times its number.
    ShearY,
    /// Moves by magnitude pixels to the right.
    TranslateX,
    /// Moves by magnitude pixels down.
    TranslateY,
    /// Rotates by magnitude degrees, counter-clockwise.
    Rotate,
    /// Away from black by a factor of 1 + magnitude.
    Brightness,
    /// Away from grey by a factor of 1 + magnitude.
    Color,
    /// Away from the mean by a factor of 1 + magnitude.
    Contrast,
    /// Away from the smoothed image by a factor of 1 + magnitude.
    Sharpness,
    /// Keeps magnitude bits.
    Posterize,
    /// Inverts the values from magnitude up.
    Solarize,
    /// Stretches each channel over all values.
    AutoContrast,
    /// Makes each channel's values about equally frequent.
    Equalize,
    /// Swaps light and dark.
    Invert,
}

use Operation::{
    AutoContrast, Brightness, Contrast, Equalize, Identity, Invert, Posterize, Rotate, Sharpness, ShearX,
    ShearY, Solarize, TranslateX, TranslateY,
};

/// The operations of RandAugment and TrivialAugment, in torchvision's order.
const WITHOUT_INVERT: [Operation; 14] = [
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Operation::Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

impl Operation {
    /// Whether a magnitude is as likely negative as positive.
    pub fn is_signed(self) -> bool {
        matches!(
            self,
            ShearX
                | ShearY
                | TranslateX
                | TranslateY
                | Rotate
                | Brightness
                | Operation::Color
                | Contrast
                | Sharpness
        )
    }

    /// Whether it comes in different strengths.
    pub fn has_magnitude(self) -> bool {
        !matches!(self, Identity | AutoContrast | Equalize | Invert)
    }
}

/// How large magnitudes get: each policy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// AutoAugment and RandAugment.
    Standard,
    /// TrivialAugment, wide.
    Wide,
    /// AugMix.
    AugMix,
}

impl Space {
    /// Magnitude number `index` of `bins`, before the sign, for an image of size `of`; 0 for
    /// operations without.
    pub fn magnitude(self, operation: Operation, index: u32, bins: u32, of: Size) -> f64 {
        let wide = self == Space::Wide;
        let translate = |side: u32| match self {
            Space::Standard => 150.0 / 331.0 * f64::from(side),
            Space::Wide => 32.0,
            Space::AugMix => f64::from(side) / 3.0,
        };
        let most = match operation {
            Identity | AutoContrast | Equalize | Invert => return 0.0,
            Posterize => return self.bits(index, bins),
            Solarize => return linspace(255.0, 0.0, index, bins),
            ShearX | ShearY => [0.3, 0.99][usize::from(wide)],
            TranslateX => translate(of.width),
            TranslateY => translate(of.height),
            Rotate => [30.0, 135.0][usize::from(wide)],
            Brightness | Operation::Color | Contrast | Sharpness => [0.9, 0.99][usize::from(wide)],
        };
        linspace(0.0, most, index, bins)
    }

    /// Bits that posterizing keeps: a whole number, falling with `index`.
    fn bits(self, index: u32, bins: u32) -> f64 {
        let (from, range) = match self {
            Space::Standard => (8.0, 4.0),
            Space::Wide => (8.0, 6.0),
            Space::AugMix => (4.0, 4.0),
        };
        let width = ((f64::from(bins) - 1.0) / range) as f32;
        from - f64::from((index as f32 / width).round_ties_even())
    }
}

/// Number `index` of `count` equally spaced from `start` to `end`, as `torch.linspace` counts in
/// f32 with fused multiplications: the second half from the end.
fn linspace(start: f64, end: f64, index: u32, count: u32) -> f64 {
    let (start, end) = (start as f32, end as f32);
    let step = f64::from((end - start) / (count as f32 - 1.0));
    // The products are exact in f64, so that only the sums are rounded.
    let value = if index < count / 2 {
        f64::from(start) + step * f64::from(index)
    } else {
        f64::from(end) - step * (f64::from(count) - 1.0 - f64::from(index))
    };
    f64::from(value as f32)
}

/// One operation of a certain strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is done.
    pub operation: Operation,
    /// How strongly, with its sign; see [`Operation`].
    pub magnitude: f64,
}

impl Step {
    /// `operation` at magnitude number `index`, its sign drawn if it has one.
    fn draw(rng: &mut ChaCha8Rng, operation: Operation, magnitude: f64) -> Step {
        let negative = operation.is_signed() && rng.random::<bool>();
        Step { operation, magnitude: if negative { -magnitude } else { magnitude } }
    }

    /// Makes the step. `sampling` and `fill` are for those that move pixels.
    pub fn apply(&self, pixels: &mut Pixels, sampling: Sampling, fill: Color) {
        let Step { operation, magnitude } = *self;
        let factor = 1.0 + magnitude;
        match operation {
            Identity => {}
            ShearX | ShearY | TranslateX | TranslateY => *pixels = self.moved(pixels, sampling, fill),
            Rotate => *pixels = warp::rotate(pixels, magnitude, sampling, fill.0),
            Brightness => color::adjust(pixels, Change::Brightness(factor)),
            Operation::Color => color::adjust(pixels, Change::Saturation(factor)),
            Contrast => color::adjust(pixels, Change::Contrast(factor)),
            Sharpness => blur::sharpness(pixels, factor),
            Posterize => point::posterize(pixels, magnitude as u32),
            Solarize => point::solarize(pixels, magnitude),
            AutoContrast => point::autocontrast(pixels),
            Equalize => point::equalize(pixels),
            Invert => point::invert(pixels),
        }
    }

    fn moved(&self, pixels: &Pixels, sampling: Sampling, fill: Color) -> Pixels {
        // The shear's magnitude is its tangent, about the upper left corner. Translations drop
        // fractions.
        let angle = self.magnitude.atan().to_degrees();
        let mut params = AffineParams::IDENTITY;
        match self.operation {
            ShearX => params.shear[0] = angle,
            ShearY => params.shear[1] = angle,
            TranslateX => params.translate[0] = self.magnitude as i64,
            _ => params.translate[1] = self.magnitude as i64,
        }
        match self.operation {
            ShearX | ShearY => warp::transform(pixels, &params.inverse_matrix([0.0; 2]), sampling, fill.0),
            _ => warp::affine(pixels, &params, sampling, fill.0),
        }
    }
}

/// Makes all steps in turn.
pub fn apply_all(steps: &[Step], pixels: &mut Pixels, sampling: Sampling, fill: Color) {
    steps.iter().for_each(|step| step.apply(pixels, sampling, fill));
}
