//! What libtorch has and tch does not expose, behind a small safe surface: CUDA on demand, fused
//! optimizer steps, autocast and gradient scaling, backward passes of a part of a network, memory
//! format, gradients set to none, norms and averages over many tensors, determinism, TorchScript
//! modules with their whole state, depthwise convolutions and batch norms that are faster on the CPU,
//! copies that the host does not wait for, process groups and their reducer of gradients, warnings,
//! records of what runs and of the memory it takes, the allocator's manners. With jpeg-ext the only
//! unsafe code of the project.

mod amp;
mod autograd;
mod conv;
mod cuda;
mod distributed;
mod fill;
pub mod foreach;
mod memory;
mod norm;
mod optim;
mod record;
mod script;
mod shim;
mod slots;
mod team;
mod transfer;
mod warnings;

pub use amp::{ScaleRule, allow_tf32, has_bf16, unscale, update_scale};
pub use autograd::{RngState, backward};
pub use conv::depthwise_conv2d;
pub use cuda::{
    CudaDevice, CudaError, CudaVersion, CudaVersions, cuda_device, cuda_peak, cuda_versions,
    empty_cuda_cache, has_cuda_context, load_cuda, reset_cuda_peak, use_cuda_device,
};
pub use distributed::{ProcessGroup, ReduceOp, Reducer, ReducerOptions, Store};
pub use fill::TensorWriter;
pub use memory::{keep_freed_memory, return_freed_memory, set_cublas_workspace};
pub use norm::{BatchNorm, NormActivation, batch_norm_act};
pub use optim::{
    AdamSettings, AdamState, RmspropSettings, RmspropState, SgdSettings, clip_grads_with_norm, copy_all,
    fused_adam, fused_sgd, lerp, rmsprop, total_norm,
};
pub use record::{MemoryEvent, Operator, Seen, record_memory, record_operators, storage_address};
pub use script::{Script, ScriptTensor};
pub use shim::{
    Autocast, Generator, channels_last, clear_grads, is_deterministic, manual_seed, set_deterministic,
    version,
};
pub use slots::{HostBuffers, Part};
pub use team::IdleTeam;
pub use transfer::{CopyStream, Fetch, Sent, host_waits, scalar, to_host};
pub use warnings::tell_warnings;

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

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Error {
        Error(first_line(&error))
    }
}

/// The first line of one of tch's errors: what happened, without the C++ stack that follows it.
pub fn first_line(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_shim_keeps_exceptions_in() {
        let sources = [
            include_str!("cpp/amp.cpp"),
            include_str!("cpp/autograd.cpp"),
            include_str!("cpp/conv.cpp"),
            include_str!("cpp/cuda.cpp"),
            include_str!("cpp/distributed.cpp"),
            include_str!("cpp/foreach.cpp"),
            include_str!("cpp/norm.cpp"),
            include_str!("cpp/optim.cpp"),
            include_str!("cpp/record.cpp"),
            include_str!("cpp/script.cpp"),
            include_str!("cpp/shim.cpp"),
            include_str!("cpp/team.cpp"),
            include_str!("cpp/transfer.cpp"),
        ];
        let mut found = 0;
        for source in sources {
            let (_, functions) = source.split_once("extern \"C\" {").unwrap();
            let begins = |line: &str| line.contains("te_") && !line.starts_with([' ', '/']);
            for (at, _) in functions
                .match_indices('\n')
                .filter(|(at, _)| begins(functions[at + 1..].lines().next().unwrap_or_default()))
            {
                let head = functions[at + 1..].split('{').next().unwrap();
                assert!(head.trim_end().ends_with("noexcept"), "{head}");
                found += 1;
            }
        }
        assert!(found > 35, "{found}");
    }
}
