//! A data folder → a commented configuration that someone who knows the trade would start with.
//!
//! `--preset` takes the same for a run, for a network and a number of epochs that `planner` finds to
//! suit the time, from the speed that networks have here. `survey` samples the images, `choose`
//! decides from what was found, `write` puts both into YAML. The same folder on the same kind of
//! device always gives the same text.

mod candidates;
mod choose;
mod given;
mod plan;
mod planner;
mod preset;
mod survey;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ml_data::dataset::{Dataset, DatasetError, OpenOptions};
use ml_data::decode::decode;
use ml_data::setting::Auto;
use ml_data::transform::statistics::{Known, Options, StatisticsError, training_statistics};
use ml_data::transform::{Normalize, TransformConfig};

use crate::config::{self, Config, ConfigError, Source};
use crate::device::Compute;
use crate::loader::CacheKind;
use crate::trainer::{self, Stop};
use crate::weights::{Cache, Origin, Published};

use choose::Choices;
use planner::Circumstances;
use survey::Survey;

pub use given::Given;
pub use preset::{Level, Preset};

/// Statistics are computed here and now if the training images have no more pixels than this (some
/// seconds).
const QUICK_PIXELS: f64 = 1e9;

/// What a configuration is written for.
#[derive(Clone, Copy, Debug)]
pub struct StarterOptions<'a> {
    /// The fold to train on, of a data folder with folds.
    pub fold: Option<u32>,
    /// Whether training will be done on CUDA.
    pub cuda: bool,
    /// Threads that decode. Never changes the result.
    pub threads: usize,
    /// Raised by a signal.
    pub stop: &'a Stop,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum StarterError {
    /// The folder is no data folder.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// YAML cannot name the folder.
    #[error("{}: the folder's name is not valid UTF-8, so no configuration can name it; rename it", .0.display())]
    Name(PathBuf),
    /// None of the sampled images can be read.
    #[error(
        "none of the {count} sampled training images can be read; the first: {first}; see `ml-split check {root}`"
    )]
    Unreadable {
        /// Images.
        count: usize,
        /// What is wrong with the first.
        first: String,
        /// The data folder, as a shell takes it.
        root: String,
    },
    /// The stop flag was raised.
    #[error("stopped before all images were sampled")]
    Stopped,
    /// What was written is refused: a mistake of this program.
    #[error("the configuration made for this data set is not valid, which is a mistake of this program: {0}")]
    Invalid(#[from] ConfigError),
}

/// How pixels are to be normalised, and how that is known.
#[derive(Clone, Debug, PartialEq)]
enum Normalization {
    /// Computed from so many images; rounded.
    Computed(Normalize, usize),
    /// Too many pixels to compute it now: `auto`.
    Later,
    /// A channel has one value everywhere: there is nothing to divide by.
    Constant,
    /// Those that go with the weights to start from.
    Weights(Normalize),
}

/// Why a setting is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Dotted YAML path.
    pub path: String,
    /// As YAML; empty for a section.
    pub value: String,
    /// In words.
    pub why: String,
}

/// For what a preset chooses.
pub struct PresetOptions<'a> {
    /// Which.
    pub level: Level,
    /// What is set already.
    pub given: &'a Given,
    /// How the data folder is opened.
    pub open: OpenOptions,
    /// How steps are measured.
    pub compute: Compute,
    /// Processes that train together.
    pub processes: usize,
    /// Threads that decode.
    pub threads: usize,
    /// The configuration that a preset's text gives with what is set already.
    pub resolve: &'a dyn Fn(&str) -> Result<Config, ConfigError>,
    /// Raised by a signal.
    pub stop: &'a Stop,
}

/// What a preset has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// As a commented configuration.
    pub text: String,
    /// What its comments say, by key.
    pub reasons: Vec<Reason>,
    /// How long the training is, in words.
    pub length: String,
}

/// For measuring networks, all together.
const MEASURING: Duration = Duration::from_millis(2500);
/// For measuring how long an image takes to decode.
const DECODING: Duration = Duration::from_millis(300);
/// Images that are decoded for that at most.
const DECODED: usize = 8;

