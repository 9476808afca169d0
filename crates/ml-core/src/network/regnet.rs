//! `RegNets` (Radosavovic et al. 2020, arXiv:2003.13678) as torchvision builds them: X of grouped
//! bottlenecks, Y with squeeze and excitation in them.
//!
//! The paper's formula gives a width to each block from four numbers (initial width, slope, step,
//! depth); what it gives, after rounding to whole groups, is written out here.

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{
    Activation, Conv2d, ConvNorm, GlobalAveragePool, Layer, Linear, Sequential, SqueezeExcitation,
};
use super::model::Model;
use super::state::Scope;

/// A variant: blocks and channels of each of the four stages, which all begin with stride 2.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    depths: [i64; 4],
    widths: [i64; 4],
    /// Channels of a group of the 3×3 convolutions; a narrower stage has one group.
    group: i64,
    /// Whether blocks have squeeze and excitation.
    squeeze: bool,
}

const fn x(depths: [i64; 4], widths: [i64; 4], group: i64) -> Variant {
    Variant { depths, widths, group, squeeze: false }
}

const fn y(depths: [i64; 4], widths: [i64; 4], group: i64) -> Variant {
    Variant { depths, widths, group, squeeze: true }
}

/// `regnet_x_400mf`
pub const X_400MF: Variant = x([1, 2, 7, 12], [32, 64, 160, 400], 16);
/// `regnet_x_800mf`
pub const X_800MF: Variant = x([1, 3, 7, 5], [64, 128, 288, 672], 16);
/// `regnet_x_1_6gf`
pub const X_1_6GF: Variant = x([2, 4, 10, 2], [72, 168, 408, 912], 24);
/// `regnet_x_3_2gf`
pub const X_3_2GF: Variant = x([2, 6, 15, 2], [96, 192, 432, 1008], 48);
/// `regnet_x_8gf`
pub const X_8GF: Variant = x([2, 5, 15, 1], [80, 240, 720, 1920], 120);
/// `regnet_x_16gf`
pub const X_16GF: Variant = x([2, 6, 13, 1], [256, 512, 896, 2048], 128);
/// `regnet_x_32gf`
pub const X_32GF: Variant = x([2, 7, 13, 1], [336, 672, 1344, 2520], 168);
/// `regnet_y_400mf`
pub const Y_400MF: Variant = y([1, 3, 6, 6], [48, 104, 208, 440], 8);
/// `regnet_y_800mf`
pub const Y_800MF: Variant = y([1, 3, 8, 2], [64, 144, 320, 784], 16);
/// `regnet_y_1_6gf`
pub const Y_1_6GF: Variant = y([2, 6, 17, 2], [48, 120, 336, 888], 24);
/// `regnet_y_3_2gf`
pub const Y_3_2GF: Variant = y([2, 5, 13, 1], [72, 216, 576, 1512], 24);
/// `regnet_y_8gf`
pub const Y_8GF: Variant = y([2, 4, 10, 1], [224, 448, 896, 2016], 56);
/// `regnet_y_16gf`
pub const Y_16GF: Variant = y([2, 4, 11, 1], [224, 448, 1232, 3024], 112);
/// `regnet_y_32gf`
pub const Y_32GF: Variant = y([2, 5, 12, 1], [232, 696, 1392, 3712], 232);
/// `regnet_y_128gf`
pub const Y_128GF: Variant = y([2, 7, 17, 1], [528, 1056, 2904, 7392], 264);

/// Channels after the first convolution.
const STEM: i64 = 32;

/// Builds a variant.
pub fn build(root: &Scope, spec: &NetworkSpec, variant: &Variant) -> Model {
    let mut layers = Sequential::default();
    let stem = ConvNorm::new(Conv2d::same(3).stride(2), Activation::Relu);
    layers.push(stem.build(&root.sub("stem"), (spec.in_channels, STEM)));
    let mut channels = STEM;
    for (number, (depth, width)) in (1..).zip(variant.depths.into_iter().zip(variant.widths)) {
        let scope = root.sub("trunk_output").sub(format!("block{number}"));
        for index in 0..depth {
            let stride = if index == 0 { 2 } else { 1 };
            let scope = scope.sub(format!("block{number}-{index}"));
            layers.push(Residual::new(&scope, variant, (channels, width), stride));
            channels = width;
        }
    }
    let head = Linear::new(&root.sub("fc").head(), channels, spec.num_classes);
    // Biases of squeeze and excitation stay as they were drawn first.
    root.redraw(|name, shape| match *shape {
        // √(2 / fan_out) in one step, unlike PyTorch's function, so that the last bit agrees.
        [output, _, height, width] => Some(Init::Normal((2.0 / (height * width * output) as f64).sqrt())),
        [_, _] => Some(Init::Normal(0.01)),
        _ => (name == "fc.bias").then_some(Init::ZEROS),
    });
    Model::new(layers, GlobalAveragePool, head, channels)
}

/// relu(branch(x) + shortcut(x)), the branch a bottleneck as wide inside as at its end.
#[derive(Debug)]
struct Residual {
    projection: Option<Sequential>,
    branch: Sequential,
}

impl Residual {
    fn new(scope: &Scope, variant: &Variant, (input, width): (i64, i64), stride: i64) -> Residual {
        let unit = |conv| ConvNorm::new(conv, Activation::Relu);
        let linear = |conv| ConvNorm { activation: None, ..unit(conv) };
        let groups = width / variant.group.min(width);
        let projection = (stride != 1 || input != width)
            .then(|| linear(Conv2d::square(1).stride(stride)).build(&scope.sub("proj"), (input, width)));
        let scope = scope.sub("f");
        let mut branch = Sequential::default();
        branch.push(unit(Conv2d::square(1)).build(&scope.sub("a"), (input, width)));
        let spatial = Conv2d::same(3).stride(stride).groups(groups);
        branch.push(unit(spatial).build(&scope.sub("b"), (width, width)));
        if variant.squeeze {
            let (activation, gate) = (Activation::Relu, Activation::Sigmoid);
            branch.push(SqueezeExcitation::new(&scope.sub("se"), width, input / 4, activation, gate));
        }
        branch.push(linear(Conv2d::square(1)).build(&scope.sub("c"), (width, width)));
        Residual { projection, branch }
    }
}

impl Layer for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let shortcut = match &self.projection {
            Some(projection) => projection.forward_t(input, train),
            None => input.shallow_clone(),
        };
        // In place: nothing else needs the branch's output.
        self.branch.forward_to_sum(input, &shortcut, true, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        let projection = self.projection.iter_mut().map(|layers| layers as &mut dyn Layer);
        projection.chain([&mut self.branch as &mut dyn Layer]).collect()
    }
}
