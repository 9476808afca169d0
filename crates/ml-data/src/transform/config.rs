//! One split's transforms as YAML writes them, and what can be wrong with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::geometry::Size;

/// The largest side, in pixels, that a transform may be asked for.
pub const MAX_SIDE: u32 = 16_384;

/// Mean of ImageNet's pixels (red, green, blue), on the scale 0 to 1.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's pixels (red, green, blue), on the scale 0 to 1.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// One split's transforms. Keys may stand in any order; they run in the order in which they are listed
/// here. Each is off unless given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformConfig {
    /// Size in pixels: a pair `[height, width]`, or one number for the shorter side (the longer side
    /// follows, keeping the aspect ratio). 1 to 16384. Off by default.
    pub resize: Option<Resize>,
    /// Cuts the middle out: a pair `[height, width]` or one number for a square, in pixels, 1 to 16384.
    /// Smaller pictures are padded with black. Off by default.
    pub center_crop: Option<Size>,
    /// Cuts a random part out: a size, or `{size, padding: 0, fill: 0}`. Off by default.
    pub random_crop: Option<RandomCrop>,
    /// Cuts a random part of random area and aspect ratio out and resizes it: a size, or
    /// `{size, scale: [0.08, 1.0], ratio: [0.75, 1.3333]}`. Off by default.
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Mirrors left and right: `true` (every second picture), a probability 0 to 1, or `false`. Off by
    /// default.
    pub random_horizontal_flip: Probability,
    /// Mirrors top and bottom: `true` (every second picture), a probability 0 to 1, or `false`. Off by
    /// default.
    pub random_vertical_flip: Probability,
    /// Changes brightness, contrast, saturation and hue by random amounts in random order. Off by default.
    pub color_jitter: Option<ColorJitter>,
    /// Takes colour away: three equal channels of ITU-R 601-2 luma. Off by default.
    pub grayscale: bool,
    /// Subtracts a mean and divides by a standard deviation, each channel its own. Off by default: values
    /// are then 0 to 1.
    pub normalize: Option<Normalize>,
    /// How `resize` and `random_resized_crop` compute pixels, with antialiasing except for `nearest`.
    pub interpolation: Interpolation,
    /// Whether a JPEG much larger than needed may be reduced (by 2, 4 or 8) while it is decoded, which is several times
    /// as fast: `auto` where `random_resized_crop` is, `reduced` before any `resize` too, `exact` never.
    pub decoding: Decoding,
}

/// What `resize` aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// This size, whatever the picture's aspect ratio.
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
    /// Value of the added pixels' channels. Pictures smaller than the crop are padded with it too.
    pub fill: u8,
}

/// A crop of random area, aspect ratio and place, resized to `size`. In YAML a size, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// Of the result.
    pub size: Size,
    /// Smallest and largest area of the crop as a fraction of the picture's, above 0, at most 1.
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
    /// A number x for a factor in `[max(0, 1 - x), 1 + x]`, or the range `[min, max]` of the factor, from 0.
    pub brightness: JitterAmount,
    /// As `brightness`.
    pub contrast: JitterAmount,
    /// As `brightness`.
    pub saturation: JitterAmount,
    /// A number x for a shift in `[-x, x]`, or the range `[min, max]` of the shift, within -0.5 to 0.5,
    /// in turns of the colour wheel.
    pub hue: JitterAmount,
}

/// An amount of colour jitter. In YAML a number, or a pair `[min, max]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JitterAmount {
    /// Up to this far from "no change" in both directions, at least 0.
    Symmetric(f64),
    /// Uniform between these two.
    Range([f64; 2]),
}

impl Default for JitterAmount {
    fn default() -> Self {
        JitterAmount::Symmetric(0.0)
    }
}

impl JitterAmount {
    /// The range of a factor whose neutral value is 1, or nothing where it would always be 1.
    pub fn factor_range(self) -> Option<[f64; 2]> {
        let range = match self {
            JitterAmount::Symmetric(x) => [(1.0 - x).max(0.0), 1.0 + x],
            JitterAmount::Range(range) => range,
        };
        (range != [1.0, 1.0]).then_some(range)
    }

