//! Sharpness-aware minimisation: the gradient of the weights moved, with the same random numbers; what
//! the first pass alone changes; interruptions.

use super::*;

const SIMPLE: [&str; 2] = ["model.architecture=simple_cnn", "model.dropout=0.4"];

/// An epoch.
fn train(trainer: &mut Trainer) -> MetricAccumulator {
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    while trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().is_some() {}
    running
}

#[test]
fn both_passes_draw_the_same_and_only_the_first_counts() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    // In float32 this is no distance: the second gradient is the first, if dropout is the same.
    let still = ["training.sam={rho: 1.0e-60}"];
    let mut plain = trainer(&data, &SIMPLE);
    let mut sam = trainer(&data, &[&SIMPLE[..], &still].concat());
    let (one, other) = (train(&mut plain).sums().unwrap(), train(&mut sam).sums().unwrap());
    assert_eq!(one, other);
    assert_eq!(tensors(&plain), tensors(&sam), "weights, running statistics, optimizer and average");
}

#[test]
fn both_passes_follow_the_teacher() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let path = place.path().join("teacher.pt");
    trainer(&data, &["seed=7"]).snapshot().unwrap().save(&path).unwrap();
    let distillation = format!("training.distillation={{teacher: {}}}", path.to_str().unwrap());
    let sets = [&SIMPLE[..], &[distillation.as_str()]].concat();
    let mut plain = trainer(&data, &sets);
    let mut sam = trainer(&data, &[&sets[..], &["training.sam={rho: 1.0e-60}"]].concat());
    let (one, other) = (train(&mut plain).sums().unwrap(), train(&mut sam).sums().unwrap());
    assert_eq!(one, other);
    assert_eq!(tensors(&plain), tensors(&sam));
}

#[test]
fn a_step_takes_the_gradient_of_the_weights_that_were_moved() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    for adaptive in [false, true] {
        let sam = format!("training.sam={{rho: 0.3, adaptive: {adaptive}}}");
        let more = ["training.ema=null", "optimizer={name: sgd, lr: 0.5, momentum: 0.0}", sam.as_str()];
        let mut trainer = trainer(&data, &more);
        let parameters: Vec<Tensor> = trainer.network.parameters().into_iter().map(|(_, one)| one).collect();
        let before: Vec<Tensor> = parameters.iter().map(|one| one.detach().copy()).collect();
        let first = expected_step(&trainer, 0..1);
        let moves: Vec<Tensor> = first
            .iter()
            .zip(&before)
            .map(|(grad, weight)| if adaptive { grad * weight } else { grad.shallow_clone() })
            .collect();
        let norm =
            moves.iter().map(|one| one.square().sum(Kind::Double).double_value(&[])).sum::<f64>().sqrt();
        tch::no_grad(|| {
            for ((parameter, by), weight) in parameters.iter().zip(&moves).zip(&before) {
                let by = if adaptive { by * weight } else { by.shallow_clone() };
                let _ = parameter.shallow_clone().g_add_(&(by * (0.3 / norm)));
            }
        });
        let second = expected_step(&trainer, 0..1);
        tch::no_grad(|| {
            for (parameter, weight) in parameters.iter().zip(&before) {
                parameter.shallow_clone().copy_(weight);
            }
        });
        let mut running = MetricAccumulator::new(Device::Cpu);
        let mut batches = trainer.train_loader.epoch(0, 0).into();
        trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
        let mut differs = false;
        for (number, parameter) in parameters.iter().enumerate() {
            let after = |grad: &Tensor| &before[number] - grad * 0.5;
            let difference =
                |expected: &Tensor| (parameter.detach() - expected).abs().max().double_value(&[]);
            let found = difference(&after(&second[number]));
            // Batch norms over three images amplify the last bits of the weights.
            assert!(found < 1e-4, "adaptive {adaptive}, parameter {number}: {found}");
            differs |= difference(&after(&first[number])) > 1e-2;
        }
        assert!(differs, "the plain step is another one");
    }
}

#[test]
fn frozen_layers_take_no_part_and_a_skipped_step_leaves_everything_as_it_was() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let more = ["training.sam={rho: 0.5}", "model.freeze=backbone", "training.divergence.action=skip"];
    let mut trainer = trainer(&data, &more);
    let before = tensors(&trainer);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let poisoned = poison(&trainer);
    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    cure(poisoned);
    assert_eq!(tensors(&trainer), before);
    trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
    let head: Vec<String> = trainer.network.head().map(str::to_owned).collect();
    let state = trainer.network.state_dict();
    for ((name, tensor), (_, before)) in state.iter().zip(&before) {
        assert_eq!(!tensor.equal(before), head.contains(name), "{name}");
    }
}

#[test]
fn an_interrupted_run_ends_like_one_that_was_not() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(&place.path().join("data"));
    let own = ["training.sam={rho: 0.1, adaptive: true}", "training.num_epochs=3"];
    let more = [&SIMPLE[..], &own, &["training.gradient_checkpointing=true"]].concat();
    let stop = super::super::Stop::new(0);
    let whole = Run::claim(&place.path().join("runs"), "whole").unwrap();
    let mut once = trainer(&data, &more);
    assert_eq!(once.fit(&whole, &mut NoReporter, &stop).unwrap().0, Outcome::Completed);
    let cut = Run::claim(&place.path().join("runs"), "cut").unwrap();
    let mut resumed = trainer(&data, &more);
    while resumed.fit(&cut, &mut Prune, &stop).unwrap().0 == Outcome::Interrupted {
        resumed = trainer(&data, &more);
        resumed.restore(&Checkpoint::load(&cut.last_path()).unwrap(), ResumeMode::Exact).unwrap();
    }
    assert_eq!(tensors(&once), tensors(&resumed));
}

#[test]
fn neither_the_second_pass_nor_blocks_that_are_computed_anew_wait_for_the_device() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let mut trainer = trainer(&data, &["training.sam={}", "training.gradient_checkpointing=true"]);
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    let counts = [(); 3].map(|()| {
        let before = torch_ext::host_waits();
        trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().unwrap();
        torch_ext::host_waits() - before
    });
    // The first one makes the optimizer's state, which a skipped step must not leave behind.
    assert_eq!(counts, [2, 1, 1]);
}
