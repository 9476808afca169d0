//! Parzen estimators of one key: a mixture of a prior and one kernel an observation, truncated to
//! the domain. As in Optuna: kernels as wide as the gap to their neighbours, "magic
//! clip", a prior of weight 1, and old observations that count less from the 26th on.

use std::f64::consts::{PI, SQRT_2};

use rand::Rng;
use serde_json::Value;

use crate::space::Domain;

/// Observations that count in full.
const FULL: usize = 25;

/// The density of a key's values.
#[derive(Debug)]
pub(crate) struct Parzen<'a> {
    domain: &'a Domain,
    /// Of the kernels; they sum to 1. The prior is the last.
    weights: Vec<f64>,
    kernels: Kernels,
}

#[derive(Debug)]
enum Kernels {
    /// Mean and standard deviation of normal distributions, on the line of the domain.
    Normal(Vec<(f64, f64)>),
    /// The choice that was observed, if any, and the share of each of the others.
    Choice { observed: Vec<Option<usize>>, count: usize },
}

impl<'a> Parzen<'a> {
    /// From observed `values`, the oldest first. Those that the domain lacks are left out.
    pub fn new(domain: &'a Domain, values: &[&Value]) -> Parzen<'a> {
        let positions: Vec<f64> = values.iter().filter_map(|value| domain.position(value)).collect();
        let mut weights: Vec<f64> = observation_weights(positions.len());
        weights.push(1.0);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let kernels = match domain {
            Domain::Choice(choices) => Kernels::Choice {
                observed: positions.iter().map(|place| Some(*place as usize)).chain([None]).collect(),
                count: choices.len(),
            },
            _ => Kernels::Normal(normal_kernels(&positions, domain.bounds())),
        };
        Parzen { domain, weights, kernels }
    }

    /// A value drawn from the mixture.
    pub fn sample(&self, rng: &mut impl Rng) -> Value {
        let mut rest = rng.random::<f64>();
        let reached = self.weights.iter().position(|weight| {
            rest -= weight;
            rest < 0.0
        });
        let kernel = reached.unwrap_or(self.weights.len() - 1);
        match &self.kernels {
            Kernels::Normal(kernels) => {
                let (mean, sd) = kernels[kernel];
                let (low, high) = self.domain.bounds();
                // Means lie within, and no kernel is wider than the domain: a third and more is taken.
                loop {
                    let position = mean + sd * standard_normal(rng);
                    if (low..=high).contains(&position) {
                        return self.domain.value(position);
                    }
                }
            }
            Kernels::Choice { observed, count } => {
                let mut rest = rng.random::<f64>();
                let share = |choice: usize| self.share(observed[kernel], choice, *count);
                let drawn = (0..*count).find(|choice| {
                    rest -= share(*choice);
                    rest < 0.0
                });
                self.domain.value(drawn.unwrap_or(count - 1) as f64)
            }
        }
    }

    /// The logarithm of the density at a value, on the line of the domain; of a choice or a whole
    /// number, of its probability.
    pub fn log_density(&self, value: &Value) -> f64 {
        let Some(position) = self.domain.position(value) else { return f64::NEG_INFINITY };
        let density: f64 = match &self.kernels {
            Kernels::Normal(kernels) => {
                let bounds = self.domain.bounds();
                let cell = self.domain.cell(value);
                let of_kernel = |(mean, sd): (f64, f64)| {
                    let part = match cell {
                        Some(cell) => mass(cell, mean, sd),
                        None => (-0.5 * ((position - mean) / sd).powi(2)).exp() / (sd * (2.0 * PI).sqrt()),
                    };
                    part / mass(bounds, mean, sd)
                };
                self.weights.iter().zip(kernels).map(|(weight, kernel)| weight * of_kernel(*kernel)).sum()
            }
            Kernels::Choice { observed, count } => {
                let share = |observed: Option<usize>| self.share(observed, position as usize, *count);
                self.weights.iter().zip(observed).map(|(weight, observed)| weight * share(*observed)).sum()
            }
        };
        density.ln()
    }

    /// The probability of a choice by the kernel of an observed one.
    fn share(&self, observed: Option<usize>, choice: usize, count: usize) -> f64 {
        let Some(observed) = observed else { return 1.0 / count as f64 };
        let prior = 1.0 / self.weights.len() as f64;
        let own = if observed == choice { 1.0 } else { 0.0 };
        (prior + own) / (prior * count as f64 + 1.0)
    }
}

/// 1 for the newest, a ramp up to it for those before.
fn observation_weights(count: usize) -> Vec<f64> {
    let old = count.saturating_sub(FULL);
    let first = 1.0 / count as f64;
    let ramp = (0..old).map(|place| match old {
        1 => first,
        _ => first + (1.0 - first) * place as f64 / (old - 1) as f64,
    });
    ramp.chain(std::iter::repeat_n(1.0, count - old)).collect()
}

/// Means and standard deviations: an observation's is the larger gap to its neighbours, within
/// limits; the prior, the last, covers the domain.
fn normal_kernels(positions: &[f64], (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|a, b| positions[*a].total_cmp(&positions[*b]));
    let at = |rank: usize| positions[order[rank]];
    let count = positions.len();
    let range = high - low;
    let narrowest = range / (count as f64 + 2.0).min(100.0);
    let mut kernels: Vec<(f64, f64)> = positions.iter().map(|position| (*position, 0.0)).collect();
    for rank in 0..count {
        let below = if rank == 0 { at(rank) - low } else { at(rank) - at(rank - 1) };
        let above = if rank + 1 == count { high - at(rank) } else { at(rank + 1) - at(rank) };
        // The gap to an end of the domain says nothing about neighbours.
        let gap = match rank {
            _ if count == 1 => below.max(above),
            0 => above,
            _ if rank + 1 == count => below,
            _ => below.max(above),
        };
        kernels[order[rank]].1 = gap.clamp(narrowest, range);
    }
    kernels.push((f64::midpoint(low, high), range));
    kernels
}

/// The probability of an interval under a normal distribution.
fn mass((low, high): (f64, f64), mean: f64, sd: f64) -> f64 {
    let (low, high) = ((low - mean) / (sd * SQRT_2), (high - mean) / (sd * SQRT_2));
    // On the side where the difference keeps its digits.
    if low > 0.0 {
        0.5 * (libm::erfc(low) - libm::erfc(high))
    } else {
        0.5 * (libm::erfc(-high) - libm::erfc(-low))
    }
}

/// By Box and Muller.
fn standard_normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (2.0 * PI * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use ml_data::rng::{Purpose, stream};

    use super::*;

    /// `tests/reference/tpe.py`: Optuna.
    fn reference() -> Value {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/tpe.json"));
        serde_json::from_str(text).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
    }

    #[test]
    fn densities_are_those_of_optuna() {
        let reference = reference();
        let cases = reference["densities"].as_array().unwrap();
        assert_eq!(cases.len(), 25);
        for case in cases {
            let range = numbers(&case["range"]);
            let (low, high) = (range[0], range[1]);
            let kind = case["kind"].as_str().unwrap();
            let domain = match kind {
                "uniform" => Domain::Uniform(low, high),
                "log_uniform" => Domain::LogUniform(low, high),
                "choice" => Domain::Choice((0..4).map(Value::from).collect()),
                _ => Domain::Int { low: low as i64, high: high as i64, log: kind == "log_int" },
            };
            let read = |key: &str| -> Vec<Value> {
                let is_whole = !matches!(domain, Domain::Uniform(..) | Domain::LogUniform(..));
                let value = |x: f64| if is_whole { Value::from(x as i64) } else { Value::from(x) };
                numbers(&case[key]).into_iter().map(value).collect()
            };
            let (observations, points) = (read("observations"), read("points"));
            let parzen = Parzen::new(&domain, &observations.iter().collect::<Vec<_>>());
            for (point, expected) in points.iter().zip(numbers(&case["log_density"])) {
                let found = parzen.log_density(point);
                let count = observations.len();
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{kind}, {count} at {point}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn samples_follow_the_density() {
        let domain = Domain::Int { low: 1, high: 8, log: true };
        let observed = [2, 2, 3, 7].map(Value::from);
        let parzen = Parzen::new(&domain, &observed.iter().collect::<Vec<_>>());
        let mut rng = stream(3, Purpose::Search, 0, 0);
        let mut counts = [0.0; 9];
        let total = 20_000;
        for _ in 0..total {
            counts[parzen.sample(&mut rng).as_u64().unwrap() as usize] += 1.0;
        }
        for (number, count) in counts.iter().enumerate().skip(1) {
            let expected = parzen.log_density(&Value::from(number)).exp();
            assert!((count / f64::from(total) - expected).abs() < 0.015, "{number}: {count}, {expected}");
        }
    }
}
