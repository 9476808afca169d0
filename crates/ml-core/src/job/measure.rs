//! What is found out before a run, which leaves no run folder: a learning rate, a batch size, the
//! speed of networks.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Job, JobError, JobOptions, Placement, Start, compute};
use crate::config::{BaseModel, Config, ModelConfig, unknown_name};
use crate::device::{self, Compute, ResolvedDevice};
use crate::network::{Architecture, Freeze};
use crate::optimizer::OptimizerConfig;
use crate::policy::Action;
use crate::trainer::{self, BatchSizes, LrSweep, NetworkSpeed, Reporter, Stop, TrainError};
use crate::weights::Published;

/// Networks that are compared unless others are named.
pub const BENCHMARKED: [Architecture; 10] = [
    Architecture::MobilenetV3Small,
    Architecture::ShufflenetV2x10,
    Architecture::MobilenetV3Large,
    Architecture::RegnetY400Mf,
    Architecture::EfficientnetB0,
    Architecture::Resnet18,
    Architecture::Resnet50,
    Architecture::ConvnextTiny,
    Architecture::VitB16,
    Architecture::Resnet18Cifar,
];

/// Where nothing says how many classes there are.
const IMAGENET_CLASSES: usize = 1000;

/// Trains with a growing learning rate, as [`Trainer::find_lr`](crate::trainer::Trainer::find_lr)
/// does, with the data, the network and the weights of `config`. None if `stop` was raised.
///
/// # Errors
/// As of [`Job::prepare`], or training fails.
pub fn find_lr(
    mut config: Config,
    started: Instant,
    reporter: &mut dyn Reporter,
    stop: &Stop,
) -> Result<Option<LrSweep>, JobError> {
    // A loss that explodes is the end of the sweep.
    config.training.divergence.action = Action::Stop;
    // The learning rate is that of `training.batch_size`.
    config.training.batch_schedule = None;
    config.training.progressive_resizing = None;
    let start = Start::of(&config)?;
    let (placement, notes) = (Placement::Elsewhere, Vec::new());
    let options = JobOptions { placement, dry_run: false, started, command: None, notes };
    let mut job = match Job::prepare(config, start, options, reporter, stop) {
        Err(JobError::Interrupted) => return Ok(None),
        prepared => prepared?,
    };
    Ok(job.trainer.find_lr(stop)?)
}

/// Tries batch sizes, as [`trainer::find_batch_size`] does, on the device of `config`.
///
/// # Errors
/// The device is not there, images have no fixed size, the number of classes is not that of class
/// weights, or the network cannot be run.
pub fn find_batch_size(
    config: &Config,
    num_classes: usize,
    stop: &Stop,
) -> Result<Option<BatchSizes>, JobError> {
    check_size(config)?;
    if let Some((key, given)) = config.loss.num_class_weights().filter(|(_, given)| *given != num_classes) {
        return Err(TrainError::ClassWeights { key, given, found: num_classes }.into());
    }
    let (_device, compute) = resolve(config)?;
    Ok(trainer::find_batch_size(config, num_classes, compute, stop)?)
}

/// The networks of these names, with commas between them.
///
/// # Errors
/// There is no such network.
pub fn architectures_named(names: &str) -> Result<Vec<Architecture>, JobError> {
    let known: Vec<&str> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
    let named = |name: &str| {
        let unknown = || {
            format!("--benchmark: {}; `ml-train --list_architectures` shows all", unknown_name(name, &known))
        };
        Architecture::from_name(name).ok_or_else(|| JobError::Usage(unknown()))
    };
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(named).collect()
}

/// A network in a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchmarkRow {
    /// Its name.
    pub architecture: &'static str,
    /// What was measured; none where it did not fit into memory.
    pub speed: Option<NetworkSpeed>,
    /// Accuracy on ImageNet in percent of its default published weights.
    pub imagenet_accuracy: Option<f64>,
}

