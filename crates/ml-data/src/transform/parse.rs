//! Settings with more than one spelling ↔ YAML: a number or a pair, `true` or a probability, a size
//! or a mapping. Written by hand for messages that say what is expected (derived ones cannot).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::{JitterAmount, MAX_SIDE, Probability, RandomCrop, RandomResizedCrop, Resize, Size};
use super::letterbox::Letterbox;
use super::spelling::{Color, Numbers, list_of, numbers};

/// The mapping spelling of [`RandomCrop`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "random_crop")]
struct RandomCropFields {
    size: Size,
    #[serde(default)]
    padding: u32,
    #[serde(default)]
    fill: u8,
}

/// The mapping spelling of [`Letterbox`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "letterbox")]
struct LetterboxFields {
    size: Size,
    #[serde(default)]
    fill: Color,
}

/// The mapping spelling of [`RandomResizedCrop`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "random_resized_crop")]
struct RandomResizedCropFields {
    size: Size,
    #[serde(default = "default_scale")]
    scale: [f64; 2],
    #[serde(default = "default_ratio")]
    ratio: [f64; 2],
}

fn default_scale() -> [f64; 2] {
    RandomResizedCrop::DEFAULT_SCALE
}

fn default_ratio() -> [f64; 2] {
    RandomResizedCrop::DEFAULT_RATIO
}

/// What the spellings have in common: one number, a pair, or a mapping.
enum Spelling<M> {
    One(u32),
    Pair(Size),
    Mapping(M),
}

/// Reads sizes. `M` is the mapping spelling, [`NoMapping`] where there is none.
struct SizeVisitor<M> {
    expecting: &'static str,
    mapping: std::marker::PhantomData<M>,
}

impl<M> SizeVisitor<M> {
    fn new(expecting: &'static str) -> Self {
        SizeVisitor { expecting, mapping: std::marker::PhantomData }
    }
}

/// A mapping that cannot be.
enum NoMapping {}

trait Mapping<'de>: Sized {
    fn read<A: MapAccess<'de>>(map: A, expected: &dyn de::Expected) -> Result<Self, A::Error>;
}

impl<'de> Mapping<'de> for NoMapping {
    fn read<A: MapAccess<'de>>(_: A, expected: &dyn de::Expected) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(Unexpected::Map, expected))
    }
}

impl<'de> Mapping<'de> for RandomCropFields {
    fn read<A: MapAccess<'de>>(map: A, _: &dyn de::Expected) -> Result<Self, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de> Mapping<'de> for LetterboxFields {
    fn read<A: MapAccess<'de>>(map: A, _: &dyn de::Expected) -> Result<Self, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de> Mapping<'de> for RandomResizedCropFields {
    fn read<A: MapAccess<'de>>(map: A, _: &dyn de::Expected) -> Result<Self, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de, M: Mapping<'de>> Visitor<'de> for SizeVisitor<M> {
    type Value = Spelling<M>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        u32::try_from(value)
            .map(Spelling::One)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        u32::try_from(value)
            .map(Spelling::One)
            .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let length_error = |n| de::Error::invalid_length(n, &self);
        let height = seq.next_element()?.ok_or_else(|| length_error(0))?;
        let width = seq.next_element()?.ok_or_else(|| length_error(1))?;
        let mut count = 2;
        while seq.next_element::<de::IgnoredAny>()?.is_some() {
            count += 1;
        }
        if count > 2 { Err(length_error(count)) } else { Ok(Spelling::Pair(Size { height, width })) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::read(map, &self).map(Spelling::Mapping)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = SizeVisitor::<NoMapping>::new("a size in pixels: one whole number or [height, width]");
        Ok(match deserializer.deserialize_any(visitor)? {
            Spelling::One(side) => Size { height: side, width: side },
            Spelling::Pair(size) => size,
            Spelling::Mapping(never) => match never {},
        })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.height, self.width].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Resize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = SizeVisitor::<NoMapping>::new(
            "[height, width] in pixels, or one whole number for the shorter side",
        );
        Ok(match deserializer.deserialize_any(visitor)? {
            Spelling::One(side) => Resize::ShorterSide(side),
            Spelling::Pair(size) => Resize::Exact(size),
            Spelling::Mapping(never) => match never {},
        })
    }
}

impl Serialize for Resize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Resize::Exact(size) => size.serialize(serializer),
            Resize::ShorterSide(side) => side.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Letterbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = SizeVisitor::<LetterboxFields>::new("a size in pixels, or a mapping of size and fill");
        let (size, fill) = match deserializer.deserialize_any(visitor)? {
            Spelling::One(side) => (Size { height: side, width: side }, Color::default()),
            Spelling::Pair(size) => (size, Color::default()),
            Spelling::Mapping(LetterboxFields { size, fill }) => (size, fill),
        };
        Ok(Letterbox { size, fill })
    }
}

