//! Which device a run uses, and why; and how a network computes there ([`Compute`]).

mod compute;
mod courtesy;
mod precision;
mod quota;
mod threads;
mod versions;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Device, Kind, Tensor};

pub use courtesy::Contention;
use courtesy::Courtesy;

use crate::torch_error::{TorchError, catch_torch_panic};

pub use compute::{Compute, MemoryFormat};
pub use precision::{Precision, PrecisionChoice};
pub use threads::current as num_threads;
pub use versions::versions;

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
    /// What a user should know who has a GPU that is not used: why, and what to do.
    pub warning: Option<String>,
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
    resolve_among(choice, threads, Neighbours::default())
}

/// Processes of one training on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// This one's number among them, from 0.
    pub place: usize,
    /// How many there are, at least 1.
    pub count: usize,
}

impl Default for Neighbours {
    fn default() -> Neighbours {
        Neighbours { place: 0, count: 1 }
    }
}

impl Neighbours {
    /// The number of the CUDA device that is this process's, where the user has named none.
    fn cuda_device(self) -> usize {
        // A launcher that lets each process see a GPU of its own has numbered it 0.
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let is_own = !visible.is_empty() && !visible.contains(',');
        if is_own { 0 } else { self.place }
    }
}

/// As [`resolve`], of one of several processes of a machine: each has a GPU of its own, and its share of
/// the processors.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_among(
    choice: DeviceChoice,
    threads: Option<usize>,
    neighbours: Neighbours,
) -> Result<ResolvedDevice, DeviceError> {
    let (threads, bound) = threads::set(threads, neighbours.count);
    let cpu = |why: &str| {
        let plural = if threads == 1 { "" } else { "s" };
        ResolvedDevice {
            device: Device::Cpu,
            description: format!("cpu with {threads} thread{plural}: {bound} ({why})"),
            warning: None,
            _courtesy: Courtesy::start(threads).map(Arc::new),
        }
    };
    let cuda = |number: usize, why: &str| ResolvedDevice {
        device: Device::Cuda(number),
        description: format!("cuda:{number} ({why})"),
        warning: None,
        _courtesy: None,
    };
    if choice == DeviceChoice::Cpu {
        return Ok(cpu("as requested"));
    }
    let number = match choice {
        DeviceChoice::Cuda(number) if number > 0 => number,
        _ => neighbours.cuda_device(),
    };
    match (choice, usable(number)) {
        (DeviceChoice::Auto, Ok((found, count))) if count > 1 && neighbours.count == 1 => {
            Ok(cuda(0, &format!("{found}; the first of {count}")))
        }
        (_, Ok((found, _))) => Ok(cuda(number, &found)),
        (DeviceChoice::Auto, Err(NoCuda { reason, is_expected })) => {
            if is_expected {
                return Ok(cpu(&reason));
            }
            let warning = format!("device: the CPU is used: {reason}; --device cpu silences this");
            Ok(ResolvedDevice { warning: Some(warning), ..cpu("the GPU cannot be used") })
        }
        (_, Err(NoCuda { reason, .. })) => Err(DeviceError::NoCuda { wanted: choice, reason }),
    }
}

/// Why a CUDA device cannot be used, and whether nobody would expect that it can.
struct NoCuda {
    reason: String,
    is_expected: bool,
}

