//! How long a training step takes in each of several ways of computing: on random images, with
//! networks that are thrown away.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};

use super::{Stop, TrainError, build};
use crate::config::Config;
use crate::device::Compute;
use crate::loss::{Loss, Targets};
use crate::network::{ForwardError, Network, ScriptFile};
use crate::optimizer::{Optimizer, OptimizerError};
use crate::torch_error::catch_torch_panic;

/// Steps of each candidate that are counted, if the budget allows them.
const ROUNDS: u32 = 3;
/// Images in the first steps, which say how many fit into the budget.
const FEW: usize = 4;
/// A candidate whose first step takes so many times as long as the best is not tried further.
const HOPELESS: f64 = 2.0;

/// What [`measure_steps`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Images a step.
    pub batch_size: usize,
    /// Seconds of a step of each candidate, the least of a few.
    pub seconds: Vec<f64>,
}

/// Measures a training step of the network of `config` in each of `candidates`, all on one device:
/// forward, loss, backward, update. It takes about `budget`, more where two steps of each candidate
/// take longer. None if `stop` was raised, or images have no fixed size.
///
/// # Errors
/// The network cannot be built or run.
pub fn measure_steps(
    config: &Config,
    num_classes: usize,
    candidates: &[Compute],
    script: Option<&ScriptFile>,
    budget: Duration,
    stop: &Stop,
) -> Result<Option<StepTimes>, TrainError> {
    catch_torch_panic(|| {
        let started = Instant::now();
        let Some(&first) = candidates.first() else { return Ok(None) };
        let mut steps = Vec::new();
        let network = build::network(config, num_classes as i64, first.device, script)?;
        for &compute in candidates {
            steps.push(Candidate::new(config, num_classes, network.deep_copy()?, compute)?);
        }
        let Some(few) = Samples::new(config, FEW.min(config.training.batch_size), num_classes, first) else {
            return Ok(None);
        };
        steps[0].seconds(&few)?;
        let each = steps[0].seconds(&few)? / few.count as f64;
        let wanted = budget.as_secs_f64() / (candidates.len() as f64 * f64::from(ROUNDS + 1)) / each;
        let count = (wanted as usize).clamp(few.count, config.training.batch_size);
        let Some(samples) = Samples::new(config, count, num_classes, first) else { return Ok(None) };
        let mut seconds = Vec::new();
        for candidate in &mut steps {
            seconds.push(candidate.seconds(&samples)?);
        }
        let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let is_tried: Vec<bool> = seconds.iter().map(|&first| first < HOPELESS * best).collect();
        for round in 0..ROUNDS {
            if round > 0 && started.elapsed() > budget {
                break;
            }
            for (number, candidate) in steps.iter_mut().enumerate().filter(|(number, _)| is_tried[*number]) {
                if stop.load(Ordering::Relaxed) != 0 {
                    return Ok(None);
                }
                let took = candidate.seconds(&samples)?;
                // The first step also prepares what later ones use again.
                seconds[number] = if round == 0 { took } else { took.min(seconds[number]) };
            }
        }
        Ok(Some(StepTimes { batch_size: count, seconds }))
    })?
}

/// A network that computes in one way.
struct Candidate {
    compute: Compute,
    network: Network,
    optimizer: Optimizer,
    loss: Loss,
}

impl Candidate {
    fn new(
        config: &Config,
        num_classes: usize,
        network: Network,
        compute: Compute,
    ) -> Result<Candidate, TrainError> {
        if compute.is_channels_last() {
            network.to_channels_last().map_err(ForwardError::from)?;
        }
        if let Some(base) = config.model.base() {
            network.freeze(&base.freeze)?;
        }
        let optimizer = Optimizer::new(&config.optimizer, network.parameters())?;
        let loss = Loss::new(&config.loss, &vec![1; num_classes], compute.device);
        Ok(Candidate { compute, network, optimizer, loss })
    }

    /// Of a step. With a learning rate of 0, numbers stay what they are, and as fast.
    fn seconds(&mut self, samples: &Samples) -> Result<f64, TrainError> {
        let started = Instant::now();
        self.optimizer.zero_grad()?;
        let outputs = self.network.train_outputs(&samples.images, &self.compute)?;
        let loss = self.loss.of_outputs(&outputs, &samples.targets)?;
        loss.mean.backward();
        self.optimizer.step(0.0, None)?;
        // Waits for the device.
        loss.mean.f_double_value(&[]).map_err(|error| OptimizerError::from(torch_ext::Error::from(error)))?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// Random images and targets.
struct Samples {
    count: usize,
    /// `[N, C, H, W]`, f32
    images: Tensor,
    targets: Targets,
}

impl Samples {
    /// None where images have no fixed size.
    fn new(config: &Config, count: usize, num_classes: usize, compute: Compute) -> Option<Samples> {
        let train = &config.transforms.train;
        let size = train.output_size()?;
        let shape =
            [count as i64, train.channels.count() as i64, i64::from(size.height), i64::from(size.width)];
        let images = Tensor::randn(shape, (Kind::Float, compute.device));
        let targets = Tensor::randint(num_classes as i64, [count as i64], (Kind::Int64, compute.device));
        Some(Samples { count, images, targets: Targets::Classes(targets) })
    }
}
