//! How parameters begin: PyTorch's `torch.nn.init`, to the bit.

use tch::Tensor;
use torch_ext::Generator;

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// This value everywhere.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0 and standard deviation `std`, cut off at ±`bound`
    /// (`trunc_normal_(std=std, a=-bound, b=bound)`).
    TruncatedNormal {
        /// Before the ends are cut off.
        std: f64,
        /// 2 where PyTorch's default is meant.
        bound: f64,
    },
}

impl Init {
    /// All zeros.
    pub const ZEROS: Init = Init::Constant(0.0);
    /// All ones.
    pub const ONES: Init = Init::Constant(1.0);

    /// PyTorch's for the weights of convolutions and linear layers: `kaiming_uniform_(a=√5)`, which
    /// is ±1/√`fan_in`, in PyTorch's own way to this number (gain of a leaky `ReLU` of slope √5,
    /// times √3), so that the last bit agrees.
    pub fn default_weight(shape: &[i64]) -> Init {
        let gain = (2.0 / (1.0 + 5f64.sqrt().powi(2))).sqrt();
        let std = gain / (fans(shape).0 as f64).sqrt();
        Init::Uniform(3f64.sqrt() * std)
    }

    /// PyTorch's for the biases of convolutions and linear layers with a weight of this shape.
    pub fn default_bias(weight_shape: &[i64]) -> Init {
        Init::Uniform(1.0 / (fans(weight_shape).0 as f64).sqrt())
    }

    /// `kaiming_uniform_()`, with `fan_in` and the gain of a `ReLU` (He et al. 2015): uniform in
    /// ±√(6 / `fan_in`).
    pub fn he_uniform_fan_in(shape: &[i64]) -> Init {
        Init::Uniform(3f64.sqrt() * (2f64.sqrt() / (fans(shape).0 as f64).sqrt()))
    }

    /// `kaiming_normal_()`, with `fan_in` and the gain of a `ReLU` (He et al. 2015): normal with
    /// std √(2 / `fan_in`).
    pub fn he_normal_fan_in(shape: &[i64]) -> Init {
        Init::Normal(2f64.sqrt() / (fans(shape).0 as f64).sqrt())
    }

    /// `kaiming_normal_(mode="fan_out", nonlinearity="relu")` (He et al. 2015): normal with std √(2
    /// / `fan_out`).
    pub fn he_normal_fan_out(shape: &[i64]) -> Init {
        Init::Normal(2f64.sqrt() / (fans(shape).1 as f64).sqrt())
    }

    /// `xavier_uniform_` (Glorot and Bengio 2010): uniform in ±√(6 / (`fan_in` + `fan_out`)), by
    /// PyTorch's way to it.
    pub fn xavier_uniform(shape: &[i64]) -> Init {
        let (fan_in, fan_out) = fans(shape);
        let std = (2.0 / (fan_in + fan_out) as f64).sqrt();
        Init::Uniform(3f64.sqrt() * std)
    }

    /// `trunc_normal_(std=std)`: cut off at ±2.
    pub fn truncated_normal(std: f64) -> Init {
        Init::TruncatedNormal { std, bound: 2.0 }
    }

    /// Overwrites `tensor`; or, unless it is `wanted`, leaves it and moves the generator on as if
    /// it had.
    pub(super) fn fill(self, tensor: &mut Tensor, generator: &mut Generator, wanted: bool) {
        let drawn = match self {
            Init::Constant(value) => {
                tch::no_grad(|| drop(tensor.fill_(value)));
                Ok(())
            }
            Init::Uniform(_) | Init::TruncatedNormal { .. } if !wanted => {
                generator.skip(tensor.numel() as u64)
            }
            Init::Uniform(bound) => generator.uniform(tensor, -bound, bound),
            Init::Normal(std) => generator.normal(tensor, 0.0, std),
            Init::TruncatedNormal { std, bound } => truncated_normal(tensor, std, bound, generator),
        };
        drawn.expect("a dense tensor of floats on the CPU can be drawn");
    }
}

/// Inputs and outputs of one element of a weight `[out, in, …]`, as PyTorch counts them,
/// whatever the groups.
fn fans(shape: &[i64]) -> (i64, i64) {
    let field: i64 = shape.iter().skip(2).product();
    (shape.get(1).copied().unwrap_or(1) * field, shape.first().copied().unwrap_or(1) * field)
}

/// By the inverse of the normal distribution, whose cumulative function runs over `[l, 1 - l]`.
fn truncated_normal(
    tensor: &mut Tensor,
    std: f64,
    bound: f64,
    generator: &mut Generator,
) -> Result<(), torch_ext::Error> {
    let cumulative = |x: f64| f64::midpoint(1.0, libm::erf(x / 2f64.sqrt()));
    let (lower, upper) = (cumulative(-bound / std), cumulative(bound / std));
    generator.uniform(tensor, 2.0 * lower - 1.0, 2.0 * upper - 1.0)?;
    tch::no_grad(|| {
        let _ = tensor.erfinv_().g_mul_scalar_(std * 2f64.sqrt()).clamp_(-bound, bound);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_normals_have_the_deviation_of_their_distribution_and_stay_within_the_bound() {
        let mut tensor = Tensor::empty([1000, 200], (tch::Kind::Float, tch::Device::Cpu));
        Init::TruncatedNormal { std: 0.5, bound: 1.0 }.fill(&mut tensor, &mut Generator::new(3), true);
        assert!(tensor.abs().max().double_value(&[]) <= 1.0);
        // Of a normal distribution cut off at two deviations: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) =
        // 0.87963.
        assert!((tensor.std(true).double_value(&[]) / 0.5 - 0.87963).abs() < 0.005);
    }
}
