//! `training.distributed`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use torch_ext::ReducerOptions;

/// How several processes train one network together. Without `torchrun`, Slurm or `--nproc` there is
/// one process, and none of it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistributedConfig {
    /// How gradients cross the network: `gloo` (CPU), `nccl` (CUDA), or `auto`, which takes what suits
    /// the device.
    pub backend: Backend,
    /// How long a process waits for the others before it gives up, in seconds, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub timeout_seconds: f64,
    /// Multiplies all learning rates by the number of processes (Goyal et al. 2017), whose batches
    /// together are so many times as large.
    pub scale_lr: bool,
    /// Batch norms take mean and variance over the batches of all processes
    /// (`torch.nn.SyncBatchNorm`), not of each alone.
    pub sync_batch_norm: bool,
    /// What gradients cross the network as: `none` sends them as they are, `bf16` half as many bytes.
    pub gradient_compression: Compression,
    /// Allows steps in which parameters get no gradient; each step then looks for them.
    pub find_unused_parameters: bool,
    /// Gradients cross the network in buckets of so many megabytes while the rest is computed, above
    /// 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub bucket_mb: f64,
}

/// `training.distributed.backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// What suits the device.
    #[default]
    Auto,
    /// TCP between CPUs; also of tensors on a GPU, by way of the CPU.
    Gloo,
    /// NVIDIA's, between GPUs.
    Nccl,
}

/// `training.distributed.gradient_compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Rounded to 8 bits of precision.
    Bf16,
}

impl Default for DistributedConfig {
    fn default() -> DistributedConfig {
        DistributedConfig {
            backend: Backend::Auto,
            timeout_seconds: 1800.0,
            scale_lr: false,
            sync_batch_norm: false,
            gradient_compression: Compression::None,
            find_unused_parameters: false,
            bucket_mb: 25.0,
        }
    }
}

impl DistributedConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let positive = |key: &str, value: f64, most: f64| {
            let fits = value.is_finite() && value > 0.0 && value <= most;
            (!fits).then(|| (key.to_owned(), format!("must be above 0 and at most {most}, got {value}")))
        };
        [
            // A year.
            positive("timeout_seconds", self.timeout_seconds, 31_536_000.0),
            positive("bucket_mb", self.bucket_mb, 100_000.0),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// `timeout_seconds`.
    pub fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or(Duration::MAX)
    }

    /// How gradients are reduced.
    pub(crate) fn reducer(&self) -> ReducerOptions {
        ReducerOptions {
            bucket_bytes: (self.bucket_mb * (1 << 20) as f64) as usize,
            find_unused: self.find_unused_parameters,
            bf16: self.gradient_compression == Compression::Bf16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        assert!(DistributedConfig::default().problems().is_empty());
        for (yaml, key) in [
            ("timeout_seconds: 0", "timeout_seconds"),
            ("timeout_seconds: .nan", "timeout_seconds"),
            ("bucket_mb: -1", "bucket_mb"),
        ] {
            let config: DistributedConfig = serde_yaml::from_str(yaml).unwrap();
            assert_eq!(config.problems()[0].0, key, "{yaml}");
        }
        assert!(serde_yaml::from_str::<DistributedConfig>("backend: mpi").is_err());
    }
}
