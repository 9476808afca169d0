//! Muon: momentum that is orthogonalised by Newton–Schulz iterations (Jordan et al. 2024,
//! <https://kellerjordan.github.io/posts/muon>), PyTorch's `torch.optim.Muon`.
//!
//! b ← μ b + (1 − μ) g; u = (1 − μ) g + μ b with Nesterov momentum, else b;
//! θ ← (1 − lr · `weight_decay`) θ − lr s O(u). A convolution's weight is taken as a matrix of its
//! outputs by all else, and s depends on the sides A and B of the matrix: √max(1, A / B)
//! (`original`), or 0.2 √max(A, B) (`match_rms_adamw`; Liu et al. 2025, arXiv:2502.16982). O(u)
//! begins as X = u / ‖u‖, and X ← a X + (b X Xᵀ + c (X Xᵀ)²) X is repeated a few times, which moves
//! all singular values towards 1.
//!
//! What has no matrix (biases, norms, tokens, tables of position biases), and the head, are updated
//! by `AdamW`, or by SGD with momentum as in Jordan's training of CIFAR-10.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use torch_ext::foreach;
use torch_file::Value;

use super::settings::{Problems, settings};
use super::sgdw::Sgdw;
use super::update::{Batch, Update, update_mean};
use super::{AdamwConfig, SgdConfig};

/// More iterations than that are refused, as by PyTorch.
const MAX_NS_STEPS: u32 = 99;

/// How the learning rate depends on a matrix's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdjustLr {
    /// Times √max(1, rows / columns).
    #[default]
    Original,
    /// Times 0.2 √max(rows, columns): updates are as large as those of `AdamW`, whose learning rate
    /// and weight decay can be used.
    MatchRmsAdamw,
}

/// Which optimizer updates what Muon does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MuonFallback {
    /// `AdamW`.
    #[default]
    Adamw,
    /// SGD with momentum, and with decoupled weight decay.
    Sgd,
}

/// Which optimizer updates the layers with an output for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MuonHead {
    /// That of biases and norms.
    #[default]
    // Runs of earlier versions have no other.
    #[serde(alias = "adamw")]
    Fallback,
    /// Muon, like other matrices.
    Muon,
}

/// What the Newton–Schulz iterations are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewtonSchulzDtype {
    /// 32 bits.
    #[default]
    Fp32,
    /// As in PyTorch: faster on GPUs, and accurate to about 1 %.
    Bf16,
}

settings! {
    /// Settings of `muon`.
    MuonConfig {
        /// Decoupled weight decay, not negative; also that of `fallback`.
        weight_decay: f64 = 0.1,
        /// In [0, 1).
        momentum: f64 = 0.95,
        /// Nesterov momentum.
        nesterov: bool = true,
        /// a, b and c of the Newton–Schulz iteration.
        ns_coefficients: [f64; 3] = [3.4445, -4.775, 2.0315],
        /// Smallest norm that a matrix is divided by, positive.
        eps: f64 = 1e-7,
        /// Newton–Schulz iterations, 1 to 99.
        ns_steps: u32 = 5,
        /// What the iterations are computed in: `fp32`, or `bf16` as in PyTorch.
        ns_dtype: NewtonSchulzDtype = NewtonSchulzDtype::Fp32,
        /// How the learning rate depends on a matrix's shape: `original` or `match_rms_adamw`.
        adjust_lr_fn: AdjustLr = AdjustLr::Original,
        /// Which optimizer updates biases, norms and what else is no matrix: `adamw` or `sgd`.
        fallback: MuonFallback = MuonFallback::Adamw,
        /// Which optimizer updates the layers with an output for each class: `fallback` or `muon`.
        head: MuonHead = MuonHead::Fallback,
        /// Learning rate of what `AdamW` updates, positive. The schedule changes it like `lr`.
        adamw_lr: f64 = 0.001,
        /// Decay of the running mean and mean square of `AdamW`, each in [0, 1).
        adamw_betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator of `AdamW`, positive.
        adamw_eps: f64 = 1e-8,
        /// Learning rate of what SGD updates, positive. The schedule changes it like `lr`.
        sgd_lr: f64 = 0.01,
        /// Momentum of SGD, in [0, 1).
        sgd_momentum: f64 = 0.9,
        /// Nesterov momentum of SGD; needs a momentum.
        sgd_nesterov: bool = true,
    }
}

