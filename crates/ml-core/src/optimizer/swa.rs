//! Stochastic weight averaging: the equal average of the weights at the ends of the last epochs
//! (Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018).
//!
//! It is PyTorch's `torch.optim.swa_utils.AveragedModel` with its default average: parameters are
//! averaged, buffers copied. The statistics of batch norms are then of other weights, and are computed
//! anew at the end of the training, as PyTorch's `update_bn` does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::OptimizerError;
use super::schedule::{Anneal, SwaLr};
use crate::network::{Network, ScriptError};

/// Which epochs are averaged, and the learning rate meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SwaConfig {
    /// Share of the epochs after which averaging starts, at least 0 and below 1.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub start: f64,
    /// Epochs after which averaging starts, in place of `start`; null takes `start`.
    pub start_epoch: Option<u64>,
    /// Epochs from one that is averaged to the next.
    #[schemars(range(min = 1))]
    pub every_epochs: u64,
    /// Learning rate from the start on (PyTorch's `SWALR`); null follows the scheduler.
    pub lr: Option<f64>,
    /// Epochs in which the learning rate changes to `lr`.
    pub anneal_epochs: u64,
    /// How it does: `cos` or `linear`.
    pub anneal_strategy: Anneal,
}

impl Default for SwaConfig {
    fn default() -> SwaConfig {
        SwaConfig {
            start: 0.75,
            start_epoch: None,
            every_epochs: 1,
            lr: None,
            anneal_epochs: 10,
            anneal_strategy: Anneal::Cos,
        }
    }
}

impl SwaConfig {
    /// (key relative to this struct, message) of everything out of range in a training of
    /// `num_epochs`.
    pub fn problems(&self, num_epochs: usize) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |key: &str, message: String| found.push((key.to_owned(), message));
        let is_share = (0.0..1.0).contains(&self.start);
        if !is_share {
            add("start", format!("must be at least 0 and below 1, got {}", self.start));
        }
        if self.every_epochs == 0 {
            add("every_epochs", "must be at least 1, got 0".to_owned());
        }
        if let Some(lr) = self.lr.filter(|lr| !(lr.is_finite() && *lr > 0.0)) {
            add("lr", format!("must be null or positive, got {lr}"));
        }
        let epochs = num_epochs as u64;
        match self.start_epoch {
            Some(start) if start >= epochs => {
                let message = format!("must be below training.num_epochs, {epochs}, got {start}");
                add("start_epoch", message);
            }
            _ if is_share && self.start_after(num_epochs).saturating_add(self.every_epochs) > epochs => {
                let message = format!(
                    "must leave an epoch to average: after epoch {} there are {} more",
                    self.start_after(num_epochs),
                    epochs.saturating_sub(self.start_after(num_epochs)),
                );
                add("every_epochs", message);
            }
            _ => {}
        }
        found
    }

    /// The epochs that are done before averaging starts, of `num_epochs`.
    pub fn start_after(&self, num_epochs: usize) -> u64 {
        // A share such as 0.29 of 100 is not to be 28.
        self.start_epoch.unwrap_or((self.start * num_epochs as f64 + 1e-9).floor() as u64)
    }

    /// The first epoch, counted from 1, whose weights are averaged, of `num_epochs`.
    pub fn first_epoch(&self, num_epochs: usize) -> u64 {
        self.start_after(num_epochs) + self.every_epochs.max(1)
    }

    /// Whether the weights at the end of `epoch`, counted from 1, are averaged.
    pub fn is_due_after(&self, epoch: u64, num_epochs: usize) -> bool {
        let since = epoch.saturating_sub(self.start_after(num_epochs));
        since > 0 && since.is_multiple_of(self.every_epochs.max(1))
    }

    /// What becomes of the learning rate, if it is set.
    pub fn schedule(&self, num_epochs: usize) -> Option<SwaLr> {
        Some(SwaLr {
            start: self.start_after(num_epochs),
            lr: self.lr?,
            anneal_epochs: self.anneal_epochs,
            anneal_strategy: self.anneal_strategy,
        })
    }
}

/// The averaged weights, as a network of their own.
#[derive(Debug)]
pub struct Swa {
    network: Network,
    num_averaged: u64,
}

impl Swa {
    /// Begins without any; `network` is one like those that will be averaged.
    ///
    /// # Errors
    /// See [`Network::deep_copy`].
    pub fn new(network: &Network) -> Result<Swa, ScriptError> {
        Ok(Swa { network: network.deep_copy()?, num_averaged: 0 })
    }

