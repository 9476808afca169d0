//! Networks made ready for evaluation against the same as they are.

use tch::{Device, Kind, Tensor};

use super::formats::SMALL;
use super::{Architecture, LIGHT, Network, NetworkSpec, image};
use crate::device::{Compute, MemoryFormat, Precision};
use crate::network::{Classifier, Module, ModuleKind};

/// A network whose norms have been somewhere: weights, biases and statistics as training leaves
/// them, by a formula.
fn trained(architecture: Architecture, side: i64) -> Network {
    let spec = NetworkSpec { image_size: Some((side, side)), ..NetworkSpec::from(10) };
    let network = Network::new(architecture, spec, 7, Device::Cpu);
    for module in network.modules().into_iter().filter(|module| module.kind() == ModuleKind::BatchNorm2d) {
        for (name, tensor) in module.parameters().chain(module.buffers()) {
            if tensor.is_floating_point() {
                let wave = Tensor::arange(tensor.numel() as i64, (Kind::Float, Device::Cpu)).sin();
                let values = match name.rsplit('.').next() {
                    Some("weight") => 1.0 + wave * 0.3,
                    Some("running_var") => (wave * 0.5).exp(),
                    _ => wave * 0.1,
                };
                tch::no_grad(|| tensor.shallow_clone().copy_(&values));
            }
        }
    }
    network
}

/// Batch norms, and those of them that follow no convolution.
fn batch_norms(network: &Network) -> (usize, usize) {
    let is_before = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_densenet = name.starts_with("features.") && ["norm", "norm1", "norm5"].contains(&last);
        is_densenet || last == "pre_norm" || name.starts_with("aux") || name.starts_with("AuxLogits")
    };
    let modules = network.modules().into_iter();
    let norms: Vec<&str> =
        modules.filter(|module| module.kind() == ModuleKind::BatchNorm2d).map(Module::name).collect();
    (norms.len(), norms.iter().filter(|name| is_before(name)).count())
}

/// Folding leaves no batch norm behind a convolution, and changes logits by less than 1e-5 of the
/// largest.
fn folds(architecture: Architecture) {
    let (name, side) = (architecture.name(), architecture.reference_size());
    let network = trained(architecture, side);
    let (norms, before) = batch_norms(&network);
    for compute in [
        Compute::fp32(Device::Cpu),
        Compute { memory_format: MemoryFormat::ChannelsLast, ..Compute::fp32(Device::Cpu) },
    ] {
        let network = network.deep_copy().unwrap();
        let expected = network.logits(&image(2, side), &Compute::fp32(Device::Cpu)).unwrap();
        let prepared = network.prepare(&compute).unwrap();
        assert_eq!(prepared.num_folded(), norms - before, "{name}");
        let logits = prepared.logits((&image(2, side)).into(), &compute).unwrap();
        // A vision transformer's head begins as zeros.
        let largest = expected.abs().max().double_value(&[]).max(f64::MIN_POSITIVE);
        let apart = (&logits - &expected).abs().max().double_value(&[]) / largest;
        println!("{name}: {} of {norms} batch norms folded, {apart:.1e} apart", prepared.num_folded());
        assert!(apart < 1e-5, "{name}: {apart}");
    }
}

#[test]
fn batch_norms_behind_a_convolution_are_folded_without_changing_logits() {
    LIGHT.into_iter().for_each(folds);
}

#[test]
#[ignore = "minutes: all networks"]
fn batch_norms_of_every_network_are_folded_without_changing_logits() {
    Architecture::ALL.iter().copied().for_each(folds);
}

fn casts_once(architecture: Architecture) {
    let compute = Compute { precision: Precision::Bf16, ..Compute::fp32(Device::Cpu) };
    let (name, side) = (architecture.name(), architecture.reference_size());
    let network = trained(architecture, side);
    let expected = network.logits(&image(2, side), &compute).unwrap();
    let prepared = network.prepare(&compute).unwrap();
    assert_eq!(prepared.num_folded(), 0, "{name}");
    assert_eq!(prepared.logits((&image(2, side)).into(), &compute).unwrap(), expected, "{name}");
}

/// Minutes for all where the processor does not know the format.
#[test]
fn weights_that_are_cast_once_give_the_logits_of_autocast_to_the_bit() {
    SMALL.into_iter().for_each(casts_once);
}

#[test]
#[ignore = "minutes: all families"]
fn weights_of_every_network_are_cast_once_without_changing_logits() {
    LIGHT.into_iter().for_each(casts_once);
}

#[test]
fn a_batch_norm_that_would_make_weights_infinite_is_not_folded() {
    let network = trained(Architecture::TinyNet, 32);
    for (name, tensor) in network.state_dict() {
        if name == "features.0.bn.weight" {
            let _ = tch::no_grad(|| tensor.shallow_clone().fill_(3e38));
        }
        if name == "features.0.conv.weight" {
            let _ = tch::no_grad(|| tensor.shallow_clone().fill_(100.0));
        }
    }
    assert_eq!(network.prepare(&Compute::fp32(Device::Cpu)).unwrap().num_folded(), 2);
}
