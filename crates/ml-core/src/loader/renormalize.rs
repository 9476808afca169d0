//! Images that were normalised for one network → those that another takes.

use ml_data::transform::Pipeline;
use tch::{Device, Tensor};

/// Of `(x - m₁) / s₁` it makes `(x - m₂) / s₂`.
#[derive(Debug)]
pub struct Renormalize {
    /// `s₁ / s₂`, `[C, 1, 1]` f32.
    factor: Tensor,
    /// `(m₁ - m₂) / s₂`, likewise.
    summand: Tensor,
}

impl Renormalize {
    /// From the normalization of `first` to that of `other`; none where they are the same.
    pub fn between(first: &Pipeline, other: &Pipeline, device: Device) -> Option<Renormalize> {
        let ((mean, std), (other_mean, other_std)) = (first.normalization(), other.normalization());
        if (&mean, &std) == (&other_mean, &other_std) {
            return None;
        }
        let channels = |values: Vec<f64>| {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Tensor::from_slice(&values).view([-1, 1, 1]).to_device(device)
        };
        let factor = std.iter().zip(&other_std).map(|(one, other)| one / other);
        let moved =
            mean.iter().zip(&other_mean).zip(&other_std).map(|((one, other), std)| (one - other) / std);
        Some(Renormalize { factor: channels(factor.collect()), summand: channels(moved.collect()) })
    }

    /// Images `[N, C, H, W]`.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        images * &self.factor + &self.summand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ml_data::setting::Auto;
    use ml_data::transform::{Normalize, TransformConfig};
    use tch::Kind;

    #[test]
    fn images_of_one_normalization_become_those_of_another() {
        let pipeline = |mean: [f64; 3], std: [f64; 3]| {
            let normalize = Normalize { mean: mean.to_vec(), std: std.to_vec() };
            let config =
                TransformConfig { normalize: Some(Auto::Value(normalize)), ..TransformConfig::default() };
            Pipeline::new(&config).unwrap()
        };
        let one = pipeline([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]);
        let other = pipeline([0.45, 0.41, 0.3], [0.21, 0.2, 0.3]);
        assert!(Renormalize::between(&one, &one, Device::Cpu).is_none());
        let renormalize = Renormalize::between(&one, &other, Device::Cpu).unwrap();
        let channels = |values: &[f64]| Tensor::from_slice(values).view([-1, 1, 1]);
        let raw = Tensor::rand([3, 4, 4], (Kind::Double, Device::Cpu));
        let normalized = |mean: &[f64], std: &[f64]| (&raw - channels(mean)) / channels(std);
        let found = renormalize.apply(&normalized(&[0.5, 0.4, 0.3], &[0.2, 0.25, 0.3]));
        let wanted = normalized(&[0.45, 0.41, 0.3], &[0.21, 0.2, 0.3]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-6);
    }
}
