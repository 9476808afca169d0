//! How often the host waits for its device: the same calls on the CPU as on a GPU.

use super::*;
use crate::checkpoint::{AsyncWriter, CheckpointPaths};
use crate::evaluation::Evaluator;
use crate::metrics::TOP_K;
use crate::trainer::ranks::Wish;

/// How often `body` waits.
fn waits<T>(body: impl FnOnce() -> T) -> (u64, T) {
    let before = torch_ext::host_waits();
    let result = body();
    (torch_ext::host_waits() - before, result)
}

const ALL: [&str; 4] = [
    "training.batch_size=2",
    "training.gradient_accumulation_steps=2",
    "training.max_grad_norm=1.0",
    "transforms.train={resize: [8, 8], mixup: 0.4, random_erasing: {p: 1.0, value: random}}",
];

#[test]
fn a_step_waits_once_for_its_verdict() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    for fp16 in [false, true] {
        let mut trainer = trainer(&data, &ALL);
        if fp16 {
            trainer.scaler = Some(crate::optimizer::GradScaler::new(Device::Cpu));
        }
        let mut running = MetricAccumulator::new(Device::Cpu);
        let mut steps = Vec::new();
        for epoch in 0..2 {
            trainer.state.batch_in_epoch = 0;
            let mut batches = trainer.train_loader.epoch(epoch, 0).into();
            loop {
                let (count, stepped) =
                    waits(|| trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap());
                let Some(Stepped::Done(_)) = stepped else { break };
                steps.push(count);
            }
        }
        // The first one makes the optimizer's state, which a skipped step must not leave behind.
        assert_eq!(steps, [2, 1, 1, 1, 1, 1], "fp16: {fp16}");
        assert_eq!(waits(|| running.sums()).0, 1, "an epoch's metrics");
        assert_eq!(waits(|| trainer.check_weights_finite().unwrap()).0, 1, "before a checkpoint");
    }
}

#[test]
fn a_checkpoint_waits_once_for_all_its_tensors() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&data(place.path()), &ALL);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    trainer.train_step(&mut batches, &mut MetricAccumulator::new(Device::Cpu), Wish::default()).unwrap();
    let mut writer = AsyncWriter::start().unwrap();
    let mut save = |trainer: &Trainer| {
        let files = CheckpointPaths {
            previous: place.path().join("previous.pt"),
            last: place.path().join("last.pt"),
            ..CheckpointPaths::default()
        };
        waits(|| writer.save(trainer.snapshot().unwrap(), files).unwrap()).0
    };
    assert_eq!([save(&trainer), save(&trainer)], [1, 1]);
    trainer.scaler = Some(crate::optimizer::GradScaler::new(Device::Cpu));
    assert_eq!(save(&trainer), 3, "and for the two numbers of the scale");
}

#[test]
fn an_evaluation_waits_for_no_batch_before_the_next_is_computed() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let trainer = trainer(&data(place.path()), &["training.batch_size=2"]);
    let evaluator = Evaluator::new(trainer.compute, &trainer.loss, 2);
    let loader = &trainer.train_loader;
    let mut done = Vec::new();
    let (count, evaluation) = waits(|| {
        evaluator
            .evaluate(&trainer.network, loader, TOP_K as usize, |samples| {
                done.push(samples);
                ControlFlow::Continue(())
            })
            .unwrap()
    });
    assert_eq!(done, [2, 4, 6, 8, 9]);
    assert_eq!(count, 5 + 1, "each batch's classes, and the sums");
    assert_eq!(evaluation.sums.count, 9);
    let both = [&trainer.network, trainer.ema.as_ref().unwrap().network()];
    let (count, sums) =
        waits(|| evaluator.sums(&both, loader.epoch(0, 0).into(), || ControlFlow::Continue(())).unwrap());
    assert_eq!((count, sums.len()), (2, 2), "validation reads sums alone, of the weights and of the average");
}
