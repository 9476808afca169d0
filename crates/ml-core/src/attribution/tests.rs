//! Heatmaps beside those of the Python package, and of every network.

use std::collections::BTreeMap;

use serde::Deserialize;
use tch::Device;

use super::*;
use crate::device::{MemoryFormat, Precision};
use crate::network::tests::LIGHT;
use crate::network::tests::compare::move_constant;
use crate::network::tests::transformers::{small_swin_v2, small_vit};
use crate::network::{Architecture, Freeze, Network, NetworkSpec};

const CPU: Compute =
    Compute { device: Device::Cpu, precision: Precision::Fp32, memory_format: MemoryFormat::Contiguous };

/// Of two images: what `gradcam.py` wrote.
#[derive(Deserialize)]
struct Reference {
    size: i64,
    predicted: Vec<i64>,
    classes: Vec<usize>,
    /// (H', W')
    shape: (i64, i64),
    maps: Vec<f32>,
    upsampled: Vec<f32>,
}

/// Of `upsampled`, every so many rows and columns.
const STEP: i64 = 11;

fn references() -> BTreeMap<String, Reference> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/gradcam.json"));
    serde_json::from_str(text).unwrap()
}

/// `gradcam.py`'s: waves in a bright spot that is elsewhere in each of the two.
fn images(side: i64) -> Tensor {
    let places = |count: i64| Tensor::arange(count, (Kind::Double, Device::Cpu));
    let waves = (places(2 * 3 * side * side) / 10.0).sin().view([2, 3, side, side]);
    let place = places(side) / side as f64;
    let spots = [(0.3, 0.65), (0.7, 0.25)].map(|(down, right)| {
        let distance = (&place - down).square().unsqueeze(1) + (&place - right).square().unsqueeze(0);
        (distance * -18.0).exp() * 16.0
    });
    (waves * Tensor::stack(&spots, 0).unsqueeze(1)).to_kind(Kind::Float)
}

/// From seed 7, with all that begins as one value moved, and batch norms that keep what differs
/// from place to place alive.
fn network(name: &str, side: i64) -> Network {
    let network = match name {
        "small vit" => small_vit(side),
        "small swin_v2" => small_swin_v2(),
        _ => {
            let spec = NetworkSpec { image_size: Some((side, side)), ..NetworkSpec::from(10) };
            Network::new(Architecture::from_name(name).unwrap(), spec, 7, Device::Cpu)
        }
    };
    for (name, tensor) in network.state_dict() {
        move_constant(&tensor);
        if name.ends_with("running_var") {
            let _ = tensor.shallow_clone().g_mul_scalar_(0.1);
        }
    }
    network
}

/// float32 over some dozen layers, and ranges down to a sixtieth of what is added up: at most 1e-5 on a
/// processor with AVX-512, as the reference's was, and 8e-4 on one without, which adds in another order.
const TOLERANCE: f64 = 1e-3;

fn largest_difference(one: &Tensor, other: &Tensor) -> f64 {
    (one - other).abs().max().double_value(&[])
}

#[test]
fn heatmaps_are_those_of_the_package_grad_cam() {
    for (name, reference) in references() {
        let network = network(&name, reference.size);
        let found = grad_cam(&network, &images(reference.size), Some(&reference.classes), &CPU).unwrap();
        let predicted = Vec::<i64>::try_from(found.logits.argmax(1, false)).unwrap();
        assert_eq!(predicted, reference.predicted, "{name}");
        let (height, width) = reference.shape;
        let expected = Tensor::from_slice(&reference.maps).view([2, height, width]);
        let difference = largest_difference(&found.maps, &expected);
        assert!(difference <= TOLERANCE, "{name}: {difference}");
        let upsampled = found.upsampled((reference.size, reference.size)).unwrap();
        let sampled = upsampled.slice(1, None, None, STEP).slice(2, None, None, STEP);
        let expected = Tensor::from_slice(&reference.upsampled).view_as(&sampled);
        let difference = largest_difference(&sampled, &expected);
        assert!(difference <= TOLERANCE, "{name}, upsampled: {difference}");
    }
}

#[test]
fn neither_frozen_parameters_nor_folded_norms_nor_the_batch_change_a_heatmap() {
    let (name, side) = ("resnet18", 96);
    let network = network(name, side);
    let images = images(side);
    let expected = grad_cam(&network, &images, Some(&[3, 8]), &CPU).unwrap();
    assert!(network.parameters().iter().all(|(_, parameter)| !parameter.grad().defined()));
    network.freeze(&Freeze::Backbone).unwrap();
    let same = |network: &dyn Classifier| {
        for (place, class) in [(0, 3), (1, 8)] {
            let found = tch::no_grad(|| grad_cam(network, &images.narrow(0, place, 1), Some(&[class]), &CPU));
            let found = found.unwrap();
            assert!(largest_difference(&found.maps, &expected.maps.narrow(0, place, 1)) <= 1e-4);
            assert_eq!(found.layer, "layer4");
        }
    };
    same(&network);
    same(&network.prepare(&CPU).unwrap());
}

