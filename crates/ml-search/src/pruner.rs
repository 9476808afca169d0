//! Which trials go on, decided after an epoch by its metric alone.

use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::trial::{Status, Trial};

/// `pruner`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Pruner {
    /// Every trial is trained to its end.
    None {},
    /// A trial ends whose best value so far is worse than the median of the completed trials after as
    /// many epochs.
    Median {
        /// Epochs that every trial has.
        #[serde(default = "one")]
        min_epochs: u64,
        /// Trials that must be completed before any is stopped.
        #[serde(default = "five")]
        startup_trials: usize,
    },
    /// Asynchronous successive halving (Li et al. 2020, <https://arxiv.org/abs/1810.05934>): trials
    /// pause after `min_epochs`, and then after `reduction_factor` times as many again and again; of
    /// those that came as far, the best 1 / `reduction_factor` go on.
    SuccessiveHalving {
        /// Epochs up to the first rung.
        #[serde(default = "one")]
        min_epochs: u64,
        /// Of how many trials one goes on.
        #[serde(default = "three")]
        reduction_factor: u64,
    },
}

fn one() -> u64 {
    1
}

fn three() -> u64 {
    3
}

fn five() -> usize {
    5
}

/// What follows an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The trial goes on.
    Continue,
    /// It is stopped for good.
    Prune,
    /// It waits at its rung.
    Pause,
}

impl Pruner {
    /// What is wrong with the values, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let (min_epochs, factor) = match self {
            Pruner::None {} => return Vec::new(),
            Pruner::Median { min_epochs, .. } => (*min_epochs, 2),
            Pruner::SuccessiveHalving { min_epochs, reduction_factor } => (*min_epochs, *reduction_factor),
        };
        let mut problems = Vec::new();
        if min_epochs < 1 {
            problems.push(("min_epochs", "must be at least 1, got 0".to_owned()));
        }
        if factor < 2 {
            problems.push(("reduction_factor", format!("must be at least 2, got {factor}")));
        }
        problems
    }

    /// What follows the newest epoch of `trial`, which is not its last; `trials` are all.
    pub fn decide(&self, trial: &Trial, trials: &[Trial], metric: &Metric) -> Decision {
        match self {
            Pruner::None {} => Decision::Continue,
            Pruner::Median { min_epochs, startup_trials } => {
                let is_due = trial.epochs() >= *min_epochs;
                let is_worse = is_due && is_below_median(trial, trials, metric, *startup_trials);
                if is_worse { Decision::Prune } else { Decision::Continue }
            }
            Pruner::SuccessiveHalving { .. } => {
                let is_there = self.rung_epochs(trial.rung).is_some_and(|epochs| trial.epochs() >= epochs);
                if is_there { Decision::Pause } else { Decision::Continue }
            }
        }
    }

    /// Epochs up to a rung of successive halving; none without it, or past all numbers.
    pub fn rung_epochs(&self, rung: u32) -> Option<u64> {
        let Pruner::SuccessiveHalving { min_epochs, reduction_factor } = self else { return None };
        min_epochs.checked_mul(reduction_factor.checked_pow(rung)?)
    }

    /// The number of a paused trial that goes on: of the highest rung that has one among its best,
    /// the best of these.
    pub fn promoted(&self, trials: &[Trial], metric: &Metric) -> Option<usize> {
        let Pruner::SuccessiveHalving { reduction_factor, .. } = self else { return None };
        let highest = trials.iter().map(|trial| trial.rung).max()?;
        (0..=highest).rev().find_map(|rung| {
            let epochs = self.rung_epochs(rung)?;
            let mut there: Vec<(f64, &Trial)> = trials
                .iter()
                .filter(|trial| trial.epochs() >= epochs && has_left(trial, rung))
                .map(|trial| {
                    let best = trial.best_until(metric, epochs);
                    (best.map_or(f64::INFINITY, |value| metric.loss(value)), trial)
                })
                .collect();
            there.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.number.cmp(&b.1.number)));
            let go_on = there.len() / *reduction_factor as usize;
            let waits = |trial: &Trial| trial.status == Status::Paused && trial.rung == rung;
            there
                .iter()
                .take(go_on)
                .map(|(_, trial)| *trial)
                .find(|trial| waits(trial))
                .map(|trial| trial.number)
        })
    }

    /// Of paused trials the one that is nearest to its end, and of these the best: it is trained to
    /// its end if no trial was.
    pub fn finalist(&self, trials: &[Trial], metric: &Metric) -> Option<usize> {
        if trials.iter().any(|trial| trial.status == Status::Completed) {
            return None;
        }
        let loss = |trial: &Trial| trial.best(metric).map_or(f64::INFINITY, |value| metric.loss(value));
        let paused = trials.iter().filter(|trial| trial.status == Status::Paused);
        let first = paused.min_by(|a, b| {
            b.rung.cmp(&a.rung).then(loss(a).total_cmp(&loss(b))).then(a.number.cmp(&b.number))
        });
        first.map(|trial| trial.number)
    }
}

