//! The C functions of `cpp/shim.cpp`, made safe.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

use tch::{Device, Kind, Tensor};

use crate::Error;

pub(crate) type Pointers = *const *const c_void;

unsafe extern "C" {
    pub(crate) fn te_free(message: *mut c_char);
    fn te_version() -> *const c_char;
    fn te_manual_seed(seed: u64) -> *mut c_char;
    fn te_set_deterministic(on: bool) -> *mut c_char;
    fn te_is_deterministic() -> bool;
    fn te_generator(seed: u64) -> *mut c_void;
    fn te_generator_free(generator: *mut c_void);
    fn te_generator_skip(generator: *mut c_void, count: u64) -> *mut c_char;
    fn te_uniform(tensor: *const c_void, from: f64, to: f64, generator: *mut c_void) -> *mut c_char;
    fn te_normal(tensor: *const c_void, mean: f64, std: f64, generator: *mut c_void) -> *mut c_char;
    fn te_autocast_enter(device: i8, dtype: i8, was_on: *mut bool, was_dtype: *mut i8) -> *mut c_char;
    fn te_autocast_leave(device: i8, was_on: bool, was_dtype: i8) -> *mut c_char;
    fn te_channels_last(tensor: *const c_void, out: *mut *mut c_void) -> *mut c_char;
    fn te_is_unshared(tensor: *const c_void) -> bool;
    fn te_clear_grads(parameters: Pointers, count: usize) -> *mut c_char;
}

pub(crate) fn pointers(tensors: &[Tensor]) -> Vec<*const c_void> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast()).collect()
}

/// Null where there is none; it must not outlive the tensor.
pub(crate) fn pointer(tensor: Option<&Tensor>) -> *const c_void {
    tensor.map_or(std::ptr::null(), |tensor| tensor.as_ptr().cast())
}

/// Takes over a message of the shim, if there is one.
///
/// # Safety
/// A pointer that is not null is of a C string that the shim allocated for us to free, and that
/// nobody has freed.
pub(crate) unsafe fn message(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        te_free(text);
        Some(owned)
    }
}

/// Takes over what a function of the shim returned: null, or a message, of which the first line is
/// kept.
pub(crate) fn result(text: *mut c_char) -> Result<(), Error> {
    // SAFETY: the shim returns nothing else.
    match unsafe { message(text) } {
        None => Ok(()),
        Some(text) => Err(Error(text.lines().next().unwrap_or_default().to_owned())),
    }
}

/// The version of libtorch that this was compiled against: `2.11.0`.
pub fn version() -> &'static str {
    // SAFETY: a string literal of the shim.
    unsafe { CStr::from_ptr(te_version()) }.to_str().unwrap_or("?")
}

/// A copy of `tensor` `[N, C, H, W]` whose channels lie innermost in memory, or itself where they
/// do already (`torch.channels_last`). Most operations keep it so.
///
/// # Errors
/// It has not four dimensions, or there is no memory.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, Error> {
    let mut out = std::ptr::null_mut();
    // SAFETY: `tensor` lives; on success `out` is a tensor of ours.
    result(unsafe { te_channels_last(tensor.as_ptr().cast(), &raw mut out) })?;
    // SAFETY: as above.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// Mixed precision in this thread until it is dropped: PyTorch's `torch.autocast`. Matrix products
/// and convolutions are computed in the given dtype, what needs the range in f32.
#[derive(Debug)]
pub struct Autocast {
    device: i8,
    was_on: bool,
    was_dtype: i8,
    /// The switch is that of the thread.
    thread: PhantomData<*const ()>,
}

