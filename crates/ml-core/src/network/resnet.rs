//! `ResNets` (He et al. 2016, arXiv:1512.03385) as torchvision builds them: "v1.5", the stride of a bottleneck
//! on its 3×3 convolution.

use tch::Tensor;

use super::NetworkShape;
use super::layers::{BatchNorm2d, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Relu, Sequential};
use super::state::{Entry, Scope};

/// A variant: its block and how many of them each of the four stages has.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Which block.
    pub block: Block,
    /// Blocks in each stage.
    pub depths: [i64; 4],
}

/// The residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at its end.
    Bottleneck,
}

/// resnet18
pub const RESNET18: Variant = Variant { block: Block::Basic, depths: [2, 2, 2, 2] };
/// resnet34
pub const RESNET34: Variant = Variant { block: Block::Basic, depths: [3, 4, 6, 3] };
/// resnet50
pub const RESNET50: Variant = Variant { block: Block::Bottleneck, depths: [3, 4, 6, 3] };

/// Builds a variant; every convolution is drawn anew at the end, as torchvision does.
pub fn build(variant: Variant, shape: NetworkShape, seed: u64) -> (Box<dyn Layer>, Vec<Entry>) {
    let scope = Scope::root(seed);
    let mut layers: Vec<Box<dyn Layer>> = vec![
        Box::new(Conv2d::new(&scope.sub("conv1"), (shape.in_channels, 64), 7, 2, 3)),
        Box::new(BatchNorm2d::new(&scope.sub("bn1"), 64)),
        Box::new(Relu),
        Box::new(MaxPool2d { kernel: 3, stride: 2, padding: 1 }),
    ];
    let expansion = match variant.block {
        Block::Basic => 1,
        Block::Bottleneck => 4,
    };
    let mut channels = 64;
    for (stage, depth) in variant.depths.into_iter().enumerate() {
        let scope = scope.sub(format!("layer{}", stage + 1));
        let planes = 64 << stage;
        for index in 0..depth {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let output = planes * expansion;
            let scope = scope.sub(index);
            layers.push(Box::new(Residual::new(&scope, variant.block, channels, planes, output, stride)));
            channels = output;
        }
    }
    layers.push(Box::new(GlobalAveragePool));
    layers.push(Box::new(Linear::new(&scope.sub("fc"), channels, shape.num_classes)));
    scope.draw_convolutions();
    (Box::new(Sequential(layers)), scope.finish())
}

/// relu(branch(x) + shortcut(x))
#[derive(Debug)]
struct Residual {
    branch: Sequential,
    downsample: Option<Sequential>,
}

impl Residual {
    fn new(scope: &Scope, block: Block, input: i64, planes: i64, output: i64, stride: i64) -> Residual {
        // Kernel, stride and padding of each convolution in the branch; ReLU between them.
        let convolutions: Vec<(i64, i64, i64, i64)> = match block {
            Block::Basic => vec![(output, 3, stride, 1), (output, 3, 1, 1)],
            Block::Bottleneck => vec![(planes, 1, 1, 0), (planes, 3, stride, 1), (output, 1, 1, 0)],
        };
        let mut branch: Vec<Box<dyn Layer>> = Vec::new();
        let mut channels = input;
        let last = convolutions.len();
        // torchvision's blocks name conv1, bn1, conv2, bn2, … in that order.
        for (number, (out, kernel, stride, padding)) in (1..).zip(convolutions) {
            let conv =
                Conv2d::new(&scope.sub(format!("conv{number}")), (channels, out), kernel, stride, padding);
            branch.push(Box::new(conv));
            branch.push(Box::new(BatchNorm2d::new(&scope.sub(format!("bn{number}")), out)));
            if number < last {
                branch.push(Box::new(Relu));
            }
            channels = out;
        }
        let downsample = (stride != 1 || input != output).then(|| {
            let scope = scope.sub("downsample");
            Sequential(vec![
                Box::new(Conv2d::new(&scope.sub(0), (input, output), 1, stride, 0)),
                Box::new(BatchNorm2d::new(&scope.sub(1), output)),
            ])
        });
        Residual { branch: Sequential(branch), downsample }
    }
}

impl Layer for Residual {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward_t(input, train),
            None => input.shallow_clone(),
        };
        // In place, as torchvision's blocks do: nothing else needs the branch's output.
        self.branch.forward_t(input, train).g_add_(&shortcut).relu_()
    }
}
