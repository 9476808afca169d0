//! The first part of a pipeline: an image file → pixels at network size, decoding only what is
//! needed.
//!
//! Two ways lead to the same pixels, to the bit. [`Pipeline::load`] draws the crop first and
//! decodes the part that it needs; [`Pipeline::prepare`] does what does not depend on the random
//! stream (so that it can be kept), and [`Pipeline::finish`] the rest.
//!
//! A JPEG that is much larger than what will become of it is reduced while it is decoded. By how
//! much is a function of the image's size and the configuration, never of the random stream.

use std::borrow::Cow;

use rand_chacha::ChaCha8Rng;

use super::config::{Decoding, RandomResizedCrop, Resize, Size, TransformConfig};
use super::{Pipeline, ops, params};
use crate::decode::{DecodeProblem, Encoded, Pixels};
use crate::geometry::Area;

/// An image reduced for `resize` keeps at least this many pixels, in each direction, for one of the
/// result. Measured on photographs with chroma subsampling: a channel differs from that of full
/// decoding by 1 of 255 in the mean, by 5 at the 99th percentile.
const MIN_RATIO_RESIZE: f64 = 2.0;
/// The same for the smallest crop of `random_resized_crop`: 1.3 and 8; for crops of average size
/// 0.5 and 3.
const MIN_RATIO_CROP: f64 = 1.5;

/// The most pixels that `resize` to a shorter side may enlarge an image to: 2^26, 192 MiB. A
/// strip of 1 x 60,000 pixels would become one of 224 x 13,440,000.
const MAX_RESIZED_PIXELS: u64 = 1 << 26;

/// An image after all that does not depend on the random stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The image, reduced or resized.
    pub pixels: Pixels,
    /// The size that crops are drawn for: that of the pixels, but for reduced ones that of the
    /// whole image.
    pub size: Size,
    /// By what the image's sides were split: 1, 2, 4 or 8.
    pub divisor: u32,
}

impl Prepared {
    /// An image as it is.
    fn whole(pixels: Pixels) -> Prepared {
        Prepared { size: Size::of(&pixels), pixels, divisor: 1 }
    }
}

/// What is cut out of an image.
#[derive(Clone, Copy, Debug)]
pub(super) enum Crop {
    Nothing,
    /// This size at a place that may lie outside; what is not there gets the value `fill`.
    Cut {
        top: i64,
        left: i64,
        size: Size,
        fill: u8,
    },
    /// An area, resized to this size.
    Resized {
        area: Area,
        size: Size,
    },
}

impl Pipeline {
    /// An image file → pixels at network size: equal to [`finish`](Pipeline::finish) of
    /// [`prepare`](Pipeline::prepare), at less cost. Of images that are more than RGB bytes, what
    /// [`load_raster`](Pipeline::load_raster) gives, as it can be looked at.
    ///
    /// # Errors
    /// The image is damaged, see [`DecodeProblem`].
    pub fn load(&self, encoded: Encoded<'_>, rng: &mut ChaCha8Rng) -> Result<Pixels, DecodeProblem> {
        if self.config.is_deep() {
            return Ok(self.load_raster(encoded, rng)?.preview());
        }
        encoded.check_rgb()?;
        let of = encoded.size();
        let is_resized = self.config.resize.is_some() || self.config.letterbox.is_some();
        if is_resized || self.divisor(&encoded) > 1 {
            return Ok(self.finish(&self.prepare(encoded)?, rng));
        }
        let crop = self.draw_crop(of, rng);
        let (pixels, within) = match needed(crop, of) {
            Some(area) => {
                let (pixels, within) = encoded.decode_part(area)?;
                // Where the whole image's corner lies, seen from the decoded part.
                (
                    pixels,
                    (
                        i64::from(within.top) - i64::from(area.top),
                        i64::from(within.left) - i64::from(area.left),
                    ),
                )
            }
            None => (encoded.decode()?, (0, 0)),
        };
        let crop = match crop {
            Crop::Nothing => Crop::Nothing,
            Crop::Cut { top, left, size, fill } => {
                Crop::Cut { top: top + within.0, left: left + within.1, size, fill }
            }
            Crop::Resized { area, size } => {
                let moved = |at: u32, by: i64| (i64::from(at) + by) as u32;
                let area = Area { top: moved(area.top, within.0), left: moved(area.left, within.1), ..area };
                Crop::Resized { area, size }
            }
        };
        Ok(self.augment(self.cut(Cow::Owned(pixels), 1, crop), rng))
    }

