//! The layers that networks are made of, with PyTorch's names, initial values and arithmetic.

use tch::{Kind, Tensor};

use super::state::{Init, Scope};

/// `[N, C, H, W]` or `[N, F]` in, likewise out; `train` switches dropout and batch statistics.
pub trait Layer: std::fmt::Debug + Send {
    /// The forward pass.
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor;
}

/// Layers one after another.
#[derive(Debug, Default)]
pub struct Sequential(pub Vec<Box<dyn Layer>>);

impl Layer for Sequential {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let mut layers = self.0.iter();
        let Some(first) = layers.next() else { return input.shallow_clone() };
        layers.fold(first.forward_t(input, train), |x, layer| layer.forward_t(&x, train))
    }
}

/// `torch.nn.Conv2d` with a square kernel.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv2d {
    /// Without bias, as before a batch norm. Weight `[out, in, kernel, kernel]`, to be drawn by
    /// [`Scope::draw_convolutions`].
    pub fn new(scope: &Scope, (input, output): (i64, i64), kernel: i64, stride: i64, padding: i64) -> Conv2d {
        let weight = scope.parameter("weight", &[output, input, kernel, kernel], Init::Later);
        Conv2d { weight, stride, padding }
    }
}

impl Layer for Conv2d {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let (s, p) = (self.stride, self.padding);
        input.conv2d(&self.weight, None::<Tensor>, [s, s], [p, p], [1, 1], 1)
    }
}

/// PyTorch's own way to this number (gain of a leaky `ReLU` of slope √5, times √3), so that the last bit agrees.
fn kaiming_uniform_bound(fan_in: i64) -> f64 {
    let gain = (2.0 / (1.0 + 5f64.sqrt().powi(2))).sqrt();
    let std = gain / (fan_in as f64).sqrt();
    3f64.sqrt() * std
}

/// `torch.nn.BatchNorm2d` with momentum 0.1 and eps 1e-5.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
}

impl BatchNorm2d {
    /// Over `channels`; its weight begins at `weight` (ones, or zeros at the end of a residual branch).
    pub fn new(scope: &Scope, channels: i64) -> BatchNorm2d {
        let cpu = tch::Device::Cpu;
        BatchNorm2d {
            weight: scope.parameter("weight", &[channels], Init::Ones),
            bias: scope.parameter("bias", &[channels], Init::Zeros),
            running_mean: scope.buffer("running_mean", Tensor::zeros([channels], (Kind::Float, cpu))),
            running_var: scope.buffer("running_var", Tensor::ones([channels], (Kind::Float, cpu))),
            num_batches_tracked: scope.buffer("num_batches_tracked", Tensor::zeros([], (Kind::Int64, cpu))),
        }
    }
}

impl Layer for BatchNorm2d {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        if train {
            let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1);
        }
        input.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            0.1,
            1e-5,
            true,
        )
    }
}

/// `torch.nn.Linear`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Weight `[out, in]` and bias `[out]`, both initially uniform in ±1/√in.
    pub fn new(scope: &Scope, input: i64, output: i64) -> Linear {
        Linear {
            weight: scope.parameter("weight", &[output, input], Init::Uniform(kaiming_uniform_bound(input))),
            bias: scope.parameter("bias", &[output], Init::Uniform(1.0 / (input as f64).sqrt())),
        }
    }
}

impl Layer for Linear {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.linear(&self.weight, Some(&self.bias))
    }
}

/// `torch.nn.ReLU(inplace=True)`: overwrites its input, which therefore must not be needed otherwise. It saves an
/// activation's memory.
#[derive(Clone, Copy, Debug)]
pub struct Relu;

impl Layer for Relu {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.shallow_clone().relu_()
    }
}

/// `torch.nn.Dropout` with this probability.
#[derive(Clone, Copy, Debug)]
pub struct Dropout(pub f64);

impl Layer for Dropout {
    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        input.dropout(self.0, train)
    }
}

/// `torch.nn.MaxPool2d`.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    /// Side of the square window.
    pub kernel: i64,
    /// Step between windows.
    pub stride: i64,
    /// Padding on every side.
    pub padding: i64,
}

impl Layer for MaxPool2d {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        let MaxPool2d { kernel: k, stride: s, padding: p } = *self;
        input.max_pool2d([k, k], [s, s], [p, p], [1, 1], false)
    }
}

/// Mean over height and width: `[N, C, H, W]` → `[N, C]`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalAveragePool;

impl Layer for GlobalAveragePool {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.adaptive_avg_pool2d([1, 1]).flatten(1, -1)
    }
}
