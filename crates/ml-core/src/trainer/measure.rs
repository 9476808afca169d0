//! How long a training step takes in each of several ways of computing: on random images, with a
//! network that is thrown away.

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

/// Measures a training step of the network of `config` in each of `candidates`, all on one device,
/// those with channels innermost last: forward, loss, backward, update. It takes about `budget`, more where two steps of each candidate
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
        let Some(&plain) = candidates.first() else { return Ok(None) };
        let mut steps = Steps::new(config, num_classes, plain, script)?;
        if plain.is_channels_last() {
            steps.to_channels_last(config)?;
        }
        let few = FEW.min(config.training.batch_size);
        let Some(samples) = Samples::new(config, few, num_classes, plain) else { return Ok(None) };
        steps.seconds(&samples, &plain)?;
        let each = steps.seconds(&samples, &plain)? / few as f64;
        let wanted = budget.as_secs_f64() / (candidates.len() as f64 * f64::from(ROUNDS + 1)) / each;
        let batch_size = (wanted as usize).clamp(few, config.training.batch_size);
        let Some(samples) = Samples::new(config, batch_size, num_classes, plain) else { return Ok(None) };
        let mut seconds: Vec<f64> = Vec::new();
        for compute in candidates {
            if compute.is_channels_last() && !steps.is_channels_last {
                steps.to_channels_last(config)?;
            }
            let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
            // It also prepares what later steps use again.
            let mut least = steps.seconds(&samples, compute)?;
            let rounds = if least > HOPELESS * best { 0 } else { ROUNDS };
            for round in 0..rounds {
                if stop.load(Ordering::Relaxed) != 0 {
                    return Ok(None);
                }
                if round > 0 && started.elapsed() > budget {
                    break;
                }
                let took = steps.seconds(&samples, compute)?;
                least = if round == 0 { took } else { took.min(least) };
            }
            seconds.push(least);
        }
        Ok(Some(StepTimes { batch_size, seconds }))
    })?
}

/// Training steps of a network of its own, in one memory format after the other.
struct Steps {
    network: Network,
    optimizer: Optimizer,
    loss: Loss,
    is_channels_last: bool,
}

impl Steps {
    fn new(
        config: &Config,
        num_classes: usize,
        compute: Compute,
        script: Option<&ScriptFile>,
    ) -> Result<Steps, TrainError> {
        let network = build::network(config, num_classes as i64, compute.device, script)?;
        if let Some(base) = config.model.base() {
            network.freeze(&base.freeze)?;
        }
        let optimizer = Optimizer::new(&config.optimizer, network.parameters())?;
        let loss = Loss::new(&config.loss, &vec![1; num_classes], compute.device);
        Ok(Steps { network, optimizer, loss, is_channels_last: false })
    }

    /// The optimizer begins anew: its state has the layout of the weights.
    fn to_channels_last(&mut self, config: &Config) -> Result<(), TrainError> {
        self.optimizer.zero_grad()?;
        self.network.to_channels_last().map_err(ForwardError::from)?;
        self.optimizer = Optimizer::new(&config.optimizer, self.network.parameters())?;
        self.is_channels_last = true;
        Ok(())
    }

    /// Of a step. With a learning rate of 0, weights stay what they are.
    fn seconds(&mut self, samples: &Samples, compute: &Compute) -> Result<f64, TrainError> {
        let started = Instant::now();
        self.optimizer.zero_grad()?;
        let outputs = self.network.train_outputs(&samples.images, compute)?;
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
        Some(Samples { images, targets: Targets::Classes(targets) })
    }
}