    /// Decodes (reduced, if the image is large) and does `resize` or `letterbox`, if there is one.
    ///
    /// # Errors
    /// The image is damaged, or `resize` would make it too large, see [`DecodeProblem`].
    pub fn prepare(&self, encoded: Encoded<'_>) -> Result<Prepared, DecodeProblem> {
        encoded.check_rgb()?;
        let (of, divisor) = (encoded.size(), self.divisor(&encoded));
        // Before anything is decoded for nothing.
        self.target(of)?;
        let pixels = encoded.decode_reduced(divisor)?;
        self.resized(Prepared { pixels, size: of, divisor })
    }

    /// Crops and augments. Equal images and an equal stream give an equal result.
    pub fn finish(&self, prepared: &Prepared, rng: &mut ChaCha8Rng) -> Pixels {
        let crop = self.draw_crop(prepared.size, rng);
        self.augment(self.cut(Cow::Borrowed(&prepared.pixels), prepared.divisor, crop), rng)
    }

    /// Decoded pixels → pixels at network size. Equal pixels and an equal stream give an equal
    /// result.
    ///
    /// # Errors
    /// `resize` would make it too large, see [`DecodeProblem::ResizedTooLarge`].
    pub fn apply(&self, pixels: Pixels, rng: &mut ChaCha8Rng) -> Result<Pixels, DecodeProblem> {
        let Prepared { pixels, size, divisor } = self.resized(Prepared::whole(pixels))?;
        let crop = self.draw_crop(size, rng);
        Ok(self.augment(self.cut(Cow::Owned(pixels), divisor, crop), rng))
    }

    /// Tells what [`prepare`](Pipeline::prepare) does to images: pipelines with equal texts do the
    /// same.
    pub fn preparation(&self) -> String {
        let TransformConfig { resize, letterbox, random_resized_crop, interpolation, decoding, .. } =
            self.config;
        // Without a letterbox the text is that of versions that had none, so that their caches hold.
        let letterbox = letterbox.map_or_else(String::new, |letterbox| format!(" {letterbox:?}"));
        format!("{resize:?} {random_resized_crop:?} {interpolation:?} {decoding:?}{letterbox}")
    }

    /// What an image of size `of` is resized to, by `resize` or for `letterbox`.
    pub(super) fn target(&self, of: Size) -> Result<Option<Size>, DecodeProblem> {
        if let Some(letterbox) = self.config.letterbox {
            return Ok(Some(letterbox.target(of)));
        }
        let Some(resize) = self.config.resize else { return Ok(None) };
        let target = resize.target(of);
        let is_too_large = u64::from(target.height) * u64::from(target.width) > MAX_RESIZED_PIXELS;
        // The configuration may wish for images as large as that, and an image may be so itself.
        if is_too_large
            && matches!(resize, Resize::ShorterSide(_))
            && (target.height > of.height || target.width > of.width)
        {
            return Err(DecodeProblem::ResizedTooLarge { from: of, to: target });
        }
        Ok(Some(target))
    }

    fn resized(&self, image: Prepared) -> Result<Prepared, DecodeProblem> {
        let Some(target) = self.target(image.size)? else { return Ok(image) };
        let Prepared { mut pixels, size, divisor } = image;
        if divisor > 1 || size != target {
            pixels = resized_area(&pixels, divisor, Area::whole(size), target, &self.config);
        }
        Ok(Prepared::whole(match self.config.letterbox {
            Some(letterbox) => letterbox.pad(pixels),
            None => pixels,
        }))
    }

    /// By what the sides of this image are to be divided.
    fn divisor(&self, encoded: &Encoded<'_>) -> u32 {
        if encoded.is_reducible() { self.config.divisor(encoded.size()) } else { 1 }
    }

    pub(super) fn draw_crop(&self, of: Size, rng: &mut ChaCha8Rng) -> Crop {
        let TransformConfig { center_crop, random_crop, random_resized_crop, .. } = &self.config;
        if let Some(size) = *center_crop {
            let (top, left) = ops::center(of, size);
            return Crop::Cut { top, left, size, fill: 0 };
        }
        if let Some(crop) = random_crop {
            let (top, left) = params::random_crop(rng, of, crop);
            return Crop::Cut { top, left, size: crop.size, fill: crop.fill };
        }
        if let Some(crop) = random_resized_crop {
            return Crop::Resized { area: params::random_resized_crop(rng, of, crop), size: crop.size };
        }
        Crop::Nothing
    }

