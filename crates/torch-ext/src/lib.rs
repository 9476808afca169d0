//! What libtorch has and tch does not expose, behind a small safe surface: CUDA on demand, fused optimizer
//! steps, gradients set to none, norms and averages over many tensors, determinism. With jpeg-ext the only unsafe
//! code of the project.

mod cuda;
mod fill;
mod shim;
mod slots;

pub use cuda::{CudaError, load_cuda};
pub use fill::TensorWriter;
pub use shim::{
    AdamSettings, AdamState, Generator, SgdSettings, clear_grads, fused_adam, fused_sgd, lerp, scale,
    set_deterministic, total_norm, version,
};
pub use slots::{Part, Slots};

/// libtorch refused; its own message without the C++ stack.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct Error(pub(crate) String);

/// The first line of one of tch's errors: what happened, without the C++ stack that follows it.
pub fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}