/// Chooses settings for the images in `data_dir`, in a few seconds.
///
/// # Errors
/// The folder is no data folder, none of its images can be read, what is set is refused, or it was
/// stopped.
pub fn choose_preset(data_dir: &Path, options: &PresetOptions<'_>) -> Result<Chosen, StarterError> {
    let name = data_dir.to_str().ok_or_else(|| StarterError::Name(data_dir.to_owned()))?;
    let dataset = Dataset::open(data_dir, &options.open)?;
    let survey = survey::survey(&dataset, name, false, options.stop)?;
    let cuda = options.compute.device.is_cuda();
    let cache = Cache::from_env().ok();
    let has_weights = |published: &'static Published| {
        cache.as_ref().is_some_and(|cache| matches!(cache.find(published), Ok(Some(_))))
    };
    let written = |plan: plan::Plan| {
        let normalization = plan.normalize().map_or(Normalization::Later, Normalization::Weights);
        let choices = choose::choose_planned(&survey, cuda, plan);
        write::text(&survey, &choices, &normalization)
    };
    let circumstances = Circumstances {
        given: options.given,
        level: options.level,
        processes: options.processes,
        decoding: decoding_seconds(&dataset, &survey, options),
        cuda,
        has_weights: &has_weights,
        weights_folder: cache.as_ref().map_or_else(String::new, |cache| cache.folder().display().to_string()),
    };
    let started = Instant::now();
    let mut speed = |plan: &plan::Plan| {
        let left = MEASURING.checked_sub(started.elapsed())?;
        let config = (options.resolve)(&written(plan.clone()).text).ok()?;
        let classes = survey.classes.len();
        match trainer::training_speed(config, classes, options.compute, left / 3, options.stop) {
            Ok(speed) => speed,
            // The training says what is wrong.
            Err(error) => {
                tracing::debug!("{}: not measured: {error}", plan.candidate.architecture.name());
                None
            }
        }
    };
    let plan = planner::plan(&survey, &circumstances, &mut speed);
    if options.stop.load(Ordering::Relaxed) != 0 {
        return Err(StarterError::Stopped);
    }
    let length = plan.length();
    let written = written(plan);
    Ok(Chosen { text: written.text, reasons: written.reasons, length })
}

/// Of an image, of all threads together; 0 where decoded images will be kept.
fn decoding_seconds(dataset: &Dataset, survey: &Survey, options: &PresetOptions<'_>) -> f64 {
    let keeps = (options.resolve)("").is_ok_and(|config| config.data.cache != CacheKind::None);
    if keeps || choose::choose(survey, false).cache.is_some() {
        return 0.0;
    }
    let started = Instant::now();
    let samples = &dataset.train.samples;
    let mut decoded = 0;
    for place in 0..DECODED.min(samples.len()) {
        let path = dataset.train.root.join(&samples[place * samples.len() / DECODED.min(samples.len())].path);
        decoded += u32::from(decode(&path).is_ok());
        if started.elapsed() > DECODING {
            break;
        }
    }
    started.elapsed().as_secs_f64() / f64::from(decoded.max(1)) / options.threads.max(1) as f64
}

/// The configuration for `data_dir` as YAML text.
///
/// # Errors
/// The folder is no data folder, none of its images can be read, or it was stopped.
pub fn starting_config(data_dir: &Path, options: &StarterOptions<'_>) -> Result<String, StarterError> {
    let name = data_dir.to_str().ok_or_else(|| StarterError::Name(data_dir.to_owned()))?;
    let open = OpenOptions { fold: options.fold, multi_label: true, ..OpenOptions::default() };
    let dataset = Dataset::open(data_dir, &open)?;
    let survey = survey::survey(&dataset, name, true, options.stop)?;
    let choices = choose::choose(&survey, options.cuda);
    let normalization = normalization(&dataset, &survey, &choices, options)?;
    let text = write::text(&survey, &choices, &normalization).text;
    config::resolve(Some((&text, Source::File(PathBuf::from("--init_config")))), &[], &Origin::read)?;
    Ok(text)
}

fn normalization(
    dataset: &Dataset,
    survey: &Survey,
    choices: &Choices,
    options: &StarterOptions<'_>,
) -> Result<Normalization, StarterError> {
    if survey.mean_pixels * survey.train() as f64 > QUICK_PIXELS {
        return Ok(Normalization::Later);
    }
    let transform = TransformConfig {
        resize: choices.train_resize(),
        channels: choices.channels,
        bits: choices.bits,
        normalize: Some(Auto::Auto),
        ..TransformConfig::default()
    };
    let stop = || options.stop.load(Ordering::Relaxed) != 0;
    // An image that cannot be read is reported by training, or by `ml-split check`.
    let reading = Options { threads: options.threads, skip_unreadable: true, stop: &stop };
    match training_statistics(dataset, &transform, &reading, false) {
        Ok(Known { normalize, images, .. }) => Ok(Normalization::Computed(rounded(&normalize), images)),
        Err(StatisticsError::Constant { .. } | StatisticsError::Empty) => Ok(Normalization::Constant),
        Err(StatisticsError::Stopped) => Err(StarterError::Stopped),
        Err(StatisticsError::Image(error)) => Err(unreadable(survey, error.to_string())),
    }
}

fn unreadable(survey: &Survey, first: String) -> StarterError {
    let root = ml_data::dataset::shell_quoted(Path::new(&survey.data_dir));
    StarterError::Unreadable { count: survey.looked_at, first, root }
}

/// To four places, which is more than matters; a deviation stays above 0.
fn rounded(normalize: &Normalize) -> Normalize {
    let round = |value: &f64| (value * 1e4).round() / 1e4;
    Normalize {
        mean: normalize.mean.iter().map(round).collect(),
        std: normalize.std.iter().map(|std| round(std).max(1e-4)).collect(),
    }
}
