//! What libtorch refuses to do in the middle of a computation, as an error with advice.
//!
//! tch's operators panic there. Networks are written with them, since their shapes are right by
//! construction; what remains is what no construction rules out: too little memory, or an operator
//! without a deterministic kernel.

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
        if message.contains("out of memory") || message.contains("can't allocate memory") {
            TorchError::Memory(first)
        } else if message.contains("does not have a deterministic implementation") {
            TorchError::NotDeterministic(first)
        } else {
            TorchError::Other(first)
        }
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
