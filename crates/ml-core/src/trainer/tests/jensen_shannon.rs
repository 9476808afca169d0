//! A step on several views of each image is that of the formula, over batches of different divisors.

use super::*;

/// The gradients of `Σ d·L / Σ d + α Σ n·JS / Σ n` by hand, L of the clean views.
fn expected(trainer: &Trainer, alpha: f64, views: i64) -> Vec<Tensor> {
    let of_class = [1.0, 3.0];
    let (mut labels, mut together) = (Vec::new(), Vec::new());
    let (mut divisors, mut images) = (0.0, 0.0);
    for batch in trainer.train_loader.epoch(0, 0).on_device().map(Result::unwrap) {
        let classes = Vec::<i64>::try_from(&batch.targets).unwrap();
        let divisor: f64 = classes.iter().map(|class| of_class[*class as usize]).sum();
        let logits = trainer.network.forward_t(&batch.images, true).chunk(views, 0);
        let targets = Targets::Classes(batch.targets.shallow_clone());
        labels.push(trainer.loss.forward(&logits[0], &targets).unwrap().mean * divisor);
        let p: Vec<Tensor> = logits.iter().map(|logits| logits.softmax(-1, Kind::Float)).collect();
        let mixture = Tensor::stack(&p, 0).mean_dim([0i64].as_slice(), false, None::<Kind>);
        let kl = |p: &Tensor| (p * (p.log() - mixture.log())).sum(Kind::Float);
        let all: Vec<Tensor> = p.iter().map(kl).collect();
        together.push(Tensor::stack(&all, 0).sum(Kind::Float) / views as f64);
        divisors += divisor;
        images += classes.len() as f64;
    }
    let sum = |parts: &[Tensor]| Tensor::stack(parts, 0).sum(Kind::Float);
    let loss = sum(&labels) / divisors + sum(&together) * (alpha / images);
    let parameters: Vec<Tensor> =
        trainer.network.parameters().into_iter().map(|(_, parameter)| parameter).collect();
    Tensor::run_backward(&[loss], &parameters, false, false)
}

#[test]
fn a_step_is_that_of_the_formula_with_and_without_gradient_checkpointing() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    // Nine images, one step: batches of 4, 4 and 1.
    let sets = [
        "training.batch_size=4",
        "training.gradient_accumulation_steps=3",
        "optimizer={name: sgd, lr: 0.5, momentum: 0.0}",
        "transforms.train.trivial_augment_wide=true",
        "training.jensen_shannon={alpha: 5.0, splits: 3}",
    ];
    for checkpointing in ["training.gradient_checkpointing=false", "training.gradient_checkpointing=true"] {
        let mut trainer = trainer(&data, &[&sets[..], &[checkpointing]].concat());
        let before: Vec<Tensor> =
            trainer.network.parameters().iter().map(|(_, p)| p.detach().copy()).collect();
        let grads = expected(&trainer, 5.0, 3);
        let mut batches = trainer.train_loader.epoch(0, 0).into();
        let mut running = MetricAccumulator::new(Device::Cpu);
        trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
        assert_eq!(running.sums().unwrap().count, 9, "metrics are of the clean views");
        let after = trainer.network.parameters();
        for ((name, after), (before, grad)) in after.iter().zip(before.iter().zip(&grads)) {
            let expected: Tensor = before - grad * 0.5;
            let difference = (after.detach() - &expected).abs().max().double_value(&[]);
            // Sums of float32 in another order.
            assert!(difference < 1e-5, "{name}, {checkpointing}: {difference}");
        }
    }
}

#[test]
fn a_batch_of_one_image_has_several_views() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let sets = ["training.batch_size=1", "transforms.train.augmix=true", "training.jensen_shannon={}"];
    let mut trainer = trainer(&data, &sets);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let mut running = MetricAccumulator::new(Device::Cpu);
    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
    assert_eq!(running.sums().unwrap().count, 1);
}
