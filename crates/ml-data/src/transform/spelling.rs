//! Short spellings of settings that are mappings in full: `rand_augment: true`, `random_rotation:
//! 15`, `auto_augment: cifar10`, `mixup: 0.2`; and small values with more than one spelling.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

/// A setting that has a mapping spelling and shorter ones.
pub(super) trait Short: Sized {
    /// The mapping spelling.
    type Full: for<'de> Deserialize<'de> + JsonSchema + Into<Self>;
    /// All spellings, for an error message.
    const EXPECTING: &'static str;

    /// What `true` stands for, if anything.
    fn from_true() -> Option<Self> {
        None
    }
    /// What a number stands for, if anything.
    fn from_number(_: f64) -> Option<Self> {
        None
    }
    /// What a list of numbers stands for, if anything.
    fn from_list(_: &[f64]) -> Option<Self> {
        None
    }
    /// What a text stands for, if anything.
    fn from_text(_: &str) -> Option<Self> {
        None
    }
    /// JSON Schemas of the short spellings.
    fn short_schemas() -> Vec<Json>;
}

/// Reads any spelling; `null` and `false` are none.
pub(super) fn read<'de, D: Deserializer<'de>, T: Short>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(ShortVisitor(PhantomData))
}

/// The schema of all spellings.
pub(super) fn schema<T: Short>(generator: &mut SchemaGenerator) -> Schema {
    let mut spellings = T::short_schemas();
    spellings.push(generator.subschema_for::<T::Full>().to_value());
    spellings.push(json!({ "type": "null" }));
    json_schema!({ "anyOf": spellings })
}

struct ShortVisitor<T>(PhantomData<T>);

impl<'de, T: Short> Visitor<'de> for ShortVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(T::EXPECTING)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Self::Value, E> {
        match (on, T::from_true()) {
            (false, _) => Ok(None),
            (true, Some(value)) => Ok(Some(value)),
            (true, None) => Err(E::invalid_value(Unexpected::Bool(on), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        T::from_number(value).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::from_text(text).map(Some).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let list: Vec<f64> = Deserialize::deserialize(SeqAccessDeserializer::new(seq))?;
        T::from_list(&list).map(Some).ok_or_else(|| de::Error::invalid_length(list.len(), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::Full::deserialize(MapAccessDeserializer::new(map)).map(|full| Some(full.into()))
    }
}

/// One number or a list of numbers.
pub(super) enum Numbers {
    One(f64),
    List(Vec<f64>),
}

/// Reads [`Numbers`], with `expecting` in the error message.
pub(super) fn numbers<'de, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
) -> Result<Numbers, D::Error> {
    struct NumbersVisitor(&'static str);
    impl<'de> Visitor<'de> for NumbersVisitor {
        type Value = Numbers;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_f64<E>(self, value: f64) -> Result<Numbers, E> {
            Ok(Numbers::One(value))
        }
        fn visit_u64<E>(self, value: u64) -> Result<Numbers, E> {
            Ok(Numbers::One(value as f64))
        }
        fn visit_i64<E>(self, value: i64) -> Result<Numbers, E> {
            Ok(Numbers::One(value as f64))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Numbers, A::Error> {
            Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(Numbers::List)
        }
    }
    deserializer.deserialize_any(NumbersVisitor(expecting))
}

/// A colour, `0..=255` a channel. In YAML one number for grey, or `[red, green, blue]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Color(pub [u8; 3]);

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "a whole number within 0 to 255, or three of them [red, green, blue]";
        let byte = |value: f64| {
            let whole = (0.0..=255.0).contains(&value) && value.fract() == 0.0;
            whole
                .then_some(value as u8)
                .ok_or_else(|| de::Error::invalid_value(Unexpected::Float(value), &EXPECTING))
        };
        match numbers(deserializer, EXPECTING)? {
            Numbers::One(value) => Ok(Color([byte(value)?; 3])),
            Numbers::List(list) => match list[..] {
                [r, g, b] => Ok(Color([byte(r)?, byte(g)?, byte(b)?])),
                _ => Err(de::Error::invalid_length(list.len(), &EXPECTING)),
            },
        }
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [r, g, b] = self.0;
        if r == g && g == b { r.serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

/// A range from which a value is drawn, uniform. In YAML `[min, max]`, or one number for that very
/// value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between(pub [f64; 2]);

impl<'de> Deserialize<'de> for Between {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "a number or a pair [min, max]";
        match numbers(deserializer, EXPECTING)? {
            Numbers::One(value) => Ok(Between([value; 2])),
            Numbers::List(list) => match list[..] {
                [min, max] => Ok(Between([min, max])),
                _ => Err(de::Error::invalid_length(list.len(), &EXPECTING)),
            },
        }
    }
}

impl Serialize for Between {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [min, max] = self.0;
        if min == max { min.serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

/// Ranges of the shear along x and along y, in degrees. In YAML one number x for `[-x, x]` along x,
/// a pair `[min, max]` along x, or four numbers `[min x, max x, min y, max y]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shear {
    /// Along x.
    pub x: [f64; 2],
    /// Along y.
    pub y: [f64; 2],
}

impl<'de> Deserialize<'de> for Shear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTING: &str = "degrees: a number, a pair [min, max], or [min x, max x, min y, max y]";
        match numbers(deserializer, EXPECTING)? {
            Numbers::One(value) => Ok(Shear { x: [-value, value], y: [0.0; 2] }),
            Numbers::List(list) => match list[..] {
                [min, max] => Ok(Shear { x: [min, max], y: [0.0; 2] }),
                [min_x, max_x, min_y, max_y] => Ok(Shear { x: [min_x, max_x], y: [min_y, max_y] }),
                _ => Err(de::Error::invalid_length(list.len(), &EXPECTING)),
            },
        }
    }
}

impl Serialize for Shear {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Shear { x, y } = *self;
        if y == [0.0; 2] { x.serialize(serializer) } else { [x[0], x[1], y[0], y[1]].serialize(serializer) }
    }
}

/// JSON Schema of a list of `length` items.
pub(super) fn list_of(item: &Json, length: usize) -> Json {
    json!({ "type": "array", "items": item, "minItems": length, "maxItems": length })
}

macro_rules! schema_by_hand {
    ($type:ty, $name:literal, $spellings:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "anyOf": $spellings })
            }
        }
    };
}

schema_by_hand!(Color, "Color", {
    let byte = json!({ "type": "integer", "minimum": 0, "maximum": 255 });
    json!([byte, list_of(&byte, 3)])
});
schema_by_hand!(Between, "Between", {
    let number = json!({ "type": "number" });
    json!([number, list_of(&number, 2)])
});
schema_by_hand!(Shear, "Shear", {
    let number = json!({ "type": "number" });
    // One list with bounds, so that a wrong length is distinguished from a wrong kind.
    json!([number, { "type": "array", "items": number, "minItems": 2, "maxItems": 4 }])
});

/// JSON Schema of one number.
pub(super) fn number_schema() -> Json {
    json!({ "type": "number" })
}

/// JSON Schema of `[min, max]`.
pub(super) fn pair_schema() -> Json {
    list_of(&number_schema(), 2)
}

/// JSON Schema of `true` and `false`.
pub(super) fn switch_schema() -> Json {
    json!({ "type": "boolean" })
}
