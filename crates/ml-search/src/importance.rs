//! How much of the differences between trials each key explains by itself: the epsilon squared of a
//! one-way analysis of variance over bins of the key's values. It is a first-order measure, as the
//! main effects of fANOVA are (Hutter et al. 2014), without its forest: what keys do only together is
//! not seen.

use crate::space::Domain;
use crate::state::State;
use crate::trial::{Status, Trial};

/// Fewer trials say nothing.
pub const MIN_TRIALS: usize = 8;
/// Bins of a number.
const BINS: usize = 5;
/// Trials of a bin.
const PER_BIN: usize = 4;

/// The share of each key, 0 to 1, the largest first; none with fewer than [`MIN_TRIALS`] trials or
/// without differences between them.
pub fn importance(state: &State) -> Option<Vec<(String, f64)>> {
    let metric = &state.settings.metric;
    let of = |trial: &Trial| trial.best(metric).filter(|_| trial.status != Status::Failed);
    let trials: Vec<(&Trial, f64)> =
        state.trials.iter().filter_map(|trial| Some((trial, of(trial)?))).collect();
    if trials.len() < MIN_TRIALS {
        return None;
    }
    let values: Vec<f64> = trials.iter().map(|(_, value)| *value).collect();
    let mut shares = Vec::new();
    for (name, domain) in &state.settings.space {
        let positions: Vec<f64> = trials
            .iter()
            .map(|(trial, _)| trial.parameter(name).and_then(|value| domain.position(value)).unwrap_or(0.0))
            .collect();
        let is_choice = matches!(domain, Domain::Choice(_));
        shares.push((name.clone(), epsilon_squared(&bins(&positions, is_choice), &values)?));
    }
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    Some(shares)
}

/// The bin of each: its choice, or one of a few with as many values each. Equal values share a bin.
fn bins(positions: &[f64], is_choice: bool) -> Vec<usize> {
    if is_choice {
        return positions.iter().map(|position| *position as usize).collect();
    }
    let count = (positions.len() / PER_BIN).clamp(2, BINS);
    let mut sorted = positions.to_vec();
    sorted.sort_by(f64::total_cmp);
    let bin = |position: &f64| sorted.partition_point(|other| other < position) * count / sorted.len();
    positions.iter().map(bin).collect()
}

/// `(SSB - (k - 1) MSW) / SST`, at least 0; none without any variance.
fn epsilon_squared(bins: &[usize], values: &[f64]) -> Option<f64> {
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mean = mean_of(values);
    let total: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if total <= 0.0 {
        return None;
    }
    let (mut between, mut groups) = (0.0, 0);
    for bin in 0..=bins.iter().copied().max()? {
        let own = bins.iter().zip(values).filter(|(of, _)| **of == bin).map(|(_, value)| *value);
        let own: Vec<f64> = own.collect();
        if !own.is_empty() {
            groups += 1;
            between += own.len() as f64 * (mean_of(&own) - mean).powi(2);
        }
    }
    let left = values.len().saturating_sub(groups);
    if groups < 2 || left == 0 {
        return Some(0.0);
    }
    let within = (total - between) / left as f64;
    Some(((between - (groups - 1) as f64 * within) / total).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_an_analysis_of_variance() {
        // SSB = 13.5, SSW = 4 with 4 degrees of freedom, SST = 17.5.
        let share = epsilon_squared(&[0, 0, 0, 1, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert!((share - 12.5 / 17.5).abs() < 1e-12, "{share}");
        assert_eq!(epsilon_squared(&[0, 1, 0, 1], &[1.0, 1.0, 2.0, 2.0]), Some(0.0));
        assert_eq!(epsilon_squared(&[0, 1], &[1.0, 1.0]), None);
    }

    #[test]
    fn bins_hold_as_many_trials_each_and_equal_values_stay_together() {
        let positions: Vec<f64> = (0..20).map(f64::from).collect();
        let found = bins(&positions, false);
        assert_eq!(
            (0..5).map(|bin| found.iter().filter(|of| **of == bin).count()).collect::<Vec<_>>(),
            [4; 5]
        );
        assert_eq!(bins(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0], false), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bins(&[2.0, 0.0], true), [2, 0]);
    }
}
