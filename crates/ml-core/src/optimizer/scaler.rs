//! Scaling of the loss in fp16, whose small gradients would be rounded to zero
//! (`torch.amp.GradScaler`; Micikevicius et al. 2018, arXiv:1710.03740).

use tch::{Device, Kind, Tensor};
use torch_ext::ScaleRule;
use torch_file::Value;

use super::{Optimizer, OptimizerError};

/// PyTorch's defaults.
const INIT_SCALE: f64 = 65536.0;
const RULE: ScaleRule = ScaleRule { growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2000 };

/// The scale of the loss, and how it changes: halved after a step whose gradients hold NaN or Inf,
/// doubled after 2,000 in a row without.
#[derive(Debug)]
pub struct GradScaler {
    /// Scalar f32 on the device.
    scale: Tensor,
    /// Scalar i32: steps since the scale last changed.
    growth_tracker: Tensor,
    /// Scalar f32: 1 where the gradients of the current step hold NaN or Inf.
    found_inf: Tensor,
}

impl GradScaler {
    /// With PyTorch's initial scale, 65,536.
    pub fn new(device: Device) -> GradScaler {
        GradScaler {
            scale: Tensor::full([0i64; 0], INIT_SCALE, (Kind::Float, device)),
            growth_tracker: Tensor::zeros([0i64; 0], (Kind::Int, device)),
            found_inf: Tensor::zeros([0i64; 0], (Kind::Float, device)),
        }
    }

    /// The scale; read from the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn value(&self) -> Result<f64, OptimizerError> {
        Ok(torch_ext::scalar(&self.scale)?)
    }

    /// The loss (scalar) times the scale, for the backward pass.
    pub fn scale(&self, loss: &Tensor) -> Tensor {
        loss * &self.scale
    }

    /// Divides the gradients by the scale, in place, before they are clipped and used. Nothing is
    /// read from the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn unscale(&mut self, optimizer: &Optimizer) -> Result<(), OptimizerError> {
        self.found_inf = self.found_inf.zeros_like();
        let inverse = self.scale.to_kind(Kind::Double).reciprocal().to_kind(Kind::Float);
        Ok(torch_ext::unscale(&optimizer.grads(), &self.found_inf, &inverse)?)
    }

    /// Changes the scale after a step. Nothing is read from the device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self) -> Result<(), OptimizerError> {
        Ok(torch_ext::update_scale(&self.scale, &self.growth_tracker, &self.found_inf, RULE)?)
    }

    /// PyTorch's `scaler.state_dict()`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn state_dict(&self) -> Result<Value, OptimizerError> {
        Ok(Value::dict([
            ("scale", Value::Float(self.value()?)),
            ("growth_factor", Value::Float(RULE.growth_factor)),
            ("backoff_factor", Value::Float(RULE.backoff_factor)),
            ("growth_interval", Value::Int(RULE.growth_interval)),
            ("_growth_tracker", Value::Int(torch_ext::scalar(&self.growth_tracker)? as i64)),
        ]))
    }

    /// Takes over the scale of a state written by [`GradScaler::state_dict`] or by PyTorch.
    ///
    /// # Errors
    /// A value is missing, of another type, or not positive and finite; nothing is changed then.
    pub fn load_state_dict(&mut self, state: &Value) -> Result<(), OptimizerError> {
        let field = state.field();
        let (scale, tracker) = (field.get("scale")?.as_f64()?, field.get("_growth_tracker")?.as_i64()?);
        if !(scale.is_finite() && scale > 0.0) {
            let problem = format!("the gradient scaler's scale is {scale}; it must be positive and finite");
            return Err(OptimizerError::Mismatch(problem));
        }
        self.scale = self.scale.full_like(scale);
        self.growth_tracker = self.growth_tracker.full_like(tracker.clamp(0, RULE.growth_interval));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::OptimizerConfig;
    use super::*;

    #[test]
    fn gradients_are_those_of_the_unscaled_loss() {
        let weight = Tensor::from_slice(&[3.0f32, -2.0]).set_requires_grad(true);
        let config: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.1}").unwrap();
        let optimizer = Optimizer::new(&config, vec![("weight".to_owned(), weight.shallow_clone())]).unwrap();
        let mut scaler = GradScaler::new(Device::Cpu);
        scaler.scale(&(&weight * &weight).sum(Kind::Float)).backward();
        assert_eq!(weight.grad(), Tensor::from_slice(&[6.0f32 * 65536.0, -4.0 * 65536.0]));
        scaler.unscale(&optimizer).unwrap();
        assert_eq!(weight.grad(), Tensor::from_slice(&[6.0f32, -4.0]));
        scaler.update().unwrap();
        assert_eq!(scaler.value().unwrap(), 65536.0);
        weight.grad().shallow_clone().copy_(&Tensor::from_slice(&[f32::INFINITY, 1.0]));
        scaler.unscale(&optimizer).unwrap();
        scaler.update().unwrap();
        assert_eq!(scaler.value().unwrap(), 32768.0);
    }

    #[test]
    fn the_state_is_pytorchs_and_survives() {
        let mut scaler = GradScaler::new(Device::Cpu);
        scaler.update().unwrap();
        let state = scaler.state_dict().unwrap();
        let mut other = GradScaler::new(Device::Cpu);
        other.load_state_dict(&state).unwrap();
        assert_eq!(other.growth_tracker.int64_value(&[]), 1);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let state = Value::dict([("scale", Value::Float(bad)), ("_growth_tracker", Value::Int(0))]);
            assert!(other.load_state_dict(&state).is_err(), "{bad}");
        }
        assert_eq!(other.value().unwrap(), 65536.0);
    }
}
