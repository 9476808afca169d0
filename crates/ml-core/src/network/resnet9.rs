//! A residual network of nine layers for small images: that of David Page's series "How to train
//! your ResNet" (2018) and of his fastest training on CIFAR-10 in Stanford's `DAWNBench`
//! (<https://github.com/davidcpage/cifar10-fast>).

use tch::Tensor;

use super::NetworkSpec;
use super::init::Init;
use super::layers::{Activation, BatchNorm2d, Conv2d, Layer, Linear, MaxPool2d, Sequential};
use super::model::Model;
use super::state::Scope;

/// Page's: keeps logits small at first, which lets the learning rate be large.
const LOGIT_SCALE: f64 = 0.125;

/// Units of a 3×3 convolution, batch norm and `ReLU`: `prep` of 64 channels; `layer1` of 128,
/// `layer2` of 256 and `layer3` of 512, each followed by a 2×2 max pooling, the first and the third
/// also by x + unit(unit(x)); max pooling over what is left (4×4 of an image of 32×32); a linear
/// layer without bias, times 0.125. 6.57 million parameters.
///
/// Convolutions begin as He et al.'s, the linear layer as PyTorch's default.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Model {
    let mut layers = Sequential::default();
    layers.push(unit(&root.sub("prep"), (spec.in_channels, 64)));
    let mut input = 64;
    for (name, output, residual) in [("layer1", 128, true), ("layer2", 256, false), ("layer3", 512, true)] {
        let scope = root.sub(name);
        layers.push(unit(&scope, (input, output)));
        layers.push(MaxPool2d { kernel: 2, stride: 2, padding: 0, ceil: false });
        if residual {
            layers.push(Residual::new(&scope.sub("residual"), output));
        }
        input = output;
    }
    let mut head = Sequential::default();
    head.push(Linear::without_bias(&root.sub("linear").head(), input, spec.num_classes));
    head.push(Scale(LOGIT_SCALE));
    root.redraw(|_, shape| (shape.len() == 4).then(|| Init::he_normal_fan_out(shape)));
    Model::new(layers, GlobalMaxPool, head, input)
}

/// `conv`, `bn`, `ReLU`
fn unit(scope: &Scope, (input, output): (i64, i64)) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(Conv2d::same(3).build(&scope.sub("conv"), (input, output)));
    layers.push(BatchNorm2d::new(&scope.sub("bn"), output));
    layers.push(Activation::Relu);
    layers
}

/// x + unit(unit(x))
#[derive(Debug)]
struct Residual(Sequential);

impl Residual {
    fn new(scope: &Scope, channels: i64) -> Residual {
        let mut branch = Sequential::default();
        for name in ["res1", "res2"] {
            branch.push(unit(&scope.sub(name), (channels, channels)));
        }
        Residual(branch)
    }
}

impl Layer for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        // Not in place: the last ReLU needs its output in the backward pass.
        input + self.0.forward_t(input, train)
    }

    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        vec![&mut self.0]
    }
}

/// Largest value over height and width: `[N, C, H, W]` → `[N, C]`.
#[derive(Clone, Copy, Debug)]
struct GlobalMaxPool;

impl Layer for GlobalMaxPool {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.adaptive_max_pool2d([1, 1]).0.flatten(1, -1)
    }
}

/// Times a constant.
#[derive(Clone, Copy, Debug)]
struct Scale(f64);

impl Layer for Scale {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input * self.0
    }
}
