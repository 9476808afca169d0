//! Images of any number of channels, with 8 or 16 bits: what RGB bytes cannot hold.

use std::fmt;

use image::metadata::Orientation;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DecodeProblem, MAX_ALLOCATION, Pixels};
use crate::geometry::Size;

/// The most channels of an image.
pub const MAX_CHANNELS: usize = 64;

/// Bits of a channel. In YAML 8 or 16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// 0 to 255; the default.
    #[default]
    Eight,
    /// 0 to 65535.
    Sixteen,
}

impl Depth {
    /// 8 or 16.
    pub fn bits(self) -> u8 {
        match self {
            Depth::Eight => 8,
            Depth::Sixteen => 16,
        }
    }

    /// The largest value: 255 or 65535.
    pub fn max(self) -> f32 {
        match self {
            Depth::Eight => 255.0,
            Depth::Sixteen => 65_535.0,
        }
    }

    /// A value of 8 bits on this scale: 255 is the largest.
    pub fn from_byte(self, value: u8) -> f32 {
        match self {
            Depth::Eight => f32::from(value),
            Depth::Sixteen => f32::from(value) * 257.0,
        }
    }
}

impl Serialize for Depth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        u64::from(self.bits()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DepthVisitor;
        impl Visitor<'_> for DepthVisitor {
            type Value = Depth;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("8 or 16")
            }
            fn visit_u64<E: de::Error>(self, bits: u64) -> Result<Depth, E> {
                match bits {
                    8 => Ok(Depth::Eight),
                    16 => Ok(Depth::Sixteen),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(bits), &self)),
                }
            }
        }
        deserializer.deserialize_u64(DepthVisitor)
    }
}

impl JsonSchema for Depth {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Depth".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 8, "maximum": 16 })
    }
}

/// An image of any number of channels, each a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    /// In pixels, at least 1.
    pub size: Size,
    /// At least 1.
    pub channels: usize,
    /// The scale of the values.
    pub depth: Depth,
    /// `[C, H, W]`, each 0 to [`Depth::max`]; whole numbers as long as nothing was interpolated.
    pub data: Vec<f32>,
}

impl Raster {
    /// An image of zeros.
    ///
    /// # Errors
    /// It would need more memory than is allowed for an image.
    pub fn zeros(
        size: Size,
        channels: usize,
        depth: Depth,
        format: &'static str,
    ) -> Result<Raster, DecodeProblem> {
        let too_much = || DecodeProblem::TooMuchMemory { format };
        let bytes = u64::from(size.height)
            .saturating_mul(size.width.into())
            .saturating_mul(channels as u64)
            .saturating_mul(4);
        if bytes > MAX_ALLOCATION {
            return Err(too_much());
        }
        let count = usize::try_from(bytes / 4).map_err(|_| too_much())?;
        let mut data = Vec::new();
        data.try_reserve_exact(count).map_err(|_| too_much())?;
        data.resize(count, 0.0);
        Ok(Raster { size, channels, depth, data })
    }

    /// Pixels of a plane.
    pub fn area(&self) -> usize {
        self.size.height as usize * self.size.width as usize
    }

    /// RGB bytes to look at: one or two channels are shown as grey (the first of them), more by
    /// their first three as red, green and blue.
    pub fn preview(&self) -> Pixels {
        let area = self.area();
        let scale = 255.0 / self.depth.max();
        let plane = |number: usize| &self.data[number * area..][..area];
        let planes = if self.channels < 3 { [0; 3] } else { [0, 1, 2] }.map(plane);
        let byte = |value: f32| (value * scale).round().clamp(0.0, 255.0) as u8;
        let data = (0..area).flat_map(|at| planes.map(|plane| byte(plane[at]))).collect();
        Pixels { width: self.size.width, height: self.size.height, data }
    }

    /// The same on another scale; values of 8 bits fit 16 exactly.
    #[must_use]
    pub(super) fn widened(mut self, depth: Depth) -> Raster {
        if self.depth == Depth::Eight && depth == Depth::Sixteen {
            self.data.iter_mut().for_each(|value| *value *= 257.0);
            self.depth = depth;
        }
        self
    }

