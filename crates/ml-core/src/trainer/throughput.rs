//! How many images a second a network trains on, how much memory a step takes, and the largest
//! batch that fits: on random images, with networks that are thrown away.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;
use tch::{Device, Tensor};
use torch_ext::{MemoryEvent, record_memory};

use super::measure::{Samples, Steps};
use super::{Stop, TrainError};
use crate::config::{Config, ModelConfig};
use crate::device::Compute;
use crate::loader::Budget;
use crate::network::ForwardError;
use crate::optimizer::{Ema, OptimizerError, Swa};
use crate::torch_error::{TorchError, catch_torch_panic};

/// The first batch size that is tried; the others are its doubles.
const FIRST: usize = 8;
/// The largest batch size that is tried.
const LARGEST: usize = 1 << 16;
/// Suggested batch sizes are multiples of this.
const MULTIPLE: usize = 8;
/// A batch of twice the size is worth its memory if so many times as many images are trained a
/// second.
const WORTHWHILE: f64 = 1.05;
/// What part of the largest batch is suggested on a GPU, in percent.
const MARGIN_PERCENT: usize = 90;
/// How long steps of a batch size are counted, if several of them take less.
const BUDGET: Duration = Duration::from_millis(700);
/// Steps that are counted at most.
const MAX_STEPS: u32 = 20;
/// Images of the steps whose memory is recorded.
const SMALL: [usize; 2] = [2, 4];

/// A batch size that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BatchTrial {
    /// Images a step.
    pub batch_size: usize,
    /// Of training steps; none where the batch did not fit, or was not tried for its size.
    pub images_per_second: Option<f64>,
    /// Bytes at the peak of a step: on a GPU those of all tensors, on a CPU an estimate.
    pub memory: Option<u64>,
}

/// What [`find_batch_size`] found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchSizes {
    /// By batch size.
    pub trials: Vec<BatchTrial>,
    /// The largest that fits: on a CPU, by estimate, into half of the memory that is free.
    pub largest: usize,
    /// The one to train with.
    pub suggested: usize,
    /// On a CPU: half of the memory that is free, in bytes.
    pub memory_limit: Option<u64>,
}

/// Tries batch sizes for a training as `config` has it, whose images have a fixed size. On a GPU
/// they grow until memory is lacking; on a CPU as long as more images are trained a second, within
/// half of the memory that is free. None if `stop` was raised.
///
/// # Errors
/// The network cannot be built or run, or there is no memory for a single image.
pub fn find_batch_size(
    config: &Config,
    num_classes: usize,
    compute: Compute,
    stop: &Stop,
) -> Result<Option<BatchSizes>, TrainError> {
    let found = catch_torch_panic(|| {
        let mut bench = Bench::new(config, num_classes, compute)?;
        match compute.device {
            Device::Cuda(index) => bench.on_gpu(index, stop),
            _ => bench.on_cpu(stop),
        }
    });
    torch_ext::return_freed_memory();
    found?
}

/// Training steps of a configuration in batches of any size.
struct Bench<'a> {
    config: &'a Config,
    num_classes: usize,
    compute: Compute,
    steps: Steps,
    /// For the memory that they take.
    _averages: (Option<Ema>, Option<Swa>),
}