    /// The range of a shift whose neutral value is 0, or nothing where it would always be 0.
    pub fn shift_range(self) -> Option<[f64; 2]> {
        let range = match self {
            JitterAmount::Symmetric(x) => [-x, x],
            JitterAmount::Range(range) => range,
        };
        (range != [0.0, 0.0]).then_some(range)
    }
}

/// `(x - mean) / std` for each channel, `x` on the scale 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Red, green, blue, each 0 to 1.
    pub mean: [f64; 3],
    /// Red, green, blue, each above 0, at most 1.
    pub std: [f64; 3],
}

impl Normalize {
    /// The statistics of ImageNet, which pretrained weights expect.
    pub const IMAGENET: Normalize = Normalize { mean: IMAGENET_MEAN, std: IMAGENET_STD };
}

/// How a resized picture's pixels are computed from the original's, as Pillow's filters of these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel, without antialiasing.
    Nearest,
    /// A triangle; the default.
    #[default]
    Bilinear,
    /// A cubic spline (a = -0.5).
    Bicubic,
    /// A windowed sinc over three lobes.
    Lanczos,
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
    /// Before any `resize` or `random_resized_crop`.
    Reduced,
}

impl TransformConfig {
    /// The default training transform of `configs/default.yaml`.
    pub fn default_train() -> TransformConfig {
        TransformConfig { random_horizontal_flip: Probability(0.5), ..TransformConfig::default_eval() }
    }

    /// The default validation and test transform of `configs/default.yaml`.
    pub fn default_eval() -> TransformConfig {
        TransformConfig {
            resize: Some(Resize::Exact(Size { height: 224, width: 224 })),
            normalize: Some(Normalize::IMAGENET),
            ..TransformConfig::default()
        }
    }

    /// The size at which every picture comes out, if there is one.
    pub fn output_size(&self) -> Option<Size> {
        let crop = self
            .random_resized_crop
            .map(|crop| crop.size)
            .or(self.random_crop.map(|crop| crop.size))
            .or(self.center_crop);
        crop.or(match self.resize {
            Some(Resize::Exact(size)) => Some(size),
            Some(Resize::ShorterSide(_)) | None => None,
        })
    }

    /// What is wrong, as (key relative to this struct, message): `("color_jitter.hue", "must be within 0 to
    /// 0.5, got 0.7")`. Empty if nothing is.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        self.check_sizes(&mut problems);
        self.check_crops(&mut problems);
        for (key, Probability(p)) in [
            ("random_horizontal_flip", self.random_horizontal_flip),
            ("random_vertical_flip", self.random_vertical_flip),
        ] {
            problems.check(key, (0.0..=1.0).contains(&p), || {
                format!("must be `true`, `false` or a probability within 0 to 1, got {p}")
            });
        }
        if let Some(jitter) = &self.color_jitter {
            check_jitter(jitter, &mut problems);
        }
        if let Some(Normalize { mean, std }) = self.normalize {
            problems.check("normalize.mean", mean.iter().all(|m| (0.0..=1.0).contains(m)), || {
                format!("must be within 0 to 1 (pixels are scaled to 0..1 first), got {mean:?}")
            });
            problems.check("normalize.std", std.iter().all(|s| *s > 0.0 && *s <= 1.0), || {
                format!("must be above 0 and at most 1 (pixels are scaled to 0..1 first), got {std:?}")
            });
        }
        problems.0
    }

    fn check_sizes(&self, problems: &mut Problems) {
        match self.resize {
            Some(Resize::Exact(size)) => problems.check_size("resize", size),
            Some(Resize::ShorterSide(side)) => {
                problems.check_size("resize", Size { height: side, width: side });
            }
            None => {}
        }
        for (key, size) in [
            ("center_crop", self.center_crop),
            ("random_crop", self.random_crop.map(|crop| crop.size)),
            ("random_resized_crop", self.random_resized_crop.map(|crop| crop.size)),
        ] {
            if let Some(size) = size {
                problems.check_size(key, size);
            }
        }
        problems.check("resize", self.output_size().is_some(), || match self.resize {
            Some(Resize::ShorterSide(side)) => format!(
                "one number leaves the longer side as it comes, but a batch needs pictures of one size; \
                 write [{side}, {side}] or add `center_crop: {side}`"
            ),
            _ => "a batch needs pictures of one size; give `resize: [height, width]` or a crop".to_owned(),
        });
    }

    fn check_crops(&self, problems: &mut Problems) {
        let crops = [
            ("center_crop", self.center_crop.is_some()),
            ("random_crop", self.random_crop.is_some()),
            ("random_resized_crop", self.random_resized_crop.is_some()),
        ];
        let given: Vec<&str> = crops.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        if let [first, second, ..] = given[..] {
            problems.check(second, false, || format!("contradicts `{first}`; give only one of them"));
        }
        if let Some(crop) = &self.random_crop {
            problems.check("random_crop.padding", crop.padding <= MAX_SIDE, || {
                format!("must be at most {MAX_SIDE} pixels, got {}", crop.padding)
            });
            if let Some(Resize::Exact(size)) = self.resize {
                problems.check_fits("random_crop", crop.size, size, crop.padding);
            }
        }
        if let (Some(crop), Some(Resize::Exact(size))) = (self.center_crop, self.resize) {
            problems.check_fits("center_crop", crop, size, 0);
        }
        if let Some(RandomResizedCrop { scale, ratio, .. }) = self.random_resized_crop {
            let [least, most] = scale;
            problems.check("random_resized_crop.scale", least > 0.0 && least <= most && most <= 1.0, || {
                format!("must be [min, max] with 0 < min <= max <= 1, got {scale:?}")
            });
            let [least, most] = ratio;
            let valid = least > 0.0 && least <= most && most.is_finite();
            problems.check("random_resized_crop.ratio", valid, || {
                format!("must be [min, max] with 0 < min <= max, got {ratio:?}")
            });
        }
    }
}

