//! The running statistics of batch norms, computed anew for weights that no training step has seen:
//! `torch.optim.swa_utils.update_bn`.

use tch::{Kind, Tensor};

use crate::device::Compute;
use crate::distributed::{DistributedError, World};
use crate::network::{ForwardError, Input, Network, RunningStatistic};

/// The means over batches of the statistics of each (`momentum=None` in PyTorch), of batch norms
/// that are not frozen.
#[derive(Debug)]
pub struct BatchNormRefresh {
    statistics: Vec<Statistic>,
    /// The numbers of batches, i64.
    tracked: Vec<Tensor>,
    num_batches: u64,
}

#[derive(Debug)]
struct Statistic {
    /// Shared with the layer.
    running: Tensor,
    momentum: f64,
    /// f64.
    sum: Tensor,
}

impl BatchNormRefresh {
    /// Begins for `network`, whose statistics are of no use until [`BatchNormRefresh::finish`].
    pub fn new(network: &Network) -> BatchNormRefresh {
        let mut refresh = BatchNormRefresh { statistics: Vec::new(), tracked: Vec::new(), num_batches: 0 };
        for RunningStatistic { tensor, momentum } in network.running_statistics() {
            match momentum {
                Some(momentum) => {
                    let sum = tensor.detach().zeros_like().to_kind(Kind::Double);
                    refresh.statistics.push(Statistic { running: tensor, momentum, sum });
                }
                None if !tensor.is_floating_point() => refresh.tracked.push(tensor),
                None => {}
            }
        }
        refresh
    }

    /// Whether the network has none.
    pub fn is_empty(&self) -> bool {
        self.statistics.is_empty()
    }

    /// Takes in a batch: a forward pass in training mode.
    ///
    /// # Errors
    /// As of [`Network::train_outputs`].
    pub fn add(
        &mut self,
        network: &Network,
        input: Input<'_>,
        compute: &Compute,
    ) -> Result<(), ForwardError> {
        tch::no_grad(|| {
            // From zero, a step of the moving average leaves the batch's own times the momentum.
            for Statistic { running, .. } in &self.statistics {
                let _ = running.shallow_clone().zero_();
            }
            network.train_outputs(input, compute)?;
            for Statistic { running, momentum, sum } in &mut self.statistics {
                *sum += running.to_kind(Kind::Double) / *momentum;
            }
            self.num_batches += 1;
            Ok(())
        })
    }

    /// Gives the network the means over all batches of all processes; how many there were. Without
    /// any it has none.
    ///
    /// # Errors
    /// Another process has ended.
    pub fn finish(self, world: &World) -> Result<u64, DistributedError> {
        let mut values = vec![self.num_batches as f64];
        for Statistic { sum, .. } in &self.statistics {
            let elements = sum.numel();
            let start = values.len();
            values.resize(start + elements, 0.0);
            let sum = torch_ext::to_host(sum).map_err(|error| DistributedError::Torch(error.to_string()))?;
            sum.copy_data(&mut values[start..], elements);
        }
        if !world.is_alone() {
            world.sum(&mut values)?;
        }
        let (num_batches, mut rest) = (values[0], &values[1..]);
        tch::no_grad(|| {
            for Statistic { running, .. } in &self.statistics {
                let (own, others) = rest.split_at(running.numel());
                rest = others;
                let means: Vec<f64> = own.iter().map(|sum| sum / num_batches).collect();
                running.shallow_clone().copy_(&Tensor::from_slice(&means).view_as(running));
            }
            for tracked in &self.tracked {
                let _ = tracked.shallow_clone().fill_(num_batches as i64);
            }
        });
        Ok(num_batches as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;
    use tch::Device;

    fn formula(shape: &[i64], factor: f64) -> Tensor {
        let count: i64 = shape.iter().product();
        let numbers = Tensor::arange(count, (Kind::Double, Device::Cpu)) * factor;
        numbers.sin().to_kind(Kind::Float).view(shape)
    }

    #[test]
    fn statistics_are_those_of_pytorchs_update_bn() {
        // The program: tests/reference/swa.py.
        let reference = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/swa.json"));
        let reference: serde_json::Value = serde_json::from_str(reference).unwrap();
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let find = |name: &str| {
            let state = network.state_dict().into_iter();
            state.filter(|(known, _)| known == name).map(|(_, tensor)| tensor).next().unwrap()
        };
        tch::no_grad(|| {
            find("features.0.conv.weight").copy_(&formula(&[16, 3, 3, 3], 0.37));
            let _ = find("features.0.bn.running_mean").fill_(7.0);
            let _ = find("features.0.bn.running_var").fill_(9.0);
            let _ = find("features.0.bn.num_batches_tracked").fill_(5);
        });
        let compute = Compute::fp32(Device::Cpu);
        let mut refresh = BatchNormRefresh::new(&network);
        assert!(!refresh.is_empty());
        for (size, factor) in [(4, 0.11), (4, 0.23), (2, 0.71)] {
            let images = formula(&[size, 3, 8, 8], factor);
            refresh.add(&network, Input::Images(&images), &compute).unwrap();
        }
        assert_eq!(refresh.finish(&World::alone()).unwrap(), 3);
        for name in ["running_mean", "running_var"] {
            let expected: Vec<f64> = serde_json::from_value(reference[name].clone()).unwrap();
            let got = find(&format!("features.0.bn.{name}")).to_kind(Kind::Double);
            let difference = (got - Tensor::from_slice(&expected)).abs().max().double_value(&[]);
            // Sums of float32 in another order.
            assert!(difference < 1e-5, "{name}: {difference}");
        }
        let counted = find("features.0.bn.num_batches_tracked").int64_value(&[]);
        assert_eq!(Some(counted), reference["num_batches_tracked"].as_i64());
    }

    #[test]
    fn frozen_batch_norms_keep_their_statistics() {
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        network.parameters().iter().for_each(|(_, parameter)| {
            let _ = parameter.set_requires_grad(false);
        });
        assert!(BatchNormRefresh::new(&network).is_empty());
    }
}
