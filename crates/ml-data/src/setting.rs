//! Values of the configuration that may be left to the program.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// `auto`, or a value given by the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auto<T> {
    /// The program decides, and says what it decided.
    #[default]
    Auto,
    /// The user decided.
    Value(T),
}

impl<T: Copy> Auto<T> {
    /// The user's value, if there is one.
    pub fn given(self) -> Option<T> {
        match self {
            Auto::Auto => None,
            Auto::Value(value) => Some(value),
        }
    }

    /// The user's value, or what `decide` gives.
    pub fn unwrap_or_else(self, decide: impl FnOnce() -> T) -> T {
        match self {
            Auto::Auto => decide(),
            Auto::Value(value) => value,
        }
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Auto::Auto => serializer.serialize_str("auto"),
            Auto::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Auto<usize> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoVisitor;
        impl Visitor<'_> for AutoVisitor {
            type Value = Auto<usize>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`auto` or a whole number that is not negative")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(Auto::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                usize::try_from(value)
                    .map(Auto::Value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                u64::try_from(value)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
                    .and_then(|value| self.visit_u64(value))
            }
        }
        deserializer.deserialize_any(AutoVisitor)
    }
}

impl<'de> Deserialize<'de> for Auto<bool> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoVisitor;
        impl Visitor<'_> for AutoVisitor {
            type Value = Auto<bool>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`auto`, true or false")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(Auto::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Auto::Value(value))
            }
        }
        deserializer.deserialize_any(AutoVisitor)
    }
}

impl JsonSchema for Auto<bool> {
    fn schema_name() -> Cow<'static, str> {
        "AutoOrSwitch".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "boolean" }] })
    }
}

impl JsonSchema for Auto<usize> {
    fn schema_name() -> Cow<'static, str> {
        "AutoOrCount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 0 }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_and_numbers_survive_yaml() {
        for (text, value) in [("auto", Auto::Auto), ("0", Auto::Value(0)), ("12", Auto::Value(12))] {
            let parsed: Auto<usize> = serde_yaml::from_str(text).unwrap();
            assert_eq!(parsed, value);
            assert_eq!(serde_yaml::to_string(&value).unwrap().trim(), text);
        }
        for bad in ["-1", "many", "1.5", "[1]"] {
            assert!(serde_yaml::from_str::<Auto<usize>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn auto_and_switches_survive_yaml() {
        for (text, value) in
            [("auto", Auto::Auto), ("true", Auto::Value(true)), ("false", Auto::Value(false))]
        {
            let parsed: Auto<bool> = serde_yaml::from_str(text).unwrap();
            assert_eq!(parsed, value);
            assert_eq!(serde_yaml::to_string(&value).unwrap().trim(), text);
        }
        for bad in ["yes", "1", "[true]"] {
            assert!(serde_yaml::from_str::<Auto<bool>>(bad).is_err(), "{bad}");
        }
    }
}