impl Bench<'_> {
    fn new(config: &Config, num_classes: usize, compute: Compute) -> Result<Bench<'_>, TrainError> {
        let steps = Steps::new(config, num_classes, compute, None)?;
        let ema = config.training.ema.as_ref();
        let ema = ema.map(|ema| Ema::new(ema, &steps.network)).transpose()?;
        let swa = config.training.swa.as_ref().map(|_| Swa::new(&steps.network)).transpose()?;
        Ok(Bench { config, num_classes, compute, steps, _averages: (ema, swa) })
    }

    fn samples(&self, batch_size: usize) -> Result<Samples, TrainError> {
        let samples = Samples::new(self.config, batch_size, self.num_classes, self.compute);
        samples.ok_or_else(no_size)
    }

    /// Images a second in steps of `batch_size` images, after one that prepares what they use again.
    fn speed(&mut self, batch_size: usize) -> Result<f64, TrainError> {
        let samples = self.samples(batch_size)?;
        self.steps.seconds(&samples, &self.compute)?;
        let steps = timed(BUDGET, || self.steps.seconds(&samples, &self.compute).map(drop))?;
        Ok(steps * batch_size as f64)
    }

    fn on_gpu(&mut self, index: usize, stop: &Stop) -> Result<Option<BatchSizes>, TrainError> {
        let mut trials = Vec::new();
        let mut lacking = None;
        let largest = largest_that_fits::<TrainError>(LARGEST, |batch_size| {
            if stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            let trial = match self.try_on_gpu(index, batch_size) {
                Err(error) if error.is_out_of_memory() => {
                    lacking = Some(error);
                    BatchTrial { batch_size, images_per_second: None, memory: None }
                }
                trial => trial?,
            };
            trials.push(trial);
            Ok(Some(trial.images_per_second.is_some()))
        })?;
        match (largest, lacking) {
            (None, _) => Ok(None),
            (Some(0), Some(error)) => Err(error),
            (Some(largest), _) => {
                trials.sort_by_key(|trial: &BatchTrial| trial.batch_size);
                let suggested = with_margin(largest);
                Ok(Some(BatchSizes { trials, largest, suggested, memory_limit: None }))
            }
        }
    }

    fn try_on_gpu(&mut self, index: usize, batch_size: usize) -> Result<BatchTrial, TrainError> {
        torch_ext::reset_cuda_peak(index).map_err(ForwardError::from)?;
        let measured = catch_torch_panic(|| self.speed(batch_size));
        let speed = match measured.map_err(TrainError::from).and_then(|measured| measured) {
            Err(error) if error.is_out_of_memory() => {
                // What the failed step has left.
                self.steps.optimizer.zero_grad()?;
                torch_ext::empty_cuda_cache().map_err(ForwardError::from)?;
                return Err(error);
            }
            speed => speed?,
        };
        let memory = torch_ext::cuda_peak(index).map_err(ForwardError::from)?;
        Ok(BatchTrial { batch_size, images_per_second: Some(speed), memory: Some(memory) })
    }

    fn on_cpu(&mut self, stop: &Stop) -> Result<Option<BatchSizes>, TrainError> {
        let memory = self.memory()?;
        let limit = Budget::half_of_memory().left();
        let largest = memory.largest(limit).min(LARGEST);
        if largest == 0 {
            let needed = memory.of(1) as f64 / 1e6;
            let reason = format!(
                "a step with one image takes {needed:.0} MB, and {:.0} MB are free",
                limit as f64 / 5e5
            );
            return Err(TorchError::Memory(reason).into());
        }
        let mut trials: Vec<BatchTrial> = Vec::new();
        let mut batch_size = FIRST.min(largest);
        while batch_size <= largest {
            if stop.load(Ordering::Relaxed) != 0 {
                return Ok(None);
            }
            let speed = self.speed(batch_size)?;
            let memory = Some(memory.of(batch_size));
            let is_slow = trials.last().and_then(|last| last.images_per_second);
            let is_slow = is_slow.is_some_and(|before| speed < before * WORTHWHILE);
            trials.push(BatchTrial { batch_size, images_per_second: Some(speed), memory });
            if is_slow {
                break;
            }
            batch_size *= 2;
        }
        let suggested = fast_enough(&trials);
        Ok(Some(BatchSizes { trials, largest, suggested, memory_limit: Some(limit) }))
    }

    /// What steps take on a CPU.
    fn memory(&mut self) -> Result<Line, TrainError> {
        let first = self.samples(SMALL[0])?;
        // Afterwards the optimizer has its state.
        self.steps.seconds(&first, &self.compute)?;
        let mut peaks = [0; 2];
        for (peak, batch_size) in peaks.iter_mut().zip(SMALL) {
            let samples = self.samples(batch_size)?;
            let recorded = record_memory(|| self.steps.seconds(&samples, &self.compute));
            let (taken, events) = recorded.map_err(ForwardError::from)?;
            taken?;
            *peak = peak_of(&events) + bytes(&samples.images);
        }
        let network: u64 = self.steps.network.tensors().iter().map(|(_, tensor)| bytes(tensor)).sum();
        let optimizer: u64 = self.steps.optimizer.tensors().iter().map(|(_, tensor)| bytes(tensor)).sum();
        let training = &self.config.training;
        let copies = 1 + u64::from(training.ema.is_some()) + u64::from(training.swa.is_some());
        Ok(Line::through(peaks, network * copies + optimizer))
    }
}

/// Bytes as a linear function of the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    base: u64,
    each: u64,
}

impl Line {
    /// Through the peaks of the two [`SMALL`] steps, with `always` on top.
    fn through([small, large]: [u64; 2], always: u64) -> Line {
        let each = large.saturating_sub(small) / (SMALL[1] - SMALL[0]) as u64;
        Line { base: always + small.saturating_sub(each * SMALL[0] as u64), each }
    }

    fn of(self, batch_size: usize) -> u64 {
        self.base.saturating_add(self.each.saturating_mul(batch_size as u64))
    }

    /// The largest batch size within `limit` bytes.
    fn largest(self, limit: u64) -> usize {
        let images = limit.saturating_sub(self.base).checked_div(self.each);
        images.map_or(usize::MAX, |images| usize::try_from(images).unwrap_or(usize::MAX))
    }
}

