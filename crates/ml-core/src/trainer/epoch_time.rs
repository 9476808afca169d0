//! `training.max_time` that not one epoch fits into, found before the training: from steps on random
//! images, with a network that is thrown away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ml_data::dataset::Dataset;

use super::limits::FORWARD;
use super::measure::{FEW, Samples, Steps};
use super::{Stop, TrainError};
use crate::config::Config;
use crate::device::Compute;
use crate::features::FeatureCacheMode;
use crate::network::{Freeze, ScriptFile};
use crate::policy::TimeLimit;
use crate::torch_error::catch_torch_panic;

/// How long measuring may take, if a few steps take less.
const BUDGET: Duration = Duration::from_secs(2);
/// Steps with a number of images that are counted, after one that prepares what they use again.
const COUNTED: u32 = 2;
/// An epoch is refused that takes so many times the limit: what is measured is not exact.
const TOLERANCE: f64 = 1.2;
/// An epoch that takes no more than this share of the limit is not measured better.
const CLEAR: f64 = 0.5;
/// The limit that is suggested, as a multiple of what an epoch takes.
const MARGIN: f64 = 1.25;

/// Whether an epoch fits into `training.max_time`, where that is set, as far as its training steps in
/// each of `processes` say. What an epoch takes is measured, in about two seconds or a few steps, and
/// nothing that the training uses is changed.
///
/// # Errors
/// It does not. What keeps the network from running is not reported here.
pub fn check_max_time(
    config: &Config,
    dataset: &Dataset,
    compute: Compute,
    script: Option<&ScriptFile>,
    processes: usize,
    stop: &Stop,
) -> Result<(), TrainError> {
    let Some(limit) = config.training.max_time else { return Ok(()) };
    let images = dataset.train.samples.len();
    let batches =
        config.num_batches(images, processes, config.training.batch_size).div_ceil(processes.max(1));
    let ends_within = config.training.max_steps.is_some_and(|steps| steps < epoch_steps(config, batches));
    if ends_within || keeps_features(config) {
        return Ok(());
    }
    let whole = config.training.batch_size.min(images).max(1);
    // The last batch may have fewer.
    let steps = (images as f64 / (whole * processes.max(1)) as f64).min(batches as f64);
    let measured = catch_torch_panic(|| {
        let num_classes = dataset.classes.len();
        let mut trial = Trial { config, num_classes, compute, stop, steps: None };
        trial.step_seconds(script, whole, limit.seconds() / steps)
    });
    torch_ext::return_freed_memory();
    if compute.device.is_cuda() {
        // What is in the way of the training.
        let _ = torch_ext::empty_cuda_cache();
    }
    let step = match measured.map_err(TrainError::from).and_then(|measured| measured) {
        Ok(Some(seconds)) => seconds,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::debug!("training.max_time: nothing could be measured: {error}");
            return Ok(());
        }
    };
    let seconds = step * steps;
    tracing::debug!("training.max_time: the steps of an epoch take about {}", about(seconds));
    if seconds <= TOLERANCE * limit.seconds() {
        return Ok(());
    }
    let validation = dataset.val.samples.len() as f64 / images.max(1) as f64 * FORWARD;
    let least = TimeLimit::from_seconds((seconds * (1.0 + validation) * MARGIN).ceil().max(1.0));
    Err(TrainError::EpochTime { limit, epoch: about(seconds), least })
}

/// Optimizer steps of an epoch of so many batches of a process.
fn epoch_steps(config: &Config, batches: usize) -> u64 {
    batches.div_ceil(config.training.gradient_accumulation_steps.max(1)) as u64
}

/// Whether an epoch may be shown features that are kept, also from earlier runs, in place of images.
fn keeps_features(config: &Config) -> bool {
    let is_frozen = config.model.base().is_some_and(|base| base.freeze != Freeze::None);
    let training = &config.training;
    // A teacher takes images.
    is_frozen && training.feature_cache.mode != FeatureCacheMode::Off && training.distillation.is_none()
}

/// `7.4 seconds`, `2 minutes 5 seconds`.
fn about(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{:.2} seconds", seconds.max(0.01))
    } else {
        TimeLimit::from_seconds(seconds.round()).words()
    }
}

/// Steps on random images.
struct Trial<'a> {
    config: &'a Config,
    num_classes: usize,
    compute: Compute,
    stop: &'a Stop,
    steps: Option<Steps>,
}

impl Trial<'_> {
    /// Seconds of a step with `whole` images; less exact where they are clearly below `limit`. None
    /// if `stop` was raised, or images have no fixed size.
    fn step_seconds(
        &mut self,
        script: Option<&ScriptFile>,
        whole: usize,
        limit: f64,
    ) -> Result<Option<f64>, TrainError> {
        self.steps = Some(Steps::new(self.config, self.num_classes, self.compute, script)?);
        let few = FEW.min(whole);
        let Some(of_few) = self.least(few)? else { return Ok(None) };
        let each = of_few / few as f64;
        if few == whole || each * whole as f64 <= CLEAR * limit {
            return Ok(Some(each * whole as f64));
        }
        let wanted = BUDGET.as_secs_f64() / f64::from(COUNTED + 1) / each;
        let more = (wanted as usize).max(2 * few).min(whole);
        let Some(of_more) = self.least(more)? else { return Ok(None) };
        Ok(Some(with_more([(few, of_few), (more, of_more)], whole)))
    }

    /// Seconds of a step with `count` images, the least of a few.
    fn least(&mut self, count: usize) -> Result<Option<f64>, TrainError> {
        let samples = Samples::new(self.config, count, self.num_classes, self.compute);
        let (Some(samples), Some(steps)) = (samples, &mut self.steps) else { return Ok(None) };
        let mut least = f64::INFINITY;
        for number in 0..=COUNTED {
            if self.stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            let took = steps.seconds(&samples, &self.compute)?;
            // The first prepares what the others use again.
            if number > 0 {
                least = least.min(took);
            }
        }
        Ok(Some(least))
    }
}

/// Seconds of a step with `whole` images, from those with fewer, which are in order: a part of a step
/// is the same for any number of images, as the update of the weights.
fn with_more([(few, of_few), (more, of_more)]: [(usize, f64); 2], whole: usize) -> f64 {
    if more >= whole || more <= few {
        return of_more * whole as f64 / more.max(1) as f64;
    }
    let each = (of_more - of_few) / (more - few) as f64;
    // Whatever was noise: an image takes no less than nothing, and no more than all does.
    let each = each.max(0.0).min(of_more / more as f64);
    of_more + each * (whole - more) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_batch_is_estimated_by_what_each_image_adds() {
        // 1 s a step and 0.5 s an image.
        assert!((with_more([(4, 3.0), (8, 5.0)], 64) - 33.0).abs() < 1e-9);
        assert!((with_more([(4, 3.0), (8, 5.0)], 8) - 5.0).abs() < 1e-9);
        // Noise: more images were faster, or took more than twice as long as half of them.
        assert!((with_more([(4, 3.0), (8, 2.0)], 64) - 2.0).abs() < 1e-9);
        assert!((with_more([(4, 3.0), (8, 8.0)], 64) - 64.0).abs() < 1e-9);
    }

    #[test]
    fn short_times_have_decimals_and_long_ones_words() {
        assert_eq!(about(0.123), "0.12 seconds");
        assert_eq!(about(125.4), "2 minutes 5 seconds");
    }
}
