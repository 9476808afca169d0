//! The values that a key may take, and the line on which samplers see them.

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Values of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// One of these.
    Choice(Vec<Value>),
    /// A number from the first to the second, each as likely.
    Uniform(f64, f64),
    /// A number whose logarithm is uniform.
    LogUniform(f64, f64),
    /// A whole number, both ends included.
    Int {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// Whether its logarithm is uniform.
        log: bool,
    },
}

/// Largest number of an `int`: all up to here are exact as f64, also half of one apart.
const LARGEST_INT: i64 = 1 << 50;

impl Domain {
    /// Reads `{choice: […]}`, `{uniform: [a, b]}`, `{log_uniform: [a, b]}` or
    /// `{int: [a, b], log: true}`.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(value: &serde_yaml::Value) -> Result<Domain, String> {
        const KINDS: [&str; 4] = ["choice", "uniform", "log_uniform", "int"];
        let form = "must be {choice: [...]}, {uniform: [a, b]}, {log_uniform: [a, b]} or {int: [a, b]}";
        let Some(mapping) = value.as_mapping() else { return Err(form.to_owned()) };
        let keys: Vec<&str> = mapping.keys().map(|key| key.as_str().unwrap_or_default()).collect();
        let given: Vec<&str> = KINDS.into_iter().filter(|kind| keys.contains(kind)).collect();
        let &[kind] = given.as_slice() else { return Err(form.to_owned()) };
        let is_known = |key: &str| key == kind || (kind == "int" && key == "log");
        if let Some(unknown) = keys.iter().find(|key| !is_known(key)) {
            return Err(format!("unknown key `{unknown}` beside `{kind}`; {form}"));
        }
        let Some(items) = mapping.get(kind).and_then(serde_yaml::Value::as_sequence) else {
            return Err(format!("{kind}: must be a list in brackets"));
        };
        match kind {
            "choice" => Domain::choice(items),
            "int" => {
                let log = match mapping.get("log") {
                    None => false,
                    Some(log) => log.as_bool().ok_or("log: must be true or false")?,
                };
                let ends = ends(items, serde_yaml::Value::as_i64).ok_or("int: must be two whole numbers")?;
                Domain::int(ends, log)
            }
            _ => {
                let number = |item: &serde_yaml::Value| item.as_f64().filter(|value| value.is_finite());
                let ends =
                    ends(items, number).ok_or_else(|| format!("{kind}: must be two finite numbers"))?;
                Domain::float(kind, ends)
            }
        }
    }

    fn choice(items: &[serde_yaml::Value]) -> Result<Domain, String> {
        // JSON, in which the state is kept, has no NaN and Inf.
        let is_finite = |item: &serde_yaml::Value| item.as_f64().is_none_or(f64::is_finite);
        let values = items.iter().map(|item| serde_json::to_value(item).ok().filter(|_| is_finite(item)));
        let values: Option<Vec<Value>> = values.collect();
        let values = values.ok_or("choice: an item cannot be kept; numbers must be finite, and keys text")?;
        if values.is_empty() {
            return Err("choice: is empty; give at least one value".to_owned());
        }
        let twice = values.iter().enumerate().find(|(place, value)| values[..*place].contains(value));
        match twice {
            Some((_, value)) => Err(format!("choice: {value} is given twice")),
            None => Ok(Domain::Choice(values)),
        }
    }

    fn float(kind: &str, (low, high): (f64, f64)) -> Result<Domain, String> {
        if low >= high {
            return Err(format!("{kind}: the first number must be below the second, got [{low}, {high}]"));
        }
        match kind {
            "uniform" => Ok(Domain::Uniform(low, high)),
            _ if low <= 0.0 => Err(format!("log_uniform: both numbers must be positive, got {low}")),
            _ => Ok(Domain::LogUniform(low, high)),
        }
    }

    fn int((low, high): (i64, i64), log: bool) -> Result<Domain, String> {
        if low >= high {
            return Err(format!("int: the first number must be below the second, got [{low}, {high}]"));
        }
        if log && low < 1 {
            return Err(format!("int: with log both numbers must be at least 1, got {low}"));
        }
        if low < -LARGEST_INT || high > LARGEST_INT {
            return Err(format!("int: must be within -2^50 and 2^50, got [{low}, {high}]"));
        }
        Ok(Domain::Int { low, high, log })
    }

    /// All values, of those that can be counted.
    pub fn values(&self) -> Option<Vec<Value>> {
        match self {
            Domain::Choice(values) => Some(values.clone()),
            Domain::Int { low, high, .. } if high - low < 10_000 => {
                Some((*low..=*high).map(Value::from).collect())
            }
            _ => None,
        }
    }

    /// Values with which a configuration can be tried: each choice, or both ends.
    pub fn probes(&self) -> Vec<Value> {
        match self {
            Domain::Choice(values) => values.clone(),
            Domain::Uniform(low, high) | Domain::LogUniform(low, high) => {
                vec![Value::from(*low), Value::from(*high)]
            }
            Domain::Int { low, high, .. } => vec![Value::from(*low), Value::from(*high)],
        }
    }

    /// Whether distances are ratios.
    pub fn is_log(&self) -> bool {
        matches!(self, Domain::LogUniform(..) | Domain::Int { log: true, .. })
    }

    /// A value drawn without knowledge.
    pub fn sample(&self, rng: &mut impl Rng) -> Value {
        match self {
            Domain::Choice(values) => values[rng.random_range(0..values.len())].clone(),
            _ => {
                let (low, high) = self.bounds();
                self.value(low + (high - low) * rng.random::<f64>())
            }
        }
    }

    /// The ends of the line on which numbers lie: their logarithms, if distances are ratios. A whole
    /// number takes the half to both sides.
    pub(crate) fn bounds(&self) -> (f64, f64) {
        match self {
            Domain::Choice(values) => (0.0, values.len() as f64 - 1.0),
            Domain::Uniform(low, high) => (*low, *high),
            Domain::LogUniform(low, high) => (low.ln(), high.ln()),
            Domain::Int { low, high, log } => {
                let ends = (*low as f64 - 0.5, *high as f64 + 0.5);
                if *log { (ends.0.ln(), ends.1.ln()) } else { ends }
            }
        }
    }

    /// Where a number lies on the line; the index of a choice. None for what the space lacks.
    pub(crate) fn position(&self, value: &Value) -> Option<f64> {
        match self {
            Domain::Choice(values) => values.iter().position(|known| known == value).map(|at| at as f64),
            Domain::Uniform(..) | Domain::Int { log: false, .. } => value.as_f64(),
            Domain::LogUniform(..) | Domain::Int { log: true, .. } => value.as_f64().map(f64::ln),
        }
    }

    /// The value at a position of the line.
    pub(crate) fn value(&self, position: f64) -> Value {
        match self {
            Domain::Choice(values) => values[(position as usize).min(values.len() - 1)].clone(),
            Domain::Uniform(low, high) => Value::from(position.clamp(*low, *high)),
            Domain::LogUniform(low, high) => Value::from(position.exp().clamp(*low, *high)),
            Domain::Int { low, high, log } => {
                let number = if *log { position.exp() } else { position };
                Value::from((number.round() as i64).clamp(*low, *high))
            }
        }
    }

    /// The part of the line that stands for a whole number; none of other values.
    pub(crate) fn cell(&self, value: &Value) -> Option<(f64, f64)> {
        let Domain::Int { log, .. } = self else { return None };
        let number = value.as_f64()?;
        let ends = (number - 0.5, number + 0.5);
        Some(if *log { (ends.0.ln(), ends.1.ln()) } else { ends })
    }
}

