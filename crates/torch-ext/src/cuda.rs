//! CUDA's half of libtorch, loaded when it is first needed.

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Why CUDA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// There is no driver on this machine.
    #[error("no NVIDIA driver was found")]
    NoDriver,
    /// This libtorch was built or installed without CUDA.
    #[error("libtorch's CUDA part cannot be loaded ({0})")]
    NoLibrary(String),
}

/// Loads libtorch_cuda, once. The linker leaves it out of the program (nothing refers to it), and
/// libtorch asks for CUDA once and remembers the answer: call this before anything that touches a
/// device.
///
/// # Errors
/// There is no driver, or the library or one it needs is absent.
pub fn load_cuda() -> Result<(), CudaError> {
    static LOADED: OnceLock<Result<(), CudaError>> = OnceLock::new();
    LOADED.get_or_init(load).clone()
}

fn load() -> Result<(), CudaError> {
    open("libcuda.so.1").map_err(|_| CudaError::NoDriver)?;
    open("libtorch_cuda.so").map_err(CudaError::NoLibrary)
}

fn open(name: &str) -> Result<(), String> {
    // SAFETY: both are NVIDIA's and PyTorch's own libraries, whose initialisers may run at any time
    // before CUDA is used; they stay loaded for the life of the process.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
    library.map(std::mem::forget).map_err(|error| error.to_string())
}
