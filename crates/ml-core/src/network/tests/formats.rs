//! Networks in other memory layouts and precisions, and training resumed from a saved state.

use tch::{Device, Kind, Tensor};

use super::image;
use crate::network::{Architecture, Network, NetworkSpec};
use crate::optimizer::{Optimizer, OptimizerConfig};
use test_support::generator;

const CLASSES: i64 = 10;

/// Small networks with every kind of layer; the ignored test takes them all.
pub(super) const SMALL: [Architecture; 6] = [
    Architecture::Resnet18Cifar,
    Architecture::Squeezenet11,
    Architecture::ShufflenetV2x05,
    Architecture::MobilenetV3Small,
    Architecture::ConvnextTiny,
    Architecture::SwinV2T,
];

fn network(architecture: Architecture, seed: i64) -> Network {
    let side = architecture.reference_size();
    // Dropout is drawn in the order of memory, which these tests change.
    let spec = NetworkSpec {
        image_size: Some((side, side)),
        dropout: Some(0.0),
        drop_path: Some(0.0),
        ..NetworkSpec::from(CLASSES)
    };
    Network::new(architecture, spec, seed, Device::Cpu)
}

fn optimizer(network: &Network) -> Optimizer {
    let config: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.001, momentum: 0.9}").unwrap();
    Optimizer::new(&config, network.parameters()).unwrap()
}

/// One training step on two images, which draws dropout from this seed.
fn step(network: &Network, optimizer: &mut Optimizer, images: &Tensor, seed: i64) -> f64 {
    let _generator = generator();
    tch::manual_seed(seed);
    let outputs = network.forward_train(images);
    let loss =
        outputs.auxiliary.iter().fold(outputs.logits.square().mean(Kind::Float), |total, (share, logits)| {
            total + logits.square().mean(Kind::Float) * *share
        });
    optimizer.zero_grad().unwrap();
    loss.backward();
    optimizer.step(0.001, None).unwrap();
    loss.double_value(&[])
}

fn evaluate(network: &Network, images: &Tensor) -> Tensor {
    tch::no_grad(|| network.forward_t(images, false))
}

/// The largest difference, in parts of the largest magnitude.
fn apart(got: &Tensor, expected: &Tensor) -> f64 {
    let largest = |tensor: Tensor| tensor.abs().max().to_kind(Kind::Double).double_value(&[]);
    largest(got.to_kind(Kind::Float) - expected) / largest(expected.shallow_clone()).max(1e-12)
}

/// The gradients of the same step in float64.
fn exact_gradients(architecture: Architecture, images: &Tensor) -> Vec<Tensor> {
    let network = network(architecture, 3);
    for (_, mut tensor) in network.state_dict() {
        if tensor.is_floating_point() {
            let double = tensor.detach().to_kind(Kind::Double);
            tensor.set_data(&double);
        }
    }
    step(&network, &mut optimizer(&network), &images.to_kind(Kind::Double), 5);
    network.parameters().iter().map(|(_, parameter)| parameter.grad().to_kind(Kind::Float)).collect()
}

/// Channels innermost in memory change nothing but the order of summing, also in the optimizer's
/// step. One network after another: the largest have gigabytes of parameters.
fn works_in_channels_last(architecture: Architecture) {
    let (name, size) = (architecture.name(), architecture.reference_size());
    // Of two, a norm over one place each makes 1 and -1 whatever they are, as in inception_v3's
    // auxiliary head.
    let images = image(4, size);
    let plain = network(architecture, 3);
    let expected_logits = evaluate(&plain, &images);
    let expected_loss = step(&plain, &mut optimizer(&plain), &images, 5);
    let expected_grads: Vec<Tensor> = plain.parameters().iter().map(|(_, plain)| plain.grad()).collect();
    drop(plain);
    let exact_grads = exact_gradients(architecture, &images);
    let laid_out = network(architecture, 3);
    laid_out.to_channels_last().unwrap();
    let images = torch_ext::channels_last(&images).unwrap();
    let found = apart(&evaluate(&laid_out, &images), &expected_logits);
    assert!(found <= 1e-4, "{name}: {found}");
    let loss = step(&laid_out, &mut optimizer(&laid_out), &images, 5);
    assert!(
        (loss - expected_loss).abs() <= 1e-3 * expected_loss.abs().max(1e-6),
        "{name}: {loss}, {expected_loss} expected"
    );
    let start = network(architecture, 3).parameters();
    let grads = expected_grads.into_iter().zip(exact_grads);
    let both = laid_out.parameters().into_iter().zip(grads).zip(start);
    for (((parameter, got), (plain_grad, exact_grad)), (_, before)) in both {
        assert_eq!(got.stride(), got.zeros_like().stride(), "{name}: {parameter}");
        let stepped = before.detach() - got.grad() * 0.001;
        let found = apart(&got.detach(), &stepped);
        assert!(found <= 1e-5, "{name}: {parameter} is {found} apart from its own step");
        // Statistics of few images amplify the order of summing: to 6e-3 with these networks.
        // Gradients of what a norm takes away again are nothing else, so they are measured by what
        // float32 costs in the other layout.
        let length = |tensor: &Tensor| tensor.norm().double_value(&[]);
        let apart = |grad: &Tensor| length(&(grad - &exact_grad)) / length(&exact_grad).max(1e-12);
        let (found, plain) = (apart(&got.grad()), apart(&plain_grad));
        assert!(
            found <= f64::max(2e-2, 20.0 * plain),
            "{name}: gradients of {parameter} are {found} from float64's, and {plain} in the other layout"
        );
    }
}

