//! `channels` and `normalize`: RGB bytes → `[C, H, W]` floats, by one table a channel.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::color::luma;
use super::spelling::Short;
use crate::decode::Pixels;
use crate::setting::Auto;
use crate::violations::Violations;

/// Mean of ImageNet's pixels (red, green, blue), on the scale 0 to 1.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's pixels (red, green, blue), on the scale 0 to 1.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// `(x - mean) / std` for each channel, `x` on the scale 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// One entry a channel: red, green, blue, or luma alone where `channels` is 1; each 0 to 1.
    #[schemars(length(min = 1, max = 64))]
    pub mean: Vec<f64>,
    /// As `mean`; each above 0, at most 1.
    #[schemars(length(min = 1, max = 64))]
    pub std: Vec<f64>,
}

impl Normalize {
    /// The statistics of ImageNet, which pretrained weights expect.
    pub fn imagenet() -> Normalize {
        Normalize { mean: IMAGENET_MEAN.to_vec(), std: IMAGENET_STD.to_vec() }
    }

    pub(super) fn check(&self, channels: Channels, problems: &mut Violations) {
        let count = channels.count();
        for (key, list) in [("normalize.mean", &self.mean), ("normalize.std", &self.std)] {
            problems.check(key, list.len() == count, || {
                let remedy = match channels {
                    Channels::One => {
                        "write one number for luma, as in `normalize: {mean: [0.45], std: [0.23]}`, or `normalize: auto`"
                    }
                    Channels::Three => "write three: red, green, blue",
                    Channels::Many(_) => "write one number a channel, or `normalize: auto`",
                };
                format!("has {} entries, but `channels` is {count}; {remedy}", list.len())
            });
        }
        let Normalize { mean, std } = self;
        problems.check("normalize.mean", mean.iter().all(|m| (0.0..=1.0).contains(m)), || {
            format!("must be within 0 to 1 (pixels are scaled to 0..1 first), got {mean:?}")
        });
        problems.check("normalize.std", std.iter().all(|s| *s > 0.0 && *s <= 1.0), || {
            format!("must be above 0 and at most 1 (pixels are scaled to 0..1 first), got {std:?}")
        });
    }
}

impl From<Normalize> for Auto<Normalize> {
    fn from(values: Normalize) -> Self {
        Auto::Value(values)
    }
}

impl Short for Auto<Normalize> {
    type Full = Normalize;
    const EXPECTING: &'static str = "`auto`, or a mapping of mean and std";

    fn from_text(text: &str) -> Option<Self> {
        (text == "auto").then_some(Auto::Auto)
    }
    fn short_schemas() -> Vec<Json> {
        vec![json!({ "const": "auto" })]
    }
}

/// Why there is no pipeline: `normalize: auto` has not been replaced by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`normalize: auto` stands for the training images' statistics, which have not been computed here; write normalize: {{mean: […], std: […]}}"
)]
pub struct UnresolvedStatistics;

/// Channels of an image as the network gets it. In YAML 1 to 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// Luma.
    One,
    /// Red, green, blue; the default.
    #[default]
    Three,
    /// As many as the images have: 2, or 4 to 64.
    Many(u8),
}

impl Channels {
    /// 1 to 64.
    pub fn count(self) -> usize {
        match self {
            Channels::One => 1,
            Channels::Three => 3,
            Channels::Many(count) => usize::from(count),
        }
    }
}

impl Serialize for Channels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.count() as u64).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Channels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChannelsVisitor;
        impl Visitor<'_> for ChannelsVisitor {
            type Value = Channels;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(
                    "1 (luma), 3 (red, green, blue), or as many channels as the images have, at most 64",
                )
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Channels, E> {
                match count {
                    1 => Ok(Channels::One),
                    3 => Ok(Channels::Three),
                    2 | 4..=64 => Ok(Channels::Many(count as u8)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(count), &self)),
                }
            }
        }
        deserializer.deserialize_u64(ChannelsVisitor)
    }
}

impl JsonSchema for Channels {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Channels".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 64 })
    }
}

/// From bytes to normalised floats.
#[derive(Clone, Debug)]
pub(super) struct Normalizer {
    /// `[channel][value]` → the normalised value; of luma only the first is used.
    tables: Box<[[f32; 256]; 3]>,
    channels: Channels,
}

impl Normalizer {
    pub(super) fn new(normalize: Option<&Normalize>, channels: Channels) -> Normalizer {
        let entry = |list: &[f64], c: usize, otherwise: f64| list.get(c).copied().unwrap_or(otherwise) as f32;
        let tables = std::array::from_fn(|c| {
            let (mean, std) =
                normalize.map_or((0.0, 1.0), |n| (entry(&n.mean, c, 0.0), entry(&n.std, c, 1.0)));
            std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std)
        });
        Normalizer { tables: Box::new(tables), channels }
    }

    pub(super) fn channels(&self) -> Channels {
        self.channels
    }

    /// Writes `[C, H, W]`; `convert` makes what `out` holds of a float.
    ///
    /// # Panics
    /// If `out` is not `C * H * W` long.
    pub(super) fn write<T>(&self, pixels: &Pixels, out: &mut [T], convert: impl Fn(f32) -> T) {
        let (from, _) = pixels.data.as_chunks::<3>();
        assert_eq!(out.len(), self.channels.count() * from.len(), "one value a channel of a pixel");
        let [of_red, of_green, of_blue] = &*self.tables;
        match self.channels {
            Channels::One => {
                for (pixel, value) in from.iter().zip(out) {
                    *value = convert(of_red[usize::from(luma(*pixel))]);
                }
            }
            // Planes are normalised in `deep.rs`.
            Channels::Many(_) => {}
            Channels::Three => {
                let (red, rest) = out.split_at_mut(from.len());
                let (green, blue) = rest.split_at_mut(from.len());
                for ((([r, g, b], red), green), blue) in from.iter().zip(red).zip(green).zip(blue) {
                    *red = convert(of_red[usize::from(*r)]);
                    *green = convert(of_green[usize::from(*g)]);
                    *blue = convert(of_blue[usize::from(*b)]);
                }
            }
        }
    }
}
