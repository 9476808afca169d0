//! A pass over the batches of a split of which each process takes its part: reported, and stopped
//! in all of them where one is told to stop.

use std::ops::ControlFlow;

use super::{Phase, Reporter, Stop, TrainError, flow};
use crate::distributed::World;
use crate::evaluation::EvaluationError;

/// A pass without updates.
pub(crate) struct Pass<'a> {
    pub world: &'a World,
    pub phase: Phase,
    /// As reported.
    pub epoch: u64,
    /// Of all processes together, as [`Share::of_pass`](crate::distributed::Share) cuts them.
    pub num_batches: usize,
}

impl Pass<'_> {
    /// What `compute` gives, which calls its argument after each of this process's batches and ends
    /// with [`EvaluationError::Interrupted`] where that breaks; none if any process is told to stop.
    ///
    /// # Errors
    /// Those of `compute`; progress cannot be reported, or another process is lost.
    pub fn run<T, E: Into<TrainError>>(
        &self,
        reporter: &mut dyn Reporter,
        stop: &Stop,
        compute: impl FnOnce(&mut dyn FnMut() -> ControlFlow<()>) -> Result<T, E>,
    ) -> Result<Option<T>, TrainError> {
        reporter.phase_started(self.phase, self.epoch, self.num_batches, 0);
        let mut rounds = Rounds::new(self.world, self.num_batches);
        let mut ended = Ok(());
        let found = compute(&mut || {
            let reported = reporter.batches_done(self.world.size(), None);
            let (flow, agreed) = rounds.next(flow(reported.is_err(), stop));
            ended = reported.map_err(TrainError::from).and(agreed);
            flow
        });
        ended?;
        let found = match found.map_err(Into::into) {
            Err(TrainError::Evaluation(EvaluationError::Interrupted)) => return Ok(None),
            found => found?,
        };
        if rounds.finish(stop)?.is_break() {
            return Ok(None);
        }
        reporter.phase_finished();
        Ok(Some(found))
    }
}

/// What processes with different numbers of batches decide together after each of them: whether to
/// stop. Those that have fewer take part in the rest.
struct Rounds<'a> {
    world: &'a World,
    left: usize,
}

impl<'a> Rounds<'a> {
    /// Over `num_batches` of all processes together.
    fn new(world: &'a World, num_batches: usize) -> Rounds<'a> {
        Rounds { world, left: num_batches.div_ceil(world.size()) }
    }

    /// Whether any process breaks off, and whether that could be found out.
    fn next(&mut self, own: ControlFlow<()>) -> (ControlFlow<()>, Result<(), TrainError>) {
        self.left = self.left.saturating_sub(1);
        if self.world.is_alone() {
            return (own, Ok(()));
        }
        match self.world.any(own.is_break()) {
            Ok(true) => (ControlFlow::Break(()), Ok(())),
            Ok(false) => (ControlFlow::Continue(()), Ok(())),
            Err(error) => (ControlFlow::Break(()), Err(error.into())),
        }
    }

    /// The rounds that only others have batches for.
    fn finish(mut self, stop: &Stop) -> Result<ControlFlow<()>, TrainError> {
        while self.left > 0 && !self.world.is_alone() {
            let (flow, agreed) = self.next(flow(false, stop));
            agreed?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::trainer::ReportError;

    /// Counts, and fails after so many batches.
    struct Counter {
        batches: usize,
        fails_after: usize,
        has_finished: bool,
    }

    impl Reporter for Counter {
        fn batches_done(
            &mut self,
            count: usize,
            _: Option<&crate::metrics::MetricSums>,
        ) -> Result<(), ReportError> {
            self.batches += count;
            if self.batches < self.fails_after {
                return Ok(());
            }
            Err(ReportError::new(std::io::Error::other("the disk is full")))
        }

        fn phase_finished(&mut self) {
            self.has_finished = true;
        }
    }

    /// A pass over three batches, after the second of which a signal comes.
    fn pass(fails_after: usize, signal: usize) -> (Result<Option<usize>, String>, usize, bool) {
        let mut counter = Counter { batches: 0, fails_after, has_finished: false };
        let (world, stop) = (World::alone(), AtomicUsize::new(0));
        let pass = Pass { world: &world, phase: Phase::Validate, epoch: 1, num_batches: 3 };
        let found = pass.run(&mut counter, &stop, |on_batch| {
            for batch in 0..3 {
                if batch == 1 {
                    stop.store(signal, Ordering::Relaxed);
                }
                if on_batch().is_break() {
                    return Err(EvaluationError::Interrupted);
                }
            }
            Ok(3)
        });
        (found.map_err(|error| error.to_string()), counter.batches, counter.has_finished)
    }

    #[test]
    fn a_pass_ends_with_its_result_or_where_it_is_told_to_stop() {
        assert_eq!(pass(9, 0), (Ok(Some(3)), 3, true));
        assert_eq!(pass(9, 15), (Ok(None), 2, false));
    }

    #[test]
    fn a_report_that_cannot_be_written_ends_a_pass_with_its_reason() {
        assert_eq!(pass(2, 0), (Err("the disk is full".to_owned()), 2, false));
    }
}
