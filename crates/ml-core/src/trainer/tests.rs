//! A step from several batches is the step of all their images; one with NaN or Inf changes nothing,
//! or takes the run back.

mod averaging;
mod features;
mod gradient_checkpointing;
mod jensen_shannon;
mod limits;
mod sam;
mod teacher;
mod waits;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ml_data::dataset::Dataset;
use tch::{Device, Kind, Tensor};

use super::checkpoints::CheckpointManager;
use super::ranks::Wish;
use super::step::Stepped;
use super::{
    Ended, EpochMetrics, EpochReport, NoReporter, Outcome, ReportError, Reporter, ResumeMode, TrainError,
    Trainer,
};
use crate::checkpoint::Checkpoint;
use crate::config::{Config, parse_set, resolve};
use crate::device::{Compute, Precision};
use crate::loss::Targets;
use crate::metrics::MetricAccumulator;
use crate::run::Run;
use crate::weights::Origin;
use test_support::generator;

/// `train/` with nine images of two digits, `val/` with two.
fn data(place: &Path) -> PathBuf {
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/digits/raw");
    for (class, counts) in [("0", [5, 1]), ("1", [4, 1])] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(digits.join(class)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut files = files.into_iter();
        for (split, count) in ["train", "val"].into_iter().zip(counts) {
            let folder = place.join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for file in files.by_ref().take(count) {
                std::fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    place.to_owned()
}

fn config(data: &Path, more: &[&str]) -> Config {
    let base = [
        format!("data.data_dir={}", data.display()),
        "data.num_workers=0".into(),
        "model.architecture=tiny_net".into(),
        "optimizer={name: sgd, lr: 0.5, momentum: 0.0}".into(),
        "scheduler.name=constant".into(),
        "loss.class_weights=[1.0, 3.0]".into(),
        "transforms={train: {resize: [8, 8]}, val: {resize: [8, 8]}, test: {resize: [8, 8]}}".into(),
    ];
    let sets: Vec<_> = base
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .map(|text| parse_set(text).unwrap())
        .collect();
    resolve(None, &sets, &Origin::read).unwrap().config
}

/// The gradients of Σ over batches of (batch mean · its divisor) / (divisor of all), made by hand.
fn expected_step(trainer: &Trainer, batches: std::ops::Range<usize>) -> Vec<Tensor> {
    let batches: Vec<_> =
        trainer.train_loader.epoch(0, 0).map(Result::unwrap).collect::<Vec<_>>().drain(batches).collect();
    let divisors: Vec<f64> = batches
        .iter()
        .map(|batch| {
            Vec::<i64>::try_from(&batch.targets)
                .unwrap()
                .iter()
                .map(|class| [1.0, 3.0][*class as usize])
                .sum()
        })
        .collect();
    let all: f64 = divisors.iter().sum();
    let parts: Vec<Tensor> = batches
        .iter()
        .zip(&divisors)
        .map(|(batch, divisor)| {
            let logits = trainer.network.forward_t(&batch.images, true);
            let targets = Targets::Classes(batch.targets.shallow_clone());
            trainer.loss.forward(&logits, &targets).unwrap().mean * (divisor / all)
        })
        .collect();
    let parameters: Vec<Tensor> =
        trainer.network.parameters().into_iter().map(|(_, parameter)| parameter).collect();
    Tensor::run_backward(&[Tensor::stack(&parts, 0).sum(Kind::Float)], &parameters, false, false)
}

#[test]
fn accumulated_batches_and_the_exact_tail_make_the_mean_over_all_their_images() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let dataset = Dataset::open(&data, &crate::dataset::OpenOptions::default()).unwrap();
    // Nine images: batches of 2, 2, 2, 2, 1; steps of 3 and of 2 batches.
    let config = config(&data, &["training.batch_size=2", "training.gradient_accumulation_steps=3"]);
    let mut trainer = Trainer::new(&config, &dataset, Compute::fp32(Device::Cpu), None).unwrap();
    assert_eq!(trainer.steps_per_epoch(), 2);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let mut running = MetricAccumulator::new(Device::Cpu);
    for (step, window) in [0..3, 3..5].into_iter().enumerate() {
        let before: Vec<Tensor> =
            trainer.network.parameters().iter().map(|(_, p)| p.detach().copy()).collect();
        // The running statistics do not enter the gradients, so that looking first changes nothing.
        let grads = expected_step(&trainer, window.clone());
        trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
        for ((name, after), (before, grad)) in
            trainer.network.parameters().iter().zip(before.iter().zip(&grads))
        {
            let expected: Tensor = before - grad * 0.5;
            let difference = (after.detach() - &expected).abs().max().double_value(&[]);
            // Sums of the same few float32 numbers in another order.
            assert!(difference < 1e-5, "step {step}, {name}: {difference}");
        }
        assert_eq!(trainer.state.step, step as u64 + 1);
        assert_eq!(trainer.state.batch_in_epoch, window.end as u64);
    }
    assert!(
        trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().is_none(),
        "the epoch is over"
    );
    assert_eq!(running.sums().unwrap().count, 9);
}

fn trainer(data: &Path, more: &[&str]) -> Trainer {
    let dataset = Dataset::open(data, &crate::dataset::OpenOptions::default()).unwrap();
    let base = ["training.batch_size=3", "training.ema={decay: 0.5}", "optimizer={name: adamw, lr: 0.01}"];
    let config = config(data, &[&base[..], more].concat());
    Trainer::new(&config, &dataset, Compute::fp32(Device::Cpu), None).unwrap()
}

/// Every tensor of a training state, by name.
fn tensors(trainer: &Trainer) -> Vec<(String, Tensor)> {
    let mut all = trainer.network.state_dict();
    all.extend(trainer.optimizer.tensors());
    all.extend(trainer.ema.as_ref().unwrap().network().state_dict());
    all.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

/// Makes the next loss NaN, and gives back what was there.
fn poison(trainer: &Trainer) -> (Tensor, Tensor) {
    let (_, weight) = trainer.network.parameters().pop().unwrap();
    let before = weight.detach().copy();
    let _ = tch::no_grad(|| weight.shallow_clone().fill_(f64::NAN));
    (weight, before)
}

fn cure((weight, before): (Tensor, Tensor)) {
    tch::no_grad(|| weight.shallow_clone().copy_(&before));
}

/// The averaged weights once began from random ones where the first step was skipped.
#[test]
fn a_skipped_first_step_leaves_everything_as_it_was_and_the_next_is_the_first() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let mut trainer = trainer(&data, &["training.divergence.action=skip"]);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let before = tensors(&trainer);
    let poisoned = poison(&trainer);
    let stepped = trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    assert!(matches!(stepped, Some(Stepped::Done(1))));
    cure(poisoned);
    assert_eq!(tensors(&trainer), before, "weights, statistics, optimizer and average");
    assert_eq!((trainer.state.step, trainer.state.divergence.times), (1, 1));
    assert_eq!(running.sums().unwrap().count, 0, "its images are not in the metrics");
    assert_eq!(trainer.ema.as_ref().unwrap().num_updates(), 0);

    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    let ema = trainer.ema.as_ref().unwrap();
    assert_eq!(ema.num_updates(), 1);
    assert_eq!(ema.network().state_dict(), trainer.network.state_dict(), "the first update copies");
    assert_eq!(running.sums().unwrap().count, 3);
}

#[test]
fn skips_end_after_max_times_with_an_error_that_names_the_images() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let more = ["training.divergence={action: skip, max_times: 1}"];
    let mut trainer = trainer(&data, &more);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let _poisoned = poison(&trainer);
    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    let error = trainer.train_step(&mut batches, &mut running, Wish::default()).map(|_| ()).unwrap_err();
    let TrainError::NotFinite { loss, times, images, .. } = &error else { panic!("{error}") };
    assert!(loss.is_nan());
    assert_eq!((*times, images.len()), (1, 3));
    assert!(images.iter().all(|path| path.starts_with("train/")), "{images:?}");
}

#[test]
fn an_update_beyond_float32_is_refused_before_it_is_made() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let mut trainer = trainer(&data, &["optimizer={name: sgd, lr: 1.0e+300, momentum: 0.9}"]);
    let parameters = |trainer: &Trainer| -> Vec<Tensor> {
        trainer.network.parameters().into_iter().map(|(_, parameter)| parameter.detach().copy()).collect()
    };
    let before = parameters(&trainer);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let error = trainer.train_step(&mut batches, &mut running, Wish::default()).map(|_| ()).unwrap_err();
    let TrainError::NotFinite { loss, grad_norm, .. } = &error else { panic!("{error}") };
    assert!(loss.is_finite() && grad_norm.is_finite());
    assert_eq!(parameters(&trainer), before);
}

