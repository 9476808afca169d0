//! How long a training step takes in each of several ways of computing: on random images, with
//! networks that are thrown away.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};

use super::teacher::Taught;
use super::{Stop, Teacher, TrainError, build};
use crate::config::Config;
use crate::device::{Compute, Contention};
use crate::loss::{JensenShannonConfig, Loss, LossValue, Targets};
use crate::network::{ForwardError, Input, Network, ScriptFile};
use crate::optimizer::{Optimizer, OptimizerError, SamConfig};
use crate::torch_error::catch_torch_panic;

/// Steps of each candidate that are counted, if the budget allows them.
const ROUNDS: u32 = 2;
/// Images in the first steps, which say how many fit into the budget.
pub(super) const FEW: usize = 4;
/// A candidate whose first step takes so many times as long as the best is not tried further.
const HOPELESS: f64 = 2.0;

/// What [`measure_steps`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Images a step.
    pub batch_size: usize,
    /// Seconds of a step of each candidate, the least of a few.
    pub seconds: Vec<f64>,
    /// Whether other programs used the processors meanwhile.
    pub was_busy: bool,
}

/// Measures a training step of the network of `config` in each of `candidates`, all on one device:
/// forward, loss, backward, update. They take turns, so that whatever else the machine does slows
/// all of them. It takes about `budget`, more where two steps of each candidate take longer. None
/// if `stop` was raised, or images have no fixed size.
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
    let measured = catch_torch_panic(|| {
        let started = Instant::now();
        let Some(plain) = candidates.first() else { return Ok(None) };
        let mut networks = Networks::new(config, num_classes, candidates, script)?;
        let few = FEW.min(config.training.batch_size);
        let Some(samples) = Samples::new(config, few, num_classes, *plain) else { return Ok(None) };
        networks.seconds(&samples, plain)?;
        let each = networks.seconds(&samples, plain)? / few as f64;
        let wanted = budget.as_secs_f64() / (candidates.len() as f64 * f64::from(ROUNDS + 1)) / each;
        let batch_size = (wanted as usize).clamp(few, config.training.batch_size);
        let Some(samples) = Samples::new(config, batch_size, num_classes, *plain) else { return Ok(None) };
        let mut contention = Contention::watch();
        let mut seconds = vec![f64::INFINITY; candidates.len()];
        for round in 0..=ROUNDS {
            if round > 1 && started.elapsed() > budget {
                break;
            }
            let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
            for (compute, least) in candidates.iter().zip(&mut seconds) {
                if stop.load(Ordering::Relaxed) != 0 {
                    return Ok(None);
                }
                if *least <= HOPELESS * best || best.is_infinite() {
                    let took = networks.seconds(&samples, compute)?;
                    // The first step also prepares what later steps use again.
                    *least = if round <= 1 { took } else { took.min(*least) };
                }
            }
        }
        Ok(Some(StepTimes { batch_size, seconds, was_busy: contention.is_high() }))
    });
    // What two networks and their steps took is not for the training to keep.
    torch_ext::return_freed_memory();
    measured?
}

/// A network in each memory format that is tried.
struct Networks {
    contiguous: Option<Steps>,
    channels_last: Option<Steps>,
}

impl Networks {
    fn new(
        config: &Config,
        num_classes: usize,
        candidates: &[Compute],
        script: Option<&ScriptFile>,
    ) -> Result<Networks, TrainError> {
        let of = |is_channels_last: bool| {
            let first = candidates.iter().find(|compute| compute.is_channels_last() == is_channels_last);
            first.map(|&compute| Steps::new(config, num_classes, compute, script)).transpose()
        };
        Ok(Networks { contiguous: of(false)?, channels_last: of(true)? })
    }

    /// Of a step.
    fn seconds(&mut self, samples: &Samples, compute: &Compute) -> Result<f64, TrainError> {
        let steps = if compute.is_channels_last() { &mut self.channels_last } else { &mut self.contiguous };
        steps.as_mut().map_or(Ok(f64::INFINITY), |steps| steps.seconds(samples, compute))
    }
}