    fn cut(&self, pixels: Cow<'_, Pixels>, divisor: u32, crop: Crop) -> Pixels {
        match crop {
            Crop::Nothing => pixels.into_owned(),
            Crop::Cut { top, left, size, fill } => ops::crop(&pixels, top, left, size, fill),
            Crop::Resized { area, size } => resized_area(&pixels, divisor, area, size, &self.config),
        }
    }
}

/// `area`, which is of the whole image, of one whose sides were split.
fn resized_area(pixels: &Pixels, divisor: u32, area: Area, size: Size, config: &TransformConfig) -> Pixels {
    if divisor == 1 {
        return ops::resized_crop(pixels, area, size, config.interpolation);
    }
    let scaled = |length: u32| f64::from(length) / f64::from(divisor);
    let window = ops::Window {
        top: scaled(area.top),
        left: scaled(area.left),
        height: scaled(area.size.height),
        width: scaled(area.size.width),
    };
    ops::resized_window(pixels, window, size, config.interpolation)
}

/// The part of an image of size `of` that a crop looks at; none if it looks at nothing of it, or
/// has no bounds.
fn needed(crop: Crop, of: Size) -> Option<Area> {
    match crop {
        Crop::Nothing => None,
        Crop::Resized { area, .. } => Some(area),
        Crop::Cut { top, left, size, .. } => {
            let covered = |start: i64, length: u32, side: u32| {
                let first = start.clamp(0, i64::from(side));
                let last = (start + i64::from(length)).clamp(first, i64::from(side));
                (first as u32, (last - first) as u32)
            };
            let (top, height) = covered(top, size.height, of.height);
            let (left, width) = covered(left, size.width, of.width);
            (height > 0 && width > 0).then_some(Area { top, left, size: Size { height, width } })
        }
    }
}

impl TransformConfig {
    /// By what the sides of an image of size `of` are divided while it is decoded, if its format
    /// allows: the largest of 8, 4, 2 that leaves enough pixels, else 1.
    fn divisor(&self, of: Size) -> u32 {
        let letterboxed = self.letterbox.map(|letterbox| letterbox.target(of));
        let resized = letterboxed.or_else(|| self.resize.map(|resize| resize.target(of)));
        let (least, target, ratio) = match (resized, self.random_resized_crop) {
            (Some(target), crop) if self.decoding == Decoding::Reduced || crop.is_some() => {
                (of, target, MIN_RATIO_RESIZE)
            }
            (None, Some(crop)) => (smallest_crop(of, &crop), crop.size, MIN_RATIO_CROP),
            _ => return 1,
        };
        if self.decoding == Decoding::Exact {
            return 1;
        }
        let enough =
            |from: u32, to: u32, divisor: u32| f64::from(from) >= ratio * f64::from(divisor) * f64::from(to);
        let fits = |divisor: &u32| {
            enough(least.height, target.height, *divisor) && enough(least.width, target.width, *divisor)
        };
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }
}

/// The shortest height and the shortest width that a crop can have.
fn smallest_crop(of: Size, crop: &RandomResizedCrop) -> Size {
    let area = f64::from(of.height) * f64::from(of.width) * crop.scale[0];
    let side = |length: f64, limit: u32| (length as u32).min(limit);
    Size {
        height: side((area / crop.ratio[1]).sqrt(), of.height),
        width: side((area * crop.ratio[0]).sqrt(), of.width),
    }
}

