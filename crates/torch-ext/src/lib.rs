//! What libtorch has and tch does not expose, behind a small safe surface: CUDA on demand, fused
//! optimizer steps, autocast, memory format, gradients set to none, norms and averages over many
//! tensors, determinism, TorchScript modules with their whole state, records of what runs and of
//! the memory it takes, the allocator's manners. With jpeg-ext the only unsafe code of the project.

mod cuda;
mod fill;
mod memory;
mod record;
mod script;
mod shim;
mod slots;

pub use cuda::{CudaError, load_cuda};
pub use fill::TensorWriter;
pub use memory::keep_freed_memory;
pub use record::{MemoryEvent, Operator, Seen, record_memory, record_operators, storage_address};
pub use script::{Script, ScriptTensor};
pub use shim::{
    AdamSettings, AdamState, Autocast, Generator, SgdSettings, channels_last, clear_grads, fused_adam,
    fused_sgd, lerp, scale, set_deterministic, total_norm, version,
};
pub use slots::{HostBuffers, Part};

/// libtorch refused; its own message without the C++ stack.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct Error(pub(crate) String);

impl Error {
    /// The message alone, without the word that it is libtorch's.
    pub fn message(&self) -> &str {
        &self.0
    }
}

/// The first line of one of tch's errors: what happened, without the C++ stack that follows it.
pub fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
