//! Steps whose backward pass computes blocks anew train to the same bits.

use super::*;
use crate::network::tests::transformers::small_vit;
use crate::optimizer::Optimizer;

const ON: &str = "training.gradient_checkpointing=true";
const SIZE: &str =
    "transforms={train: {resize: [32, 32]}, val: {resize: [32, 32]}, test: {resize: [32, 32]}}";

/// Weights, running statistics and the optimizer's state after three steps.
fn trained(trainer: &mut Trainer) -> Vec<(String, Tensor)> {
    let mut running = MetricAccumulator::new(Device::Cpu);
    let mut batches = trainer.train_loader.epoch(0, 0).into();
    for _ in 0..3 {
        let stepped = trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap();
        assert!(matches!(stepped, Some(Stepped::Done(1))));
    }
    let mut all = trainer.network.state_dict();
    all.extend(trainer.optimizer.tensors());
    let sums = running.sums().unwrap();
    all.push(("loss".to_owned(), Tensor::from(sums.loss_sum)));
    all.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

fn assert_same(name: &str, one: &[(String, Tensor)], other: &[(String, Tensor)]) {
    assert_eq!(one.len(), other.len());
    for ((key, one), (_, other)) in one.iter().zip(other) {
        assert!(one.equal(other), "{name}: {key}");
    }
}

#[test]
fn three_steps_are_those_without_it() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    for network in ["resnet20", "efficientnet_b0", "simple_cnn"] {
        let own = format!("model.architecture={network}");
        let sam = "training.sam={rho: 0.1}";
        for more in [&["training.max_grad_norm=null"][..], &["training.max_grad_norm=0.5"], &[sam]] {
            let base = [own.as_str(), SIZE];
            let mut plain = trainer(&data, &[&base[..], more].concat());
            let mut checkpointed = trainer(&data, &[&base[..], &[ON], more].concat());
            assert_same(network, &trained(&mut plain), &trained(&mut checkpointed));
        }
    }
}

#[test]
fn three_steps_of_a_vision_transformer_with_dropout_are_those_without_it() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let of_vit = |more: &[&str]| {
        let base = ["training.ema=null", "loss.class_weights=none", SIZE];
        let mut trainer = trainer(&data, &[&base[..], more].concat());
        trainer.network = small_vit(32);
        trainer.optimizer = Optimizer::of_network(&trainer.config.optimizer, &trainer.network).unwrap();
        trained(&mut trainer)
    };
    assert_same("vit", &of_vit(&[]), &of_vit(&[ON]));
}

#[test]
fn accumulated_batches_and_bf16_change_nothing_in_that() {
    let _generator = generator();
    let place = tempfile::tempdir().unwrap();
    let data = data(place.path());
    let dataset = Dataset::open(&data, &crate::dataset::OpenOptions::default()).unwrap();
    let compute = Compute { precision: Precision::Bf16, ..Compute::fp32(Device::Cpu) };
    let states = [false, true].map(|on| {
        let on = format!("training.gradient_checkpointing={on}");
        let own = ["training.batch_size=2", "training.gradient_accumulation_steps=2", SIZE];
        let more = [&own[..], &["model.architecture=resnet20", on.as_str()]].concat();
        let mut trainer = Trainer::new(&config(&data, &more), &dataset, compute, None).unwrap();
        let mut running = MetricAccumulator::new(Device::Cpu);
        let mut batches = trainer.train_loader.epoch(0, 0).into();
        while trainer.train_step(&mut batches, &mut running, Wish::default()).unwrap().is_some() {}
        assert_eq!(trainer.state.step, 3);
        let state = trainer.network.state_dict().into_iter();
        state.map(|(name, tensor)| (name, tensor.detach().copy())).collect::<Vec<_>>()
    });
    assert_same("resnet20", &states[0], &states[1]);
}
