//! What libtorch refuses to do in the middle of a computation, as an error with advice.
//!
//! tch's operators panic there. Networks are written with them, since their shapes are right by
//! construction; what remains is what no construction rules out: too little memory, an operator
//! without a deterministic kernel, or a device that fails.

use ml_data::guard;

/// Why libtorch refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TorchError {
    /// Of the device's or of the machine's.
    #[error(
        "there is not enough memory: {0}. Take fewer images at a time (--batch_size; in training, \
         gradient_accumulation_steps makes up for it) or smaller ones"
    )]
    Memory(String),
    /// `deterministic: true` is set.
    #[error(
        "deterministic: true cannot be kept: {0}. Set it to false, train on the CPU, or choose a network without this operator"
    )]
    NotDeterministic(String),
    /// A GPU is lost to this process.
    #[error(
        "the GPU failed: {0}. What it held is lost, and this process cannot use it any more; resume from the last \
         checkpoint (--resume). `nvidia-smi` and the system's log say more of it"
    )]
    Device(String),
    /// The GPU, its driver and the libraries do not suit each other, or this operator.
    #[error("the GPU cannot compute this: {message}. {advice}")]
    Unsupported {
        /// What was said.
        message: String,
        /// What to do.
        advice: &'static str,
    },
    /// Anything else.
    #[error("libtorch: {0}")]
    Other(String),
}

impl TorchError {
    /// Sorts what libtorch says.
    fn new(message: &str) -> TorchError {
        // PyTorch continues with advice about its own switches.
        let first = message.split(". You can turn off determinism").next().unwrap_or(message);
        // The check that failed, before what it means: `[enforce fail at alloc_cpu.cpp:127] err
        // == 0. DefaultCPUAllocator: …`.
        let checked = first.strip_prefix("[enforce fail").and_then(|rest| rest.split_once(". "));
        let first = checked.map_or(first, |(_, meaning)| meaning).to_owned();
        let is_any = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if is_any(&OF_MEMORY) {
            // PyTorch goes on with its allocator's own figures and switches.
            let first = first.split(" Of the allocated memory").next().unwrap_or(&first);
            TorchError::Memory(first.trim_end_matches('.').to_owned())
        } else if message.contains("does not have a deterministic implementation") {
            TorchError::NotDeterministic(first)
        } else if let Some((_, advice)) = UNSUPPORTED.iter().find(|(words, _)| message.contains(words)) {
            TorchError::Unsupported { message: first.trim_end_matches('.').to_owned(), advice }
        } else if is_any(&OF_DEVICE)
            || (message.contains("CUDA error") && !message.contains("CUBLAS_STATUS_"))
        {
            TorchError::Device(first)
        } else {
            TorchError::Other(first)
        }
    }
}

const OF_LIBRARIES: &str = "Libraries of another version were found first: unset LD_LIBRARY_PATH, or install this \
                            libtorch's own again (cargo xtask setup --compute cuda)";
const OF_OPERATOR: &str = "The GPU itself has not failed. Try another training.precision, training.channels_last: \
                           false, or --device cpu; if that happens with a built-in network, please report it";

/// What the libraries say where the GPU is well, and what to do. All of it comes before a kernel
/// is started, so that nothing is lost.
const UNSUPPORTED: [(&str, &str); 12] = [
    (
        "no kernel image is available",
        "This libtorch has no code for a GPU of that generation: use --device cpu or a newer GPU",
    ),
    (
        "ARCH_MISMATCH",
        "The libraries have no code for that GPU: use another training.precision, --device cpu or a newer GPU",
    ),
    ("driver version is insufficient", "The NVIDIA driver is too old for this libtorch: update the driver"),
    ("system not yet initialized", FABRIC),
    ("VERSION_MISMATCH", OF_LIBRARIES),
    ("CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED", OF_LIBRARIES),
    ("CUDNN_STATUS_NOT_INITIALIZED", OF_LIBRARIES),
    ("CUDNN_STATUS_NOT_SUPPORTED", OF_OPERATOR),
    ("CUDNN_STATUS_BAD_PARAM", OF_OPERATOR),
    ("CUBLAS_STATUS_NOT_SUPPORTED", OF_OPERATOR),
    ("CUBLAS_STATUS_INVALID_VALUE", OF_OPERATOR),
    ("CUDA error: invalid argument", OF_OPERATOR),
];

/// Of error 802.
const FABRIC: &str = "GPUs that are joined by NVSwitch need NVIDIA's Fabric Manager: start it (systemctl start \
                      nvidia-fabricmanager), in the driver's own version";

/// What libtorch, cuBLAS and cuDNN say where memory is lacking. cuBLAS cannot make its handle then,
/// and cuDNN finds no algorithm.
const OF_MEMORY: [&str; 6] = [
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine",
];

/// What cuDNN and cuBLAS say of a device that does not answer as it should; after an error of
/// CUDA's own that is not named above, a process cannot use the device either.
const OF_DEVICE: [&str; 6] = [
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_MAPPING_ERROR",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_MAPPING_ERROR",
];

impl TorchError {
    /// What libtorch said, without advice.
    pub fn message(&self) -> &str {
        match self {
            TorchError::Memory(message)
            | TorchError::NotDeterministic(message)
            | TorchError::Device(message)
            | TorchError::Unsupported { message, .. }
            | TorchError::Other(message) => message,
        }
    }

