//! `training.max_time`: how long a training may take, and how many steps fit into that.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

/// Units of a length of time, longest first, by letter, name and seconds.
static UNITS: [(char, &str, u64); 4] =
    [('d', "day", 86_400), ('h', "hour", 3600), ('m', "minute", 60), ('s', "second", 1)];

/// What a mean over earlier steps weighs where later ones are measured.
const MEMORY: f64 = 0.5;

/// A length of time: in YAML `90s`, `20m`, `1h30m`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeLimit {
    seconds: f64,
}

impl TimeLimit {
    /// Of so many seconds.
    pub fn from_seconds(seconds: f64) -> TimeLimit {
        TimeLimit { seconds }
    }

    /// Its seconds.
    pub fn seconds(self) -> f64 {
        self.seconds
    }

    /// From `1h30m` and the like; none of another text.
    pub fn parse(text: &str) -> Option<TimeLimit> {
        let plain = |text: &str| {
            let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
            text.parse::<f64>().ok().filter(|_| is_plain)
        };
        if let Some(seconds) = plain(text) {
            return Some(TimeLimit { seconds });
        }
        let (mut rest, mut seconds, mut units) = (text, 0.0, &UNITS[..]);
        while !rest.is_empty() {
            let (number, after) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
            let unit = after.chars().next()?;
            // Each at most once, the longer ones first.
            let at = units.iter().position(|(letter, ..)| *letter == unit)?;
            seconds += plain(number)? * units[at].2 as f64;
            units = &units[at + 1..];
            rest = &after[1..];
        }
        (!text.is_empty()).then_some(TimeLimit { seconds })
    }

    /// How many there are of each unit that there is; none where seconds are not whole.
    fn parts(self) -> Option<Vec<(char, &'static str, u64)>> {
        let is_whole = self.seconds >= 1.0 && self.seconds < 1e15 && self.seconds.fract() == 0.0;
        let mut left = is_whole.then_some(self.seconds as u64)?;
        let mut parts = Vec::new();
        for (letter, name, seconds) in UNITS {
            if left >= seconds {
                parts.push((letter, name, left / seconds));
                left %= seconds;
            }
        }
        Some(parts)
    }

    /// `1 hour 30 minutes`.
    pub fn words(self) -> String {
        let Some(parts) = self.parts() else { return format!("{} seconds", self.seconds) };
        let part = |(_, name, count): &(char, &str, u64)| {
            if *count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
        };
        parts.iter().map(part).collect::<Vec<_>>().join(" ")
    }
}

/// As it is read.
impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            None => write!(f, "{}s", self.seconds),
            Some(parts) => parts.iter().try_for_each(|(letter, _, count)| write!(f, "{count}{letter}")),
        }
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Text of a number that is out of range would not be read again.
        if self.seconds.is_finite() && self.seconds >= 0.0 {
            serializer.collect_str(self)
        } else {
            serializer.serialize_f64(self.seconds)
        }
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeLimitVisitor)
    }
}

struct TimeLimitVisitor;

impl Visitor<'_> for TimeLimitVisitor {
    type Value = TimeLimit;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a length of time (`90s`, `20m`, `1h30m`) or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        TimeLimit::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
        Ok(TimeLimit { seconds })
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
        self.visit_f64(seconds as f64)
    }
}

impl JsonSchema for TimeLimit {
    fn schema_name() -> Cow<'static, str> {
        "TimeLimit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": "^(?:[0-9.]+d)?(?:[0-9.]+h)?(?:[0-9.]+m)?(?:[0-9.]+s)?$|^[0-9.]+$",
            "exclusiveMinimum": 0,
            "examples": ["90s", "20m", "1h30m"]
        })
    }
}

/// What a training with a time limit has used, measured and decided. It is in the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeBudget {
    /// The limit that `total_steps` was decided for, in seconds.
    pub limit_seconds: f64,
    /// Seconds of training so far, of all processes that trained the run one after another.
    pub used_seconds: f64,
    /// Seconds of a step; 0 before one is measured.
    pub step_seconds: f64,
    /// Seconds of what follows an epoch: validation and checkpoint; 0 before they are measured.
    pub epoch_end_seconds: f64,
    /// Optimizer steps of the whole training; none before the first estimate.
    pub total_steps: Option<u64>,
}

