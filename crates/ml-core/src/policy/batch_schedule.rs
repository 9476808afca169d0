//! `training.batch_schedule`: the batch size as a function of the epoch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Batch sizes that take the place of `training.batch_size` from some epoch on (Smith et al. 2018,
/// "Don't Decay the Learning Rate, Increase the Batch Size").
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchScheduleConfig {
    /// Epochs in order, counted from 0, and the batch size from each on: `[{from_epoch: 10,
    /// batch_size: 128}]`. Before the first it is `training.batch_size`.
    pub batch_sizes: Vec<BatchSizeFrom>,
    /// What becomes of the learning rate, which is that of `training.batch_size`: `none` leaves it,
    /// `linear` multiplies it by the batch size over that one, `sqrt` by the square root of this.
    pub scale_lr: LrScaling,
}

/// A batch size, and the first epoch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSizeFrom {
    /// The first epoch with it, counted from 0.
    pub from_epoch: u64,
    /// Images a batch, at least 1.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

/// How the learning rate follows the batch size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LrScaling {
    /// Not at all.
    #[default]
    None,
    /// In proportion (Goyal et al. 2017).
    Linear,
    /// By the square root (Krizhevsky 2014).
    Sqrt,
}

impl BatchScheduleConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if self.batch_sizes.is_empty() {
            let message = "must name at least one epoch, as in [{from_epoch: 10, batch_size: 128}]";
            found.push(("batch_sizes".to_owned(), message.to_owned()));
        }
        for (index, part) in self.batch_sizes.iter().enumerate() {
            if part.batch_size == 0 {
                let key = format!("batch_sizes[{index}].batch_size");
                found.push((key, "must be at least 1, got 0".to_owned()));
            }
        }
        let epochs = self.batch_sizes.iter().map(|part| part.from_epoch);
        found.extend(out_of_order("batch_sizes", epochs));
        found
    }

    /// The batch size in `epoch`, counted from 0, where it is `first` before any change.
    pub fn batch_size(&self, first: usize, epoch: u64) -> usize {
        let now = self.batch_sizes.iter().rev().find(|part| part.from_epoch <= epoch);
        now.map_or(first, |part| part.batch_size)
    }

    /// What the learning rate is multiplied by in `epoch`, where it is that of batches of `first`.
    pub fn lr_factor(&self, first: usize, epoch: u64) -> f64 {
        let ratio = self.batch_size(first, epoch) as f64 / first.max(1) as f64;
        match self.scale_lr {
            LrScaling::None => 1.0,
            LrScaling::Linear => ratio,
            LrScaling::Sqrt => ratio.sqrt(),
        }
    }
}

/// What is wrong with the first epochs of the parts of `list`.
pub(super) fn out_of_order(list: &str, epochs: impl Iterator<Item = u64>) -> Option<(String, String)> {
    let epochs: Vec<u64> = epochs.collect();
    let wrong = (1..epochs.len()).find(|&index| epochs[index] <= epochs[index - 1])?;
    let (before, given) = (epochs[wrong - 1], epochs[wrong]);
    Some((
        format!("{list}[{wrong}].from_epoch"),
        format!("must be above the one before, {before}, got {given}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> BatchScheduleConfig {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn the_batch_size_and_the_learning_rate_follow_the_epoch() {
        let sizes =
            "batch_sizes: [{from_epoch: 2, batch_size: 64}, {from_epoch: 5, batch_size: 16}], scale_lr";
        let schedule = parsed(&format!("{{{sizes}: linear}}"));
        let each: Vec<usize> = (0..7).map(|epoch| schedule.batch_size(32, epoch)).collect();
        assert_eq!(each, [32, 32, 64, 64, 64, 16, 16]);
        let factors = |schedule: BatchScheduleConfig| [0, 2, 6].map(|epoch| schedule.lr_factor(32, epoch));
        assert_eq!(factors(schedule), [1.0, 2.0, 0.5]);
        assert_eq!(factors(parsed(&format!("{{{sizes}: sqrt}}"))), [1.0, 2.0_f64.sqrt(), 0.5_f64.sqrt()]);
        assert_eq!(factors(parsed(&format!("{{{sizes}: none}}"))), [1.0; 3]);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let keys =
            |yaml: &str| -> Vec<String> { parsed(yaml).problems().into_iter().map(|(key, _)| key).collect() };
        assert_eq!(keys("{}"), ["batch_sizes"]);
        assert_eq!(keys("{batch_sizes: [{from_epoch: 0, batch_size: 0}]}"), ["batch_sizes[0].batch_size"]);
        let twice = "{batch_sizes: [{from_epoch: 3, batch_size: 4}, {from_epoch: 3, batch_size: 8}]}";
        assert_eq!(keys(twice), ["batch_sizes[1].from_epoch"]);
        assert!(keys("{batch_sizes: [{from_epoch: 0, batch_size: 8}]}").is_empty());
    }
}
