//! A backward pass that computes blocks anew gives the bits of one that has kept them.

use super::*;
use crate::device::{Compute, MemoryFormat, Precision};
use crate::network::Input;
use crate::network::tests::transformers::{small_swin_v2, small_vit};

/// Logits, gradients and running statistics of a step, and what is drawn after it. Statistics are
/// then what they were.
fn step(network: &Network, images: &Tensor, compute: &Compute, checkpointing: bool) -> Vec<Tensor> {
    let parameters: Vec<Tensor> = network.parameters().into_iter().map(|(_, one)| one).collect();
    torch_ext::clear_grads(&parameters).unwrap();
    let statistics = network.copy_statistics().unwrap();
    torch_ext::manual_seed(5).unwrap();
    let pass = network.train_pass(Input::Images(images), compute, checkpointing).unwrap();
    let [logits, embedding] =
        [&pass.outputs.logits, pass.outputs.embedding.as_ref().unwrap()].map(Tensor::detach);
    let drawn = Tensor::rand([3], (Kind::Float, Device::Cpu));
    let mut loss = pass.outputs.logits.square().sum(Kind::Float);
    loss += pass.outputs.embedding.as_ref().unwrap().square().mean(Kind::Float);
    pass.backward(&loss).unwrap();
    let gradients = parameters.iter().map(Tensor::grad).filter(Tensor::defined);
    let gradients: Vec<Tensor> = gradients.map(|gradient| gradient.copy()).collect();
    let after: Vec<Tensor> = network.buffers().iter().map(|(_, buffer)| buffer.copy()).collect();
    statistics.put_back().unwrap();
    [vec![logits, embedding, drawn], gradients, after].into_iter().flatten().collect()
}

fn same_bits(name: &str, network: &Network, side: i64, compute: &Compute) {
    if compute.is_channels_last() {
        network.to_channels_last().unwrap();
    }
    let images = image(3, side);
    let [whole, again] = [false, true].map(|on| step(network, &images, compute, on));
    assert_eq!(whole.len(), again.len(), "{name}");
    for (number, (one, other)) in whole.iter().zip(&again).enumerate() {
        assert!(one.equal(other), "{name}, {compute:?}: tensor {number} of {}", whole.len());
    }
}

const FP32: Compute =
    Compute { device: Device::Cpu, precision: Precision::Fp32, memory_format: MemoryFormat::Contiguous };
const BF16: Compute =
    Compute { precision: Precision::Bf16, memory_format: MemoryFormat::ChannelsLast, ..FP32 };

#[test]
fn a_network_of_each_family_has_the_same_gradients_and_statistics() {
    let _generator = generator();
    for architecture in LIGHT {
        let (name, side) = (architecture.name(), architecture.reference_size());
        let network = Network::new(architecture, 5, 1, Device::Cpu);
        assert_eq!(network.model().unwrap().cuts().is_empty(), architecture.has_auxiliary_heads(), "{name}");
        same_bits(name, &network, side, &FP32);
    }
    same_bits("vit", &small_vit(32), 32, &FP32);
    same_bits("swin_v2", &small_swin_v2(), 32, &FP32);
}

#[test]
fn so_they_have_in_bf16_with_channels_last_and_with_frozen_layers() {
    let _generator = generator();
    for architecture in [Architecture::Resnet18Cifar, Architecture::EfficientnetB0, Architecture::Resnet20] {
        let (name, side) = (architecture.name(), architecture.reference_size());
        let network = Network::new(architecture, 5, 1, Device::Cpu);
        same_bits(name, &network, side, &BF16);
        let parameters = network.parameters();
        network.freeze(&Freeze::Until(parameters[parameters.len() / 2].0.clone())).unwrap();
        same_bits(name, &network, side, &FP32);
        network.freeze(&Freeze::Backbone).unwrap();
        same_bits(name, &network, side, &FP32);
    }
    same_bits("vit", &small_vit(32), 32, &BF16);
}

#[test]
fn features_that_were_kept_are_continued_in_segments() {
    let _generator = generator();
    let network = Network::new(Architecture::Resnet18, 5, 1, Device::Cpu);
    let place = network.parameters().len() / 2;
    network.freeze(&Freeze::Until(network.parameters()[place].0.clone())).unwrap();
    let prefix = network.frozen_prefix([3, 64, 64], true, &FP32).unwrap().unwrap();
    let rows = network.features(&image(3, 64), &prefix, &FP32).unwrap();
    let parameters: Vec<Tensor> = network.parameters().into_iter().map(|(_, one)| one).collect();
    let [whole, again] = [false, true].map(|on| {
        torch_ext::clear_grads(&parameters).unwrap();
        let pass = network.train_pass(Input::Features(&rows, &prefix), &FP32, on).unwrap();
        let loss = pass.outputs.logits.square().sum(Kind::Float);
        pass.backward(&loss).unwrap();
        let gradients = parameters.iter().map(Tensor::grad).filter(Tensor::defined);
        gradients.map(|gradient| gradient.copy()).collect::<Vec<Tensor>>()
    });
    assert!(!whole.is_empty() && whole == again);
}

#[test]
fn cuts_are_behind_blocks_and_poolings_and_not_behind_the_last() {
    let cuts = |architecture| {
        let network = Network::uninitialised(architecture, 5, Device::Cpu);
        let model = network.model().unwrap();
        (model.cuts(), model.layers().len())
    };
    // conv1, bn1, ReLU, max pooling; eight blocks; pooling, head.
    assert_eq!(cuts(Architecture::Resnet18), ((4..12).collect(), 14));
    // prep, layer1 and its pooling, residual, layer2 and its pooling, layer3 and its pooling, residual.
    assert_eq!(cuts(Architecture::Resnet9).0, [3, 7, 8, 12, 16]);
    // Each stage with the pooling behind it.
    assert_eq!(cuts(Architecture::Alexnet).0, [3, 6]);
    assert_eq!(cuts(Architecture::TinyNet).0, [4]);
    let blocks = cuts(Architecture::EfficientnetB0).0.len();
    assert_eq!(blocks, 17, "behind the stem and all 16 blocks");
}

#[test]
fn blocks_that_are_computed_anew_are_not_kept() {
    let _generator = generator();
    let network = Network::new(Architecture::Resnet56, 5, 1, Device::Cpu);
    let images = image(16, 32);
    let peak = |checkpointing: bool| {
        let recorded = torch_ext::record_memory(|| drop(step(&network, &images, &FP32, checkpointing)));
        let (mut used, mut peak) = (0, 0);
        for event in recorded.unwrap().1 {
            used += event.bytes;
            peak = peak.max(used);
        }
        peak
    };
    // What the first step prepares is not measured.
    peak(false);
    let (whole, segments) = (peak(false), peak(true));
    assert!(segments * 2 < whole, "{segments} and {whole} bytes");
}