/// Measures networks with the images, the batch size and the device of `config`, for about `budget`
/// each; `told` is called before each. The fastest in training is the first. None if `stop` was
/// raised.
///
/// # Errors
/// The device is not there, images have no fixed size or not that of a network, or a network cannot
/// be run.
pub fn benchmark(
    config: &Config,
    architectures: &[Architecture],
    budget: Duration,
    told: &mut dyn FnMut(Architecture),
    stop: &Stop,
) -> Result<Option<Vec<BenchmarkRow>>, JobError> {
    let size = check_size(config)?;
    for architecture in architectures {
        if let Some(problem) = architecture.size_problem(size) {
            return Err(JobError::Usage(format!(
                "--benchmark: {problem}; leave it out, or set transforms.train.resize"
            )));
        }
    }
    let (_device, compute) = resolve(config)?;
    let given = config.model.num_classes().given();
    let given = given.or_else(|| config.loss.num_class_weights().map(|(_, given)| given));
    let num_classes = given.unwrap_or(IMAGENET_CLASSES);
    let mut rows = Vec::new();
    for &architecture in architectures {
        told(architecture);
        let speed = match speed_of(config, architecture, num_classes, compute, budget, stop) {
            Err(error) if error.is_out_of_memory() => {
                if compute.device.is_cuda() {
                    torch_ext::empty_cuda_cache()?;
                }
                None
            }
            Ok(None) => return Ok(None),
            speed => speed?,
        };
        let published = Published::of(architecture.name()).find(|published| published.is_default);
        rows.push(BenchmarkRow {
            architecture: architecture.name(),
            speed,
            imagenet_accuracy: published.and_then(|published| published.acc1),
        });
    }
    let training = |row: &BenchmarkRow| row.speed.map_or(0.0, |speed| speed.training);
    rows.sort_by(|a, b| training(b).total_cmp(&training(a)));
    Ok(Some(rows))
}

/// Of those that are compared, the ones that take images of `config`'s size; one for small images
/// only where they are small.
pub fn benchmarked(config: &Config) -> Vec<Architecture> {
    let Some(size) = config.transforms.train.output_size() else { return BENCHMARKED.to_vec() };
    let size = (size.height, size.width);
    let is_small = size.0.max(size.1) <= SMALL_SIDE;
    let suits = |architecture: &Architecture| {
        architecture.size_problem(size).is_none()
            && (is_small || *architecture != Architecture::Resnet18Cifar)
    };
    BENCHMARKED.into_iter().filter(suits).collect()
}

/// Pixels up to which an image is small.
const SMALL_SIDE: u32 = 64;

fn speed_of(
    config: &Config,
    architecture: Architecture,
    num_classes: usize,
    compute: Compute,
    budget: Duration,
    stop: &Stop,
) -> Result<Option<NetworkSpeed>, TrainError> {
    let mut config = config.clone();
    // The networks are compared; a teacher, or more views of each image, cost each of them the same.
    config.training.distillation = None;
    config.training.jensen_shannon = None;
    config.model = ModelConfig::Base(BaseModel {
        architecture,
        weights: None,
        freeze: Freeze::None,
        unfreeze_epoch: None,
        ..config.model.base().cloned().unwrap_or_default()
    });
    match trainer::measure_network(&config, num_classes, compute, budget, stop) {
        // Its parameter groups are of another network.
        Err(TrainError::Groups(_)) => {
            config.optimizer = OptimizerConfig::default();
            trainer::measure_network(&config, num_classes, compute, budget, stop)
        }
        measured => measured,
    }
}

/// Height and width of training images.
fn check_size(config: &Config) -> Result<(u32, u32), JobError> {
    let size = config.transforms.train.output_size().ok_or_else(|| {
        JobError::Usage(
            "transforms.train leaves images at their own sizes, and speed and memory depend on the size; give one, as \
             in --set transforms.train.resize=[224,224]"
                .to_owned(),
        )
    })?;
    Ok((size.height, size.width))
}

fn resolve(config: &Config) -> Result<(ResolvedDevice, Compute), JobError> {
    // Before CUDA is loaded: it looks at the settings once.
    crate::set_deterministic(config.deterministic)?;
    let device = device::resolve(config.training.device, config.training.threads.given())?;
    if let Some(warning) = &device.warning {
        tracing::warn!("{warning}");
    }
    tracing::info!("device: {}", device.description);
    if device.device.is_cuda() {
        tch::Cuda::cudnn_set_benchmark(!config.deterministic);
    }
    let compute = compute::without_measuring(config, device.device)?;
    Ok((device, compute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_compared_that_take_the_images() {
        let config = |text: &str| {
            let base = Some((text, crate::config::Source::Run));
            crate::config::resolve(base, &[], &crate::weights::Origin::read).unwrap().config
        };
        let names = |side: u32| {
            let resize = format!("resize: [{side}, {side}]");
            let config = config(&format!("transforms: {{train: {{{resize}}}, val: {{{resize}}}}}"));
            benchmarked(&config)
        };
        let usual = names(224);
        assert_eq!(usual, BENCHMARKED[..9]);
        let small = names(32);
        assert!(small.contains(&Architecture::Resnet18Cifar) && small.contains(&Architecture::VitB16));
        assert!(!names(30).contains(&Architecture::VitB16), "{:?}", names(30));
    }
}
