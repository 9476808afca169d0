//! The `ResNets` for CIFAR-10 of He et al. 2016 (arXiv:1512.03385, section 4.2): shortcuts have no
//! parameters (option A). Names of parameters are those of the checkpoints that have been passed
//! around since 2018 (<https://github.com/akamaster/pytorch_resnet_cifar10>).

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{Activation, BatchNorm2d, Conv2d, GlobalAveragePool, Layer, Linear, Sequential};
use super::model::Model;
use super::state::Scope;

/// Channels of the three stages.
const WIDTHS: [i64; 3] = [16, 32, 64];

/// The network of `layers` layers, 6 n + 2: `conv1` and `bn1` of 16 channels; `layer1`, `layer2`
/// and `layer3` of n blocks each, the first block of the latter two halving height and width;
/// global average pooling; `linear`.
///
/// Convolutions and the linear layer's weight begin as He et al.'s (2015), by `fan_in`.
pub fn build(root: &Scope, spec: &NetworkSpec, layers: i64) -> Model {
    let depth = (layers - 2) / 6;
    let mut channels = WIDTHS[0];
    let mut features = Sequential::default();
    features.push(Conv2d::same(3).build(&root.sub("conv1"), (spec.in_channels, channels)));
    features.push(BatchNorm2d::new(&root.sub("bn1"), channels));
    features.push(Activation::Relu);
    for (number, width) in (1..).zip(WIDTHS) {
        let scope = root.sub(format!("layer{number}"));
        for index in 0..depth {
            features.push(Block::new(&scope.sub(index), (channels, width)));
            channels = width;
        }
    }
    let head = Linear::new(&root.sub("linear").head(), channels, spec.num_classes);
    root.redraw(|_, shape| (shape.len() > 1).then(|| Init::he_normal_fan_in(shape)));
    Model::new(features, GlobalAveragePool, head, channels)
}

/// relu(branch(x) + shortcut(x))
#[derive(Debug)]
struct Block {
    branch: Sequential,
    /// Channels of zeros that the shortcut has on either side; 0 where it is the identity, else it
    /// takes every second row and column.
    padding: i64,
}

impl Block {
    /// Halves height and width where the channels change.
    fn new(scope: &Scope, (input, output): (i64, i64)) -> Block {
        let stride = if input == output { 1 } else { 2 };
        let mut branch = Sequential::default();
        branch.push(Conv2d::same(3).stride(stride).build(&scope.sub("conv1"), (input, output)));
        branch.push(BatchNorm2d::new(&scope.sub("bn1"), output));
        branch.push(Activation::Relu);
        branch.push(Conv2d::same(3).build(&scope.sub("conv2"), (output, output)));
        branch.push(BatchNorm2d::new(&scope.sub("bn2"), output));
        Block { branch, padding: (output - input) / 2 }
    }

    fn shortcut(&self, input: &Tensor) -> Tensor {
        if self.padding == 0 {
            return input.shallow_clone();
        }
        let halved = input.slice(2, None, None, 2).slice(3, None, None, 2);
        // Width, height, channels.
        halved.constant_pad_nd([0, 0, 0, 0, self.padding, self.padding])
    }
}

impl Layer for Block {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.branch.forward_to_sum(input, &self.shortcut(input), true, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.branch]
    }
}