impl Update for MuonConfig {
    fn name(&self) -> &'static str {
        "muon"
    }

    fn check(&self, found: &mut Problems) {
        found.not_negative("weight_decay", self.weight_decay);
        found.decay("momentum", self.momentum);
        for (index, coefficient) in self.ns_coefficients.iter().enumerate() {
            if !coefficient.is_finite() {
                found.add(&format!("ns_coefficients[{index}]"), format!("must be finite, got {coefficient}"));
            }
        }
        found.positive("eps", self.eps);
        if !(1..=MAX_NS_STEPS).contains(&self.ns_steps) {
            found.add("ns_steps", format!("must be in 1 to {MAX_NS_STEPS}, got {}", self.ns_steps));
        }
        found.positive("adamw_lr", self.adamw_lr);
        found.decays("adamw_betas", &self.adamw_betas);
        found.positive("adamw_eps", self.adamw_eps);
        found.positive("sgd_lr", self.sgd_lr);
        found.decay("sgd_momentum", self.sgd_momentum);
        if self.sgd_nesterov && self.sgd_momentum == 0.0 {
            found.add("sgd_nesterov", "needs sgd_momentum above 0; set it to false".to_owned());
        }
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        let adjust_lr_fn = match self.adjust_lr_fn {
            AdjustLr::Original => "original",
            AdjustLr::MatchRmsAdamw => "match_rms_adamw",
        };
        vec![
            ("weight_decay", Value::Float(weight_decay)),
            ("momentum", Value::Float(self.momentum)),
            ("nesterov", Value::Bool(self.nesterov)),
            ("ns_coefficients", Value::Tuple(self.ns_coefficients.map(Value::Float).into())),
            ("eps", Value::Float(self.eps)),
            ("ns_steps", Value::Int(i64::from(self.ns_steps))),
            ("adjust_lr_fn", Value::from(adjust_lr_fn)),
        ]
    }

    fn state_keys(&self) -> Vec<&'static str> {
        vec!["momentum_buffer"]
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn auxiliary(&self) -> Option<Box<dyn Update>> {
        let fallback: Box<dyn Update> = match self.fallback {
            MuonFallback::Adamw => Box::new(AdamwConfig {
                lr: self.adamw_lr,
                betas: self.adamw_betas,
                eps: self.adamw_eps,
                ..AdamwConfig::default()
            }),
            MuonFallback::Sgd => Box::new(Sgdw(SgdConfig {
                lr: self.sgd_lr,
                momentum: self.sgd_momentum,
                nesterov: self.sgd_nesterov,
                ..SgdConfig::default()
            })),
        };
        Some(fallback)
    }

    fn is_auxiliary(&self, name: &str, parameter: &Tensor, is_head: bool) -> bool {
        let [rows, columns] = sides(parameter);
        let is_matrix = parameter.dim() >= 2 && rows > 1 && columns > 1 && !name.ends_with("bias_table");
        !is_matrix || (is_head && self.head == MuonHead::Fallback)
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || self.update(batch))
    }
}

impl MuonConfig {
    fn update(&self, batch: &Batch) -> Result<(), torch_ext::Error> {
        let buffers = batch.state(0);
        update_mean(buffers, &batch.grads, self.momentum)?;
        let updates = if self.nesterov {
            let updates = foreach::clone(&batch.grads)?;
            torch_ext::lerp(&updates, buffers, self.momentum)?;
            updates
        } else {
            buffers.iter().map(Tensor::shallow_clone).collect()
        };
        batch.decay_weights()?;
        for (shape, members) in by_shape(&batch.parameters) {
            let matrices: Vec<Tensor> =
                members.iter().map(|&index| updates[index].f_reshape(shape)).collect::<Result<_, _>>()?;
            let matrices = self.orthogonalised(&Tensor::f_stack(&matrices, 0)?)?;
            let scale = -batch.lr * self.lr_ratio(shape);
            let (mut parameters, mut steps) = (Vec::new(), Vec::new());
            for (matrix, &index) in matrices.f_unbind(0)?.iter().zip(&members) {
                let parameter = &batch.parameters[index];
                steps.push(matrix.f_to_kind(parameter.kind())?.f_reshape(parameter.size())?);
                parameters.push(parameter.shallow_clone());
            }
            foreach::add_(&parameters, &steps, scale)?;
        }
        Ok(())
    }

    /// O(u) of each of `matrices`, `[K, rows, columns]`.
    fn orthogonalised(&self, matrices: &Tensor) -> Result<Tensor, torch_ext::Error> {
        let [a, b, c] = self.ns_coefficients;
        let kind = match self.ns_dtype {
            NewtonSchulzDtype::Fp32 => Kind::Float,
            NewtonSchulzDtype::Bf16 => Kind::BFloat16,
        };
        let size = matrices.size();
        let is_tall = size[1] > size[2];
        let matrices = matrices.f_to_kind(kind)?;
        let matrices = if is_tall { matrices.f_transpose(1, 2)? } else { matrices };
        let norms = matrices.f_norm_scalaropt_dim(2.0, [1i64, 2].as_slice(), true)?.f_clamp_min(self.eps)?;
        let mut x = matrices / norms;
        for _ in 0..self.ns_steps {
            let gram = x.f_bmm(&x.f_transpose(1, 2)?)?;
            let polynomial = gram.f_baddbmm(&gram, &gram, b, c)?;
            x = x.f_baddbmm(&polynomial, &x, a, 1.0)?;
        }
        Ok(if is_tall { x.f_transpose(1, 2)? } else { x })
    }

    /// What the learning rate is multiplied by for a matrix of these sides.
    fn lr_ratio(&self, [rows, columns]: [i64; 2]) -> f64 {
        let (rows, columns) = (rows as f64, columns as f64);
        match self.adjust_lr_fn {
            AdjustLr::Original => (rows / columns).max(1.0).sqrt(),
            AdjustLr::MatchRmsAdamw => 0.2 * rows.max(columns).sqrt(),
        }
    }
}

/// Rows and columns of a weight as a matrix: its outputs, and all else.
fn sides(parameter: &Tensor) -> [i64; 2] {
    let size = parameter.size();
    let rows = size.first().copied().unwrap_or(1);
    [rows, size.iter().skip(1).product()]
}

/// The places of the parameters of each shape, in order of their first.
fn by_shape(parameters: &[Tensor]) -> Vec<([i64; 2], Vec<usize>)> {
    let mut shapes: Vec<([i64; 2], Vec<usize>)> = Vec::new();
    for (index, parameter) in parameters.iter().enumerate() {
        let shape = sides(parameter);
        match shapes.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, members)) => members.push(index),
            None => shapes.push((shape, vec![index])),
        }
    }
    shapes
}
