//! Sharpness-aware minimisation (Foret et al. 2021, arXiv:2010.01412) and its adaptive form (Kwon et
//! al. 2021, arXiv:2102.11600): the gradient of a step is taken at the weights moved by e, where the
//! loss is about the largest within a distance of rho.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use torch_ext::foreach;

use super::settings::Problems;
use super::{Optimizer, OptimizerError};

/// Added to the norm that gradients are divided by.
const EPS: f64 = 1e-12;

/// How far weights are moved, and by what measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SamConfig {
    /// Distance by which the weights are moved up the gradient, positive; the papers take 0.05, and
    /// 0.5 with `adaptive`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rho: f64,
    /// Whether the distance of each weight is relative to its size (ASAM).
    pub adaptive: bool,
}

impl Default for SamConfig {
    fn default() -> SamConfig {
        SamConfig { rho: 0.05, adaptive: false }
    }
}

impl SamConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        found.positive("rho", self.rho);
        found.0
    }
}

/// Weights that have been moved, and copies of what they were.
#[derive(Debug)]
pub struct Perturbation {
    parameters: Vec<Tensor>,
    before: Vec<Tensor>,
}

impl Perturbation {
    /// Makes the weights what they were, to the bit.
    ///
    /// # Errors
    /// libtorch's.
    pub fn undo(self) -> Result<(), OptimizerError> {
        Ok(torch_ext::copy_all(&self.parameters, &self.before)?)
    }
}

impl Optimizer {
    /// Moves the parameters w that have a gradient g by e = rho · g / ‖g‖, or with `adaptive` by
    /// e = rho · w² g / ‖w g‖, the norm being over all of them. Nothing is read from the device; a
    /// gradient that is not finite makes weights that are not.
    ///
    /// # Errors
    /// No memory.
    pub fn perturb(&self, config: &SamConfig) -> Result<Perturbation, OptimizerError> {
        let trained = self.slots().map(|slot| &slot.parameter).filter(|one| one.grad().defined());
        let parameters: Vec<Tensor> = trained.map(Tensor::shallow_clone).collect();
        let before = foreach::clone(&parameters)?;
        let moves = foreach::clone(&self.grads())?;
        if config.adaptive {
            foreach::mul_(&moves, &before)?;
        }
        if !moves.is_empty() {
            let norm = torch_ext::total_norm(&moves)?;
            let scale = tch::no_grad(|| (norm + EPS).reciprocal() * config.rho);
            let scales: Vec<Tensor> = moves.iter().map(|_| scale.shallow_clone()).collect();
            foreach::mul_(&moves, &scales)?;
        }
        if config.adaptive {
            foreach::mul_(&moves, &before)?;
        }
        foreach::add_(&parameters, &moves, 1.0)?;
        Ok(Perturbation { parameters, before })
    }
}
