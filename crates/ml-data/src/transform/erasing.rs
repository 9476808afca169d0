//! `random_erasing` (Zhong et al. 2017, arXiv:1708.04896): a random rectangle of the normalised
//! image is overwritten.
//!
//! In: the sample's stream → an [`Erasure`]; then a `[C, H, W]` buffer of f32, changed in place.

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::distributions::normal_pair;
use super::distributions::uniform;
use super::spelling::{Short, switch_schema};
use crate::geometry::{Area, Size};
use crate::violations::Violations;

/// Tries before an image stays as it is.
const TRIES: u32 = 10;

/// Overwrites a random rectangle after normalising. In YAML `true` for the defaults, a probability,
/// or a mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    /// Probability that it happens. Default 0.5.
    pub p: f64,
    /// Smallest and largest area of the rectangle as a fraction of the image's, 0 to 1. Default
    /// `[0.02, 0.33]`.
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio (height / width) of the rectangle, above 0. Default `[0.3,
    /// 3.3]`.
    pub ratio: [f64; 2],
    /// What is written, on the scale of normalised values: a number, a list with one number a
    /// channel, or `random` (standard normal noise). Default 0.
    pub value: EraseValue,
}

impl Default for RandomErasing {
    fn default() -> Self {
        RandomErasing { p: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value: EraseValue::Number(0.0) }
    }
}

/// What an erased rectangle is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EraseValue {
    /// One number for all channels.
    Number(f32),
    /// One number each for red, green and blue.
    Channels([f32; 3]),
    /// Standard normal noise.
    Random,
}

/// A rectangle of one image and what is written there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erasure {
    /// Lies within the image.
    pub area: Area,
    /// What is written.
    pub fill: Fill,
}

/// What is written into an erased rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// One value a channel; an image of one channel takes the first, further channels repeat them.
    Values([f32; 3]),
    /// Standard normal noise, a function of the seed.
    Noise {
        /// Of the noise's own stream.
        seed: u64,
    },
}

impl RandomErasing {
    /// The rectangle for an image of size `of`: a share of its area uniform in `scale`, an aspect
    /// ratio log-uniform in `ratio`, a uniform place. None with probability 1 - p, and after ten
    /// rectangles that do not fit.
    pub fn draw(&self, rng: &mut ChaCha8Rng, of: Size) -> Option<Erasure> {
        if rng.random::<f64>() >= self.p {
            return None;
        }
        let whole = f64::from(of.height) * f64::from(of.width);
        let log_ratio = self.ratio.map(f64::ln);
        for _ in 0..TRIES {
            let area = whole * uniform(rng, self.scale);
            let ratio = uniform(rng, log_ratio).exp();
            let height = (area * ratio).sqrt().round_ties_even() as u32;
            let width = (area / ratio).sqrt().round_ties_even() as u32;
            if height >= of.height || width >= of.width {
                continue;
            }
            let top = rng.random_range(0..=of.height - height);
            let left = rng.random_range(0..=of.width - width);
            let fill = match self.value {
                EraseValue::Number(value) => Fill::Values([value; 3]),
                EraseValue::Channels(values) => Fill::Values(values),
                EraseValue::Random => Fill::Noise { seed: rng.random() },
            };
            let area = Area { top, left, size: Size { height, width } };
            // Too small a share of a small image is a rectangle without pixels.
            return (height > 0 && width > 0).then_some(Erasure { area, fill });
        }
        None
    }

    pub(super) fn check(&self, channels: usize, problems: &mut Violations) {
        problems.check_probability("random_erasing.p", self.p);
        problems.check_range("random_erasing.scale", self.scale, 0.0, 1.0);
        problems.check_positive_range("random_erasing.ratio", self.ratio, f64::INFINITY);
        let (finite, count) = match self.value {
            EraseValue::Number(value) => (value.is_finite(), channels),
            EraseValue::Channels(values) => (values.iter().all(|value| value.is_finite()), 3),
            EraseValue::Random => (true, channels),
        };
        problems.check("random_erasing.value", finite, || "must be finite".to_owned());
        problems.check("random_erasing.value", count == channels, || {
            format!("has {count} numbers, but `channels` is {channels}; give one number")
        });
    }
}