/// What the CUDA device of this number is and how many there are, if it can be used: its driver,
/// its kernels and cuDNN's are there, and it has memory left. It is this thread's current device
/// from then on.
fn usable(number: usize) -> Result<(String, i64), NoCuda> {
    let unexpected = |reason: String| NoCuda { reason, is_expected: false };
    torch_ext::load_cuda().map_err(|error| NoCuda {
        reason: error.to_string(),
        is_expected: error == torch_ext::CudaError::NoDriver,
    })?;
    let count = tch::Cuda::device_count();
    if i64::try_from(number).map_or(true, |number| number >= count) {
        let plural = if count == 1 { "" } else { "s" };
        return Err(unexpected(format!(
            "this machine has only {count} CUDA device{plural}, numbered from 0"
        )));
    }
    let found = torch_ext::cuda_device(number);
    let name = found.map_or_else(|| format!("cuda:{number}"), |device| device.to_string());
    let tried = torch_ext::use_cuda_device(number).map_err(TorchError::from).and_then(|()| try_out(number));
    tried.map_err(|error| {
        let search_path = std::env::var("LD_LIBRARY_PATH").ok().filter(|path| !path.is_empty());
        let advice = advice(error.message(), search_path.as_deref());
        unexpected(format!("{name} cannot be used: {advice}"))
    })?;
    Ok((name, count))
}

/// One small step of a convolution, and its result read.
fn try_out(number: usize) -> Result<(), TorchError> {
    catch_torch_panic(|| {
        let options = (Kind::Float, Device::Cuda(number));
        let (images, weight) = (Tensor::ones([1, 4, 8, 8], options), Tensor::ones([4, 4, 3, 3], options));
        let weight = weight.set_requires_grad(true);
        images.conv2d::<&Tensor>(&weight, None, 1, 1, 1, 1).sum(Kind::Float).backward();
        weight.grad().sum(Kind::Float).double_value(&[]);
    })
}

/// What CUDA says where a device cannot be used at all, with what to do about it; `search_path` is
/// `LD_LIBRARY_PATH`, where libraries are looked for first.
fn advice(message: &str, search_path: Option<&str>) -> String {
    let libraries = || match search_path {
        Some(path) => format!("other libraries were found first: unset LD_LIBRARY_PATH, which is `{path}`"),
        None => "the libraries do not suit each other: `cargo xtask setup --compute cuda` installs those of \
                 this libtorch again"
            .to_owned(),
    };
    let is = |words: &str| message.contains(words);
    let advice = if is("no kernel image") || is("ARCH_MISMATCH") {
        "this libtorch has no code for a GPU of that generation; it needs a newer GPU".to_owned()
    } else if is("VERSION_MISMATCH") || is("SUBLIBRARY") || is("CUDNN_STATUS_NOT_INITIALIZED") {
        libraries()
    } else if is("unable to find an engine") {
        format!("cuDNN cannot compute there; {}", libraries())
    } else if is("busy or unavailable") {
        "another process has the GPU for itself; `nvidia-smi` lists it".to_owned()
    } else if is("out of memory") {
        "other programs hold its memory; `nvidia-smi` lists them".to_owned()
    } else {
        return message.to_owned();
    };
    format!("{message} ({advice})")
}

/// What libtorch warns of in this thread goes to `tell` from now on, a line each, not to stderr. For
/// programs, before they compute.
pub use torch_ext::tell_warnings;

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of the libraries, as they are in their issue trackers.
    #[test]
    fn a_device_that_cannot_be_used_is_told_with_a_remedy() {
        let set = Some("/opt/cudnn/lib");
        for (message, search_path, remedy) in [
            ("CUDA error: no kernel image is available for execution on the device", set, "a newer GPU"),
            (
                "cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
                set,
                "unset LD_LIBRARY_PATH, which is `/opt",
            ),
            ("cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", None, "setup --compute cuda"),
            ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", set, "unset LD_LIBRARY_PATH"),
            ("GET was unable to find an engine to execute this computation", set, "unset LD_LIBRARY_PATH"),
            ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", None, "another process"),
            ("CUDA error: out of memory", None, "`nvidia-smi` lists them"),
        ] {
            let text = advice(message, search_path);
            assert!(text.starts_with(message) && text.contains(remedy), "{text}");
            assert!(search_path.is_some() || !text.contains("LD_LIBRARY_PATH"), "{text}");
        }
        assert_eq!(advice("CUDA error: unknown error", set), "CUDA error: unknown error");
    }

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
