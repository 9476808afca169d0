//! One split's transforms as YAML writes them. What can be wrong with them is in `check.rs`;
//! operations with settings of their own have these in their own files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::blur::GaussianBlur;
use super::erasing::RandomErasing;
use super::geometric::{RandomAffine, RandomPerspective, RandomRotation};
pub use super::interpolation::Interpolation;
pub use super::jitter::JitterAmount;
use super::letterbox::Letterbox;
use super::mix::MixConfig;
use super::normalize::{Channels, Normalize};
use super::policy::{AugMix, AutoAugment, RandAugment, TrivialAugmentWide};
use super::spelling;
use crate::decode::Depth;
pub use crate::geometry::{MAX_SIDE, Size};
use crate::setting::Auto;

/// One split's transforms. Keys may stand in any order; they run in the order in which they are
/// listed here. Each is off unless given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformConfig {
    /// Size in pixels: a pair `[height, width]`, or one number for the shorter side (the longer
    /// side follows, keeping the aspect ratio). 1 to 16384. Off by default.
    pub resize: Option<Resize>,
    /// Resizes the whole image, keeping its aspect ratio, so that it just fits into a size, and pads
    /// the rest on both sides alike: a size, or `{size, fill: 0}`, fill being 0 to 255 or `[red,
    /// green, blue]`. In place of `resize`. Off by default.
    pub letterbox: Option<Letterbox>,
    /// Cuts the middle out: a pair `[height, width]` or one number for a square, in pixels, 1
    /// to 16384. Smaller images are padded with black. Off by default.
    pub center_crop: Option<Size>,
    /// Cuts a random part out: a size, or `{size, padding: 0, fill: 0}`. Off by default.
    pub random_crop: Option<RandomCrop>,
    /// Cuts a random part of random area and aspect ratio out and resizes it: a size, or
    /// `{size, scale: [0.08, 1.0], ratio: [0.75, 1.3333]}`. Off by default.
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Mirrors left and right: `true` (every second image), a probability 0 to 1, or `false`. Off
    /// by default.
    pub random_horizontal_flip: Probability,
    /// Mirrors top and bottom: `true` (every second image), a probability 0 to 1, or `false`. Off
    /// by default.
    pub random_vertical_flip: Probability,
    /// AutoAugment: a random pair of operations from a table: `imagenet`, `cifar10`, `svhn`, or
    /// `{policy: imagenet, interpolation: nearest, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<AutoAugment>")]
    pub auto_augment: Option<AutoAugment>,
    /// RandAugment: a few random operations of one strength: `true`, or `{num_ops: 2, magnitude: 9,
    /// num_magnitude_bins: 31, interpolation: nearest, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<RandAugment>")]
    pub rand_augment: Option<RandAugment>,
    /// TrivialAugment: one random operation of random strength: `true`, or `{num_magnitude_bins:
    /// 31, interpolation: nearest, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<TrivialAugmentWide>")]
    pub trivial_augment_wide: Option<TrivialAugmentWide>,
    /// AugMix: a weighted mean of the image and of chains of operations on it: `true`, or
    /// `{severity: 3, mixture_width: 3, chain_depth: -1, alpha: 1.0, all_ops: true, interpolation:
    /// bilinear, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<AugMix>")]
    pub augmix: Option<AugMix>,
    /// Rotates by a random angle: degrees, a range `[min, max]`, or `{degrees, interpolation:
    /// nearest, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<RandomRotation>")]
    pub random_rotation: Option<RandomRotation>,
    /// Rotates, moves, scales and shears at random: `{degrees, translate: null, scale: null, shear:
    /// null, interpolation: nearest, fill: 0}`. Off by default.
    pub random_affine: Option<RandomAffine>,
    /// Changes the perspective at random: `true`, or `{distortion_scale: 0.5, p: 0.5,
    /// interpolation: bilinear, fill: 0}`. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<RandomPerspective>")]
    pub random_perspective: Option<RandomPerspective>,
    /// Changes brightness, contrast, saturation and hue by random amounts in random order. Off by
    /// default.
    pub color_jitter: Option<ColorJitter>,
    /// Takes colour away: three equal channels of ITU-R 601-2 luma. Off by default.
    pub grayscale: bool,
    /// Takes colour away from random images, as `grayscale` does: a probability 0 to 1, `true`
    /// (every second image), or `false`. Off by default.
    pub random_grayscale: Probability,
    /// Blurs: `{kernel_size, sigma: [0.1, 2.0], p: 1.0}`, the size one odd number or a pair
    /// `[height, width]`. Off by default.
    pub gaussian_blur: Option<GaussianBlur>,
    /// Channels of the result: 3 (red, green, blue), 1 (ITU-R 601-2 luma), or 2 to 64, which the
    /// images then have to have. Default 3.
    pub channels: Channels,
    /// Bits of a channel: 8, or 16, which TIFF, PNG and NumPy files then keep; `channels` 1 and 3 are
    /// then the images' own too. Default 8.
    pub bits: Depth,
    /// Subtracts a mean and divides by a standard deviation, each channel its own: `{mean: […],
    /// std: […]}` with one entry a channel, or `auto` for those of the training images. Off by
    /// default: values are then 0 to 1.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<Auto<Normalize>>")]
    pub normalize: Option<Auto<Normalize>>,
    /// Overwrites a random rectangle after normalising: `true`, a probability, or `{p: 0.5, scale:
    /// [0.02, 0.33], ratio: [0.3, 3.3], value: 0}`, value a number, a list, or `random`. Off by
    /// default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<RandomErasing>")]
    pub random_erasing: Option<RandomErasing>,
    /// Mixes each image of a batch, and its target, with the one before: alpha, or `{alpha: 1.0}`.
    /// With `cutmix` each is done to half of the batches. For training only. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<MixConfig>")]
    pub mixup: Option<MixConfig>,
    /// Cuts a rectangle of each image of a batch from the one before, and mixes the targets: alpha,
    /// or `{alpha: 1.0}`. For training only. Off by default.
    #[serde(deserialize_with = "spelling::read")]
    #[schemars(schema_with = "spelling::schema::<MixConfig>")]
    pub cutmix: Option<MixConfig>,
    /// How `resize`, `letterbox` and `random_resized_crop` compute pixels, with antialiasing except for
    /// `nearest`.
    pub interpolation: Interpolation,
    /// Whether a JPEG much larger than needed may be reduced (by 2, 4 or 8) while it is decoded,
    /// which is several times as fast: `auto` where `random_resized_crop` is, `reduced` before any
    /// `resize` or `letterbox` too, `exact` never.
    pub decoding: Decoding,
}

