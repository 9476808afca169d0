//! Which device a run uses, and why; and how a network computes there ([`Compute`]).

mod compute;
mod courtesy;
mod precision;
mod quota;
mod threads;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::Device;

pub use courtesy::Contention;
use courtesy::Courtesy;

pub use compute::{Compute, MemoryFormat};
pub use precision::{Precision, PrecisionChoice};

/// `auto`, `cpu`, `cuda` (the first), or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU; CUDA's libraries are not even loaded.
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceChoice, String> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(DeviceChoice::Cuda)
                .ok_or_else(|| format!("`{text}` is no device; use auto, cpu, cuda or cuda:N")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(0) => f.write_str("cuda"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Serialize for DeviceChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DeviceChoice, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for DeviceChoice {
    fn schema_name() -> Cow<'static, str> {
        "Device".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(auto|cpu|cuda(:[0-9]+)?)$",
            "examples": ["auto", "cpu", "cuda", "cuda:1"],
        })
    }
}

/// Trades a little memory for speed on CPUs: see [`torch_ext::keep_freed_memory`]. For programs,
/// first thing in `main`.
pub use torch_ext::keep_freed_memory;

/// Lets `deterministic: true` be kept on CUDA: see [`torch_ext::set_cublas_workspace`]. For
/// programs, first thing in `main`.
pub use torch_ext::set_cublas_workspace;

/// A device and the reason for it.
#[derive(Clone, Debug)]
pub struct ResolvedDevice {
    /// Where tensors live.
    pub device: Device,
    /// One line for the user: `cpu with 2 threads (no NVIDIA driver found)`.
    pub description: String,
    /// On a CPU, while this or a clone of it lives: threads that wait leave the processors to
    /// others where those are shared.
    _courtesy: Option<Arc<Courtesy>>,
}

/// The requested device is not there.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// CUDA was requested by name.
    #[error(
        "--device (training.device): {wanted} was requested, but {reason}; use --device cpu, or --device auto to take what is there"
    )]
    NoCuda {
        /// The requested device.
        wanted: DeviceChoice,
        /// Why it cannot be had.
        reason: String,
    },
}

/// Finds the device, and sets how many `threads` libtorch computes with on a CPU: as many as given,
/// else no more than the process may use (affinity, quota of a container, physical cores), unless
/// `OMP_NUM_THREADS` says how many. To be called by the thread that computes. CUDA's libraries are
/// loaded only if the choice is not `cpu`.
///
/// # Errors
/// CUDA was requested by name and cannot be had.
pub fn resolve(choice: DeviceChoice, threads: Option<usize>) -> Result<ResolvedDevice, DeviceError> {
    let (threads, bound) = threads::set(threads);
    let cpu = |why: &str| {
        let plural = if threads == 1 { "" } else { "s" };
        ResolvedDevice {
            device: Device::Cpu,
            description: format!("cpu with {threads} thread{plural}: {bound} ({why})"),
            _courtesy: Courtesy::start(threads).map(Arc::new),
        }
    };
    let cuda = |number: usize, why: &str| ResolvedDevice {
        device: Device::Cuda(number),
        description: format!("cuda:{number} ({why})"),
        _courtesy: None,
    };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu("as requested"));
    }
    match (choice, cuda_devices()) {
        (DeviceChoice::Cuda(number), Ok(count)) if (number as i64) < count => {
            Ok(cuda(number, "as requested"))
        }
        (DeviceChoice::Cuda(_), Ok(count)) => Err(DeviceError::NoCuda {
            wanted: choice,
            reason: format!("this machine has only {count} CUDA device(s), numbered from 0"),
        }),
        (DeviceChoice::Cuda(_), Err(reason)) => Err(DeviceError::NoCuda { wanted: choice, reason }),
        (_, Ok(count)) => Ok(cuda(0, &format!("the first of {count} found"))),
        (_, Err(reason)) => Ok(cpu(&reason)),
    }
}

/// The number of usable CUDA devices, at least 1, or why there is none.
fn cuda_devices() -> Result<i64, String> {
    torch_ext::load_cuda().map_err(|error| error.to_string())?;
    match tch::Cuda::device_count() {
        count if count > 0 => Ok(count),
        _ => Err("libtorch sees no CUDA device".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_read_and_written() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for bad in ["gpu", "cuda:", "cuda:x", "CPU", ""] {
            assert!(bad.parse::<DeviceChoice>().unwrap_err().contains("cuda:N"), "{bad}");
        }
    }
}
