//! `--weights` and `--architecture` → which network, which weights, and the images that they are
//! used to.

use std::path::{Path, PathBuf};

use ml_data::setting::Auto;
use ml_data::transform::{Color, Fit, FitMode, Letterbox, Normalize, Resize, Size, TransformConfig};

use super::InferenceError;
use crate::config::unknown_name;
use crate::network::Architecture;
use crate::weights::{Cache, Choice, FetchOptions, Listener, Published, WeightsError};

/// Weights that are no checkpoint of a run: which network, and where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsSource {
    /// The network.
    pub architecture: Architecture,
    /// Published ones, or a file.
    pub choice: Choice,
}

/// The images that weights are used to, where that is not what is known of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// Side of the square images that the network sees, in pixels.
    pub image_size: Option<u32>,
    /// How images of another shape get that size.
    pub fit: Option<FitMode>,
    /// What their colours are normalized with.
    pub normalize: Option<Normalize>,
}

impl WeightsSource {
    /// Reads `resnet50:DEFAULT`, `ResNet50_Weights.IMAGENET1K_V2`, or what [`Choice::read`] does
    /// where the architecture is given.
    ///
    /// # Errors
    /// There is no such network, or there are no such weights of it, or only ones without a
    /// classifier; or the two are of different networks.
    pub fn read(given: &str, architecture: Option<&str>) -> Result<WeightsSource, InferenceError> {
        let usage = |message: String| InferenceError::Usage(message);
        let named = architecture.map(known).transpose().map_err(usage)?;
        let (prefix, rest) = match given.split_once(':') {
            Some((name, rest)) => (Architecture::from_name(name), rest),
            None => (of_full_name(given), given),
        };
        let (architecture, rest) = match (named, prefix) {
            (Some(named), Some(prefix)) if named != prefix => {
                let (prefix, named) = (prefix.name(), named.name());
                return Err(usage(format!(
                    "--weights {given} are of {prefix}, and --architecture is {named}; leave one out"
                )));
            }
            (_, Some(architecture)) => (architecture, rest),
            (Some(architecture), None) => (architecture, given),
            (None, None) => return Err(usage(without_architecture(given))),
        };
        let choice = Choice::read(rest, architecture.name())
            .map_err(|error| usage(format!("--weights {given}: {error}")))?;
        if matches!(choice, Choice::Published(published) if published.classes == 0) {
            return Err(usage(format!(
                "--weights {given} have no classifier, so they cannot predict; `ml-train --weights` trains from them"
            )));
        }
        Ok(WeightsSource { architecture, choice })
    }

    /// Where published weights lie once they have been fetched, and where from; none if they are
    /// there, or are a file.
    ///
    /// # Errors
    /// There is no place for them, or what is there is not them.
    pub fn to_fetch(&self) -> Result<Option<(&'static Published, String, PathBuf)>, WeightsError> {
        let Choice::Published(published) = self.choice else { return Ok(None) };
        let cache = Cache::from_env()?;
        let is_missing = cache.find(published)?.is_none();
        Ok(is_missing.then(|| (published, cache.url(published), cache.path(published))))
    }

    /// The file, fetched if it has to be.
    ///
    /// # Errors
    /// It cannot be fetched, or `listener` broke off.
    pub fn file(&self, listener: Listener<'_>) -> Result<PathBuf, WeightsError> {
        match &self.choice {
            Choice::Published(published) => {
                Cache::from_env()?.get(published, &FetchOptions::default(), listener)
            }
            Choice::File { path, .. } => Ok(path.clone()),
        }
    }

    /// Which of a file's weights are meant.
    pub(super) fn key(&self) -> Option<&str> {
        match &self.choice {
            Choice::Published(_) => None,
            Choice::File { key, .. } => key.as_deref(),
        }
    }

    /// What images go through before the network sees them, and a line on where that comes from:
    /// torchvision's for the published weights of this name, else for its default ones; networks for
    /// small images have those of the programs that their weights are from.
    pub(super) fn eval_transform(&self, options: &ImageOptions) -> (TransformConfig, String) {
        let (mut transform, origin) = match self.published() {
            Some(published) => (published.eval_transform(), format!("that of {}", published.full_name())),
            None => (small(self.architecture), format!("that of {}", self.architecture.name())),
        };
        if let Some(side) = options.image_size {
            set_size(&mut transform, side);
        }
        if let Some(mode) = options.fit {
            transform = transform.fitted(Fit { mode, fill: Color::default() });
        }
        if let Some(normalize) = &options.normalize {
            transform.normalize = Some(Auto::Value(normalize.clone()));
        }
        let changed = if *options == ImageOptions::default() { "" } else { ", changed as said" };
        let described = describe(&transform);
        (transform, format!("transform: {described} ({origin}{changed})"))
    }