#[test]
fn a_rollback_goes_to_the_last_checkpoint_with_a_lower_learning_rate() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let more = [
        "training.divergence={action: rollback, lr_factor: 0.5}",
        "training.checkpoint.every_steps=2",
        "training.num_epochs=2",
    ];
    let mut trainer = trainer(&data, &more);
    let run = Run::claim(&place.path().join("runs"), "base").unwrap();
    let mut checkpoints = CheckpointManager::start(Some(&run), &trainer.config).unwrap();
    checkpoints.begin(&mut trainer).unwrap();
    let stop = super::Stop::new(0);
    let first = tensors(&trainer);
    let lr = trainer.lr(0);
    let _poisoned = poison(&trainer);
    let ended = trainer.train_epoch(&mut NoReporter, &stop, &mut checkpoints).unwrap();
    assert!(matches!(ended, Ended::RolledBack));
    assert_eq!(trainer.state.step, 0);
    assert_eq!(trainer.state.divergence.times, 1);
    assert_eq!(trainer.lr(0), lr * 0.5);
    let back = tensors(&trainer);
    assert_eq!(back.len(), first.len());
    assert!(back.iter().zip(&first).all(|((name, a), (other, b))| name == other && a.equal(b)));
    let ended = trainer.train_epoch(&mut NoReporter, &stop, &mut checkpoints).unwrap();
    assert!(matches!(ended, Ended::Whole(_)), "the weights are sound again");
}