/// Logits and a training step under autocast to bf16, beside those in float32.
fn works_in_bf16(architecture: Architecture) {
    let (name, size) = (architecture.name(), architecture.reference_size());
    let network = network(architecture, 3);
    // Scales that begin near zero leave the last norm nothing but roundings to enlarge.
    for (_, scale) in network.parameters().iter().filter(|(name, _)| name.ends_with("layer_scale")) {
        tch::no_grad(|| drop(scale.shallow_clone().fill_(1.0)));
    }
    let images = image(4, size);
    let expected_logits = evaluate(&network, &images);
    let copy = network.deep_copy().unwrap();
    let expected_loss = step(&copy, &mut optimizer(&copy), &images, 5);
    let (logits, loss) = {
        let _autocast = torch_ext::Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        (evaluate(&network, &images), step(&network, &mut optimizer(&network), &images, 5))
    };
    let found = apart(&logits, &expected_logits);
    let lost = (loss - expected_loss).abs() / expected_loss.abs().max(1e-6);
    // 8 bits of mantissa are 4e-3 a rounding, which some dozen layers add up; statistics of four
    // images amplify that in training.
    assert!(found <= 0.1, "{name}: logits are {found} from float32's");
    assert!(lost <= 0.3, "{name}: a loss of {loss}, {expected_loss} in float32");
    for (parameter, tensor) in network.parameters() {
        assert_eq!(tensor.kind(), Kind::Float, "{name}: {parameter}");
    }
}

/// Two steps are one step, saved, loaded into another network, and one more, to the bit.
fn resumes_from_a_saved_state(architecture: Architecture) {
    let images = image(2, architecture.reference_size());
    let whole = network(architecture, 3);
    let mut its_optimizer = optimizer(&whole);
    step(&whole, &mut its_optimizer, &images, 5);
    // Gradients are no part of a state, and the largest networks' take gigabytes.
    its_optimizer.zero_grad().unwrap();
    let half = network(architecture, 4);
    half.load_state_dict(&whole.state_dict()).unwrap();
    let mut other_optimizer = optimizer(&half);
    other_optimizer.load_state_dict(&its_optimizer.state_dict()).unwrap();
    for (network, optimizer) in [(&whole, &mut its_optimizer), (&half, &mut other_optimizer)] {
        step(network, optimizer, &images, 6);
        optimizer.zero_grad().unwrap();
    }
    for ((name, got), (_, expected)) in half.state_dict().iter().zip(whole.state_dict()) {
        assert_eq!(*got, expected, "{}: {name}", architecture.name());
    }
}

#[test]
fn networks_work_with_their_channels_innermost() {
    SMALL.into_iter().for_each(works_in_channels_last);
}

#[test]
fn networks_work_in_bf16() {
    SMALL.into_iter().for_each(works_in_bf16);
}

#[test]
fn networks_resume_from_a_saved_state_to_the_bit() {
    SMALL.into_iter().for_each(resumes_from_a_saved_state);
}

#[test]
#[ignore = "minutes, and 15 GB of memory; part of `cargo xtask reference --all`"]
fn every_network_works_in_other_formats_and_resumes_from_a_saved_state() {
    for &architecture in Architecture::ALL {
        works_in_channels_last(architecture);
        works_in_bf16(architecture);
        resumes_from_a_saved_state(architecture);
    }
}