fn ends<T>(items: &[serde_yaml::Value], read: impl Fn(&serde_yaml::Value) -> Option<T>) -> Option<(T, T)> {
    match items {
        [low, high] => Some((read(low)?, read(high)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ml_data::rng::{Purpose, stream};

    use super::*;

    fn parse(text: &str) -> Result<Domain, String> {
        Domain::parse(&serde_yaml::from_str(text).unwrap())
    }

    #[test]
    fn what_is_wrong_with_a_domain_is_said() {
        for (text, part) in [
            ("{uniform: [1, 1]}", "below the second"),
            ("{uniform: [2, 1]}", "below the second"),
            ("{uniform: [0, .inf]}", "two finite numbers"),
            ("{log_uniform: [0, 1]}", "must be positive"),
            ("{int: [1.5, 2]}", "two whole numbers"),
            ("{int: [0, 8], log: true}", "at least 1"),
            ("{int: [1, 8], log: 3}", "true or false"),
            ("{choice: []}", "is empty"),
            ("{choice: [1, 2, 1]}", "1 is given twice"),
            ("{choice: [1, .nan]}", "must be finite"),
            ("{choice: 1}", "a list"),
            ("{uniform: [0, 1], log: true}", "unknown key `log`"),
            ("{uniform: [0, 1], int: [0, 1]}", "must be {choice"),
            ("0.1", "must be {choice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn samples_lie_within_and_reach_both_ends_of_whole_numbers() {
        let mut rng = stream(1, Purpose::Search, 0, 0);
        for log in [false, true] {
            let domain = Domain::Int { low: 1, high: 4, log };
            let mut seen = [0; 5];
            for _ in 0..1000 {
                seen[domain.sample(&mut rng).as_u64().unwrap() as usize] += 1;
            }
            assert!(seen[0] == 0 && seen[1..].iter().all(|count| *count > 50), "{seen:?}");
        }
        let domain = parse("{log_uniform: [1.0e-4, 1]}").unwrap();
        let small = (0..1000).filter(|_| domain.sample(&mut rng).as_f64().unwrap() < 1e-2).count();
        assert!((450..550).contains(&small), "{small}");
    }
}
