//! `training.feature_cache`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most views of an image.
const MAX_VIEWS: u64 = 1000;

/// Whether what frozen layers make of images is computed once and kept. In YAML a mode, or a
/// mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureCacheConfig {
    /// When.
    pub mode: FeatureCacheMode,
    /// How many augmented views of each training image are kept; none where training images are the
    /// same in every epoch.
    pub views: Option<u64>,
    /// Where.
    pub place: FeaturePlace,
    /// How much may be kept, in GB; none takes half of what is free.
    pub max_gb: Option<f64>,
}

/// When features are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeatureCacheMode {
    /// Where layers are frozen and the result is the same to the bit as without.
    #[default]
    Auto,
    /// Always; the last bits of the result may differ.
    On,
    /// Never.
    Off,
}

/// Where features are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeaturePlace {
    /// In memory.
    #[default]
    Ram,
    /// In files in the folder of the data cache, for later runs too.
    Disk,
}

/// The mapping spelling.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename = "feature_cache")]
struct Fields {
    /// `auto`, `on` or `off`.
    mode: FeatureCacheMode,
    /// How many augmented views of each training image are kept, 1 to 1000: epoch e shows view e
    /// mod `views`. Null where training images are the same in every epoch.
    #[schemars(range(min = 1, max = MAX_VIEWS))]
    views: Option<u64>,
    /// `ram`, or `disk`: files in the folder of the data cache, for later runs too.
    #[serde(rename = "in")]
    place: FeaturePlace,
    /// How much may be kept, in GB; null takes half of the memory or of the disk space that is
    /// free.
    max_gb: Option<f64>,
}

impl Default for Fields {
    fn default() -> Fields {
        let FeatureCacheConfig { mode, views, place, max_gb } = FeatureCacheConfig::default();
        Fields { mode, views, place, max_gb }
    }
}

impl FeatureCacheConfig {
    /// Whether the user has asked for it, whatever it does to the last bits.
    pub fn is_explicit(&self) -> bool {
        match self.mode {
            FeatureCacheMode::Auto => self.views.is_some(),
            FeatureCacheMode::On => true,
            FeatureCacheMode::Off => false,
        }
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(views) = self.views.filter(|views| !(1..=MAX_VIEWS).contains(views)) {
            problems.push(("views".to_owned(), format!("must be within 1 to {MAX_VIEWS}, got {views}")));
        }
        if let Some(gb) = self.max_gb.filter(|gb| !(gb.is_finite() && *gb >= 0.0)) {
            problems.push(("max_gb".to_owned(), format!("must be null or from 0 up, got {gb}")));
        }
        problems
    }
}

impl From<FeatureCacheMode> for FeatureCacheConfig {
    fn from(mode: FeatureCacheMode) -> FeatureCacheConfig {
        FeatureCacheConfig { mode, ..FeatureCacheConfig::default() }
    }
}

impl Serialize for FeatureCacheConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == FeatureCacheConfig::from(self.mode) {
            return self.mode.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("mode", &self.mode)?;
        map.serialize_entry("views", &self.views)?;
        map.serialize_entry("in", &self.place)?;
        map.serialize_entry("max_gb", &self.max_gb)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for FeatureCacheConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Spellings)
    }
}

struct Spellings;

impl<'de> Visitor<'de> for Spellings {
    type Value = FeatureCacheConfig;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`auto`, `on`, `off`, or a mapping such as {views: 8, in: ram}")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Self::Value, E> {
        Ok(if on { FeatureCacheMode::On } else { FeatureCacheMode::Off }.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "auto" => Ok(FeatureCacheMode::Auto.into()),
            "on" => Ok(FeatureCacheMode::On.into()),
            "off" => Ok(FeatureCacheMode::Off.into()),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Fields { mode, views, place, max_gb } =
            Deserialize::deserialize(MapAccessDeserializer::new(map))?;
        Ok(FeatureCacheConfig { mode, views, place, max_gb })
    }
}

impl JsonSchema for FeatureCacheConfig {
    fn schema_name() -> Cow<'static, str> {
        "FeatureCache".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fields = generator.subschema_for::<Fields>();
        json_schema!({ "anyOf": [{ "enum": ["auto", "on", "off"] }, { "type": "boolean" }, fields] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_mappings_survive_yaml() {
        let all = FeatureCacheConfig {
            mode: FeatureCacheMode::On,
            views: Some(8),
            place: FeaturePlace::Disk,
            max_gb: Some(1.5),
        };
        let views = FeatureCacheConfig { views: Some(3), ..FeatureCacheConfig::default() };
        for (text, value) in [
            ("auto", FeatureCacheConfig::default()),
            ("on", FeatureCacheMode::On.into()),
            ("off", FeatureCacheMode::Off.into()),
            ("false", FeatureCacheMode::Off.into()),
            ("{views: 3}", views.clone()),
            ("{mode: on, views: 8, in: disk, max_gb: 1.5}", all.clone()),
        ] {
            let parsed: FeatureCacheConfig = serde_yaml::from_str(text).unwrap();
            assert_eq!(parsed, value, "{text}");
            let again = serde_yaml::to_string(&parsed).unwrap();
            assert_eq!(serde_yaml::from_str::<FeatureCacheConfig>(&again).unwrap(), value, "{again}");
        }
        for bad in ["always", "3", "{view: 3}", "{views: -1}", "{in: tape}"] {
            assert!(serde_yaml::from_str::<FeatureCacheConfig>(bad).is_err(), "{bad}");
        }
        assert!(views.is_explicit() && all.is_explicit());
        assert!(!FeatureCacheConfig::default().is_explicit());
        let bad: FeatureCacheConfig = serde_yaml::from_str("{views: 0, max_gb: -1}").unwrap();
        let keys: Vec<String> = bad.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["views", "max_gb"]);
    }
}