/// What `resize` aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// This size, whatever the image's aspect ratio.
    Exact(Size),
    /// The shorter side gets this many pixels; the aspect ratio is kept.
    ShorterSide(u32),
}

/// A crop at a random place, after padding. In YAML a size, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// Of the crop.
    pub size: Size,
    /// Pixels added on each side first, 0 to 16384.
    pub padding: u32,
    /// Value of the added pixels' channels. Images smaller than the crop are padded with it too.
    pub fill: u8,
}

/// A crop of random area, aspect ratio and place, resized to `size`. In YAML a size, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// Of the result.
    pub size: Size,
    /// Smallest and largest area of the crop as a fraction of the image's, above 0, at most 1.
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio (width / height) of the crop, above 0.
    pub ratio: [f64; 2],
}

impl RandomResizedCrop {
    /// A tenth or so to all of the area, up to 4:3 wide or tall, as ImageNet's training is done.
    pub const DEFAULT_SCALE: [f64; 2] = [0.08, 1.0];
    /// See [`RandomResizedCrop::DEFAULT_SCALE`].
    pub const DEFAULT_RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
}

/// A probability. In YAML a number 0 to 1, `true` for 0.5, `false` for 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Probability(pub f64);

/// How much colours may change. Amounts left out are 0: no change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// A number x for a factor in `[max(0, 1 - x), 1 + x]`, or the range `[min, max]` of the
    /// factor, from 0.
    pub brightness: JitterAmount,
    /// As `brightness`.
    pub contrast: JitterAmount,
    /// As `brightness`.
    pub saturation: JitterAmount,
    /// A number x for a shift in `[-x, x]`, or the range `[min, max]` of the shift, within -0.5 to
    /// 0.5, in turns of the colour wheel.
    pub hue: JitterAmount,
}