/// Stops after the first epoch, as a search does with a run that is not promising.
struct Prune;

impl Reporter for Prune {
    fn epoch_finished(
        &mut self,
        _: &[EpochMetrics],
        _: &EpochReport,
    ) -> Result<ControlFlow<()>, ReportError> {
        Ok(ControlFlow::Break(()))
    }
}

#[test]
fn a_reporter_stops_a_run_after_an_epoch_and_it_can_be_resumed() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let run = Run::claim(&place.path().join("runs"), "base").unwrap();
    let stop = super::Stop::new(0);
    let mut pruned = trainer(&data, &["training.num_epochs=3"]);
    let (outcome, _) = pruned.fit(&run, &mut Prune, &stop).unwrap();
    assert_eq!((outcome, pruned.state.epoch), (Outcome::Interrupted, 1));

    let mut resumed = trainer(&data, &["training.num_epochs=3"]);
    resumed.restore(&Checkpoint::load(&run.last_path()).unwrap(), ResumeMode::Exact).unwrap();
    let (mut prune, mut quiet) = (Prune, NoReporter);
    let mut both: Vec<&mut dyn Reporter> = vec![&mut prune, &mut quiet];
    assert_eq!(resumed.fit(&run, &mut both, &stop).unwrap().0, Outcome::Interrupted);
    assert_eq!(resumed.state.epoch, 2);
    // After the last epoch there is nothing to stop.
    assert_eq!(resumed.fit(&run, &mut Prune, &stop).unwrap().0, Outcome::Completed);
}

#[test]
fn gradients_too_large_for_fp16_skip_a_step_and_halve_the_scale_without_a_divergence() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let dataset = Dataset::open(&data, &crate::dataset::OpenOptions::default()).unwrap();
    let config = config(&data, &["optimizer={name: adamw, lr: 0.01}", "training.ema={decay: 0.9}"]);
    let compute = Compute { precision: Precision::Fp16, ..Compute::fp32(Device::Cpu) };
    let mut trainer = Trainer::new(&config, &dataset, compute, None).unwrap();
    let state = |scale: f64| {
        let tracker = ("_growth_tracker", torch_file::Value::Int(7));
        torch_file::Value::dict([("scale", torch_file::Value::Float(scale)), tracker])
    };
    let mut running = MetricAccumulator::new(Device::Cpu);
    // No gradient of a loss near 1 survives this in 16 bits.
    trainer.scaler.as_mut().unwrap().load_state_dict(&state(1e30)).unwrap();
    let before = tensors(&trainer);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let stepped = trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    assert!(matches!(stepped, Some(Stepped::Done(1))));
    assert_eq!(trainer.state.divergence.times, 0);
    assert_eq!(trainer.scaler.as_ref().unwrap().value().unwrap() as f32, 0.5e30);
    let floats = |tensors: Vec<(String, Tensor)>| -> Vec<(String, Tensor)> {
        tensors.into_iter().filter(|(name, _)| !name.contains("running") && !name.contains("num_")).collect()
    };
    assert_eq!(floats(tensors(&trainer)), floats(before));
    // With a smaller one the weights move, and the scale is in the checkpoint.
    trainer.scaler.as_mut().unwrap().load_state_dict(&state(1024.0)).unwrap();
    let before = floats(tensors(&trainer));
    trainer.state.batch_in_epoch = 0;
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    assert_ne!(floats(tensors(&trainer)), before);
    let saved = trainer.snapshot().unwrap().scaler_state_dict.unwrap();
    assert_eq!(saved.get("scale").unwrap().as_f64().unwrap(), 1024.0);
    assert_eq!(saved.get("_growth_tracker").unwrap().as_i64().unwrap(), 8);
    // A scale of 1 scales nothing: what overflows then is the run's own fault.
    trainer.scaler.as_mut().unwrap().load_state_dict(&state(1.0)).unwrap();
    let poisoned = poison(&trainer);
    trainer.state.batch_in_epoch = 0;
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    assert!(trainer.train_step(&mut batches, &mut running, Wish::default()).is_err());
    cure(poisoned);
}

#[test]
fn what_plateau_remembers_is_in_the_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let more = ["scheduler={name: plateau, factor: 0.5, patience: 0}"];
    let mut first = trainer(&data, &more);
    first.state.plateau = crate::optimizer::schedule::PlateauState {
        best: Some(0.75),
        num_bad_epochs: 1,
        cooldown_counter: 2,
        num_reductions: 3,
    };
    let mut second = trainer(&data, &more);
    second.restore(&first.snapshot().unwrap(), super::ResumeMode::Exact).unwrap();
    assert_eq!(second.state.plateau, first.state.plateau);
    assert_eq!(second.lr(0), first.lr(0));
    assert_eq!(second.lr(0), 0.125 * second.config.optimizer.lr());
}