    /// What libtorch said, with advice where there is any, for a message that says itself whose words
    /// they are.
    pub fn said(message: &str) -> String {
        match TorchError::new(message) {
            TorchError::Other(message) => message,
            known => known.to_string(),
        }
    }
}

impl From<torch_ext::Error> for TorchError {
    fn from(error: torch_ext::Error) -> TorchError {
        TorchError::new(error.message())
    }
}

/// Runs `body`; what libtorch refuses in it becomes an error.
///
/// # Errors
/// libtorch refused.
pub fn catch_torch_panic<T>(body: impl FnOnce() -> T) -> Result<T, TorchError> {
    guard::caught(is_tchs, body).map_err(|panic| TorchError::new(&words(&panic)))
}

/// The beginning of what tch panics with: `Result::unwrap` of an error of libtorch's, in Debug
/// form.
const OF_TCH: &str = "called `Result::unwrap()` on an `Err` value: Torch(\"";

fn is_tchs(panic: &str) -> bool {
    panic.starts_with(OF_TCH)
}

/// The first line of libtorch's words, without the C++ stack after it.
fn words(panic: &str) -> String {
    let escaped = panic.strip_prefix(OF_TCH).unwrap_or(panic);
    let line = escaped.split("\\n").map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.trim_end_matches("\")").replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn what_libtorch_refuses_is_an_error_in_its_words() {
        let float = (Kind::Float, Device::Cpu);
        assert_eq!(catch_torch_panic(|| 3), Ok(3));
        let shapes = catch_torch_panic(|| Tensor::zeros([2, 3], float).matmul(&Tensor::zeros([2, 3], float)));
        let Err(TorchError::Other(message)) = shapes else { panic!("{shapes:?}") };
        assert_eq!(message, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
        // More than any machine has.
        let memory = catch_torch_panic(|| Tensor::zeros([1 << 55], float));
        let Err(TorchError::Memory(message)) = memory else { panic!("{memory:?}") };
        assert!(message.starts_with("DefaultCPUAllocator: can't allocate memory"), "{message}");
        assert!(!message.contains("\\n"), "{message}");
    }

    /// Messages of the libraries, as they are in their issue trackers.
    #[test]
    fn a_gpu_without_memory_and_one_that_failed_are_told_apart() {
        for message in [
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.15 GiB of which 1.56 MiB \
             is free. Process 7 has 79.14 GiB memory in use. Of the allocated memory 77.00 GiB is allocated by PyTorch, \
             and 1.10 GiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try …",
            "CUDA error: out of memory",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "GET was unable to find an engine to execute this computation",
        ] {
            let error = TorchError::new(message);
            let text = error.to_string();
            assert!(matches!(error, TorchError::Memory(_)) && text.contains("--batch_size"), "{text}");
            assert!(!text.contains("PyTorch"), "{text}");
        }
        for message in [
            "CUDA error: unspecified launch failure",
            "CUDA error: device-side assert triggered",
            "CUDA error: an illegal memory access was encountered",
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( … )`",
            "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        ] {
            let error = TorchError::new(message);
            let text = error.to_string();
            assert!(matches!(error, TorchError::Device(_)) && text.contains("--resume"), "{text}");
        }
    }

    #[test]
    fn a_gpu_that_is_well_is_not_called_lost() {
        for (message, advice) in [
            ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if …", "--device cpu"),
            ("cuDNN error: CUDNN_STATUS_BAD_PARAM", "training.precision"),
            (
                "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul( … )`",
                "training.precision",
            ),
            (
                "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx( … )`",
                "training.precision",
            ),
            ("cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "unset LD_LIBRARY_PATH"),
            ("cuDNN error: CUDNN_STATUS_VERSION_MISMATCH", "unset LD_LIBRARY_PATH"),
            ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "unset LD_LIBRARY_PATH"),
            ("CUDA error: no kernel image is available for execution on the device", "newer GPU"),
            ("CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling `cublasGemmEx( … )`", "newer GPU"),
            ("CUDA error: system not yet initialized", "nvidia-fabricmanager"),
            ("CUDA driver version is insufficient for CUDA runtime version", "update the driver"),
        ] {
            let error = TorchError::new(message);
            let text = error.to_string();
            assert!(matches!(error, TorchError::Unsupported { .. }), "{error:?}");
            assert!(text.contains(advice) && !text.contains("is lost"), "{text}");
        }
        // Of a status that nobody knows there is nothing to advise.
        for message in [
            "cuDNN error: CUDNN_STATUS_LICENSE_ERROR",
            "CUDA error: CUBLAS_STATUS_LICENSE_ERROR when calling …",
        ] {
            let unknown = TorchError::new(message);
            assert!(matches!(unknown, TorchError::Other(_)), "{unknown:?}");
        }
    }

    #[test]
    fn determinism_that_cannot_be_kept_says_so() {
        let refusal = TorchError::new(
            "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set \
             'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation, or …",
        );
        let text = refusal.to_string();
        assert!(
            text.starts_with("deterministic: true cannot be kept: adaptive_avg_pool2d_backward_cuda"),
            "{text}"
        );
        assert!(!text.contains("turn off determinism"), "{text}");
    }
}
