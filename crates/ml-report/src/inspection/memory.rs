//! The memory of a training step, from two small steps that are run and recorded.
//!
//! libtorch reports each allocation of the forward and backward pass. A step with more images makes
//! the same allocations in the same order, and each grows linearly with the number of images
//! (weights do not, activations do). So the allocations of steps with two and with three images give
//! those of any batch, and replaying them gives the peak.

use std::collections::HashMap;

use serde::Serialize;
use tch::{Device, Kind, Tensor};
use torch_ext::{MemoryEvent, record_memory, storage_address};

use super::{InspectionError, images};
use ml_core::config::Config;
use ml_core::device::Compute;
use ml_core::loss::{JensenShannonConfig, Loss, Targets};
use ml_core::network::{Input, Network};
use ml_core::optimizer::Optimizer;

/// Bytes that a training step takes in float32, as PyTorch's allocator for the CPU hands them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepMemory {
    /// `training.batch_size`.
    pub batch_size: usize,
    /// Parameters and buffers.
    pub weights: u64,
    /// Those of `training.ema` and `training.swa`.
    pub averaged_weights: u64,
    /// What `training.sam` keeps of the parameters while it takes a step elsewhere.
    pub sam_weights: u64,
    /// What the optimizer remembers from the first step on.
    pub optimizer_state: u64,
    /// The batch's images.
    #[serde(rename = "pictures")]
    pub images: u64,
    /// Gradients that are there when most memory is in use.
    pub gradients: u64,
    /// Outputs of layers that are kept for the backward pass, and temporary tensors, at that
    /// moment.
    pub activations: u64,
    /// All of it.
    pub total: u64,
    /// The two steps took memory in different orders, so that the peak is a straight line through
    /// theirs alone.
    pub is_rough: bool,
}

/// Images of the two steps.
const SMALL: [i64; 2] = [2, 3];

/// A recorded step.
struct Step {
    /// Bytes of pieces, in the order of taking.
    sizes: Vec<i64>,
    /// Pieces in the order of taking (true) and giving back.
    events: Vec<(bool, usize)>,
    /// Pieces that are gradients of parameters at the end.
    gradients: Vec<bool>,
}

pub fn of_step(
    config: &Config,
    network: &Network,
    num_classes: i64,
    image: [i64; 3],
) -> Result<StepMemory, InspectionError> {
    let mut trial = Trial::start(config, network, num_classes, image)?;
    let [two, three] = [trial.step(SMALL[0])?, trial.step(SMALL[1])?];
    let batch_size = config.training.batch_size as i64;
    let (peak, gradients, is_rough) = peak(&two, &three, batch_size);
    let kept_gradients = trial.kept_gradients;
    let optimizer = trial.into_stepped_optimizer()?;
    let total_of = |tensors: Vec<(String, Tensor)>| tensors.iter().map(|(_, tensor)| bytes(tensor)).sum();
    let weights = total_of(network.tensors());
    let [channels, height, width] = image;
    let trained = network.parameters().into_iter().filter(|(_, one)| one.requires_grad());
    let sam_weights = if config.training.sam.is_some() { total_of(trained.collect()) } else { 0 };
    let averages = u64::from(config.training.ema.is_some()) + u64::from(config.training.swa.is_some());
    let memory = StepMemory {
        batch_size: config.training.batch_size,
        weights,
        averaged_weights: averages * weights,
        sam_weights,
        optimizer_state: total_of(optimizer.tensors()),
        images: (batch_size * config.training.views() as i64 * channels * height * width * 4) as u64,
        gradients: kept_gradients + gradients,
        activations: peak - gradients,
        total: 0,
        is_rough,
    };
    let total = memory.weights
        + memory.averaged_weights
        + memory.sam_weights
        + memory.optimizer_state
        + memory.images
        + memory.gradients
        + memory.activations;
    Ok(StepMemory { total, ..memory })
}

/// Bytes of gradients and activations at the peak of a step with the whole batch, which is taken.
#[cfg(test)]
pub fn measured(
    config: &Config,
    network: &Network,
    num_classes: i64,
    image: [i64; 3],
) -> Result<u64, InspectionError> {
    let mut trial = Trial::start(config, network, num_classes, image)?;
    let taken = trial.step(config.training.batch_size as i64)?;
    Ok(trial.kept_gradients + taken.play(&taken.sizes).0 as u64)
}

/// Steps that are taken to be recorded, after one that met libtorch's caches empty.
struct Trial<'a> {
    network: &'a Network,
    loss: Loss,
    consistency: Option<JensenShannonConfig>,
    optimizer: Optimizer,
    num_classes: i64,
    image: [i64; 3],
    /// Bytes of gradients that are there before a step and that it adds to: where gradients are
    /// accumulated.
    kept_gradients: u64,
    gradient_checkpointing: bool,
}