impl Autocast {
    /// For operations on `device`; `kind` is bf16 or half.
    ///
    /// # Errors
    /// No autocast for this device or to this dtype.
    pub fn enter(device: Device, kind: Kind) -> Result<Autocast, Error> {
        let device = match device {
            Device::Cpu => 0,
            Device::Cuda(_) => 1,
            other => return Err(Error(format!("no autocast on {other:?}"))),
        };
        // c10/core/ScalarType.h
        let dtype = match kind {
            Kind::Half => 5,
            Kind::BFloat16 => 15,
            other => return Err(Error(format!("no autocast to {other:?}"))),
        };
        let (mut was_on, mut was_dtype) = (false, 0);
        // SAFETY: both pointers are of live places.
        result(unsafe { te_autocast_enter(device, dtype, &raw mut was_on, &raw mut was_dtype) })?;
        Ok(Autocast { device, was_on, was_dtype, thread: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain values. It sets what was set before, which cannot fail.
        let _ = result(unsafe { te_autocast_leave(self.device, self.was_on, self.was_dtype) });
    }
}

/// Whether no other tensor has this one's memory, and no other handle leads to this one.
pub(crate) fn is_unshared(tensor: &Tensor) -> bool {
    // SAFETY: a live tensor, of which reference counts are read.
    unsafe { te_is_unshared(tensor.as_ptr().cast()) }
}

/// Seeds the generators of the CPU and of all CUDA devices, as `torch.manual_seed`.
///
/// # Errors
/// libtorch's; of a CUDA device also that of an earlier operation, which is reported late.
pub fn manual_seed(seed: u64) -> Result<(), Error> {
    // SAFETY: a plain value.
    result(unsafe { te_manual_seed(seed) })
}

/// Only deterministic algorithms (an operation without one is an error then), those of cuDNN and
/// oneDNN included; memory that an operation leaves uninitialised is filled. On CUDA, cuBLAS also
/// needs what [`set_cublas_workspace`](crate::set_cublas_workspace) sets.
///
/// # Errors
/// libtorch's.
pub fn set_deterministic(on: bool) -> Result<(), Error> {
    // SAFETY: sets flags of libtorch's global context.
    result(unsafe { te_set_deterministic(on) })
}

/// What [`set_deterministic`] was called with last in this process; false before.
pub fn is_deterministic() -> bool {
    // SAFETY: reads a flag of libtorch's global context.
    unsafe { te_is_deterministic() }
}

/// A random generator of its own for tensors on the CPU, libtorch's Mersenne twister. It gives the
/// numbers that libtorch's global one gives after the same seed, but nobody else draws from it.
#[derive(Debug)]
pub struct Generator(*mut c_void);

impl Generator {
    /// As `torch.Generator().manual_seed(seed)`.
    pub fn new(seed: u64) -> Generator {
        // SAFETY: the shim allocates it; `drop` frees it.
        Generator(unsafe { te_generator(seed) })
    }

    /// Leaves out `count` numbers of 32 bits: what a [`Generator::uniform`] of so many f32 elements
    /// draws.
    ///
    /// # Errors
    /// libtorch's.
    pub fn skip(&mut self, count: u64) -> Result<(), Error> {
        // SAFETY: the pointer is of a live generator that nobody else has.
        result(unsafe { te_generator_skip(self.0, count) })
    }

    /// Overwrites `tensor` (on the CPU) with numbers uniform in `from` to `to`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn uniform(&mut self, tensor: &Tensor, from: f64, to: f64) -> Result<(), Error> {
        // SAFETY: both pointers are of live objects.
        result(unsafe { te_uniform(tensor.as_ptr().cast(), from, to, self.0) })
    }

    /// Overwrites `tensor` (on the CPU) with normally distributed numbers.
    ///
    /// # Errors
    /// libtorch's.
    pub fn normal(&mut self, tensor: &Tensor, mean: f64, std: f64) -> Result<(), Error> {
        // SAFETY: both pointers are of live objects.
        result(unsafe { te_normal(tensor.as_ptr().cast(), mean, std, self.0) })
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once.
        unsafe { te_generator_free(self.0) }
    }
}

/// Lets go of the gradients, as PyTorch's `zero_grad(set_to_none=True)`.
///
/// # Errors
/// libtorch's.
pub fn clear_grads(parameters: &[Tensor]) -> Result<(), Error> {
    let pointers = pointers(parameters);
    // SAFETY: the pointers are of live tensors, as many as said.
    result(unsafe { te_clear_grads(pointers.as_ptr(), pointers.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autocast_computes_products_in_bf16_until_it_is_dropped() {
        let (a, b) = (
            Tensor::ones([2, 2], (Kind::Float, Device::Cpu)),
            Tensor::ones([2, 2], (Kind::Float, Device::Cpu)),
        );
        {
            let _autocast = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
            assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
            {
                let _inner = Autocast::enter(Device::Cpu, Kind::Half).unwrap();
                assert_eq!(a.matmul(&b).kind(), Kind::Half);
            }
            assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
        }
        assert_eq!(a.matmul(&b).kind(), Kind::Float);
        assert!(Autocast::enter(Device::Cpu, Kind::Int64).is_err());
    }

    #[test]
    fn channels_last_changes_strides_and_no_values() {
        let tensor = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]);
        let laid_out = channels_last(&tensor).unwrap();
        assert_eq!(laid_out.stride(), [24, 1, 8, 2]);
        assert_eq!(laid_out, tensor);
        assert!(channels_last(&tensor.flatten(0, -1)).is_err());
    }

    fn ones(size: &[i64]) -> Tensor {
        Tensor::ones(size, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn the_seed_is_torchs() {
        let options = (Kind::Float, Device::Cpu);
        manual_seed(u64::MAX).unwrap();
        let ours = Tensor::randn([8], options);
        tch::manual_seed(-1);
        assert_eq!(ours, Tensor::randn([8], options));
    }

    #[test]
    fn skipping_is_drawing_without_looking() {
        let (drawn, skipped) = (ones(&[1000]), ones(&[1000]));
        let mut generator = Generator::new(7);
        generator.uniform(&ones(&[777]), 0.0, 1.0).unwrap();
        generator.normal(&drawn, 0.0, 1.0).unwrap();
        let mut generator = Generator::new(7);
        generator.skip(777).unwrap();
        generator.normal(&skipped, 0.0, 1.0).unwrap();
        assert!(drawn.equal(&skipped) && drawn.std(true).double_value(&[]) > 0.9);
    }

    #[test]
    fn gradients_are_let_go_of() {
        let parameter = ones(&[2]).set_requires_grad(true);
        parameter.sum(Kind::Float).backward();
        assert!(parameter.grad().defined());
        clear_grads(std::slice::from_ref(&parameter)).unwrap();
        assert!(!parameter.grad().defined());
    }

    #[test]
    fn the_version_is_the_one_that_the_bindings_want() {
        assert_eq!(version(), "2.11.0");
    }
}
