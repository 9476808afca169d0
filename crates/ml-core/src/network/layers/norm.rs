//! Normalisation.

use tch::{Kind, Tensor};
use torch_ext::NormActivation;

use super::{Cut, Layer, sum};
use crate::network::init::Init;
use crate::network::module::ModuleKind;
use crate::network::state::{Scope, Together};

/// `torch.nn.BatchNorm2d`. One whose weight needs no gradient (a frozen one) keeps its statistics
/// and uses them in training too.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    eps: f64,
    momentum: f64,
    /// In training, the processes whose images it is over.
    together: Together,
}

impl BatchNorm2d {
    /// Over `channels`, with momentum 0.1 and eps 1e-5; its weight begins at one, its bias at zero.
    pub fn new(scope: &Scope, channels: i64) -> BatchNorm2d {
        BatchNorm2d::with(scope, channels, 1e-5, 0.1)
    }

    /// Over `channels`; `momentum` is the share of the newest batch in the running statistics.
    pub fn with(scope: &Scope, channels: i64, eps: f64, momentum: f64) -> BatchNorm2d {
        scope.set_kind(ModuleKind::BatchNorm2d);
        let cpu = tch::Device::Cpu;
        BatchNorm2d {
            weight: scope.parameter("weight", &[channels], Init::ONES),
            bias: scope.parameter("bias", &[channels], Init::ZEROS),
            running_mean: scope.running_statistic(
                "running_mean",
                Tensor::zeros([channels], (Kind::Float, cpu)),
                momentum,
            ),
            running_var: scope.running_statistic(
                "running_var",
                Tensor::ones([channels], (Kind::Float, cpu)),
                momentum,
            ),
            num_batches_tracked: scope.buffer("num_batches_tracked", Tensor::zeros([], (Kind::Int64, cpu))),
            eps,
            momentum,
            together: scope.together(),
        }
    }

    fn tensors(&self) -> torch_ext::BatchNorm<'_> {
        torch_ext::BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: self.momentum,
            eps: self.eps,
        }
    }

    /// What it multiplies each channel by in evaluation, and what it adds then, both `[C]`, f64.
    pub(super) fn scale_and_shift(&self) -> (Tensor, Tensor) {
        let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double);
        let scale = double(&self.weight) / (double(&self.running_var) + self.eps).sqrt();
        let shift = double(&self.bias) - double(&self.running_mean) * &scale;
        (scale, shift)
    }
}

impl BatchNorm2d {
    /// In training: this norm, plus `shortcut` if there is one, and the activation of that, in a
    /// single operation, where there is such a one: in bf16 with channels innermost on the CPU.
    pub(super) fn fused(
        &self,
        input: &Tensor,
        shortcut: Option<&Tensor>,
        activation: NormActivation,
    ) -> Option<Tensor> {
        if !self.weight.requires_grad() || self.together.get().is_some() {
            return None;
        }
        let norm = self.tensors();
        // An error can only be that memory is lacking, which the separate operations say too.
        let output = torch_ext::batch_norm_act(input, shortcut, &norm, activation).ok().flatten()?;
        self.count_batch();
        Some(output)
    }

    fn count_batch(&self) {
        let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1);
    }
}

impl Layer for BatchNorm2d {
    fn forward_to_sum(&self, input: &Tensor, shortcut: &Tensor, relu: bool, train: bool) -> Tensor {
        let activation = if relu { NormActivation::Relu } else { NormActivation::None };
        let fused = if train { self.fused(input, Some(shortcut), activation) } else { None };
        fused.unwrap_or_else(|| sum(&self.forward_t(input, train), shortcut, relu))
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }

    fn as_batch_norm(&self) -> Option<&BatchNorm2d> {
        Some(self)
    }

    fn forward_t(&self, input: &Tensor, train: bool) -> Tensor {
        let train = train && self.weight.requires_grad();
        if train {
            self.count_batch();
            if let Some(processes) = self.together.get() {
                return processes.batch_norm(input, &self.tensors());
            }
        }
        input.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            self.momentum,
            self.eps,
            true,
        )
    }
}

/// `torch.nn.LayerNorm` over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Over the last dimension, of `features`; its weight begins at one, its bias at zero.
    pub fn new(scope: &Scope, features: i64, eps: f64) -> LayerNorm {
        scope.set_kind(ModuleKind::LayerNorm);
        LayerNorm {
            weight: scope.parameter("weight", &[features], Init::ONES),
            bias: scope.parameter("bias", &[features], Init::ZEROS),
            eps,
        }
    }
}

impl Layer for LayerNorm {
    fn forward_t(&self, input: &Tensor, _: bool) -> Tensor {
        input.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }

    fn cut(&self) -> Cut {
        Cut::Nowhere
    }
}
