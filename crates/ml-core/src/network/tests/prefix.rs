//! A network in two parts, the frozen layers in front and the rest, gives what it gives as a whole.

use super::*;
use crate::device::{Compute, MemoryFormat, Precision};
use crate::network::tests::transformers::{small, small_vit};
use crate::network::{Input, NoPrefix, Prefix, swin};

fn prefix(network: &Network, side: i64, train: bool, compute: &Compute) -> Result<Prefix, NoPrefix> {
    network.frozen_prefix([3, side, side], train, compute).unwrap()
}

/// Logits and the gradients that they lead to, in training.
fn step(network: &Network, input: Input<'_>, compute: &Compute) -> Vec<Tensor> {
    network.parameters().iter_mut().for_each(|(_, parameter)| parameter.zero_grad());
    torch_ext::manual_seed(5).unwrap();
    let outputs = network.train_outputs(input, compute).unwrap();
    assert!(outputs.auxiliary.is_empty());
    outputs.logits.square().sum(Kind::Float).backward();
    let gradients = network.parameters().into_iter().map(|(_, parameter)| parameter.grad());
    let gradients = gradients.filter(Tensor::defined).map(|gradient| gradient.copy());
    std::iter::once(outputs.logits.detach()).chain(gradients).collect()
}

/// The parts one after another give the bits of the whole, in evaluation and in training. Gives the
/// prefixes of both.
fn parts_equal_the_whole(
    name: &str,
    network: &Network,
    side: i64,
    compute: &Compute,
) -> [Result<Prefix, NoPrefix>; 2] {
    let images = image(3, side);
    let buffers = || -> Vec<Tensor> { network.buffers().iter().map(|(_, buffer)| buffer.copy()).collect() };
    [false, true].map(|train| {
        let before = buffers();
        let prefix = prefix(network, side, train, compute)?;
        assert_eq!(buffers(), before, "{name}: the search changes statistics");
        let rows = network.features(&images, &prefix, compute).unwrap();
        assert_eq!(rows.size(), [3, prefix.num_features() as i64], "{name}");
        assert_eq!(rows.kind(), prefix.kind(), "{name}");
        // As they come from a table.
        let rows = rows.index_select(0, &Tensor::from_slice(&[0i64, 1, 2]));
        if train {
            assert_eq!(
                step(network, Input::Features(&rows, &prefix), compute),
                step(network, Input::Images(&images), compute),
                "{name}"
            );
        } else {
            assert_eq!(
                network.logits(Input::Features(&rows, &prefix), compute).unwrap(),
                network.logits(&images, compute).unwrap(),
                "{name}"
            );
        }
        Ok(prefix)
    })
}

#[test]
fn a_frozen_backbone_and_its_head_give_the_bits_of_the_whole_network() {
    let _generator = generator();
    let compute = Compute::fp32(Device::Cpu);
    for architecture in LIGHT {
        let (name, side) = (architecture.name(), architecture.reference_size());
        let network = Network::new(architecture, 5, 1, Device::Cpu);
        network.freeze(&Freeze::Backbone).unwrap();
        let [eval, train] = parts_equal_the_whole(name, &network, side, &compute);
        let eval = eval.unwrap();
        let width = network.num_features().unwrap() as usize;
        match name {
            // Frozen too: hidden layers of the classifier, and norms in front of it.
            "alexnet" | "vgg11" => assert_eq!(eval.shape(), [4096], "{name}"),
            "mobilenet_v3_small" => assert_eq!(eval.shape(), [1024], "{name}"),
            "squeezenet1_1" => assert_eq!(eval.shape()[0], 512, "{name}"),
            _ => assert_eq!(eval.num_features(), width, "{name}"),
        }
        match (name, train) {
            ("googlenet" | "inception_v3", train) => assert_eq!(train, Err(NoPrefix::Auxiliary)),
            // Stochastic depth; dropout of the classifier, of which only the head is behind.
            (
                "efficientnet_b0" | "efficientnet_v2_s" | "convnext_tiny" | "maxvit_t" | "swin_v2_t"
                | "alexnet" | "vgg11",
                train,
            ) => {
                assert!(train.unwrap().num_layers() < eval.num_layers(), "{name}");
            }
            (_, train) => assert_eq!(train.unwrap().shape(), eval.shape(), "{name}"),
        }
    }
}