impl TimeBudget {
    /// Takes in that steps took so many seconds each.
    pub fn measured(&mut self, step_seconds: f64) {
        let is_first = self.step_seconds <= 0.0;
        self.step_seconds =
            if is_first { step_seconds } else { MEMORY * self.step_seconds + (1.0 - MEMORY) * step_seconds };
    }

    /// How many steps fit into `seconds` with the end of each epoch, that of a cut one included,
    /// from `done` steps into an epoch of `steps_per_epoch`.
    pub fn steps_in(&self, seconds: f64, epoch_end_seconds: f64, done: u64, steps_per_epoch: u64) -> u64 {
        let step = self.step_seconds.max(1e-9);
        let cut = |seconds: f64| ((seconds - epoch_end_seconds) / step).max(0.0) as u64;
        let rest = steps_per_epoch.saturating_sub(done);
        let after = seconds - (rest as f64 * step + epoch_end_seconds);
        if after < 0.0 {
            return cut(seconds).min(rest);
        }
        let epoch = steps_per_epoch as f64 * step + epoch_end_seconds;
        let epochs = (after / epoch).floor();
        let cut = cut(after - epochs * epoch).min(steps_per_epoch);
        rest.saturating_add((epochs as u64).saturating_mul(steps_per_epoch)).saturating_add(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, seconds, shown, words) in [
            ("90s", 90.0, "1m30s", "1 minute 30 seconds"),
            ("20m", 1200.0, "20m", "20 minutes"),
            ("1h30m", 5400.0, "1h30m", "1 hour 30 minutes"),
            ("1.5h", 5400.0, "1h30m", "1 hour 30 minutes"),
            ("2d1s", 172_801.0, "2d1s", "2 days 1 second"),
            ("0.25s", 0.25, "0.25s", "0.25 seconds"),
            ("3600.1", 3600.1, "3600.1s", "3600.1 seconds"),
        ] {
            let limit = TimeLimit::parse(text).unwrap();
            assert_eq!(limit.seconds(), seconds, "{text}");
            assert_eq!((limit.to_string(), limit.words()), (shown.to_owned(), words.to_owned()));
            assert_eq!(TimeLimit::parse(shown), Some(limit));
        }
        for bad in ["", "m", "20", "20x", "30m1h", "1h2h", "-5m", "1e3s", "1h 5m", "5m3", "inf", "nan"] {
            assert_eq!(TimeLimit::parse(bad).is_none(), bad != "20", "{bad}");
        }
        for yaml in ["90", "90s", "90.0", "1m30s"] {
            let limit: TimeLimit = serde_yaml::from_str(yaml).unwrap();
            assert_eq!(limit.seconds(), 90.0);
            assert_eq!(serde_yaml::to_string(&limit).unwrap().trim(), "1m30s");
        }
        assert!(serde_yaml::from_str::<TimeLimit>("soon").is_err());
    }

    #[test]
    fn steps_fit_with_the_end_of_each_epoch_and_no_step_more_does() {
        let budget = TimeBudget { step_seconds: 2.0, ..TimeBudget::default() };
        let (end, per_epoch) = (7.0, 10);
        for done in [0, 3, 9] {
            for seconds in 0..200 {
                let seconds = f64::from(seconds);
                let steps = budget.steps_in(seconds, end, done, per_epoch);
                let takes = |steps: u64| {
                    let ends = (done + steps).div_ceil(per_epoch);
                    steps as f64 * 2.0 + ends as f64 * end
                };
                assert!(steps == 0 || takes(steps) <= seconds, "{done}, {seconds}: {steps}");
                assert!(takes(steps + 1) > seconds, "{done}, {seconds}: {steps}");
            }
        }
    }

    #[test]
    fn what_was_measured_last_weighs_most() {
        let mut budget = TimeBudget::default();
        budget.measured(4.0);
        assert_eq!(budget.step_seconds, 4.0);
        budget.measured(2.0);
        assert_eq!(budget.step_seconds, 3.0);
    }
}
