//! Inception v3 (Szegedy et al. 2016, arXiv:1512.00567), as torchvision builds it.

use super::{Supervised, begin, conv_norm};
use crate::network::NetworkSpec;
use crate::network::init::Init;
use crate::network::layers::{
    AvgPool2d, Concat, Conv2d, Dropout, GlobalAveragePool, Linear, MaxPool2d, Sequential,
};
use crate::network::model::Model;
use crate::network::state::Scope;

/// Of dropout, before the classifier.
const DROPOUT: f64 = 0.5;
/// Share of the auxiliary head's loss, as in the authors' TensorFlow code.
const HEAD_WEIGHT: f64 = 0.4;

/// Builds it; every weight is initialised again at the end, as torchvision does.
pub fn build(root: &Scope, spec: &NetworkSpec) -> Model {
    let mut layers = begin(spec);
    stem(root, &mut layers, spec.in_channels);
    layers.push(module_a(&root.sub("Mixed_5b"), 192, 32));
    layers.push(module_a(&root.sub("Mixed_5c"), 256, 64));
    layers.push(module_a(&root.sub("Mixed_5d"), 288, 64));
    layers.push(module_b(&root.sub("Mixed_6a"), 288));
    for (name, width) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
        layers.push(module_c(&root.sub(name), 768, width));
    }
    let head = head(&root.sub("AuxLogits"), 768, spec.num_classes);
    let mut last = Sequential::default();
    last.push(module_d(&root.sub("Mixed_7a"), 768));
    last.push(module_e(&root.sub("Mixed_7b"), 1280));
    last.push(module_e(&root.sub("Mixed_7c"), 2048));
    let mut classifier = Sequential::default();
    classifier.push(Dropout(spec.dropout.unwrap_or(DROPOUT)));
    classifier.push(Linear::new(&root.sub("fc").head(), 2048, spec.num_classes));
    root.redraw(|name, shape| {
        // torchvision means 0.01 for AuxLogits.conv1, but says so of the module around the
        // convolution, where its loop does not look.
        let std = if name == "AuxLogits.fc.weight" { 0.001 } else { 0.1 };
        (shape.len() > 1).then(|| Init::truncated_normal(std))
    });
    let features = Supervised { stages: vec![layers, last], heads: vec![head], weight: HEAD_WEIGHT };
    Model::new(features, GlobalAveragePool, classifier, 2048)
}

/// Everything before the first module; 192 channels come out.
fn stem(root: &Scope, layers: &mut Sequential, input: i64) {
    layers.push(conv_norm(&root.sub("Conv2d_1a_3x3"), Conv2d::square(3).stride(2), (input, 32)));
    layers.push(conv_norm(&root.sub("Conv2d_2a_3x3"), Conv2d::square(3), (32, 32)));
    layers.push(conv_norm(&root.sub("Conv2d_2b_3x3"), Conv2d::same(3), (32, 64)));
    layers.push(HALVES);
    layers.push(conv_norm(&root.sub("Conv2d_3b_1x1"), Conv2d::square(1), (64, 80)));
    layers.push(conv_norm(&root.sub("Conv2d_4a_3x3"), Conv2d::square(3), (80, 192)));
    layers.push(HALVES);
}

/// Halves height and width, rounding down.
const HALVES: MaxPool2d = MaxPool2d { kernel: 3, stride: 2, padding: 0, ceil: false };
/// Keeps them.
const SMOOTHS: AvgPool2d = AvgPool2d { kernel: 3, stride: 1, padding: 1 };

/// Figure 5 of the paper: 224 channels and `pooled`.
fn module_a(scope: &Scope, input: i64, pooled: i64) -> Concat {
    let one = Conv2d::square(1);
    let mut branches = Concat::default();
    branches.push(chain(scope, input, &[("branch1x1", one, 64)]));
    let five = [("branch5x5_1", one, 48), ("branch5x5_2", Conv2d::same(5), 64)];
    branches.push(chain(scope, input, &five));
    branches.push(double(scope, input, Conv2d::same(3)));
    branches.push(smoothed(scope, input, pooled));
    branches
}

/// Figure 10: half the height and width, 480 channels more.
fn module_b(scope: &Scope, input: i64) -> Concat {
    let halving = Conv2d::square(3).stride(2);
    let mut branches = Concat::default();
    branches.push(chain(scope, input, &[("branch3x3", halving, 384)]));
    branches.push(double(scope, input, halving));
    branches.push(HALVES);
    branches
}