#[test]
fn the_predicted_class_is_explained_where_none_is_given() {
    let network = network("mobilenet_v3_small", 64);
    let found = grad_cam(&network, &images(64), None, &CPU).unwrap();
    assert_eq!(found.classes, found.logits.argmax(1, false));
    let classes: Vec<usize> =
        Vec::<i64>::try_from(&found.classes).unwrap().into_iter().map(|class| class as usize).collect();
    let given = grad_cam(&network, &images(64), Some(&classes), &CPU).unwrap();
    assert_eq!(found.maps, given.maps);
    assert!(!found.logits.requires_grad() && !found.maps.requires_grad());
}

#[test]
fn what_cannot_be_explained_is_said() {
    let network = network("tiny_net", 16);
    let explain =
        |classes: &[usize]| grad_cam(&network, &images(16), Some(classes), &CPU).unwrap_err().to_string();
    assert_eq!(
        explain(&[1]),
        "one class is needed for each of 2 images, or none for those predicted; found 1"
    );
    assert_eq!(explain(&[1, 10]), "there is no class 10: the model outputs 10 logits, counted from 0");
    assert!(explain(&[usize::MAX, 0]).contains("there is no class"));
}

#[test]
fn a_map_without_differences_is_zero_and_what_is_no_number_counts_as_zero() {
    let maps = |values: &[f32]| scaled(&Tensor::from_slice(values).view([1, 2, 2]).nan_to_num(0.0, 0.0, 0.0));
    assert_eq!(maps(&[0.0; 4]), Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu)));
    assert_eq!(maps(&[3.0; 4]), Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu)));
    let features = Tensor::from_slice(&[f32::NAN, 1.0, 2.0, f32::INFINITY]).view([1, 1, 2, 2]);
    let found = weighed(&features, &features.ones_like());
    assert_eq!(Vec::<f32>::try_from(found.flatten(0, -1)).unwrap(), [0.0, 0.5, 1.0, 0.0]);
    // A place alone has no differences.
    let network = network("resnet18", 32);
    let found = grad_cam(&network, &images(32), None, &CPU).unwrap();
    assert_eq!(found.maps, Tensor::zeros([2, 1, 1], (Kind::Float, Device::Cpu)));
    let upsampled = found.upsampled((32, 32)).unwrap();
    assert_eq!(upsampled, Tensor::zeros([2, 32, 32], (Kind::Float, Device::Cpu)));
}

/// Finite, from 0 to 1, and of the image's size once it is upsampled.
fn has_a_heatmap(name: &str, network: &Network, side: i64, compute: &Compute) {
    let images = images(side);
    let found = grad_cam(network, &images, None, compute).unwrap();
    let [2, height, width] = *found.maps.size() else { panic!("{name}: {:?}", found.maps) };
    assert!(height == width && (1..side).contains(&height), "{name}: {height} x {width}");
    let upsampled = found.upsampled((side, side)).unwrap();
    assert_eq!(upsampled.size(), [2, side, side], "{name}");
    for maps in [found.maps, upsampled] {
        assert_eq!(maps.kind(), Kind::Float, "{name}");
        assert!(bool::try_from(maps.isfinite().all()).unwrap(), "{name}");
        assert!(maps.min().double_value(&[]) >= 0.0 && maps.max().double_value(&[]) <= 1.0, "{name}");
    }
    assert!(!found.layer.is_empty());
}

#[test]
fn every_family_has_heatmaps() {
    for architecture in LIGHT.into_iter().chain([Architecture::SimpleCnn, Architecture::TinyNet]) {
        let (name, side) = (architecture.name(), architecture.reference_size());
        has_a_heatmap(name, &network(name, side), side, &CPU);
    }
    for (name, side) in [("small vit", 48), ("small swin_v2", 64)] {
        has_a_heatmap(name, &network(name, side), side, &CPU);
    }
}

#[test]
fn heatmaps_can_be_had_in_bf16_and_with_channels_innermost() {
    let bf16 = Compute { precision: Precision::Bf16, memory_format: MemoryFormat::ChannelsLast, ..CPU };
    for (name, side) in [("resnet18", 96), ("convnext_tiny", 96), ("small vit", 48), ("small swin_v2", 64)] {
        has_a_heatmap(name, &network(name, side), side, &bf16);
        let expected = grad_cam(&network(name, side), &images(side), Some(&[3, 2]), &CPU).unwrap();
        let prepared = network(name, side).prepare(&bf16).unwrap();
        let found = grad_cam(&prepared, &images(side), Some(&[3, 2]), &bf16).unwrap();
        let difference = largest_difference(&found.maps, &expected.maps);
        // Eight bits of mantissa in what is added up, whose range is smaller.
        assert!(difference <= 0.2, "{name}: {difference}");
    }
}

#[test]
#[ignore = "minutes, and 15 GB of memory; part of `cargo xtask reference --all`"]
fn every_network_has_heatmaps() {
    for architecture in Architecture::ALL.iter().copied() {
        let (name, side) = (architecture.name(), architecture.reference_size());
        has_a_heatmap(name, &network(name, side), side, &CPU);
    }
}
