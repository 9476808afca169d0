//! [`Survey`] → [`Choices`]: rules of thumb, as pure functions of the survey.

use ml_data::dataset::Task;
use ml_data::transform::{Channels, Depth, Resize, Size};

use super::plan::Plan;
use super::survey::Survey;
use crate::network::Architecture;

/// Images up to this many pixels keep their size; larger ones are photographs.
const SMALL: u32 = 64;
/// What networks for photographs are made for.
const PHOTOGRAPH: u32 = 224;
/// Classes as uneven as this get a comment.
pub const UNEVEN: f64 = 3.0;
/// Classes as uneven as this get weights.
const VERY_UNEVEN: f64 = 10.0;
/// Images that an unhurried training takes, all epochs together.
const LOOKS: usize = 1_500_000;

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    pub geometry: Geometry,
    pub channels: Channels,
    pub bits: Depth,
    /// Whether images are mirrored.
    pub flip: bool,
    pub architecture: Architecture,
    pub optimizer: Optimizer,
    pub batch_size: usize,
    pub num_epochs: usize,
    pub warmup_epochs: usize,
    /// An epoch would end in a batch of one image, which batch norm cannot be trained with.
    pub drop_last: bool,
    /// `loss.class_weights: balanced`.
    pub class_weights: bool,
    /// Decoded, the images fit into this many GB of memory easily.
    pub cache: Option<f64>,
    /// Training will be done on CUDA.
    pub cuda: bool,
    /// In 0 to 1.
    pub label_smoothing: f64,
    /// What a preset has planned; none without one.
    pub plan: Option<Plan>,
}

/// How images get the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// They have it, or nearly; `padding` pixels on each side let a random crop shift them.
    Small { size: Size, padding: u32, enlarged: bool },
    /// A random part of `side` x `side`; for validation the middle, after the shorter side was
    /// resized to `resize`.
    Photograph { side: u32, resize: u32 },
}

/// An optimizer and its learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    AdamW {
        lr: f64,
        weight_decay: f64,
    },
    /// With Nesterov's momentum.
    Sgd {
        lr: f64,
        weight_decay: f64,
    },
}

impl Choices {
    /// `transforms.train.resize`.
    pub fn train_resize(&self) -> Option<Resize> {
        match self.geometry {
            Geometry::Small { size, .. } => Some(Resize::Exact(size)),
            Geometry::Photograph { .. } => None,
        }
    }
}

pub(super) fn choose(survey: &Survey, cuda: bool) -> Choices {
    let geometry = geometry(survey);
    let architecture = architecture(survey, geometry);
    let batch_size = batch_size(survey, geometry, cuda);
    let num_epochs = num_epochs(survey.train());
    let rest = survey.train() % batch_size;
    let sgd = architecture == Architecture::Resnet18;
    let of_colour = if survey.is_grey { Channels::One } else { Channels::Three };
    let (channels, bits) = survey.deep.unwrap_or((of_colour, Depth::Eight));
    Choices {
        geometry,
        channels,
        bits,
        flip: !has_signs(survey, geometry),
        architecture,
        optimizer: optimizer(architecture, survey.train(), batch_size),
        batch_size,
        num_epochs,
        warmup_epochs: if sgd { (num_epochs / 20).max(1) } else { 0 },
        drop_last: rest == 1 && survey.train() > batch_size,
        class_weights: survey.imbalance() >= VERY_UNEVEN,
        // Only RGB bytes are kept.
        cache: cache(survey).filter(|_| survey.deep.is_none()),
        cuda,
        label_smoothing: 0.0,
        plan: None,
    }
}

/// As [`choose`], for what a preset has planned.
pub(super) fn choose_planned(survey: &Survey, cuda: bool, plan: Plan) -> Choices {
    let mut choices = choose(survey, cuda);
    let candidate = &plan.candidate;
    choices.architecture = candidate.architecture;
    if let Geometry::Photograph { side, .. } = choices.geometry {
        let side = candidate.side.map_or(side, |most| side.min(most));
        choices.geometry = Geometry::Photograph { side, resize: (side * 8).div_ceil(7) };
    }
    if plan.is_pretrained {
        choices.channels = Channels::Three;
    }
    let train = survey.train();
    if let Some(given) = plan.batch_size {
        choices.batch_size = given;
    } else {
        // A short training needs steps more than large batches.
        while choices.batch_size > 16
            && plan.epochs * (train as f64) < (MIN_STEPS * choices.batch_size) as f64
        {
            choices.batch_size /= 2;
        }
    }
    choices.drop_last = train % choices.batch_size == 1 && train > choices.batch_size;
    choices.num_epochs = (plan.epochs as usize).max(1);
    let images = choices.batch_size * plan.processes;
    choices.optimizer = if plan.is_pretrained {
        Optimizer::AdamW { lr: 5e-4 * (images as f64 / 64.0).sqrt().min(2.0), weight_decay: 0.05 }
    } else {
        optimizer(candidate.architecture, train, images)
    };
    let grows = matches!(choices.optimizer, Optimizer::Sgd { .. }) || plan.is_pretrained;
    choices.warmup_epochs = if grows && plan.epochs >= 5.0 { (choices.num_epochs / 10).max(1) } else { 0 };
    let is_large = survey.classes.len() >= 10 && train >= 5_000;
    let is_smoothed = (is_large || plan.is_pretrained) && survey.task == Task::SingleLabel;
    choices.label_smoothing = if is_smoothed { 0.1 } else { 0.0 };
    choices.plan = Some(plan);
    choices
}

