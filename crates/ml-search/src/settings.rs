//! `search.yaml` → [`Settings`], or all that is wrong with it, by key.

use std::path::PathBuf;

use ml_data::violations::Violations;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use crate::metric::{METRICS, Metric};
use crate::pruner::Pruner;
use crate::sampler::{SamplerKind, grid_size};
use crate::space::Domain;

const KEYS: [&str; 9] =
    ["config", "space", "sampler", "metric", "pruner", "budget", "parallel", "devices", "seed"];
/// Trials without a `budget.trials`.
const TRIALS: usize = 30;
/// The most combinations of a grid.
const LARGEST_GRID: usize = 10_000;

/// When a search ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Trials that are begun.
    pub trials: usize,
    /// Seconds in which trials are trained, summed over resumptions.
    pub seconds: Option<f64>,
}

/// What is searched, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The configuration that is varied; none for the defaults.
    pub config: Option<PathBuf>,
    /// Keys of the configuration by dotted path, and their values.
    pub space: Vec<(String, Domain)>,
    /// How values are chosen.
    pub sampler: SamplerKind,
    /// What is compared: the best epoch of each trial.
    pub metric: Metric,
    /// Which trials are stopped early.
    pub pruner: Pruner,
    /// When the search ends.
    pub budget: Budget,
    /// Trials at a time.
    pub parallel: usize,
    /// Devices of the trials that are trained at a time, one after the other; none for that of the
    /// configuration.
    pub devices: Vec<String>,
    /// Of the sampler.
    pub seed: u64,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The text is no YAML mapping.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// Everything that is wrong, by key.
    #[error("the search has {}:{}", counted(.0.len()), .0.iter().map(|(key, what)| format!("\n  {key}: {what}")).collect::<String>())]
    Invalid(Vec<(String, String)>),
}

fn counted(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}

impl Settings {
    /// Reads the text of a `search.yaml`.
    ///
    /// # Errors
    /// The text is not YAML, or something is wrong with it: all of it, by key.
    pub fn parse(text: &str) -> Result<Settings, SettingsError> {
        let mapping: Mapping =
            serde_yaml::from_str(text).map_err(|error| SettingsError::Syntax(error.to_string()))?;
        let mut reader = Reader { mapping, wrong: Violations::default() };
        reader.refuse_unknown();
        let space = reader.space();
        let sampler = reader.or("sampler", SamplerKind::Tpe, "must be grid, random or tpe");
        let settings = Settings {
            config: reader.optional("config", "must be the path of a file"),
            metric: reader.metric(),
            pruner: reader.pruner(),
            budget: reader.budget(&space, sampler),
            parallel: reader.or("parallel", 1, "must be a whole number, at least 1"),
            devices: reader.or("devices", Vec::new(), "must be a list of devices, as in [cuda:0, cuda:1]"),
            seed: reader.or("seed", 0, "must be a whole number, at least 0"),
            space,
            sampler,
        };
        let Reader { mut wrong, .. } = reader;
        wrong.check("parallel", settings.parallel > 0, || "must be at least 1, got 0".to_owned());
        settings.check_grid(&mut wrong);
        if wrong.is_empty() { Ok(settings) } else { Err(SettingsError::Invalid(wrong.into())) }
    }

    fn check_grid(&self, wrong: &mut Violations) {
        if self.sampler != SamplerKind::Grid {
            return;
        }
        for (name, domain) in &self.space {
            wrong.check(&format!("space.{name}"), domain.values().is_some(), || {
                "a grid takes choice and int (of at most 10,000 values); use the sampler random or tpe, or list \
                 values with choice"
                    .to_owned()
            });
        }
        if let Some(size) = grid_size(&self.space) {
            wrong.check("space", size <= LARGEST_GRID, || {
                format!("the grid has {size} combinations, more than {LARGEST_GRID}")
            });
        }
    }
}

/// A mapping, of which every key is read once.
struct Reader {
    mapping: Mapping,
    wrong: Violations,
}

impl Reader {
    fn refuse_unknown(&mut self) {
        for key in self.mapping.keys() {
            let name = key.as_str().unwrap_or("a key that is no text");
            let is_known = KEYS.contains(&name);
            self.wrong.check(name, is_known, || format!("unknown key; known are {}", KEYS.join(", ")));
        }
    }

    /// The value of a key, if it is given and right.
    fn optional<T: DeserializeOwned>(&mut self, key: &str, form: &str) -> Option<T> {
        let value = self.mapping.get(key)?.clone();
        let read = serde_yaml::from_value(value).ok();
        self.wrong.check(key, read.is_some(), || form.to_owned());
        read
    }

    fn or<T: DeserializeOwned>(&mut self, key: &str, default: T, form: &str) -> T {
        self.optional(key, form).unwrap_or(default)
    }

    fn space(&mut self) -> Vec<(String, Domain)> {
        let entries = match self.mapping.get("space") {
            Some(Value::Mapping(entries)) if !entries.is_empty() => entries.clone(),
            _ => {
                let form =
                    "must name keys of the configuration, as in {optimizer.lr: {log_uniform: [0.001, 0.1]}}";
                self.wrong.add("space", form);
                return Vec::new();
            }
        };
        let mut space = Vec::new();
        for (key, value) in entries {
            let Some(name) = key.as_str().filter(|name| !name.split('.').any(str::is_empty)) else {
                self.wrong.add("space", "a key must be a dotted path, as in optimizer.lr");
                continue;
            };
            match Domain::parse(&value) {
                Ok(domain) => space.push((name.to_owned(), domain)),
                Err(message) => self.wrong.add(&format!("space.{name}"), message),
            }
        }
        space
    }