    /// Takes the weights of `network` into the average, and its buffers in place of those before.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, network: &Network) -> Result<(), OptimizerError> {
        let tensors = |named: Vec<(String, Tensor)>| -> Vec<Tensor> {
            named.into_iter().map(|(_, tensor)| tensor).collect()
        };
        let (averages, weights) = (tensors(self.network.parameters()), tensors(network.parameters()));
        if self.num_averaged == 0 {
            torch_ext::copy_all(&averages, &weights)?;
        } else {
            torch_ext::lerp(&averages, &weights, 1.0 / (self.num_averaged + 1) as f64)?;
        }
        torch_ext::copy_all(&tensors(self.network.buffers()), &tensors(network.buffers()))?;
        self.num_averaged += 1;
        Ok(())
    }

    /// How many are averaged; PyTorch's `n_averaged`, part of the state. None of them count where
    /// it is 0.
    pub fn num_averaged(&self) -> u64 {
        self.num_averaged
    }

    /// Takes over the number of a saved state; 0 begins anew.
    pub fn set_num_averaged(&mut self, num_averaged: u64) {
        self.num_averaged = num_averaged;
    }

    /// The network with the averaged weights; its state is the average.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;
    use tch::{Device, Kind};

    /// The program: tests/reference/swa.py, which changes the weights by the same formula.
    const REFERENCE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/swa.json"));

    #[test]
    fn the_average_is_pytorchs_and_buffers_are_copied() {
        let reference: serde_json::Value = serde_json::from_str(REFERENCE).unwrap();
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let mut swa = Swa::new(&network).unwrap();
        let first = |state: Vec<(String, Tensor)>, name: &str| {
            let (_, tensor) = state.into_iter().find(|(known, _)| known == name).unwrap();
            tensor.flatten(0, -1).double_value(&[0])
        };
        for (epoch, expected) in reference["averages"].as_array().unwrap().iter().enumerate() {
            let value = f64::sin(epoch as f64 * 1.7) * 3.0;
            tch::no_grad(|| {
                for (_, mut tensor) in network.state_dict() {
                    let _ = if tensor.kind() == Kind::Int64 {
                        tensor.fill_(epoch as i64)
                    } else {
                        tensor.fill_(value)
                    };
                }
            });
            swa.update(&network).unwrap();
            assert_eq!(swa.num_averaged(), epoch as u64 + 1);
            let (got, expected) =
                (first(swa.network().state_dict(), "features.0.conv.weight"), expected.as_f64().unwrap());
            // The same formula in float32, in another order of the operations.
            assert!((got - expected).abs() < 2e-6, "after {epoch}: {got} and {expected}");
            let copied = first(swa.network().state_dict(), "features.0.bn.running_mean");
            assert!((copied - value).abs() < 1e-6, "after {epoch}: {copied} and {value}");
            assert_eq!(first(swa.network().state_dict(), "features.0.bn.num_batches_tracked"), epoch as f64);
        }
        // A state that is taken over goes on alike.
        let mut other = Swa::new(&network).unwrap();
        other.network().load_state_dict(&swa.network().state_dict()).unwrap();
        other.set_num_averaged(swa.num_averaged());
        tch::no_grad(|| network.parameters().iter_mut().for_each(|(_, weight)| *weight += 1.0));
        swa.update(&network).unwrap();
        other.update(&network).unwrap();
        assert_eq!(swa.network().state_dict(), other.network().state_dict());
    }

    #[test]
    fn averaging_starts_after_a_share_of_the_epochs_or_a_number_of_them() {
        let config = |yaml: &str| serde_yaml::from_str::<SwaConfig>(yaml).unwrap();
        let due = |yaml: &str, epochs: usize| -> Vec<u64> {
            (1..=epochs as u64).filter(|&epoch| config(yaml).is_due_after(epoch, epochs)).collect()
        };
        assert_eq!(due("{}", 8), [7, 8]);
        assert_eq!(due("{}", 1), [1]);
        assert_eq!(due("{start: 0}", 2), [1, 2]);
        assert_eq!(config("{start: 0.29}").start_after(100), 29);
        assert_eq!(due("{start_epoch: 3, every_epochs: 2}", 8), [5, 7]);
    }

    #[test]
    fn settings_out_of_range_are_named_and_an_end_without_epochs_to_average() {
        let problems = |yaml: &str| -> Vec<String> {
            let config: SwaConfig = serde_yaml::from_str(yaml).unwrap();
            config.problems(4).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(problems("{start: 1}"), ["start"]);
        assert_eq!(problems("{start: .nan, every_epochs: 0, lr: -1}"), ["start", "every_epochs", "lr"]);
        assert_eq!(problems("{start_epoch: 4}"), ["start_epoch"]);
        assert_eq!(problems("{every_epochs: 2}"), ["every_epochs"]);
        assert!(problems("{start_epoch: 3}").is_empty());
    }
}