/// Of a training, before batches are halved.
const MIN_STEPS: usize = 300;

pub(super) fn geometry(survey: &Survey) -> Geometry {
    if survey.longer.median > SMALL {
        let shorter = survey.shorter.median;
        // Sizes of which the networks' halvings leave whole numbers.
        let side = if shorter >= 200 { PHOTOGRAPH } else { (shorter / 32 * 32).clamp(SMALL, PHOTOGRAPH) };
        return Geometry::Photograph { side, resize: (side * 8).div_ceil(7) };
    }
    let (height, width) = if survey.is_uniform() {
        (survey.height.median, survey.width.median)
    } else {
        (survey.longer.median, survey.longer.median)
    };
    // Networks halve their images several times.
    let factor = 16_u32.div_ceil(height.min(width).max(1));
    let size = Size { height: height * factor, width: width * factor };
    let padding = (height.min(width) * factor + 4) / 8;
    Geometry::Small { size, padding, enlarged: factor > 1 }
}

fn architecture(survey: &Survey, geometry: Geometry) -> Architecture {
    match geometry {
        Geometry::Photograph { .. } => Architecture::Resnet18,
        Geometry::Small { size, .. } if size.height.min(size.width) <= 16 || survey.train() < 5_000 => {
            Architecture::TinyNet
        }
        Geometry::Small { size, .. } if size.height.min(size.width) >= 48 && survey.train() >= 20_000 => {
            Architecture::Resnet18
        }
        Geometry::Small { .. } => Architecture::SimpleCnn,
    }
}

/// A power of two that the device likes, and of which an epoch has at least some twenty.
fn batch_size(survey: &Survey, geometry: Geometry, cuda: bool) -> usize {
    let most: usize = match (geometry, cuda) {
        (Geometry::Small { .. }, false) => 128,
        (Geometry::Small { .. }, true) => 512,
        (Geometry::Photograph { .. }, false) => 32,
        (Geometry::Photograph { .. }, true) => 64,
    };
    let mut size = 8;
    while size * 2 <= most && size * 2 * 20 <= survey.train() {
        size *= 2;
    }
    size
}

/// Tens: few for many images.
pub(super) fn num_epochs(train: usize) -> usize {
    (LOOKS / train.max(1)).clamp(30, 100) / 10 * 10
}

fn optimizer(architecture: Architecture, train: usize, batch_size: usize) -> Optimizer {
    match architecture {
        Architecture::TinyNet => Optimizer::AdamW { lr: 0.005, weight_decay: 0.01 },
        Architecture::SimpleCnn => Optimizer::AdamW { lr: 0.002, weight_decay: 0.01 },
        Architecture::Resnet9 => {
            Optimizer::Sgd { lr: 0.4 * (batch_size as f64 / 512.0).min(2.0), weight_decay: 0.0005 }
        }
        _ => Optimizer::Sgd {
            lr: 0.1 * batch_size as f64 / 256.0,
            weight_decay: if train < 100_000 { 0.0005 } else { 0.0001 },
        },
    }
}

/// Whether a mirrored image may be one of something else: small grey images, or names of letters,
/// numbers, sides.
fn has_signs(survey: &Survey, geometry: Geometry) -> bool {
    let is_sign = |name: &String| {
        let name = name.to_lowercase();
        name.chars().count() == 1 || name.parse::<u32>().is_ok()
    };
    let has_side = |name: &String| {
        let name = name.to_lowercase();
        name.split(|c: char| !c.is_alphanumeric()).any(|word| word == "left" || word == "right")
    };
    (survey.is_grey && matches!(geometry, Geometry::Small { .. }))
        || survey.classes.iter().all(is_sign)
        || survey.classes.iter().any(has_side)
}

/// GB of all decoded images, if that is little.
fn cache(survey: &Survey) -> Option<f64> {
    let images: usize = survey.images.iter().sum();
    let gb = images as f64 * survey.mean_pixels * 3.0 / 1e9;
    (gb <= 1.0).then_some(gb)
}