impl Serialize for Letterbox {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Letterbox { size, fill } = *self;
        LetterboxFields { size, fill }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RandomCrop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor =
            SizeVisitor::<RandomCropFields>::new("a size in pixels, or a mapping of size, padding and fill");
        Ok(match deserializer.deserialize_any(visitor)? {
            Spelling::One(side) => {
                RandomCrop { size: Size { height: side, width: side }, padding: 0, fill: 0 }
            }
            Spelling::Pair(size) => RandomCrop { size, padding: 0, fill: 0 },
            Spelling::Mapping(RandomCropFields { size, padding, fill }) => RandomCrop { size, padding, fill },
        })
    }
}

impl Serialize for RandomCrop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RandomCrop { size, padding, fill } = *self;
        RandomCropFields { size, padding, fill }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RandomResizedCrop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = SizeVisitor::<RandomResizedCropFields>::new(
            "a size in pixels, or a mapping of size, scale and ratio",
        );
        let (size, scale, ratio) = match deserializer.deserialize_any(visitor)? {
            Spelling::One(side) => (Size { height: side, width: side }, default_scale(), default_ratio()),
            Spelling::Pair(size) => (size, default_scale(), default_ratio()),
            Spelling::Mapping(RandomResizedCropFields { size, scale, ratio }) => (size, scale, ratio),
        };
        Ok(RandomResizedCrop { size, scale, ratio })
    }
}

impl Serialize for RandomResizedCrop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RandomResizedCrop { size, scale, ratio } = *self;
        RandomResizedCropFields { size, scale, ratio }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Probability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ProbabilityVisitor;
        impl Visitor<'_> for ProbabilityVisitor {
            type Value = Probability;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`true`, `false` or a probability within 0 to 1")
            }
            fn visit_bool<E>(self, on: bool) -> Result<Probability, E> {
                Ok(Probability(if on { 0.5 } else { 0.0 }))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Probability, E> {
                Ok(Probability(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Probability, E> {
                Ok(Probability(value as f64))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Probability, E> {
                Ok(Probability(value as f64))
            }
        }
        deserializer.deserialize_any(ProbabilityVisitor)
    }
}

impl Serialize for Probability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.0 => serializer.serialize_bool(false),
            0.5 => serializer.serialize_bool(true),
            value => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for JitterAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "a number or a pair [min, max]";
        match numbers(deserializer, EXPECTING)? {
            Numbers::One(value) => Ok(JitterAmount::Symmetric(value)),
            Numbers::List(list) => match list[..] {
                [min, max] => Ok(JitterAmount::Range([min, max])),
                _ => Err(de::Error::invalid_length(list.len(), &EXPECTING)),
            },
        }
    }
}

impl Serialize for JitterAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            JitterAmount::Symmetric(amount) => amount.serialize(serializer),
            JitterAmount::Range(range) => range.serialize(serializer),
        }
    }
}

fn side() -> serde_json::Value {
    serde_json::json!({ "type": "integer", "minimum": 1, "maximum": MAX_SIDE })
}

/// One number, a pair, or (where there is one) a mapping.
fn size_schema(mapping: Option<serde_json::Value>) -> Schema {
    let mut spellings = vec![side(), list_of(&side(), 2)];
    spellings.extend(mapping);
    json_schema!({ "anyOf": spellings })
}

macro_rules! json_schema_by_hand {
    ($type:ty, $name:literal, $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

json_schema_by_hand!(Size, "Size", size_schema(None));
json_schema_by_hand!(Resize, "Resize", size_schema(None));
json_schema_by_hand!(
    Letterbox,
    "Letterbox",
    size_schema(Some({
        let byte = serde_json::json!({ "type": "integer", "minimum": 0, "maximum": 255 });
        serde_json::json!({
            "type": "object",
            "properties": {
                "size": { "anyOf": [side(), list_of(&side(), 2)] },
                "fill": { "anyOf": [byte, list_of(&byte, 3)], "default": 0 },
            },
            "required": ["size"],
            "additionalProperties": false,
        })
    }))
);
json_schema_by_hand!(
    RandomCrop,
    "RandomCrop",
    size_schema(Some(serde_json::json!({
        "type": "object",
        "properties": {
            "size": { "anyOf": [side(), list_of(&side(), 2)] },
            "padding": { "type": "integer", "minimum": 0, "maximum": MAX_SIDE, "default": 0 },
            "fill": { "type": "integer", "minimum": 0, "maximum": 255, "default": 0 },
        },
        "required": ["size"],
        "additionalProperties": false,
    })))
);
json_schema_by_hand!(
    RandomResizedCrop,
    "RandomResizedCrop",
    size_schema(Some(serde_json::json!({
        "type": "object",
        "properties": {
            "size": { "anyOf": [side(), list_of(&side(), 2)] },
            "scale": list_of(&serde_json::json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }), 2),
            "ratio": list_of(&serde_json::json!({ "type": "number", "exclusiveMinimum": 0 }), 2),
        },
        "required": ["size"],
        "additionalProperties": false,
    })))
);
json_schema_by_hand!(
    Probability,
    "Probability",
    json_schema!({ "anyOf": [{ "type": "boolean" }, { "type": "number", "minimum": 0, "maximum": 1 }] })
);
json_schema_by_hand!(
    JitterAmount,
    "JitterAmount",
    json_schema!({ "anyOf": [{ "type": "number" }, list_of(&serde_json::json!({ "type": "number" }), 2)] })
);
