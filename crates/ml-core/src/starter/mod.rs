//! A data folder → a commented configuration that someone who knows the trade would start with.
//!
//! `survey` samples the images, `choose` decides from what was found, `write` puts both into YAML. The same folder on the same kind of device always gives the same text.

mod choose;
mod survey;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ml_data::dataset::{Dataset, DatasetError, OpenOptions};
use ml_data::setting::Auto;
use ml_data::transform::statistics::{Known, Options, StatisticsError, training_statistics};
use ml_data::transform::{Normalize, TransformConfig};

use crate::config::{self, ConfigError, Source};
use crate::trainer::Stop;
use crate::weights::Origin;

use choose::Choices;
use survey::Survey;

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
}

/// The configuration for `data_dir` as YAML text.
///
/// # Errors
/// The folder is no data folder, none of its images can be read, or it was stopped.
pub fn starting_config(data_dir: &Path, options: &StarterOptions<'_>) -> Result<String, StarterError> {
    let name = data_dir.to_str().ok_or_else(|| StarterError::Name(data_dir.to_owned()))?;
    let dataset = Dataset::open(data_dir, &OpenOptions { fold: options.fold, ..OpenOptions::default() })?;
    let survey = survey::survey(&dataset, name, options.stop)?;
    let choices = choose::choose(&survey, options.cuda);
    let normalization = normalization(&dataset, &survey, &choices, options)?;
    let text = write::text(&survey, &choices, &normalization);
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