impl Erasure {
    /// The values written, `[C, h, w]`, where `[h, w]` is the area's size.
    pub fn values(&self, channels: usize) -> Vec<f32> {
        let count = self.area.size.height as usize * self.area.size.width as usize;
        match self.fill {
            Fill::Values(values) => values
                .iter()
                .cycle()
                .take(channels)
                .flat_map(|value| std::iter::repeat_n(*value, count))
                .collect(),
            Fill::Noise { seed } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let total = channels * count;
                let pairs = std::iter::repeat_with(|| normal_pair(&mut rng));
                pairs.flatten().take(total).map(|value| value as f32).collect()
            }
        }
    }

    /// Overwrites the area in `out`, `[C, H, W]` with `[H, W] = size`, each float as bytes in the
    /// machine's order.
    ///
    /// # Panics
    /// If `out` is not `4 * C * H * W` long, or the area does not lie within `size`.
    pub fn apply_to_bytes(&self, out: &mut [u8], channels: usize, size: Size) {
        let (height, width) = (size.height as usize, size.width as usize);
        assert_eq!(out.len(), 4 * channels * height * width, "four bytes a channel of a pixel");
        let Area { top, left, size: Size { height: rows, width: columns } } = self.area;
        let (rows, columns) = (rows as usize, columns as usize);
        let values = self.values(channels);
        let (out, _) = out.as_chunks_mut::<4>();
        for (plane, values) in out.chunks_exact_mut(height * width).zip(values.chunks_exact(rows * columns)) {
            let lines = plane[top as usize * width..].chunks_exact_mut(width);
            for (line, values) in lines.zip(values.chunks_exact(columns)) {
                for (slot, value) in line[left as usize..][..columns].iter_mut().zip(values) {
                    *slot = value.to_ne_bytes();
                }
            }
        }
    }
}

impl Short for RandomErasing {
    type Full = Self;
    const EXPECTING: &'static str = "`true`, a probability, or a mapping of p, scale, ratio and value";

    fn from_true() -> Option<Self> {
        Some(RandomErasing::default())
    }
    fn from_number(p: f64) -> Option<Self> {
        Some(RandomErasing { p, ..RandomErasing::default() })
    }
    fn short_schemas() -> Vec<Json> {
        vec![switch_schema(), json!({ "type": "number", "minimum": 0, "maximum": 1 })]
    }
}

impl<'de> Deserialize<'de> for EraseValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = EraseValue;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, three numbers [red, green, blue], or `random`")
            }
            fn visit_f64<E>(self, value: f64) -> Result<EraseValue, E> {
                Ok(EraseValue::Number(value as f32))
            }
            fn visit_u64<E>(self, value: u64) -> Result<EraseValue, E> {
                Ok(EraseValue::Number(value as f32))
            }
            fn visit_i64<E>(self, value: i64) -> Result<EraseValue, E> {
                Ok(EraseValue::Number(value as f32))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EraseValue, E> {
                match text {
                    "random" => Ok(EraseValue::Random),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<EraseValue, A::Error> {
                let list: Vec<f32> = Deserialize::deserialize(SeqAccessDeserializer::new(seq))?;
                match list[..] {
                    [value] => Ok(EraseValue::Number(value)),
                    [r, g, b] => Ok(EraseValue::Channels([r, g, b])),
                    _ => Err(de::Error::invalid_length(list.len(), &self)),
                }
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl Serialize for EraseValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            EraseValue::Number(value) => value.serialize(serializer),
            EraseValue::Channels(values) => values.serialize(serializer),
            EraseValue::Random => serializer.serialize_str("random"),
        }
    }
}

impl JsonSchema for EraseValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EraseValue".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = json!({ "type": "number" });
        let list = json!({ "type": "array", "items": number, "minItems": 1, "maxItems": 3 });
        json_schema!({ "anyOf": [number, list, { "const": "random" }] })
    }
}