impl Trial<'_> {
    fn start<'a>(
        config: &Config,
        network: &'a Network,
        num_classes: i64,
        image: [i64; 3],
    ) -> Result<Trial<'a>, InspectionError> {
        let loss = Loss::new(&config.loss, &vec![1; num_classes as usize], Device::Cpu);
        let optimizer = Optimizer::of_network(&config.optimizer, network)?;
        let gradient_checkpointing = config.training.gradient_checkpointing;
        let consistency = config.training.jensen_shannon.clone();
        let mut trial = Trial {
            network,
            loss,
            consistency,
            optimizer,
            num_classes,
            image,
            kept_gradients: 0,
            gradient_checkpointing,
        };
        trial.forward_backward(SMALL[0])?;
        if config.training.gradient_accumulation_steps > 1 {
            trial.kept_gradients = gradients(network).iter().map(bytes).sum();
        } else {
            trial.optimizer.zero_grad()?;
        }
        Ok(trial)
    }

    fn step(&mut self, count: i64) -> Result<Step, InspectionError> {
        let step = self.forward_backward(count)?;
        if self.kept_gradients == 0 {
            self.optimizer.zero_grad()?;
        }
        Ok(step)
    }

    fn forward_backward(&self, count: i64) -> Result<Step, InspectionError> {
        let views = self.consistency.as_ref().map_or(1, |consistency| consistency.splits);
        let images = images(count * views as i64, self.image);
        let targets = Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(self.num_classes);
        let targets = Targets::Classes(targets);
        let (outcome, events) = record_memory(|| {
            let (input, compute) = (Input::Images(&images), Compute::fp32(Device::Cpu));
            let pass = self.network.train_pass(input, &compute, self.gradient_checkpointing)?;
            let loss = match &self.consistency {
                Some(consistency) => {
                    let (clean, more) = consistency.of_outputs(&self.loss, &pass.outputs, &targets)?;
                    clean.mean + more
                }
                None => self.loss.of_outputs(&pass.outputs, &targets)?.mean,
            };
            pass.backward(&loss)?;
            Ok::<_, InspectionError>(())
        })?;
        outcome?;
        let gradients: Vec<usize> = gradients(self.network).iter().map(storage_address).collect();
        Ok(Step::new(&events, &gradients))
    }

    /// The optimizer with all that it remembers from its first step on.
    fn into_stepped_optimizer(mut self) -> Result<Optimizer, InspectionError> {
        self.forward_backward(SMALL[0])?;
        self.optimizer.step(0.0, None)?;
        Ok(self.optimizer)
    }
}

fn gradients(network: &Network) -> Vec<Tensor> {
    let grads = network.parameters().into_iter().map(|(_, parameter)| parameter.grad());
    grads.filter(Tensor::defined).collect()
}

fn bytes(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

impl Step {
    fn new(recorded: &[MemoryEvent], gradients: &[usize]) -> Step {
        let mut step = Step { sizes: Vec::new(), events: Vec::new(), gradients: Vec::new() };
        let mut live: HashMap<usize, usize> = HashMap::new();
        for event in recorded {
            if event.bytes > 0 {
                let piece = step.sizes.len();
                live.insert(event.address, piece);
                step.sizes.push(event.bytes);
                step.events.push((true, piece));
            } else if let Some(piece) = live.remove(&event.address) {
                step.events.push((false, piece));
            }
        }
        step.gradients = vec![false; step.sizes.len()];
        for piece in gradients.iter().filter_map(|address| live.get(address)) {
            step.gradients[*piece] = true;
        }
        step
    }

    /// Bytes in use at the worst moment, and those of gradients among them, with pieces of these
    /// sizes.
    fn play(&self, sizes: &[i64]) -> (i64, i64) {
        let (mut used, mut gradients, mut worst) = (0, 0, (0, 0));
        for (taken, piece) in &self.events {
            let change = if *taken { sizes[*piece] } else { -sizes[*piece] };
            used += change;
            if self.gradients[*piece] {
                gradients += change;
            }
            if used > worst.0 {
                worst = (used, gradients);
            }
        }
        worst
    }
}

/// Bytes in use at the worst moment of a step with `count` images, those of gradients among them,
/// and whether that is rough.
fn peak(two: &Step, three: &Step, count: i64) -> (u64, u64, bool) {
    let line = |at_two: i64, at_three: i64| (at_two + (count - SMALL[0]) * (at_three - at_two)).max(0);
    let is_alike = two.events == three.events && two.gradients == three.gradients;
    let (used, gradients) = if is_alike {
        let sizes = two.sizes.iter().zip(&three.sizes).map(|(two, three)| line(*two, *three));
        two.play(&sizes.collect::<Vec<_>>())
    } else {
        let (two, three) = (two.play(&two.sizes), three.play(&three.sizes));
        let used = line(two.0, three.0);
        (used, two.1.min(used))
    };
    (used as u64, gradients as u64, !is_alike)
}
