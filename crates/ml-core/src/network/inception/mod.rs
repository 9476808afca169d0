//! Networks of inception modules, whose branches see the same input and are joined over the
//! channels, and what both versions share: a convolution, auxiliary heads, the change of the input.

pub mod googlenet;
pub mod v3;

use tch::Tensor;

use super::NetworkSpec;
use super::layers::{Activation, BatchNorm2d, Conv2d, Layer, Sequential};
use super::state::Scope;

/// Whether a parameter, buffer or module of this name is of an auxiliary head, which only takes
/// part in training; torchvision saves some networks with and some without theirs.
pub(crate) fn is_auxiliary(name: &str) -> bool {
    ["aux1", "aux2", "AuxLogits"].contains(&name.split('.').next().unwrap_or(name))
}

/// A convolution called `conv`, a batch norm called `bn`, a `ReLU`.
fn conv_norm(scope: &Scope, conv: Conv2d, (input, output): (i64, i64)) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(conv.build(&scope.sub("conv"), (input, output)));
    layers.push(BatchNorm2d::with(&scope.sub("bn"), output, 1e-3, 0.1));
    layers.push(Activation::Relu);
    layers
}

/// Where a network begins: with the change of its input, if it has one.
fn begin(spec: &NetworkSpec) -> Sequential {
    let mut layers = Sequential::default();
    if spec.transform_input && spec.in_channels == 3 {
        layers.push(TransformInput);
    }
    layers
}

/// Colour images normalised with the mean and deviation of `ImageNet` become such of mean 0.5 and
/// deviation 0.5.
#[derive(Clone, Copy, Debug)]
struct TransformInput;

/// Mean and deviation of red, green and blue in `ImageNet`.
const IMAGENET: [(f64, f64); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];

impl Layer for TransformInput {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let channel = |(index, (mean, std)): (i64, (f64, f64))| {
            input.narrow(1, index, 1) * (std / 0.5) + (mean - 0.5) / 0.5
        };
        let channels: Vec<Tensor> = (0..).zip(IMAGENET).map(channel).collect();
        Tensor::cat(&channels, 1)
    }
}

/// Stages one after another; in training an auxiliary head sees the output of each but the last.
#[derive(Debug)]
struct Supervised {
    stages: Vec<Sequential>,
    heads: Vec<Sequential>,
    /// Share of each head's loss.
    weight: f64,
}

impl Layer for Supervised {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        self.stages.iter().fold(input.shallow_clone(), |x, stage| stage.forward_t(&x, train))
    }

    /// The last head comes first, as in torchvision.
    fn forward_train(&self, input: &Tensor) -> (Tensor, Vec<(f64, Tensor)>) {
        let mut heads = self.heads.iter();
        let (mut features, mut auxiliary) = (input.shallow_clone(), Vec::new());
        for stage in &self.stages {
            features = stage.forward_t(&features, true);
            if let Some(head) = heads.next() {
                auxiliary.insert(0, (self.weight, head.forward_t(&features, true)));
            }
        }
        (features, auxiliary)
    }

    /// Those of evaluation.
    fn children_mut(&mut self) -> Vec<&mut dyn Layer> {
        self.stages.iter_mut().map(|stage| stage as &mut dyn Layer).collect()
    }
}