    fn metric(&mut self) -> Metric {
        let form = format!("must be a column of metrics.csv: {}", METRICS.join(", "));
        let name = self.or("metric", Metric::default().name().to_owned(), &form);
        let metric = Metric::named(&name);
        self.wrong.check("metric", metric.is_some(), || format!("unknown name `{name}`; {form}"));
        metric.unwrap_or_default()
    }

    fn pruner(&mut self) -> Pruner {
        let none = Pruner::None {};
        let Some(given) = self.mapping.get("pruner").cloned() else { return none };
        // A name alone has the defaults of its keys.
        let given = match given {
            Value::Null => Value::String("none".to_owned()),
            given => given,
        };
        let tagged = match given {
            Value::String(name) => {
                Value::Mapping([(Value::from("name"), Value::String(name))].into_iter().collect())
            }
            given => given,
        };
        match serde_yaml::from_value::<Pruner>(tagged) {
            Ok(pruner) => {
                for (key, message) in pruner.problems() {
                    self.wrong.add(&format!("pruner.{key}"), message);
                }
                pruner
            }
            Err(error) => {
                let message = format!(
                    "must be none, median or successive_halving, as in {{name: median, min_epochs: 2}}: {error}"
                );
                self.wrong.add("pruner", message);
                none
            }
        }
    }

    fn budget(&mut self, space: &[(String, Domain)], sampler: SamplerKind) -> Budget {
        let default = match sampler {
            SamplerKind::Grid => grid_size(space).unwrap_or(TRIALS),
            _ => TRIALS,
        };
        let mut budget = Budget { trials: default, seconds: None };
        let form = "must be {trials: 30}, {time: 2h} or both";
        let given: Option<Mapping> = self.optional("budget", form);
        for (key, value) in given.unwrap_or_default() {
            match key.as_str() {
                Some("trials") => match value.as_u64().filter(|count| *count > 0) {
                    Some(count) => budget.trials = usize::try_from(count).unwrap_or(usize::MAX),
                    None => self.wrong.add("budget.trials", "must be a whole number, at least 1"),
                },
                Some("time") => match value.as_str().map(parse_duration) {
                    Some(Ok(seconds)) => budget.seconds = Some(seconds),
                    Some(Err(message)) => self.wrong.add("budget.time", message),
                    None => self.wrong.add("budget.time", "must be a number with a unit, as in 90m or 2h"),
                },
                _ => self.wrong.add("budget", form),
            }
        }
        budget
    }
}

/// Reads `90s`, `90m`, `2h`, `1.5d` as seconds.
///
/// # Errors
/// It is something else.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    let wrong = || format!("must be a number with a unit (s, m, h, d), as in 90m or 2h, got `{text}`");
    let text = text.trim();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = text[..text.len() - 1].trim().parse().map_err(|_| wrong())?;
    let seconds = number * factor;
    if seconds > 0.0 && seconds.is_finite() { Ok(seconds) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_a_default() {
        let settings = Settings::parse("space: {optimizer.lr: {log_uniform: [0.001, 0.1]}}").unwrap();
        let expected = Settings {
            config: None,
            space: vec![("optimizer.lr".to_owned(), Domain::LogUniform(0.001, 0.1))],
            sampler: SamplerKind::Tpe,
            metric: Metric::named("val_accuracy").unwrap(),
            pruner: Pruner::None {},
            budget: Budget { trials: 30, seconds: None },
            parallel: 1,
            devices: Vec::new(),
            seed: 0,
        };
        assert_eq!(settings, expected);
        let text = "{space: {a: {choice: [1, 2]}, b: {int: [1, 3]}}, sampler: grid, pruner: median, \
                    budget: {time: 90m}, config: my.yaml, metric: val_loss}";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.budget, Budget { trials: 6, seconds: Some(5400.0) });
        assert_eq!(settings.pruner, Pruner::Median { min_epochs: 1, startup_trials: 5 });
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }

    #[test]
    fn everything_that_is_wrong_is_reported_by_its_key() {
        let text = "{space: {a.: {choice: [1]}, b: {uniform: [2, 2]}, c: {uniform: [0, 1]}}, sampler: grid, \
                    metric: accuracy, pruner: {name: median, min_epochs: 0}, budget: {trials: 0, time: 2}, \
                    parallel: 0, seeds: 3}";
        let SettingsError::Invalid(problems) = Settings::parse(text).unwrap_err() else { panic!() };
        let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "seeds",
            "space",
            "space.b",
            "metric",
            "pruner.min_epochs",
            "budget.trials",
            "budget.time",
            "parallel",
            "space.c",
        ];
        assert_eq!(keys, expected);
        for text in ["{}", "{space: {}}", "{space: [1]}"] {
            assert!(Settings::parse(text).unwrap_err().to_string().contains("space: must name keys"));
        }
        let text = "{space: {a: {choice: [1]}}, pruner: {name: median, factor: 3}}";
        assert!(Settings::parse(text).unwrap_err().to_string().contains("pruner: must be none, median"));
        assert!(matches!(Settings::parse("[1]"), Err(SettingsError::Syntax(_))));
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90s", 90.0), ("1.5h", 5400.0), ("2 d", 172_800.0)] {
            assert_eq!(parse_duration(text), Ok(seconds));
        }
        for text in ["", "2", "h", "-1h", "0s", "infh", "2y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