impl Resize {
    /// The size that an image of size `of` is to be given. The longer side is rounded down, as
    /// torchvision does.
    pub(super) fn target(self, of: Size) -> Size {
        match self {
            Resize::Exact(size) => size,
            Resize::ShorterSide(side) => {
                let longer = |long: u32, short: u32| {
                    let length = u64::from(side) * u64::from(long) / u64::from(short.max(1));
                    u32::try_from(length).unwrap_or(u32::MAX).max(1)
                };
                let Size { height, width } = of;
                if width <= height {
                    Size { height: longer(height, width), width: side }
                } else {
                    Size { height: side, width: longer(width, height) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::rng::{Purpose, stream};

    fn tests_folder() -> PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
    }

    fn yaml(text: &str) -> TransformConfig {
        serde_yaml::from_str(text).unwrap()
    }

    fn rng(sample: u64) -> ChaCha8Rng {
        stream(0, Purpose::Augmentation, 0, sample)
    }

    /// `reduced/420.jpg`, 333 x 251: see tests/reference/reduced.py.
    fn photograph() -> Vec<u8> {
        let path = tests_folder().join("reference/reduced/420.jpg");
        std::fs::read(path).unwrap()
    }

    #[test]
    fn loading_at_once_equals_preparing_and_finishing() {
        let folder = tests_folder().join("data/images");
        let images =
            ["rgb.png", "subsampled.jpg", "orientation_6.jpg", "orientation_7.jpg", "cmyk.jpg", "rgb.webp"];
        let files = images.map(|name| std::fs::read(folder.join(name)).unwrap());
        for text in [
            "{random_resized_crop: 24}",
            "{random_resized_crop: {size: 12, scale: [0.9, 1.0]}}",
            "{random_resized_crop: {size: 12, scale: [0.9, 1.0]}, interpolation: bicubic, random_horizontal_flip: true}",
            "{random_crop: {size: 32, padding: 8, fill: 7}}",
            "{center_crop: [13, 29]}",
            "{center_crop: 80}",
            "{resize: 20, center_crop: 17}",
            "{resize: [12, 12], decoding: reduced}",
            "{resize: [7, 9], decoding: exact}",
            "{letterbox: {size: [12, 20], fill: [9, 8, 7]}, decoding: reduced}",
            "{letterbox: 24, random_crop: {size: 20, padding: 3}}",
        ] {
            let pipeline = Pipeline::new(&yaml(text)).unwrap();
            for (file, name) in files.iter().chain([&photograph()]).zip(images.iter().chain([&"420.jpg"])) {
                for sample in 0..8 {
                    let encoded = || Encoded::read(file).unwrap();
                    let loaded = pipeline.load(encoded(), &mut rng(sample)).unwrap();
                    let prepared = pipeline.prepare(encoded()).unwrap();
                    assert_eq!(loaded, pipeline.finish(&prepared, &mut rng(sample)), "{text}: {name}");
                    let exact =
                        Pipeline::new(&TransformConfig { decoding: Decoding::Exact, ..yaml(text) }).unwrap();
                    let whole = exact.apply(encoded().decode().unwrap(), &mut rng(sample)).unwrap();
                    if exact.config() == pipeline.config() || !text.contains("12") {
                        assert_eq!(loaded, whole, "{text}: {name}");
                    }
                }
            }
        }
    }

    #[test]
    fn reduced_decoding_stays_close_to_full_decoding() {
        let file = photograph();
        let of = Encoded::read(&file).unwrap().size();
        for (text, divides) in [
            ("{resize: [60, 80], decoding: reduced}", true),
            ("{resize: [30, 40], decoding: reduced}", true),
            ("{resize: 15, center_crop: 15, decoding: reduced, interpolation: bicubic}", true),
            ("{random_resized_crop: {size: 40, scale: [0.5, 1.0]}}", true),
            ("{resize: [126, 166], decoding: reduced}", false),
            ("{resize: [30, 40]}", false),
            ("{random_resized_crop: 40, decoding: exact}", false),
        ] {
            let config = yaml(text);
            let pipeline = Pipeline::new(&config).unwrap();
            let exact = Pipeline::new(&TransformConfig { decoding: Decoding::Exact, ..config }).unwrap();
            let mut differences = Vec::new();
            for sample in 0..20 {
                let load = |pipeline: &Pipeline| {
                    pipeline.load(Encoded::read(&file).unwrap(), &mut rng(sample)).unwrap()
                };
                let (reduced, full) = (load(&pipeline), load(&exact));
                differences.extend(reduced.data.iter().zip(&full.data).map(|(a, b)| a.abs_diff(*b)));
            }
            differences.sort_unstable();
            let mean = differences.iter().map(|d| f64::from(*d)).sum::<f64>() / differences.len() as f64;
            let most = differences[differences.len() * 99 / 100];
            assert_eq!(mean > 0.0, divides, "{text}: {mean} of {of:?}");
            // As documented beside MIN_RATIO_RESIZE and MIN_RATIO_CROP.
            assert!(mean < 1.3 && most <= 8, "{text}: mean {mean}, 99 % within {most}");
        }
    }
}
