//! `GoogLeNet` (Szegedy et al. 2015, arXiv:1409.4842), the first inception network, as torchvision
//! builds it: with batch norm, and with a 3×3 convolution where the paper has a 5×5 one.

use super::{Supervised, begin, conv_norm};
use crate::network::NetworkSpec;
use crate::network::init::Init;
use crate::network::layers::{
    Activation, AdaptiveAvgPool2d, Concat, Conv2d, Dropout, Flatten, GlobalAveragePool, Linear, MaxPool2d,
    Sequential,
};
use crate::network::model::Model;
use crate::network::state::Scope;

/// Channels of a module's branches: 1×1; 1×1 and 3×3; 1×1 and the second 3×3; after the pooling.
struct Module {
    name: &'static str,
    one: i64,
    three: (i64, i64),
    five: (i64, i64),
    pool: i64,
}

const fn row(name: &'static str, one: i64, three: (i64, i64), five: (i64, i64), pool: i64) -> Module {
    Module { name, one, three, five, pool }
}

/// Table 1 of the paper. An auxiliary head follows 4a and 4d, a pooling 3b and 4e.
const MODULES: [Module; 9] = [
    row("inception3a", 64, (96, 128), (16, 32), 32),
    row("inception3b", 128, (128, 192), (32, 96), 64),
    row("inception4a", 192, (96, 208), (16, 48), 64),
    row("inception4b", 160, (112, 224), (24, 64), 64),
    row("inception4c", 128, (128, 256), (24, 64), 64),
    row("inception4d", 112, (144, 288), (32, 64), 64),
    row("inception4e", 256, (160, 320), (32, 128), 128),
    row("inception5a", 256, (160, 320), (32, 128), 128),
    row("inception5b", 384, (192, 384), (48, 128), 128),
];
/// Of dropout, before the classifier; [`NetworkSpec::dropout`] sets it.
const DROPOUT: f64 = 0.2;
/// Of dropout in the auxiliary heads, which stays as it is.
const HEAD_DROPOUT: f64 = 0.7;
/// Share of either head's loss (section 5 of the paper).
const HEAD_WEIGHT: f64 = 0.3;

/// Builds it; every weight is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Model {
    let (mut stages, mut heads) = (Vec::new(), Vec::new());
    let mut layers = begin(spec);
    let mut channels = stem(root, &mut layers, spec.in_channels);
    for module in &MODULES {
        layers.push(module.build(root, channels));
        channels = module.output();
        match module.name {
            "inception3b" => layers.push(pool(3)),
            "inception4e" => layers.push(pool(2)),
            "inception4a" | "inception4d" => {
                stages.push(std::mem::take(&mut layers));
                heads.push(channels);
            }
            _ => {}
        }
    }
    let heads = (1..)
        .zip(heads)
        .map(|(number, channels)| head(&root.sub(format!("aux{number}")), channels, spec.num_classes))
        .collect();
    stages.push(layers);
    let mut classifier = Sequential::default();
    classifier.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    classifier.push(Linear::new(&root.sub("fc").head(), channels, spec.num_classes));
    root.redraw(|_, shape| (shape.len() > 1).then(|| Init::truncated_normal(0.01)));
    let features = Supervised { stages, heads, weight: HEAD_WEIGHT };
    Model::new(features, GlobalAveragePool, classifier, channels)
}

/// Everything before the first module; gives the channels of its output.
fn stem(root: &Scope, layers: &mut Sequential, input: i64) -> i64 {
    layers.push(conv_norm(&root.sub("conv1"), Conv2d::square(7).stride(2).padding(3), (input, 64)));
    layers.push(pool(3));
    layers.push(conv_norm(&root.sub("conv2"), Conv2d::square(1), (64, 64)));
    layers.push(conv_norm(&root.sub("conv3"), Conv2d::same(3), (64, 192)));
    layers.push(pool(3));
    192
}

/// Halves height and width, rounding up.
fn pool(kernel: i64) -> MaxPool2d {
    MaxPool2d { kernel, stride: 2, padding: 0, ceil: true }
}

impl Module {
    /// Channels of its output.
    fn output(&self) -> i64 {
        self.one + self.three.1 + self.five.1 + self.pool
    }

    fn build(&self, root: &Scope, input: i64) -> Concat {
        let scope = root.sub(self.name);
        let reduced = |name: &str, (width, output): (i64, i64)| {
            let scope = scope.sub(name);
            let mut layers = Sequential::default();
            layers.push(conv_norm(&scope.sub(0), Conv2d::square(1), (input, width)));
            layers.push(conv_norm(&scope.sub(1), Conv2d::same(3), (width, output)));
            layers
        };
        let mut branches = Concat::default();
        branches.push(conv_norm(&scope.sub("branch1"), Conv2d::square(1), (input, self.one)));
        branches.push(reduced("branch2", self.three));
        branches.push(reduced("branch3", self.five));
        let mut pooled = Sequential::default();
        pooled.push(MaxPool2d { kernel: 3, stride: 1, padding: 1, ceil: true });
        pooled.push(conv_norm(&scope.sub("branch4").sub(1), Conv2d::square(1), (input, self.pool)));
        branches.push(pooled);
        branches
    }
}

/// An auxiliary classifier.
fn head(scope: &Scope, input: i64, num_classes: i64) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(AdaptiveAvgPool2d(4));
    layers.push(conv_norm(&scope.sub("conv"), Conv2d::square(1), (input, 128)));
    layers.push(Flatten);
    layers.push(Linear::new(&scope.sub("fc1"), 128 * 4 * 4, 1024));
    layers.push(Activation::Relu);
    layers.push(Dropout(HEAD_DROPOUT));
    layers.push(Linear::new(&scope.sub("fc2").head(), 1024, num_classes));
    layers
}
