//! How many optimizer steps each epoch has: as many, or others from some epoch on where the batch
//! size changes.

/// The steps of each epoch of a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSteps {
    /// In order; the first is of epoch 0.
    parts: Vec<Part>,
}

/// Epochs of as many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// The first of them, counted from 0.
    epoch: u64,
    /// Steps before it.
    step: u64,
    /// Of each of them, at least 1.
    steps: u64,
}

impl EpochSteps {
    /// `steps` in every epoch; none counts as one.
    pub fn constant(steps: usize) -> EpochSteps {
        EpochSteps { parts: vec![Part { epoch: 0, step: 0, steps: steps.max(1) as u64 }] }
    }

    /// The same with `steps` in epoch `epoch`, counted from 0, and those behind it.
    #[must_use]
    pub fn then(mut self, epoch: u64, steps: usize) -> EpochSteps {
        let steps = steps.max(1) as u64;
        let step = self.before(epoch);
        self.parts.retain(|part| part.epoch < epoch);
        if self.parts.last().is_none_or(|part| part.steps != steps) {
            self.parts.push(Part { epoch, step, steps });
        }
        self
    }

    /// The part of the last that `is_before`.
    fn last(&self, is_before: impl Fn(&Part) -> bool) -> Part {
        let first = Part { epoch: 0, step: 0, steps: 1 };
        self.parts.iter().rev().find(|part| is_before(part)).or(self.parts.first()).copied().unwrap_or(first)
    }

    /// Steps of `epoch`, counted from 0.
    pub fn of(&self, epoch: u64) -> u64 {
        self.last(|part| part.epoch <= epoch).steps
    }

    /// Steps of all epochs before `epoch`, counted from 0.
    pub fn before(&self, epoch: u64) -> u64 {
        let part = self.last(|part| part.epoch <= epoch);
        part.step.saturating_add((epoch - part.epoch).saturating_mul(part.steps))
    }

    /// Whole epochs that `step` steps make.
    pub fn whole_epochs(&self, step: u64) -> u64 {
        let part = self.last(|part| part.step <= step);
        part.epoch + (step - part.step) / part.steps
    }

    /// Epochs that `step` steps make, one that is cut included.
    pub fn begun_epochs(&self, step: u64) -> u64 {
        let part = self.last(|part| part.step <= step);
        part.epoch + (step - part.step).div_ceil(part.steps)
    }

    /// Epochs that `step` steps make, with fractions.
    pub fn epochs(&self, step: u64) -> f64 {
        let part = self.last(|part| part.step <= step);
        part.epoch as f64 + (step - part.step) as f64 / part.steps as f64
    }

    /// Of the epochs from `epoch` on, which is counted from 0 and the first of the result.
    #[must_use]
    pub fn since(&self, epoch: u64) -> EpochSteps {
        let begin = self.before(epoch);
        let first = Part { epoch: 0, step: 0, steps: self.of(epoch) };
        let later = self.parts.iter().filter(|part| part.epoch > epoch);
        let later = later.map(|part| Part { epoch: part.epoch - epoch, step: part.step - begin, ..*part });
        EpochSteps { parts: std::iter::once(first).chain(later).collect() }
    }

    /// Whether all epochs have as many.
    pub fn is_constant(&self) -> bool {
        self.parts.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_of_other_lengths_follow_each_other() {
        let epochs = EpochSteps::constant(5).then(2, 3).then(4, 3).then(6, 1);
        let each = [5_u64, 5, 3, 3, 3, 3, 1, 1, 1, 1];
        let mut before = 0;
        for (epoch, steps) in each.into_iter().enumerate() {
            let number = epoch as u64;
            assert_eq!((epochs.of(number), epochs.before(number)), (steps, before), "{epoch}");
            for done in 0..steps {
                let step = before + done;
                assert_eq!(epochs.whole_epochs(step), number, "{step}");
                assert_eq!(epochs.begun_epochs(step), number + u64::from(done > 0), "{step}");
                let fraction = epoch as f64 + done as f64 / steps as f64;
                assert!((epochs.epochs(step) - fraction).abs() < 1e-12, "{step}");
            }
            // What is left is a training of its own.
            let left = epochs.since(number);
            for (later, steps) in each.iter().enumerate().skip(epoch) {
                assert_eq!(left.of((later - epoch) as u64), *steps, "{later} from {epoch}");
                assert_eq!(left.before((later - epoch) as u64), epochs.before(later as u64) - before);
            }
            before += steps;
        }
        assert!(!epochs.is_constant() && epochs.since(6).is_constant());
    }

    #[test]
    fn a_length_that_is_not_known_does_not_overflow() {
        for epochs in [EpochSteps::constant(0), EpochSteps::constant(7).then(3, 2)] {
            assert!(epochs.epochs(u64::MAX).is_finite());
            assert!(epochs.begun_epochs(u64::MAX) >= epochs.whole_epochs(u64::MAX));
            assert_eq!(epochs.before(u64::MAX), u64::MAX);
        }
    }

    #[test]
    fn a_later_change_replaces_those_behind_it() {
        let epochs = EpochSteps::constant(5).then(4, 2).then(2, 3);
        assert_eq!(epochs, EpochSteps::constant(5).then(2, 3));
        assert_eq!(EpochSteps::constant(5).then(0, 2), EpochSteps::constant(2));
    }
}