/// Training steps of a network of its own.
pub(super) struct Steps {
    pub network: Network,
    pub optimizer: Optimizer,
    loss: Loss,
    teacher: Option<Teacher>,
    consistency: Option<JensenShannonConfig>,
    gradient_checkpointing: bool,
    sam: Option<SamConfig>,
}

impl Steps {
    /// In the memory format of `compute`.
    pub fn new(
        config: &Config,
        num_classes: usize,
        compute: Compute,
        script: Option<&ScriptFile>,
    ) -> Result<Steps, TrainError> {
        let network = build::network(config, num_classes as i64, compute.device, script)?;
        if compute.is_channels_last() {
            network.to_channels_last().map_err(ForwardError::from)?;
        }
        if let Some(base) = config.model.base() {
            network.freeze(&base.freeze)?;
        }
        let optimizer = Optimizer::of_network(&config.optimizer, &network)?;
        let loss = Loss::new(&config.loss, &vec![1; num_classes], compute.device);
        let teacher = Teacher::open(config, num_classes, None, compute)?;
        let training = &config.training;
        let (gradient_checkpointing, sam) = (training.gradient_checkpointing, training.sam.clone());
        let consistency = training.jensen_shannon.clone();
        Ok(Steps { network, optimizer, loss, teacher, consistency, gradient_checkpointing, sam })
    }

    /// Of a step in the precision of `compute`. With a learning rate of 0, weights stay what they
    /// are.
    pub fn seconds(&mut self, samples: &Samples, compute: &Compute) -> Result<f64, TrainError> {
        let started = Instant::now();
        self.optimizer.zero_grad()?;
        let taught = self.teacher.as_ref().map(|teacher| teacher.outputs_in(&samples.images, compute));
        let taught = taught.transpose()?;
        let loss = self.pass(samples, taught.as_ref(), compute)?;
        if let Some(sam) = &self.sam {
            let perturbation = self.optimizer.perturb(sam)?;
            self.optimizer.zero_grad()?;
            drop(self.pass(samples, taught.as_ref(), compute)?);
            perturbation.undo()?;
        }
        self.optimizer.step(0.0, None)?;
        // Waits for the device.
        torch_ext::scalar(&loss).map_err(OptimizerError::from)?;
        self.optimizer.zero_grad()?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Forward and backward; the mean loss. A teacher has said what is `taught`.
    fn pass(
        &self,
        samples: &Samples,
        taught: Option<&Taught>,
        compute: &Compute,
    ) -> Result<Tensor, TrainError> {
        let images = Input::Images(&samples.images);
        let pass = self.network.train_pass(images, compute, self.gradient_checkpointing)?;
        let plain = match &self.consistency {
            Some(consistency) => {
                let (clean, more) = consistency.of_outputs(&self.loss, &pass.outputs, &samples.targets)?;
                LossValue { mean: clean.mean + more, divisor: clean.divisor }
            }
            None => self.loss.of_outputs(&pass.outputs, &samples.targets)?,
        };
        let loss = match self.teacher.as_ref().zip(taught) {
            Some((teacher, taught)) => teacher.loss(&plain, &pass.outputs, taught, &samples.targets),
            None => plain.mean,
        };
        pass.backward(&loss)?;
        Ok(loss.detach())
    }
}

/// Random images, in as many views as the training has, and targets.
pub(super) struct Samples {
    /// `[V · N, C, H, W]`, f32
    pub images: Tensor,
    targets: Targets,
}

impl Samples {
    /// None where images have no fixed size.
    pub fn new(config: &Config, count: usize, num_classes: usize, compute: Compute) -> Option<Samples> {
        let train = &config.transforms.train;
        let size = train.output_size()?;
        let images = (config.training.views() * count) as i64;
        let shape = [images, train.channels.count() as i64, i64::from(size.height), i64::from(size.width)];
        let images = Tensor::randn(shape, (Kind::Float, compute.device));
        let targets = Tensor::randint(num_classes as i64, [count as i64], (Kind::Int64, compute.device));
        Some(Samples { images, targets: Targets::Classes(targets) })
    }
}
