//! Running statistics as they were, for forward passes whose batches are not to count.

use tch::Tensor;
use torch_ext::foreach;

use super::Network;

/// Running statistics, and copies of their values.
#[derive(Debug)]
pub struct StatisticsCopy {
    statistics: Vec<Tensor>,
    values: Vec<Tensor>,
}

impl StatisticsCopy {
    /// Makes the statistics what they were.
    ///
    /// # Errors
    /// libtorch's.
    pub fn put_back(self) -> Result<(), torch_ext::Error> {
        torch_ext::copy_all(&self.statistics, &self.values)
    }
}

impl Network {
    /// A copy of what the forward pass of training changes now.
    ///
    /// # Errors
    /// No memory.
    pub fn copy_statistics(&self) -> Result<StatisticsCopy, torch_ext::Error> {
        let statistics: Vec<Tensor> =
            self.running_statistics().into_iter().map(|statistic| statistic.tensor).collect();
        let values = foreach::clone(&statistics)?;
        Ok(StatisticsCopy { statistics, values })
    }
}