/// Bytes in use at the worst moment.
fn peak_of(events: &[MemoryEvent]) -> u64 {
    let mut used = 0i64;
    let mut peak = 0;
    for event in events {
        used += event.bytes;
        peak = peak.max(used);
    }
    peak.unsigned_abs()
}

fn bytes(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

fn no_size() -> TrainError {
    TorchError::Other("transforms.train leaves images at their own sizes".to_owned()).into()
}

/// Doubles from [`FIRST`] on until `fits` says no, then searches between; 0 if not even 1 fits, and
/// none where `fits` gives none. From [`MULTIPLE`] on, only multiples of it are tried.
fn largest_that_fits<E>(
    limit: usize,
    mut fits: impl FnMut(usize) -> Result<Option<bool>, E>,
) -> Result<Option<usize>, E> {
    let (mut fitting, mut next) = (0, FIRST);
    let mut failing = loop {
        if next > limit {
            return Ok(Some(fitting));
        }
        match fits(next)? {
            None => return Ok(None),
            Some(false) => break next,
            Some(true) => (fitting, next) = (next, next * 2),
        }
    };
    let unit = if fitting == 0 { 1 } else { MULTIPLE };
    while failing - fitting > unit {
        let middle = fitting + (failing - fitting) / unit / 2 * unit;
        match fits(middle)? {
            None => return Ok(None),
            Some(false) => failing = middle,
            Some(true) => fitting = middle,
        }
    }
    Ok(Some(fitting))
}

/// Of the largest batch size, what is safe in a long training.
fn with_margin(largest: usize) -> usize {
    let safe = largest * MARGIN_PERCENT / 100;
    if safe >= MULTIPLE { safe / MULTIPLE * MULTIPLE } else { safe.max(1) }
}

/// The batch size from which a larger one hardly trains more images a second.
fn fast_enough(trials: &[BatchTrial]) -> usize {
    let mut trials = trials.iter().filter_map(|trial| Some((trial.batch_size, trial.images_per_second?)));
    let Some((mut chosen, mut speed)) = trials.next() else { return FIRST };
    for (batch_size, larger) in trials {
        if larger < speed * WORTHWHILE {
            break;
        }
        (chosen, speed) = (batch_size, larger);
    }
    chosen
}

/// How many times a second `run` runs, over at least one run.
fn timed(budget: Duration, mut run: impl FnMut() -> Result<(), TrainError>) -> Result<f64, TrainError> {
    let started = Instant::now();
    let mut runs = 0;
    while runs == 0 || (runs < MAX_STEPS && started.elapsed() < budget) {
        run()?;
        runs += 1;
    }
    Ok(f64::from(runs) / started.elapsed().as_secs_f64())
}

/// How fast a network is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NetworkSpeed {
    /// Elements of all parameters.
    pub parameters: usize,
    /// Images a step: as configured, or as many as the budget allows.
    pub batch_size: usize,
    /// Images a second in training steps.
    pub training: f64,
    /// Images a second in evaluation mode, without gradients.
    pub inference: f64,
}

/// Measures the network of `config`, whose images have a fixed size, in training steps and in
/// inference, in about `budget` after the first step. None if `stop` was raised.
///
/// # Errors
/// The network cannot be built or run.
pub fn measure_network(
    config: &Config,
    num_classes: usize,
    compute: Compute,
    budget: Duration,
    stop: &Stop,
) -> Result<Option<NetworkSpeed>, TrainError> {
    let measured = catch_torch_panic(|| {
        let mut steps = Steps::new(config, num_classes, compute, None)?;
        let is_stopped = || stop.load(Ordering::Relaxed) != 0;
        let samples = |count: usize| Samples::new(config, count, num_classes, compute).ok_or_else(no_size);
        let wanted = config.training.batch_size;
        let few = samples(wanted.min(SMALL[1]))?;
        steps.seconds(&few, &compute)?;
        let each = steps.seconds(&few, &compute)? / wanted.min(SMALL[1]) as f64;
        // A step that prepares, and one that counts.
        let affordable = budget.as_secs_f64() / 3.0 / each.max(f64::MIN_POSITIVE);
        let batch_size = (affordable as usize).clamp(wanted.min(SMALL[1]), wanted);
        let samples = samples(batch_size)?;
        if is_stopped() {
            return Ok(None);
        }
        steps.seconds(&samples, &compute)?;
        let training = timed(budget / 2, || steps.seconds(&samples, &compute).map(drop))?;
        if is_stopped() {
            return Ok(None);
        }
        let infer = || -> Result<(), TrainError> {
            let logits = steps.network.logits(&samples.images, &compute)?;
            // Waits for the device.
            torch_ext::scalar(&logits.sum(logits.kind())).map_err(OptimizerError::from)?;
            Ok(())
        };
        infer()?;
        let inference = timed(budget / 4, infer)?;
        Ok(Some(NetworkSpeed {
            parameters: steps.network.num_parameters(),
            batch_size,
            training: training * batch_size as f64,
            inference: inference * batch_size as f64,
        }))
    });
    torch_ext::return_freed_memory();
    measured?
}

