//! A step of distillation is that of the formula, over batches of different divisors.

use super::*;

/// The gradients of `(1 - w) Σ d·L / Σ d + w Σ n·K / Σ n`, by hand.
fn expected(trainer: &Trainer, teacher: &Trainer, weight: f64, temperature: f64) -> Vec<Tensor> {
    let batches: Vec<_> = trainer.train_loader.epoch(0, 0).map(Result::unwrap).collect();
    let of_class = [1.0, 3.0];
    let (mut labels, mut following) = (Vec::new(), Vec::new());
    let (mut divisors, mut images) = (0.0, 0.0);
    for batch in &batches {
        let classes = Vec::<i64>::try_from(&batch.targets).unwrap();
        let divisor: f64 = classes.iter().map(|class| of_class[*class as usize]).sum();
        let logits = trainer.network.forward_t(&batch.images, true);
        let targets = Targets::Classes(batch.targets.shallow_clone());
        labels.push(trainer.loss.forward(&logits, &targets).unwrap().mean * divisor);
        let theirs = tch::no_grad(|| teacher.network.forward_t(&batch.images, false));
        let p = (theirs / temperature).softmax(-1, Kind::Float);
        let q = (logits / temperature).log_softmax(-1, None::<Kind>);
        following.push((&p * (p.log() - q)).sum(Kind::Float) * (temperature * temperature));
        divisors += divisor;
        images += classes.len() as f64;
    }
    let sum = |parts: &[Tensor]| Tensor::stack(parts, 0).sum(Kind::Float);
    let loss = sum(&labels) * ((1.0 - weight) / divisors) + sum(&following) * (weight / images);
    let parameters: Vec<Tensor> =
        trainer.network.parameters().into_iter().map(|(_, parameter)| parameter).collect();
    Tensor::run_backward(&[loss], &parameters, false, false)
}

#[test]
fn a_step_is_that_of_the_formula() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    // Another seed, another teacher.
    let teacher = trainer(&data, &["seed=7"]);
    let path = place.path().join("teacher.pt");
    teacher.snapshot().unwrap().save(&path).unwrap();
    let distillation = format!(
        "training.distillation={{teacher: {}, temperature: 2.0, weight: 0.3}}",
        path.to_str().unwrap()
    );
    // Nine images, one step: batches of 4, 4 and 1.
    let sets = [
        "training.batch_size=4",
        "training.gradient_accumulation_steps=3",
        "optimizer={name: sgd, lr: 0.5, momentum: 0.0}",
        &distillation,
    ];
    let mut student = trainer(&data, &sets);
    assert!(student.teacher().unwrap().description().starts_with("tiny_net of "));
    let before: Vec<Tensor> = student.network.parameters().iter().map(|(_, p)| p.detach().copy()).collect();
    let grads = expected(&student, &teacher, 0.3, 2.0);
    let mut batches = student.train_loader.epoch(0, 0).into();
    let mut running = MetricAccumulator::new(Device::Cpu);
    student.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
    let after = student.network.parameters();
    for ((name, after), (before, grad)) in after.iter().zip(before.iter().zip(&grads)) {
        let expected: Tensor = before - grad * 0.5;
        let difference = (after.detach() - &expected).abs().max().double_value(&[]);
        // The teacher's batch norms are folded into its convolutions: some roundings of float32.
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}
