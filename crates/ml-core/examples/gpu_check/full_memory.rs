//! What a GPU without free memory does to training and inference: each ends with an error that says
//! what to do.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ml_core::config::{self, Source};
use ml_core::device::PrecisionChoice;
use ml_core::inference::{LoadedModel, PredictOptions, UseEma};
use ml_core::job::{Job, JobOptions, Placement, Start, Taken};
use ml_core::trainer::{NoReporter, Phase, Reporter, Stop};
use ml_core::weights::Origin;
use tch::{Device, Kind, Tensor};

use super::{Report, Result};

/// A batch takes far more than what is left.
const CONFIG: &str = "
model: {architecture: resnet50}
training: {batch_size: 64, num_epochs: 1, device: cuda, precision: fp32}
transforms: {train: {resize: [128, 128]}, val: {resize: [224, 224]}, test: {resize: [224, 224]}}
";

/// The largest block that is still free in the end, in bytes.
const LEFT: i64 = 64 << 20;

/// All of a GPU's memory but blocks smaller than [`LEFT`].
fn fill(device: Device) -> Vec<Tensor> {
    let (mut held, mut bytes) = (Vec::new(), 8i64 << 30);
    while bytes >= LEFT {
        match Tensor::f_empty([bytes], (Kind::Uint8, device)) {
            Ok(block) => held.push(block),
            Err(_) => bytes /= 2,
        }
    }
    held
}

/// Fills the GPU when a phase begins.
struct Filler {
    at: Option<Phase>,
    device: Device,
    held: Vec<Tensor>,
}

impl Reporter for Filler {
    fn phase_started(&mut self, phase: Phase, _: u64, _: usize, _: usize) {
        if self.at == Some(phase) && self.held.is_empty() {
            self.held = fill(self.device);
        }
    }
}

/// A run of one epoch, in which the GPU is filled when phase `at` begins. Returns its folder.
fn train(data: &Path, runs: &Path, device: Device, at: Option<Phase>) -> Result<PathBuf> {
    let data = config::parse_set(&format!("data.data_dir={}", data.display()))?;
    let config = config::resolve(Some((CONFIG, Source::Run)), &[data], &Origin::read)?.config;
    let start = Start::of(&config)?;
    let placement =
        Placement::New { runs_dir: runs.to_owned(), name: "full".to_owned(), taken: Taken::Number };
    let (started, notes) = (Instant::now(), Vec::new());
    let options = JobOptions { placement, dry_run: false, started, command: None, notes };
    let stop = Stop::new(0);
    let job = Job::prepare(config, start, options, &mut NoReporter, &stop)?;
    let outcome = job.run(&mut Filler { at, device, held: Vec::new() }, &stop)?;
    Ok(outcome.run.folder().to_owned())
}

fn predict(model: &LoadedModel, images: &[PathBuf]) -> Result<()> {
    let options = PredictOptions { batch_size: 64, num_workers: 2, top_k: 1 };
    Ok(model.predict(images, options, |_, _| ControlFlow::Continue(()))?)
}

/// All files of the test split.
fn test_images(data: &Path) -> Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for class in std::fs::read_dir(data.join("test"))? {
        for file in std::fs::read_dir(class?.path())? {
            images.push(file?.path());
        }
    }
    Ok(images)
}

/// It must fail, with one of these words and as no defect of the program.
fn fails<T>(report: &mut Report, what: &str, outcome: Result<T>, words: &[&str]) {
    let text = outcome.map_or_else(|error| error.to_string(), |_| "there was room".to_owned());
    let is_good = words.iter().any(|word| text.contains(word)) && !text.contains("defect");
    report.line(is_good, what, &text);
}

/// The GPU is full when a run begins, steps or validates, when a model is opened, and when it
/// predicts.
pub fn check(report: &mut Report, device: Device, data: Option<&Path>) -> Result<()> {
    if !device.is_cuda() {
        report.skip("for GPUs");
        return Ok(());
    }
    let Some(data) = data else {
        report.skip("no data folder was given");
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let runs = place.path();
    // With room for all, and what the others open.
    let folder = train(data, runs, device, None)?;
    let images = test_images(data)?;
    let advice = ["--batch_size"];
    fails(report, "a step", train(data, runs, device, Some(Phase::Train)), &advice);
    fails(report, "validation", train(data, runs, device, Some(Phase::Validate)), &advice);

    let model = LoadedModel::open(&folder, device, PrecisionChoice::Auto, UseEma::Auto)?;
    let held = fill(device);
    fails(report, "inference", predict(&model, &images), &advice);
    // A device that cannot even be tried out may say who holds its memory.
    let advice = ["--batch_size", "nvidia-smi"];
    fails(report, "a run that begins", train(data, runs, device, None), &advice);
    let opened = LoadedModel::open(&folder, device, PrecisionChoice::Auto, UseEma::Auto);
    fails(report, "a model that is opened", opened.map_err(Into::into), &advice);

    drop(held);
    let after = predict(&model, &images).map_or_else(|error| error.to_string(), |()| "predicts".to_owned());
    report.line(after == "predicts", "with room again", &after);
    Ok(())
}