fn check_jitter(jitter: &ColorJitter, problems: &mut Problems) {
    let ColorJitter { brightness, contrast, saturation, hue } = *jitter;
    for (key, amount) in [
        ("color_jitter.brightness", brightness),
        ("color_jitter.contrast", contrast),
        ("color_jitter.saturation", saturation),
    ] {
        match amount {
            JitterAmount::Symmetric(x) => problems
                .check(key, x >= 0.0 && x.is_finite(), || format!("must be a number from 0 up, got {x}")),
            JitterAmount::Range([min, max]) => {
                problems.check(key, min >= 0.0 && min <= max && max.is_finite(), || {
                    format!("must be [min, max] with 0 <= min <= max, got [{min}, {max}]")
                });
            }
        }
    }
    match hue {
        JitterAmount::Symmetric(x) => problems.check("color_jitter.hue", (0.0..=0.5).contains(&x), || {
            format!("must be within 0 to 0.5, got {x}")
        }),
        JitterAmount::Range([min, max]) => {
            problems.check("color_jitter.hue", min >= -0.5 && min <= max && max <= 0.5, || {
                format!("must be [min, max] with -0.5 <= min <= max <= 0.5, got [{min}, {max}]")
            });
        }
    }
}

/// Violations so far, as (key, message).
#[derive(Default)]
struct Problems(Vec<(String, String)>);

impl Problems {
    fn check(&mut self, key: &str, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push((key.to_owned(), message()));
        }
    }

    fn check_size(&mut self, key: &str, Size { height, width }: Size) {
        let sides = 1..=MAX_SIDE;
        self.check(key, sides.contains(&height) && sides.contains(&width), || {
            format!("must be within 1 to {MAX_SIDE} pixels, got [{height}, {width}]")
        });
    }

    /// A crop larger than what it is cut from is possible (it is padded), but never meant.
    fn check_fits(&mut self, key: &str, crop: Size, from: Size, padding: u32) {
        let within = |side: u32, of: u32| u64::from(side) <= u64::from(of) + 2 * u64::from(padding);
        self.check(key, within(crop.height, from.height) && within(crop.width, from.width), || {
            format!(
                "[{}, {}] is larger than what `resize` gives, [{}, {}]",
                crop.height, crop.width, from.height, from.width
            )
        });
    }
}