#[test]
fn layers_frozen_up_to_any_parameter_give_the_bits_of_the_whole_network() {
    let _generator = generator();
    let compute = Compute::fp32(Device::Cpu);
    for architecture in [
        Architecture::Resnet18,
        Architecture::Densenet121,
        Architecture::MobilenetV2,
        Architecture::EfficientnetB0,
        Architecture::Mnasnet05,
        Architecture::ShufflenetV2x05,
        Architecture::SwinV2T,
    ] {
        let (name, side) = (architecture.name(), architecture.reference_size());
        let network = Network::new(architecture, 5, 1, Device::Cpu);
        let parameters = network.parameters();
        let mut last = 0;
        for place in [parameters.len() / 3, parameters.len() / 2, parameters.len() - 4] {
            network.freeze(&Freeze::Until(parameters[place].0.clone())).unwrap();
            let [eval, train] = parts_equal_the_whole(name, &network, side, &compute);
            let (eval, train) = (eval.unwrap().num_layers(), train.unwrap().num_layers());
            assert!(train <= eval && last <= eval, "{name}");
            last = eval;
        }
        network.freeze(&Freeze::None).unwrap();
        for train in [false, true] {
            assert_eq!(prefix(&network, side, train, &compute), Err(NoPrefix::Trained), "{name}");
        }
    }
}

#[test]
fn transformers_are_cut_between_their_blocks_and_behind_the_class_token() {
    let _generator = generator();
    let compute = Compute::fp32(Device::Cpu);
    let vit = small_vit(32);
    vit.freeze(&"until:encoder.layers.encoder_layer_1".parse().unwrap()).unwrap();
    let [eval, train] = parts_equal_the_whole("vit", &vit, 32, &compute);
    // Tokens in front of the second block; dropout of the embedding is in front of the first.
    assert_eq!(eval.unwrap().shape(), [17, 16]);
    assert_eq!(train.unwrap().num_layers(), 1);
    vit.freeze(&Freeze::Backbone).unwrap();
    let [eval, _] = parts_equal_the_whole("vit", &vit, 32, &compute);
    assert_eq!(eval.unwrap().shape(), [16]);
    let spec = NetworkSpec { drop_path: Some(0.0), ..NetworkSpec::from(5) };
    let swin = small(spec, |scope, spec| swin::build(scope, spec, &swin::SWIN_T));
    swin.freeze(&"until:features.5.3".parse().unwrap()).unwrap();
    let [eval, train] = parts_equal_the_whole("swin", &swin, 64, &compute);
    assert_eq!(eval.unwrap().shape(), [4, 4, 384]);
    assert_eq!(train.unwrap().shape(), [4, 4, 384]);
}

#[test]
fn features_keep_their_memory_format_and_number_format() {
    let _generator = generator();
    let network = Network::new(Architecture::Resnet18, 5, 1, Device::Cpu);
    network.to_channels_last().unwrap();
    network.freeze(&"until:layer4".parse().unwrap()).unwrap();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let compute =
            Compute { precision, memory_format: MemoryFormat::ChannelsLast, ..Compute::fp32(Device::Cpu) };
        let [eval, train] = parts_equal_the_whole("resnet18", &network, 64, &compute);
        let (eval, train) = (eval.unwrap(), train.unwrap());
        assert_eq!(eval.kind(), precision.autocast().unwrap_or(Kind::Float));
        assert_eq!((eval.shape(), train.shape()), (&[256, 4, 4][..], &[256, 4, 4][..]));
        assert_eq!(eval.bytes(), 4096 * eval.kind().elt_size_in_bytes());
    }
}

#[test]
fn a_copy_has_an_equal_frozen_part_until_it_is_changed_there() {
    let network = Network::new(Architecture::TinyNet, 5, 1, Device::Cpu);
    network.freeze(&"until:features.2".parse().unwrap()).unwrap();
    let copy = network.deep_copy().unwrap();
    let changed = |name: &str| {
        let (_, tensor) = copy.state_dict().into_iter().find(|(known, _)| known == name).unwrap();
        tch::no_grad(|| drop(tensor.shallow_clone().g_add_scalar_(1.0)));
        !network.frozen_part_equals(&copy)
    };
    assert!(!changed("classifier.weight"));
    assert!(!changed("features.2.bn.running_mean"));
    assert!(changed("features.1.bn.running_mean"));
    let copy = network.deep_copy().unwrap();
    assert!(network.frozen_part_equals(&copy));
}