/// Figure 6: 7×7 convolutions in two steps, `width` channels between them; 768 channels.
fn module_c(scope: &Scope, input: i64, width: i64) -> Concat {
    let (one, row, column) = (Conv2d::square(1), row(7), column(7));
    let mut branches = Concat::default();
    branches.push(chain(scope, input, &[("branch1x1", one, 192)]));
    let single = [("branch7x7_1", one, width), ("branch7x7_2", row, width), ("branch7x7_3", column, 192)];
    branches.push(chain(scope, input, &single));
    let double = [
        ("branch7x7dbl_1", one, width),
        ("branch7x7dbl_2", column, width),
        ("branch7x7dbl_3", row, width),
        ("branch7x7dbl_4", column, width),
        ("branch7x7dbl_5", row, 192),
    ];
    branches.push(chain(scope, input, &double));
    branches.push(smoothed(scope, input, 192));
    branches
}

/// Half the height and width, 512 channels more.
fn module_d(scope: &Scope, input: i64) -> Concat {
    let (one, halving) = (Conv2d::square(1), Conv2d::square(3).stride(2));
    let mut branches = Concat::default();
    branches.push(chain(scope, input, &[("branch3x3_1", one, 192), ("branch3x3_2", halving, 320)]));
    let seven = [
        ("branch7x7x3_1", one, 192),
        ("branch7x7x3_2", row(7), 192),
        ("branch7x7x3_3", column(7), 192),
        ("branch7x7x3_4", halving, 192),
    ];
    branches.push(chain(scope, input, &seven));
    branches.push(HALVES);
    branches
}

/// Figure 7: 3×3 convolutions whose row and column stand side by side; 2048 channels.
fn module_e(scope: &Scope, input: i64) -> Concat {
    let one = Conv2d::square(1);
    let split = |layers: &mut Sequential, names: [&str; 2]| {
        let mut sides = Concat::default();
        sides.push(chain(scope, 384, &[(names[0], row(3), 384)]));
        sides.push(chain(scope, 384, &[(names[1], column(3), 384)]));
        layers.push(sides);
    };
    let mut branches = Concat::default();
    branches.push(chain(scope, input, &[("branch1x1", one, 320)]));
    let mut single = chain(scope, input, &[("branch3x3_1", one, 384)]);
    split(&mut single, ["branch3x3_2a", "branch3x3_2b"]);
    branches.push(single);
    let widened = [("branch3x3dbl_1", one, 448), ("branch3x3dbl_2", Conv2d::same(3), 384)];
    let mut double = chain(scope, input, &widened);
    split(&mut double, ["branch3x3dbl_3a", "branch3x3dbl_3b"]);
    branches.push(double);
    branches.push(smoothed(scope, input, 192));
    branches
}

/// The auxiliary classifier, which needs 17×17 pixels.
fn head(scope: &Scope, input: i64, num_classes: i64) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(AvgPool2d { kernel: 5, stride: 3, padding: 0 });
    layers.push(chain(scope, input, &[("conv0", Conv2d::square(1), 128), ("conv1", Conv2d::square(5), 768)]));
    layers.push(GlobalAveragePool);
    layers.push(Linear::new(&scope.sub("fc").head(), 768, num_classes));
    layers
}

/// Two 3×3 convolutions in place of a 5×5 one, the second being `last`.
fn double(scope: &Scope, input: i64, last: Conv2d) -> Sequential {
    let convolutions = [
        ("branch3x3dbl_1", Conv2d::square(1), 64),
        ("branch3x3dbl_2", Conv2d::same(3), 96),
        ("branch3x3dbl_3", last, 96),
    ];
    chain(scope, input, &convolutions)
}

/// An average pooling, then a 1×1 convolution.
fn smoothed(scope: &Scope, input: i64, output: i64) -> Sequential {
    let mut layers = Sequential::default();
    layers.push(SMOOTHS);
    layers.push(chain(scope, input, &[("branch_pool", Conv2d::square(1), output)]));
    layers
}

/// Convolutions one after another, each with its name and the channels of its output.
fn chain(scope: &Scope, input: i64, convolutions: &[(&str, Conv2d, i64)]) -> Sequential {
    let mut layers = Sequential::default();
    let mut channels = input;
    for &(name, conv, output) in convolutions {
        layers.push(conv_norm(&scope.sub(name), conv, (channels, output)));
        channels = output;
    }
    layers
}

/// A row of weights that keeps the size.
fn row(length: i64) -> Conv2d {
    Conv2d::of([1, length]).paddings([0, length / 2])
}

/// A column of weights that keeps the size.
fn column(length: i64) -> Conv2d {
    Conv2d::of([length, 1]).paddings([length / 2, 0])
}
