//! A step from several batches is the step of all their images.

use std::path::{Path, PathBuf};

use ml_data::dataset::Dataset;
use tch::{Device, Kind, Tensor};

use super::Trainer;
use crate::config::{Config, parse_set, resolve};
use crate::metrics::MetricAccumulator;
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
    resolve(None, &sets).unwrap().config
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
            trainer.loss.forward(&logits, &batch.targets) * (divisor / all)
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
    let dataset = Dataset::open(&data, None).unwrap();
    // Nine images: batches of 2, 2, 2, 2, 1; steps of 3 and of 2 batches.
    let config = config(&data, &["training.batch_size=2", "training.gradient_accumulation_steps=3"]);
    let mut trainer = Trainer::new(&config, &dataset, Device::Cpu).unwrap();
    assert_eq!(trainer.steps_per_epoch(), 2);
    let mut batches = trainer.train_loader.epoch(0, 0);
    let mut running = MetricAccumulator::new(Device::Cpu);
    for (step, window) in [0..3, 3..5].into_iter().enumerate() {
        let before: Vec<Tensor> =
            trainer.network.parameters().iter().map(|(_, p)| p.detach().copy()).collect();
        // The running statistics do not enter the gradients, so that looking first changes nothing.
        let grads = expected_step(&trainer, window.clone());
        trainer.train_step(&mut batches, &mut running).unwrap().unwrap();
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
    assert!(trainer.train_step(&mut batches, &mut running).unwrap().is_none(), "the epoch is over");
    assert_eq!(running.totals().count, 9);
}
