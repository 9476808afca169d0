//! An exponential moving average of the weights, kept beside them.
//!
//! At update `n` (counted from 0): average ← d·average + (1 − d)·weights, with d = 0 at the first
//! update, then `decay` · min(1, n / `warmup_steps`). Updates are counted here rather than taken
//! from the step, so that the first one copies the weights even if steps before it were skipped.
//! Without warm-up steps this is PyTorch's `torch.optim.swa_utils.AveragedModel` with
//! `get_ema_multi_avg_fn(decay)` and `use_buffers=True`, as torchvision's references use it, but
//! that whole-number buffers are copied. Polyak and Juditsky (1992) average likewise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OptimizerError;
use crate::network::{Network, ScriptError};

/// EMA weights, validated beside the weights themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// Share of the average that each step keeps, at least 0 and below 1.
    pub decay: f64,
    /// Steps over which that share grows linearly from 0, so that the random beginning is soon
    /// forgotten.
    pub warmup_steps: u64,
}

impl Default for EmaConfig {
    fn default() -> EmaConfig {
        EmaConfig { decay: 0.999, warmup_steps: 0 }
    }
}

impl EmaConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        if (0.0..1.0).contains(&self.decay) {
            return Vec::new();
        }
        vec![("decay".to_owned(), format!("must be at least 0 and below 1, got {}", self.decay))]
    }

    /// What the average keeps of itself at an update that this many come before.
    pub fn decay_after(&self, num_updates: u64) -> f64 {
        if num_updates == 0 {
            0.0
        } else if num_updates < self.warmup_steps {
            self.decay * num_updates as f64 / self.warmup_steps as f64
        } else {
            self.decay
        }
    }
}

/// The EMA weights, as a network of their own.
#[derive(Debug)]
pub struct Ema {
    config: EmaConfig,
    network: Network,
    num_updates: u64,
}

impl Ema {
    /// Begins as a copy of `network`'s state.
    ///
    /// # Errors
    /// See [`Network::deep_copy`].
    pub fn new(config: &EmaConfig, network: &Network) -> Result<Ema, ScriptError> {
        Ok(Ema { config: config.clone(), network: network.deep_copy()?, num_updates: 0 })
    }

    /// Moves the average towards the weights of `network`; the first update copies them.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, network: &Network) -> Result<(), OptimizerError> {
        let decay = self.config.decay_after(self.num_updates);
        let (mut averages, mut weights) = (Vec::new(), Vec::new());
        let (mut copies, mut originals) = (Vec::new(), Vec::new());
        for ((_, average), (_, weight)) in self.network.tensors().into_iter().zip(network.tensors()) {
            if weight.is_floating_point() && decay > 0.0 {
                averages.push(average);
                weights.push(weight);
            } else {
                copies.push(average);
                originals.push(weight);
            }
        }
        torch_ext::lerp(&averages, &weights, 1.0 - decay)?;
        torch_ext::copy_all(&copies, &originals)?;
        self.num_updates += 1;
        Ok(())
    }

    /// Updates so far, `AveragedModel`'s `n_averaged`; part of the state.
    pub fn num_updates(&self) -> u64 {
        self.num_updates
    }

    /// Takes over the number of updates of a saved state.
    pub fn set_num_updates(&mut self, num_updates: u64) {
        self.num_updates = num_updates;
    }

    /// The network with the EMA weights; its state is the average.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;
    use tch::{Device, Kind, Tensor};

    /// The program: tests/reference/ema.py, which changes the weights by the same formula.
    const REFERENCE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/ema.json"));

    #[test]
    fn the_average_follows_pytorchs() {
        let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
        let config = EmaConfig { decay: reference["decay"].as_f64().unwrap(), warmup_steps: 0 };
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let mut ema = Ema::new(&config, &network).unwrap();
        let first = |state: Vec<(String, Tensor)>, name: &str| {
            let (_, tensor) = state.into_iter().find(|(known, _)| known == name).unwrap();
            tensor.flatten(0, -1).double_value(&[0])
        };
        for (step, expected) in reference["averages"].as_array().unwrap().iter().enumerate() {
            let value = f64::sin(step as f64 * 1.7) * 3.0;
            tch::no_grad(|| {
                for (_, mut tensor) in network.state_dict() {
                    let _ = if tensor.kind() == Kind::Int64 {
                        tensor.fill_(step as i64)
                    } else {
                        tensor.fill_(value)
                    };
                }
            });
            assert_eq!(ema.num_updates(), step as u64);
            ema.update(&network).unwrap();
            let expected = expected.as_f64().unwrap();
            for name in ["features.0.conv.weight", "features.0.bn.running_mean"] {
                let got = first(ema.network().state_dict(), name);
                // The same kernel in the same library; a few ulps of float32 in case it is
                // vectorised otherwise.
                assert!((got - expected).abs() < 2e-6, "{name} at {step}: {got} and {expected}");
            }
            let counted = first(ema.network().state_dict(), "features.0.bn.num_batches_tracked");
            assert_eq!(counted, step as f64, "whole numbers are copied");
        }
    }

    #[test]
    fn the_first_update_copies_the_weights_whichever_step_it_follows() {
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let mut ema = Ema::new(&EmaConfig::default(), &network).unwrap();
        // As after a first step that was skipped: the average still has the random beginning.
        tch::no_grad(|| network.parameters().iter_mut().for_each(|(_, weight)| *weight += 1.0));
        ema.update(&network).unwrap();
        for ((name, average), (_, weight)) in ema.network().state_dict().iter().zip(network.state_dict()) {
            assert_eq!(*average, weight, "{name}");
        }
        // A resumed average keeps its count: the next update is no copy.
        let mut resumed = Ema::new(&EmaConfig::default(), &network).unwrap();
        resumed.set_num_updates(ema.num_updates());
        tch::no_grad(|| network.parameters().iter_mut().for_each(|(_, weight)| *weight += 1.0));
        resumed.update(&network).unwrap();
        assert_eq!(resumed.num_updates(), 2);
        let ((_, average), (_, weight)) = (&resumed.network().state_dict()[0], &network.state_dict()[0]);
        assert!((weight - average).min().double_value(&[]) > 0.9);
    }

    #[test]
    fn warm_up_lets_the_decay_grow_linearly() {
        let config = EmaConfig { decay: 0.8, warmup_steps: 4 };
        let decays = [0, 1, 2, 3, 4, 5].map(|step| config.decay_after(step));
        for (decay, expected) in decays.into_iter().zip([0.0, 0.2, 0.4, 0.6, 0.8, 0.8]) {
            assert!((decay - expected).abs() < 1e-12, "{decays:?}");
        }
        assert_eq!(EmaConfig { decay: 0.8, warmup_steps: 0 }.decay_after(1), 0.8);
        assert_eq!(EmaConfig { decay: 1.0, warmup_steps: 0 }.problems()[0].0, "decay");
    }
}