    /// The published weights that these are, by the file's name too, or stand in for.
    fn published(&self) -> Option<&'static Published> {
        let all = || Published::of(self.architecture.name());
        match &self.choice {
            Choice::Published(published) => Some(published),
            Choice::File { path, .. } => {
                let name = path.file_name().unwrap_or_default();
                all()
                    .find(|published| name == published.file)
                    .or_else(|| all().find(|published| published.is_default))
            }
        }
    }
}

/// The architecture of this name.
fn known(name: &str) -> Result<Architecture, String> {
    Architecture::from_name(name).ok_or_else(|| {
        format!("--architecture: {}; `ml-train --list_architectures` shows all", unknown(name))
    })
}

/// ``unknown name `resnet81`; did you mean `resnet18`?``
fn unknown(name: &str) -> String {
    let names: Vec<&str> = Architecture::ALL.iter().map(|architecture| architecture.name()).collect();
    unknown_name(name, &names)
}

/// The network of `ResNet50_Weights.IMAGENET1K_V2`.
fn of_full_name(given: &str) -> Option<Architecture> {
    let (enumeration, _) = given.split_once('.')?;
    let published = Published::all().iter().find(|published| published.enumeration == enumeration)?;
    Architecture::from_name(published.architecture)
}

/// Why weights alone do not do.
fn without_architecture(given: &str) -> String {
    if Architecture::from_name(given).is_some() {
        return format!(
            "--weights {given}: which weights? for torchvision's best, --weights {given}:DEFAULT"
        );
    }
    match (Choice::read(given, ""), given.split_once(':')) {
        (Ok(Choice::File { .. }), _) => {
            format!("--weights {given} is a file; say what network it is of with --architecture NAME")
        }
        (_, Some((name, _))) => format!("--weights {given}: {}", unknown(name)),
        _ => format!(
            "--weights {given}: no network is named; as in resnet50:DEFAULT, or with --architecture NAME"
        ),
    }
}

/// Images of networks that torchvision has not: 32 pixels, and the normalization of the programs
/// that trained them first.
fn small(architecture: Architecture) -> TransformConfig {
    let side = architecture.usual_size();
    let (mean, std) = match architecture {
        // kuangliu's pytorch-cifar.
        Architecture::Resnet18Cifar => ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        // CIFAR-10's own statistics.
        Architecture::Resnet9 => ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        // The checkpoints of resnet20 and its like were trained with ImageNet's.
        _ => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    };
    TransformConfig {
        resize: Some(Resize::Exact(Size { height: side, width: side })),
        normalize: Some(Auto::Value(Normalize { mean: mean.to_vec(), std: std.to_vec() })),
        ..TransformConfig::default()
    }
}

/// Squares of this side; what was resized larger than its crop is so in the same proportion.
fn set_size(transform: &mut TransformConfig, side: u32) {
    let size = Size { height: side, width: side };
    match (&mut transform.resize, &mut transform.center_crop) {
        (Some(Resize::ShorterSide(shorter)), Some(crop)) => {
            let scaled = u64::from(side) * u64::from(*shorter) / u64::from(crop.height.max(1));
            *shorter = u32::try_from(scaled).unwrap_or(u32::MAX);
            *crop = size;
        }
        (resize, _) => *resize = Some(Resize::Exact(size)),
    }
}

/// `resize 232, crop 224x224, bilinear, mean 0.485 0.456 0.406, std 0.229 0.224 0.225`
fn describe(transform: &TransformConfig) -> String {
    let mut parts = Vec::new();
    match transform.resize {
        Some(Resize::ShorterSide(side)) => parts.push(format!("resize {side}")),
        Some(Resize::Exact(Size { height, width })) => parts.push(format!("resize {height}x{width}")),
        None => {}
    }
    if let Some(Letterbox { size: Size { height, width }, .. }) = transform.letterbox {
        parts.push(format!("pad to {height}x{width}"));
    }
    if let Some(Size { height, width }) = transform.center_crop {
        parts.push(format!("crop {height}x{width}"));
    }
    if let Some(Auto::Value(Normalize { mean, std })) = &transform.normalize {
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        parts.push(format!("mean {}, std {}", list(mean), list(std)));
    }
    parts.join(", ")
}

/// Whether `path` is a checkpoint of `ml-train`, which knows all this itself.
pub(super) fn is_own_checkpoint(path: &Path) -> bool {
    let outline = torch_file::read_without_tensors(path);
    outline.is_ok_and(|outline| crate::checkpoint::is_checkpoint(&outline).unwrap_or(true))
}
