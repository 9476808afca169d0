//! The learning rate while weights are averaged, PyTorch's `torch.optim.swa_utils.SWALR`.

use std::f64::consts::PI;

use super::Anneal;

/// From an epoch on, the learning rate changes from what the schedule gives there to one that it
/// keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SwaLr {
    /// Epochs before it begins.
    pub start: u64,
    /// The learning rate in the end.
    pub lr: f64,
    /// Epochs until then; 0 takes it at once.
    pub anneal_epochs: u64,
    /// The form of the change.
    pub anneal_strategy: Anneal,
}

impl SwaLr {
    /// The learning rate in the epoch that `epochs` come before, where the schedule gave `from` in
    /// the first.
    pub(super) fn at(&self, from: f64, epochs: u64) -> f64 {
        let since = epochs.saturating_sub(self.start);
        if since >= self.anneal_epochs {
            return self.lr;
        }
        let share = since as f64 / self.anneal_epochs as f64;
        let alpha = match self.anneal_strategy {
            Anneal::Cos => (1.0 - (PI * share).cos()) / 2.0,
            Anneal::Linear => share,
        };
        self.lr * alpha + from * (1.0 - alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Schedule, SchedulerConfig};
    use super::*;

    #[test]
    fn the_learning_rate_follows_pytorchs_swalr() {
        // The program: tests/reference/swa.py.
        let reference = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/swa.json"));
        let reference: serde_json::Value = serde_json::from_str(reference).unwrap();
        let scheduler: SchedulerConfig = serde_yaml::from_str("{name: exponential, gamma: 0.9}").unwrap();
        let cases = reference["lr"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let anneal_strategy = serde_json::from_value(case["anneal_strategy"].clone()).unwrap();
            let anneal_epochs = case["anneal_epochs"].as_u64().unwrap();
            let swa = SwaLr { start: 5, lr: 0.05, anneal_epochs, anneal_strategy };
            let schedule = Schedule::new(&scheduler, 0.1, 3, 12).with_swa(Some(swa));
            for (epoch, expected) in case["lr"].as_array().unwrap().iter().enumerate() {
                for step in [3 * epoch as u64, 3 * epoch as u64 + 2] {
                    let (got, expected) = (schedule.lr(step), expected.as_f64().unwrap());
                    // PyTorch multiplies its way from epoch to epoch.
                    assert!((got - expected).abs() < 1e-12, "{case} at {step}: {got}");
                }
            }
        }
    }
}