/// Whether a trial has come to its rung and been stopped there or gone past it.
fn has_left(trial: &Trial, rung: u32) -> bool {
    match trial.status {
        Status::Failed => false,
        Status::Running => trial.rung > rung,
        _ => true,
    }
}

fn is_below_median(trial: &Trial, trials: &[Trial], metric: &Metric, startup_trials: usize) -> bool {
    let completed = || trials.iter().filter(|other| other.status == Status::Completed);
    if completed().count() < startup_trials.max(1) {
        return false;
    }
    let epoch = trial.values.len() - 1;
    let value_there = |other: &Trial| other.values.get(epoch).copied().flatten();
    let mut losses: Vec<f64> = completed().filter_map(value_there).map(|value| metric.loss(value)).collect();
    if losses.is_empty() {
        return false;
    }
    losses.sort_by(f64::total_cmp);
    let middle = losses.len() / 2;
    let median = if losses.len() % 2 == 1 {
        losses[middle]
    } else {
        f64::midpoint(losses[middle - 1], losses[middle])
    };
    trial.best(metric).is_none_or(|best| metric.loss(best) > median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: usize, status: Status, rung: u32, values: &[f64]) -> Trial {
        let values = values.iter().map(|value| Some(*value)).collect();
        Trial { status, values, rung, ..Trial::new(number, Vec::new()) }
    }

    fn accuracy() -> Metric {
        Metric::named("val_accuracy").unwrap()
    }

    #[test]
    fn a_trial_below_the_median_of_the_completed_ones_is_pruned() {
        let pruner = Pruner::Median { min_epochs: 2, startup_trials: 2 };
        let others = [
            trial(0, Status::Completed, 0, &[0.2, 0.6, 0.7]),
            trial(1, Status::Completed, 0, &[0.3, 0.4, 0.9]),
            trial(2, Status::Pruned, 0, &[0.9, 0.9]),
        ];
        let decide = |values: &[f64], others: &[Trial]| {
            pruner.decide(&trial(3, Status::Running, 0, values), others, &accuracy())
        };
        // The median after two epochs is 0.5.
        assert_eq!(decide(&[0.1, 0.49], &others), Decision::Prune);
        assert_eq!(decide(&[0.1, 0.5], &others), Decision::Continue);
        // The best epoch counts, and the first is never judged.
        assert_eq!(decide(&[0.6, 0.1], &others), Decision::Continue);
        assert_eq!(decide(&[0.0], &others), Decision::Continue);
        assert_eq!(decide(&[0.0, 0.0], &others[..1]), Decision::Continue);
        let mut nan = trial(3, Status::Running, 0, &[]);
        nan.values = vec![None, None];
        assert_eq!(pruner.decide(&nan, &others, &accuracy()), Decision::Prune);
    }

    #[test]
    fn of_three_trials_at_a_rung_the_best_goes_on() {
        let pruner = Pruner::SuccessiveHalving { min_epochs: 2, reduction_factor: 3 };
        assert_eq!([0, 1, 2].map(|rung| pruner.rung_epochs(rung)), [Some(2), Some(6), Some(18)]);
        let decide =
            |values: &[f64], rung| pruner.decide(&trial(0, Status::Running, rung, values), &[], &accuracy());
        assert_eq!(decide(&[0.1], 0), Decision::Continue);
        assert_eq!(decide(&[0.1, 0.2], 0), Decision::Pause);
        assert_eq!(decide(&[0.1, 0.2], 1), Decision::Continue);
        let mut trials = vec![
            trial(0, Status::Paused, 0, &[0.1, 0.2]),
            trial(1, Status::Paused, 0, &[0.3, 0.1]),
            trial(2, Status::Running, 0, &[0.9]),
        ];
        assert_eq!(pruner.promoted(&trials, &accuracy()), None);
        trials[2] = trial(2, Status::Paused, 0, &[0.2, 0.2]);
        assert_eq!(pruner.promoted(&trials, &accuracy()), Some(1));
        // It has gone on: nobody else does, until more have come.
        trials[1] = trial(1, Status::Running, 1, &[0.3, 0.1]);
        assert_eq!(pruner.promoted(&trials, &accuracy()), None);
        trials.extend((3..6).map(|number| trial(number, Status::Paused, 0, &[0.0, 0.25])));
        assert_eq!(pruner.promoted(&trials, &accuracy()), Some(3));
        assert_eq!(pruner.finalist(&trials, &accuracy()), Some(3));
        trials[1].status = Status::Paused;
        assert_eq!(pruner.finalist(&trials, &accuracy()), Some(1));
        trials[0].status = Status::Completed;
        assert_eq!(pruner.finalist(&trials, &accuracy()), None);
    }
}