/// Images a second in training steps of the network of `config`, with random weights, in about `budget`
/// after the first steps. None if images have no fixed size, or `stop` was raised.
///
/// # Errors
/// The network cannot be built or run.
pub fn training_speed(
    mut config: Config,
    num_classes: usize,
    compute: Compute,
    budget: Duration,
    stop: &Stop,
) -> Result<Option<f64>, TrainError> {
    if let ModelConfig::Base(base) = &mut config.model {
        base.weights = None;
    }
    let measured = catch_torch_panic(|| {
        let wanted = config.training.batch_size;
        let samples = |count: usize| Samples::new(&config, count, num_classes, compute);
        let Some(few) = samples(wanted.min(SMALL[1])) else { return Ok(None) };
        let mut steps = Steps::new(&config, num_classes, compute, None)?;
        steps.seconds(&few, &compute)?;
        let each = steps.seconds(&few, &compute)? / wanted.min(SMALL[1]) as f64;
        let affordable = (budget.as_secs_f64() / 3.0 / each.max(f64::MIN_POSITIVE)) as usize;
        let batch_size = affordable.clamp(wanted.min(SMALL[1]), wanted);
        let Some(samples) = samples(batch_size).filter(|_| stop.load(Ordering::Relaxed) == 0) else {
            return Ok(None);
        };
        if batch_size == wanted.min(SMALL[1]) {
            return Ok(Some(1.0 / each));
        }
        steps.seconds(&samples, &compute)?;
        let each_second = timed(budget / 2, || steps.seconds(&samples, &compute).map(drop))?;
        Ok(Some(each_second * batch_size as f64))
    });
    torch_ext::return_freed_memory();
    measured?
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn search(limit: usize, room: usize) -> (usize, Vec<usize>) {
        let mut tried = Vec::new();
        let found = largest_that_fits(limit, |batch_size| {
            tried.push(batch_size);
            Ok::<_, Infallible>(Some(batch_size <= room))
        });
        (found.unwrap().unwrap(), tried)
    }

    #[test]
    fn the_largest_batch_that_fits_is_found_by_doubling_and_halving() {
        assert_eq!(search(LARGEST, 100), (96, vec![8, 16, 32, 64, 128, 96, 112, 104]));
        assert_eq!(search(LARGEST, 8), (8, vec![8, 16]));
        for room in [64, 65, 71, 72, 1000, 30_000] {
            assert_eq!(search(LARGEST, room).0, room / 8 * 8);
        }
        for room in 0..8 {
            assert_eq!(search(LARGEST, room).0, room);
        }
        assert_eq!(search(64, 1_000_000), (64, vec![8, 16, 32, 64]));
        let stopped = largest_that_fits(64, |size| Ok::<_, Infallible>((size < 32).then_some(true)));
        assert_eq!(stopped, Ok(None));
    }

    #[test]
    fn a_tenth_of_the_largest_batch_is_left_and_the_rest_is_a_multiple_of_eight() {
        let cases = [(96, 80), (100, 88), (1024, 920), (16, 8), (9, 8), (8, 7), (4, 3), (1, 1)];
        for (largest, suggested) in cases {
            assert_eq!(with_margin(largest), suggested, "{largest}");
        }
    }

    #[test]
    fn a_larger_batch_is_suggested_as_long_as_it_is_faster_by_a_twentieth() {
        let suggested = |speeds: &[f64]| {
            let trial = |(index, speed): (usize, &f64)| BatchTrial {
                batch_size: FIRST << index,
                images_per_second: Some(*speed),
                memory: None,
            };
            fast_enough(&speeds.iter().enumerate().map(trial).collect::<Vec<_>>())
        };
        assert_eq!(suggested(&[100.0, 150.0, 180.0, 184.0]), 32);
        assert_eq!(suggested(&[100.0, 104.0]), 8);
        assert_eq!(suggested(&[100.0, 200.0]), 16);
        assert_eq!(suggested(&[100.0]), 8);
    }

    #[test]
    fn memory_is_a_line_through_two_steps() {
        let line = Line::through([1_000, 1_600], 5_000);
        assert_eq!(line, Line { base: 5_400, each: 300 });
        assert_eq!((line.of(4), line.largest(6_600), line.largest(5_000)), (6_600, 4, 0));
        assert_eq!(Line { base: 1, each: 0 }.largest(10), usize::MAX);
        let event = |bytes| MemoryEvent { address: 0, bytes };
        assert_eq!(peak_of(&[event(5), event(7), event(-5), event(4)]), 12);
    }
}