    /// Turned and mirrored as the file says it is meant.
    #[must_use]
    pub(super) fn oriented(self, orientation: Orientation) -> Raster {
        use Orientation as O;
        let Size { height, width } = self.size;
        let (height, width) = (height as usize, width as usize);
        // The place in the stored image of row y, column x of the result.
        let place = |y: usize, x: usize| match orientation {
            O::NoTransforms => (y, x),
            O::FlipHorizontal => (y, width - 1 - x),
            O::FlipVertical => (height - 1 - y, x),
            O::Rotate180 => (height - 1 - y, width - 1 - x),
            O::Rotate90 => (height - 1 - x, y),
            O::Rotate270 => (x, width - 1 - y),
            O::Rotate90FlipH => (x, y),
            O::Rotate270FlipH => (height - 1 - x, width - 1 - y),
        };
        if orientation == O::NoTransforms {
            return self;
        }
        let is_turned =
            matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH);
        let (rows, columns) = if is_turned { (width, height) } else { (height, width) };
        let mut data = Vec::with_capacity(self.data.len());
        for plane in self.data.chunks_exact(height * width) {
            for y in 0..rows {
                data.extend((0..columns).map(|x| {
                    let (row, column) = place(y, x);
                    plane[row * width + column]
                }));
            }
        }
        Raster { size: Size { height: rows as u32, width: columns as u32 }, data, ..self }
    }
}

/// Of a file: its channels and bits, as far as they matter for [`Raster`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// All samples of a pixel, alpha included.
    pub samples: usize,
    /// Those that are not alpha.
    pub colors: usize,
    pub depth: Depth,
}

impl Stored {
    /// Whether an image of so many channels and bits can be made of it without losing any. Alpha is
    /// dropped where the channels are those without it.
    pub fn check(&self, channels: usize, depth: Depth) -> Result<(), DecodeProblem> {
        let Stored { samples, colors, depth: own } = *self;
        if samples != channels && colors != channels {
            return Err(DecodeProblem::Channels { found: samples, wanted: channels });
        }
        if own == Depth::Sixteen && depth == Depth::Eight {
            return Err(DecodeProblem::Depth { found: own.bits(), wanted: depth.bits() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(height: u32, width: u32, channels: usize) -> Raster {
        let size = Size { height, width };
        let mut raster = Raster::zeros(size, channels, Depth::Sixteen, "test").unwrap();
        raster.data.iter_mut().enumerate().for_each(|(at, value)| *value = at as f32);
        raster
    }

    #[test]
    fn orientations_are_those_of_rgb_images() {
        use Orientation as O;
        let raster = numbered(2, 3, 2);
        for orientation in [
            O::NoTransforms,
            O::FlipHorizontal,
            O::FlipVertical,
            O::Rotate90,
            O::Rotate180,
            O::Rotate270,
            O::Rotate90FlipH,
            O::Rotate270FlipH,
        ] {
            let bytes = raster.data[..6].iter().flat_map(|value| [*value as u8; 3]).collect();
            let image = image::RgbImage::from_raw(3, 2, bytes).unwrap();
            let mut image = image::DynamicImage::ImageRgb8(image);
            image.apply_orientation(orientation);
            let image = image.into_rgb8();
            let ours = raster.clone().oriented(orientation);
            let expected: Vec<f32> = image.pixels().map(|pixel| f32::from(pixel[0])).collect();
            assert_eq!(ours.size, Size { height: image.height(), width: image.width() });
            assert_eq!(&ours.data[..6], expected, "{orientation:?}");
            let second: Vec<f32> = expected.iter().map(|value| value + 6.0).collect();
            assert_eq!(&ours.data[6..], second, "{orientation:?}");
        }
    }

    #[test]
    fn what_is_shown_is_the_first_channel_or_the_first_three() {
        let of = |channels: usize, values: &[f32]| Raster {
            size: Size { height: 1, width: 1 },
            channels,
            depth: Depth::Sixteen,
            data: values.to_vec(),
        };
        assert_eq!(of(1, &[65_535.0]).preview().data, [255; 3]);
        assert_eq!(of(2, &[257.0, 0.0]).preview().data, [1; 3]);
        assert_eq!(of(4, &[0.0, 257.0, 514.0, 9.0]).preview().data, [0, 1, 2]);
    }

    #[test]
    fn an_image_that_needs_too_much_memory_is_refused_before_it_is_made() {
        let size = Size { height: 10_000, width: 10_000 };
        let error = Raster::zeros(size, 64, Depth::Sixteen, "TIFF").unwrap_err().to_string();
        assert!(error.contains("2 GiB"), "{error}");
    }
}
