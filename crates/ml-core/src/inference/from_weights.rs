//! Weights alone → a network with classes and an evaluation transform that are known of them,
//! given, or assumed.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ml_data::text::listed;
use tch::Device;

use super::classes::{assumed, check_count};
use super::model::{loss_of, prepared};
use super::precision;
use super::source::{ImageOptions, WeightsSource, is_own_checkpoint};
use super::{InferenceError, LoadedModel};
use crate::dataset::Task;
use crate::device::PrecisionChoice;
use crate::distributed::World;
use crate::metrics::multilabel::ClassThresholds;
use crate::network::{Network, NetworkSpec};
use crate::torch_error::catch_torch_panic;
use crate::transform::Pipeline;
use crate::weights::{Choice, Loaded, Part, WeightsError, WeightsFile};

/// What weights alone do not say; none of it has to be given.
#[derive(Clone, Debug, Default)]
pub struct WeightsOptions {
    /// Names of the classes, in the order of the logits; by default `ImageNet`'s for 1000 logits,
    /// else `class_0`, `class_1`, …
    pub classes: Option<Vec<String>>,
    /// How many labels an image has. With several, each class is predicted from a probability of
    /// 0.5 on.
    pub task: Task,
    /// Of the images, where it is not what is known of the weights.
    pub images: ImageOptions,
    /// `auto` is fp32.
    pub precision: PrecisionChoice,
}

impl LoadedModel {
    /// Opens weights that are no checkpoint of a run: `source`'s, from `file` (see
    /// [`WeightsSource::file`]).
    ///
    /// # Errors
    /// The file cannot be read, is of another network, or has no classifier; there are not as many
    /// names as logits; or the images do not suit the network.
    pub fn from_weights(
        source: &WeightsSource,
        file: &Path,
        options: WeightsOptions,
        device: Device,
    ) -> Result<LoadedModel, InferenceError> {
        let choice = &source.choice;
        let usage = InferenceError::Usage;
        if matches!(choice, Choice::File { .. }) && is_own_checkpoint(file) {
            return Err(usage(format!(
                "--weights {0} is a checkpoint of ml-train, which brings its architecture, classes and transform: \
                 use --checkpoint {0}, without --architecture",
                file.display()
            )));
        }
        let (pipeline, spec, transform_note) = images(source, &options.images)?;
        let (network, loaded, num_classes) =
            catch_torch_panic(|| load_weights(source, file, &spec, device))??;
        let (classes, classes_note) = match options.classes {
            Some(names) => {
                check_count(&names, num_classes).map_err(usage)?;
                (names, None)
            }
            None => {
                let (names, note) = assumed(num_classes);
                (names, Some(note))
            }
        };
        let thresholds = (options.task == Task::MultiLabel).then(|| ClassThresholds::uniform(classes.len()));
        let notes = loaded.notes(choice).into_iter().map(|note| format!("weights: {note}"));
        let (compute, slow) = precision::resolve(options.precision, &serde_json::Value::Null, device)?;
        Ok(LoadedModel {
            world: Rc::new(World::alone()),
            name: source.architecture.name().to_owned(),
            network: Box::new(prepared(network, &compute)?),
            classes,
            pipeline: Arc::new(pipeline),
            config: serde_json::Value::Null,
            epoch: None,
            averaged: false,
            notes: notes.chain([transform_note]).chain(classes_note).chain(slow).collect(),
            compute,
            loss: loss_of(options.task, device),
            thresholds,
            calibration: None,
            out_of_distribution: Vec::new(),
            path: file.to_owned(),
        })
    }
}

impl WeightsSource {
    /// What is known before anything is fetched or read.
    ///
    /// # Errors
    /// There is no such file, or such images do not suit the network.
    pub fn check(&self, options: &ImageOptions) -> Result<(), InferenceError> {
        if let Choice::File { path, .. } = &self.choice
            && !path.is_file()
        {
            let problem = if path.is_dir() {
                "is a folder; the folder of a run is given with --checkpoint"
            } else {
                "there is no such file"
            };
            return Err(InferenceError::Usage(format!("--weights {}: {problem}", path.display())));
        }
        images(self, options).map(drop)
    }
}

/// What images go through, the network that takes them, and a line on the former.
fn images(
    source: &WeightsSource,
    options: &ImageOptions,
) -> Result<(Pipeline, NetworkSpec, String), InferenceError> {
    let (architecture, usage) = (source.architecture, InferenceError::Usage);
    let (transform, note) = source.eval_transform(options);
    if let Some((key, problem)) = transform.problems().into_iter().next() {
        return Err(usage(format!("the images: {key} {problem}; see --image_size, --mean and --std")));
    }
    let pipeline = Pipeline::new(&transform).map_err(|error| usage(error.to_string()))?;
    let Some((height, width)) = pipeline.output_size() else {
        return Err(usage("the transform leaves images at different sizes".to_owned()));
    };
    if let Some(problem) = architecture.size_problem((height, width)) {
        return Err(usage(format!("--image_size: {problem}")));
    }
    let spec = NetworkSpec {
        image_size: Some((i64::from(height), i64::from(width))),
        // As torchvision builds those that have its weights; other statistics take its place.
        transform_input: architecture.has_input_transform() && options.normalize.is_none(),
        ..NetworkSpec::from(USUAL_CLASSES)
    };
    Ok((pipeline, spec, note))
}

/// Logits of a network before it is known how many a file's has.
const USUAL_CLASSES: i64 = 1000;

/// The network of `source` with the weights of `file`, for images and with what else `spec` says,
/// and the number of its classes, which is the file's.
fn load_weights(
    source: &WeightsSource,
    file: &Path,
    spec: &NetworkSpec,
    device: Device,
) -> Result<(Network, Loaded, usize), InferenceError> {
    let weights = WeightsFile::open(file, source.key())?;
    let load = |num_classes: i64| {
        let spec = NetworkSpec { num_classes, ..spec.clone() };
        let network = Network::uninitialised(source.architecture, spec, device);
        weights.load(&network, Part::Whole).map(|loaded| (network, loaded, num_classes))
    };
    let first = load(USUAL_CLASSES);
    let loaded = match &first {
        Ok((_, Loaded { classes: Some(classes), .. }, _)) if *classes > 0 => load(*classes),
        _ => first,
    };
    let (network, mut loaded, num_classes) = loaded
        .map_err(|error| InferenceError::Weights { fits: fits(&error, &weights), source: Box::new(error) })?;
    if !loaded.fresh.is_empty() {
        return Err(InferenceError::Usage(format!(
            "{}: there is no classifier in it ({} {} missing), so it cannot predict; weights to train from are given to \
             `ml-train --weights`",
            file.display(),
            loaded.fresh.join(", "),
            if loaded.fresh.len() == 1 { "is" } else { "are" },
        )));
    }
    // They have no part in evaluation.
    loaded.absent.clear();
    Ok((network, loaded, num_classes as usize))
}

/// Networks that a message names.
const NAMED: usize = 4;

/// A line on the networks that weights fit which do not fit the one requested; empty where none
/// does.
fn fits(error: &WeightsError, weights: &WeightsFile) -> String {
    if !matches!(error, WeightsError::Network { .. }) {
        return String::new();
    }
    let fitting = weights.fitting().into_iter();
    let names: Vec<String> = fitting.map(|architecture| architecture.name().to_owned()).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("\n  they fit --architecture {}", listed(&names, NAMED))
    }
}