/// Whether large JPEGs may be reduced while they are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// Where there is a `random_resized_crop`; what is evaluated is decoded in full.
    #[default]
    Auto,
    /// Never: pixels are those of full decoding, to the bit.
    Exact,
    /// Before any `resize`, `letterbox` or `random_resized_crop`.
    Reduced,
}

impl TransformConfig {
    /// Whether batches are mixed, by `mixup` or `cutmix`: targets are probabilities then.
    pub fn mixes(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }

    /// Whether images are of more than RGB bytes: of other than 1 or 3 channels, or of 16 bits.
    pub fn is_deep(&self) -> bool {
        self.bits == Depth::Sixteen || matches!(self.channels, Channels::Many(_))
    }

    /// The keys of what is random: an image comes out otherwise in each epoch.
    pub fn random_keys(&self) -> Vec<&'static str> {
        let TransformConfig {
            random_crop,
            random_resized_crop,
            random_horizontal_flip,
            random_vertical_flip,
            auto_augment,
            rand_augment,
            trivial_augment_wide,
            augmix,
            random_rotation,
            random_affine,
            random_perspective,
            color_jitter,
            random_grayscale,
            gaussian_blur,
            random_erasing,
            mixup,
            cutmix,
            // The same for an image each time.
            resize: _,
            letterbox: _,
            center_crop: _,
            grayscale: _,
            channels: _,
            bits: _,
            normalize: _,
            interpolation: _,
            decoding: _,
        } = self;
        let keys = [
            ("random_crop", random_crop.is_some()),
            ("random_resized_crop", random_resized_crop.is_some()),
            ("random_horizontal_flip", random_horizontal_flip.0 > 0.0),
            ("random_vertical_flip", random_vertical_flip.0 > 0.0),
            ("auto_augment", auto_augment.is_some()),
            ("rand_augment", rand_augment.is_some()),
            ("trivial_augment_wide", trivial_augment_wide.is_some()),
            ("augmix", augmix.is_some()),
            ("random_rotation", random_rotation.is_some()),
            ("random_affine", random_affine.is_some()),
            ("random_perspective", random_perspective.is_some()),
            ("color_jitter", color_jitter.is_some()),
            ("random_grayscale", random_grayscale.0 > 0.0),
            ("gaussian_blur", gaussian_blur.is_some()),
            ("random_erasing", random_erasing.is_some()),
            ("mixup", mixup.is_some()),
            ("cutmix", cutmix.is_some()),
        ];
        keys.into_iter().filter(|(_, is_on)| *is_on).map(|(key, _)| key).collect()
    }

    /// The default training transform of `configs/default.yaml`.
    pub fn default_train() -> TransformConfig {
        TransformConfig { random_horizontal_flip: Probability(0.5), ..TransformConfig::default_eval() }
    }

    /// The default validation and test transform of `configs/default.yaml`.
    pub fn default_eval() -> TransformConfig {
        TransformConfig {
            resize: Some(Resize::Exact(Size { height: 224, width: 224 })),
            normalize: Some(Auto::Value(Normalize::imagenet())),
            ..TransformConfig::default()
        }
    }

    /// Whether `normalize` is `auto`: a pipeline can only be made of
    /// [`TransformConfig::with_statistics`].
    pub fn needs_statistics(&self) -> bool {
        self.normalize == Some(Auto::Auto)
    }

    /// This configuration with `auto` replaced by `statistics`. Without `auto` nothing changes.
    #[must_use]
    pub fn with_statistics(&self, statistics: Normalize) -> TransformConfig {
        let mut resolved = self.clone();
        if self.needs_statistics() {
            resolved.normalize = Some(Auto::Value(statistics));
        }
        resolved
    }

    /// The size at which every image comes out, if there is one.
    pub fn output_size(&self) -> Option<Size> {
        let crop = self
            .random_resized_crop
            .map(|crop| crop.size)
            .or(self.random_crop.map(|crop| crop.size))
            .or(self.center_crop);
        crop.or(self.letterbox.map(|letterbox| letterbox.size)).or(match self.resize {
            Some(Resize::Exact(size)) => Some(size),
            Some(Resize::ShorterSide(_)) | None => None,
        })
    }
}
