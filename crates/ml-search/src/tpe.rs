//! The tree-structured Parzen estimator (Bergstra et al. 2011, <https://papers.nips.cc/paper/4443>):
//! the density l of the best trials' values and the density g of the others'; of some values drawn
//! from l, the one with the largest l / g. Each key by itself, as Optuna does with
//! `multivariate=False`.

use std::cmp::Ordering;

use ml_data::rng::{Purpose, stream};
use serde_json::Value;

use crate::metric::Metric;
use crate::parzen::Parzen;
use crate::space::Domain;
use crate::trial::{Parameters, Status, Trial};

/// Trials that are drawn at random first.
pub(crate) const STARTUP_TRIALS: usize = 10;
/// Values drawn from l.
const CANDIDATES: usize = 24;
/// The most trials that count as the best.
const MOST_BEST: usize = 25;

/// The values of trial `number`; none before enough trials have ended.
pub(crate) fn propose(
    space: &[(String, Domain)],
    metric: &Metric,
    trials: &[Trial],
    (seed, number): (u64, usize),
) -> Option<Parameters> {
    let ended = ranked(trials, metric);
    if ended.len() < STARTUP_TRIALS {
        return None;
    }
    let (best, others) = ended.split_at(ended.len().div_ceil(10).min(MOST_BEST));
    let pick = |key: usize, (name, domain): &(String, Domain)| {
        let mut rng = stream(seed, Purpose::Search, number as u64, key as u64);
        let (good, bad) =
            (Parzen::new(domain, &observed(best, name)), Parzen::new(domain, &observed(others, name)));
        let candidates = (0..CANDIDATES).map(|_| good.sample(&mut rng));
        let scored = candidates.map(|value| (good.log_density(&value) - bad.log_density(&value), value));
        let chosen = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
        (name.clone(), chosen.map_or(Value::Null, |(_, value)| value))
    };
    Some(space.iter().enumerate().map(|(key, of)| pick(key, of)).collect())
}

/// A key's values in `trials`, the oldest first.
fn observed<'a>(trials: &[&'a Trial], key: &str) -> Vec<&'a Value> {
    let mut trials = trials.to_vec();
    trials.sort_by_key(|trial| trial.number);
    trials.into_iter().filter_map(|trial| trial.parameter(key)).collect()
}

/// Trials that have ended or pause, the best first: those that were completed, then those that were
/// stopped, the later the better, then those that failed.
fn ranked<'a>(trials: &'a [Trial], metric: &Metric) -> Vec<&'a Trial> {
    let loss = |trial: &Trial| trial.best(metric).map_or(f64::INFINITY, |value| metric.loss(value));
    let class = |trial: &Trial| match trial.status {
        Status::Completed => 0,
        Status::Pruned | Status::Paused | Status::Running => 1,
        Status::Failed => 2,
    };
    let order = |a: &&Trial, b: &&Trial| -> Ordering {
        let epochs = || if class(a) == 1 { b.epochs().cmp(&a.epochs()) } else { Ordering::Equal };
        class(a).cmp(&class(b)).then_with(epochs).then_with(|| loss(a).total_cmp(&loss(b)))
    };
    let mut ended: Vec<&Trial> = trials.iter().filter(|trial| trial.status != Status::Running).collect();
    ended.sort_by(order);
    ended
}
