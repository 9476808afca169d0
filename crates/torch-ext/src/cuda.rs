//! CUDA's half of libtorch, loaded when it is first needed, and what the driver says.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::Error;
use crate::shim::result;

unsafe extern "C" {
    fn te_cuda_hooks(out: *mut bool) -> *mut c_char;
    fn te_cuda_version(out: *mut i64) -> *mut c_char;
    fn te_cuda_start() -> *mut c_char;
    fn te_cudnn_version(out: *mut i64) -> *mut c_char;
    fn te_cuda_use(index: i32) -> *mut c_char;
    fn te_cuda_peak(index: i32, out: *mut i64) -> *mut c_char;
    fn te_cuda_reset_peak(index: i32) -> *mut c_char;
    fn te_cuda_empty_cache() -> *mut c_char;
}

/// A version of CUDA: 13.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CudaVersion {
    /// A driver serves all versions of its major one.
    pub major: i64,
    /// Within the major one.
    pub minor: i64,
}

impl CudaVersion {
    /// As CUDA writes it: 13000.
    fn of(number: i64) -> CudaVersion {
        CudaVersion { major: number / 1000, minor: number % 1000 / 10 }
    }

    /// The first version of NVIDIA's driver for Linux that serves this major version (NVIDIA's
    /// "CUDA Compatibility"), if it is known.
    fn driver(self) -> Option<&'static str> {
        match self.major {
            11 => Some("450"),
            12 => Some("525"),
            13 => Some("580"),
            _ => None,
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why CUDA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// There is no driver on this machine.
    #[error("no NVIDIA driver was found")]
    NoDriver,
    /// This libtorch was built or installed without CUDA.
    #[error("{}", no_library(reason, search_path.as_deref()))]
    NoLibrary {
        /// What the system's loader says.
        reason: String,
        /// `LD_LIBRARY_PATH`, where it is set: libraries are taken from there first.
        search_path: Option<String>,
    },
    /// The driver does not serve this libtorch.
    #[error("{}", too_old(*found, *needed))]
    OldDriver {
        /// What the driver serves.
        found: CudaVersion,
        /// What libtorch was built for.
        needed: CudaVersion,
    },
    /// libtorch has found out before that there is no CUDA.
    #[error("CUDA has to be requested before anything is computed in this process")]
    TooLate,
    /// There is a driver, but no device that can be used.
    #[error("{}", unusable(reason, visible.as_deref()))]
    Unusable {
        /// What libtorch says.
        reason: String,
        /// `CUDA_VISIBLE_DEVICES`, where it is set: only GPUs that it lists can be seen.
        visible: Option<String>,
    },
}

fn no_library(reason: &str, search_path: Option<&str>) -> String {
    let advice = search_path.map_or_else(String::new, |path| {
        format!("LD_LIBRARY_PATH is `{path}`: unset it if other CUDA libraries are found there; else ")
    });
    format!(
        "there is an NVIDIA driver, but libtorch's CUDA part cannot be loaded ({reason}); {advice}`cargo xtask setup \
         --compute cuda` installs it"
    )
}

/// With what to do about it.
fn unusable(reason: &str, visible: Option<&str>) -> String {
    let advice = match visible {
        // A negative number ends the list (CUDA C++ Programming Guide, "Environment Variables").
        Some(list) if list.trim().is_empty() || list.trim().starts_with('-') => {
            format!("CUDA_VISIBLE_DEVICES is `{list}`, which hides every GPU: unset it, or list GPUs in it")
        }
        _ if reason.contains("802") || reason.contains("system not yet initialized") => {
            "GPUs that are joined by NVSwitch need NVIDIA's Fabric Manager, in the driver's own version: \
             start it (systemctl start nvidia-fabricmanager)"
                .to_owned()
        }
        Some(list) => format!(
            "CUDA_VISIBLE_DEVICES is `{list}`: unset it, or list GPUs in it that `nvidia-smi --list-gpus` shows"
        ),
        None => "`nvidia-smi` has to list a GPU: if it does not, restart the machine after an update of the \
                 driver, or start the container with its GPUs (--gpus all)"
            .to_owned(),
    };
    let reason = reason.trim_end_matches('.');
    format!("there is an NVIDIA driver, but CUDA cannot be started: {reason} ({advice})")
}

/// An environment variable, where it is set.
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn too_old(found: CudaVersion, needed: CudaVersion) -> String {
    let driver = needed.driver().map_or_else(String::new, |driver| format!(" (version {driver} or newer)"));
    format!(
        "the NVIDIA driver is too old: it serves CUDA {found}, and this libtorch needs {needed}{driver}; update the driver"
    )
}

/// Loads libtorch_cuda and starts CUDA, once. The linker leaves the library out of the program
/// (nothing refers to it), and libtorch asks for CUDA once and remembers the answer: call this
/// before anything is computed.
///
/// # Errors
/// There is no driver, no library, or no device that can be used.
pub fn load_cuda() -> Result<(), CudaError> {
    static LOADED: OnceLock<Result<(), CudaError>> = OnceLock::new();
    LOADED.get_or_init(load).clone()
}

fn load() -> Result<(), CudaError> {
    let driver = driver().ok_or(CudaError::NoDriver)?;
    let search_path = || variable("LD_LIBRARY_PATH").filter(|path| !path.is_empty());
    open("libtorch_cuda.so").map_err(|reason| CudaError::NoLibrary { reason, search_path: search_path() })?;
    let (mut has_hooks, mut needed) = (false, 0);
    // SAFETY: both places live through the calls.
    let hooks = unsafe { result(te_cuda_hooks(&raw mut has_hooks)) };
    let unusable = |error: Error| CudaError::Unusable {
        reason: error.message().to_owned(),
        visible: variable("CUDA_VISIBLE_DEVICES"),
    };
    hooks.map_err(unusable)?;
    if !has_hooks {
        return Err(CudaError::TooLate);
    }
    // SAFETY: as above.
    unsafe { result(te_cuda_version(&raw mut needed)) }.map_err(unusable)?;
    let needed = CudaVersion::of(needed);
    // SAFETY: it takes nothing.
    match (unsafe { result(te_cuda_start()) }, driver.version()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(found)) if found.major < needed.major => Err(CudaError::OldDriver { found, needed }),
        (Err(error), _) => Err(unusable(error)),
    }
}

/// What results on CUDA depend on besides the GPU, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CudaVersions {
    /// Of CUDA, that libtorch was built for: `13.0`.
    pub cuda: Option<String>,
    /// Of cuDNN, that is loaded: `9.19.0`.
    pub cudnn: Option<String>,
    /// Of NVIDIA's driver: `580.65.06`.
    pub driver: Option<String>,
}

/// Of the libraries in this process; CUDA must be loaded. Nothing is computed.
pub fn cuda_versions() -> CudaVersions {
    let (mut cuda, mut cudnn) = (0, 0);
    // SAFETY: both places live through the calls.
    let (has_cuda, has_cudnn) =
        unsafe { (result(te_cuda_version(&raw mut cuda)), result(te_cudnn_version(&raw mut cudnn))) };
    let driver = std::fs::read_to_string("/sys/module/nvidia/version").ok();
    CudaVersions {
        cuda: has_cuda.is_ok().then(|| CudaVersion::of(cuda).to_string()),
        cudnn: has_cudnn.is_ok().then(|| cudnn_version(cudnn)),
        driver: driver.map(|version| version.trim().to_owned()),
    }
}

/// As cuDNN writes it from its version 9 on: 91900.
fn cudnn_version(number: i64) -> String {
    format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100)
}

fn open(name: &str) -> Result<Library, String> {
    // SAFETY: both are NVIDIA's and PyTorch's own libraries, whose initialisers may run at any time
    // before CUDA is used; they stay loaded for the life of the process.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| error.to_string())?;
    // Counted twice, it is not unloaded.
    // SAFETY: as above.
    unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) }
        .map(std::mem::forget)
        .map_err(|error| error.to_string())?;
    Ok(library)
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDevice {
    /// `NVIDIA H200`
    pub name: String,
    /// Compute capability, major and minor: (9, 0).
    pub capability: (i32, i32),
    /// Bytes.
    pub memory: u64,
}

impl fmt::Display for CudaDevice {
    /// `NVIDIA H200, compute capability 9.0, 139.8 GiB`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let memory = self.memory as f64 / (1u64 << 30) as f64;
        write!(f, "{}, compute capability {major}.{minor}, {memory:.1} GiB", self.name)
    }
}

/// What the driver says of the CUDA device of this number, as CUDA_VISIBLE_DEVICES numbers them;
/// none without a driver or such a device. Nothing is computed there.
pub fn cuda_device(index: usize) -> Option<CudaDevice> {
    driver()?.device(index)
}

/// Makes the CUDA device of this number the current one of this thread, so that what takes no
/// device (pinned memory, streams) belongs to it and other devices are left alone.
///
/// # Errors
/// There is no such device.
pub fn use_cuda_device(index: usize) -> Result<(), Error> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    // SAFETY: a plain number.
    result(unsafe { te_cuda_use(index) })
}

/// The most bytes that this process's tensors on the CUDA device of this number took at one time since
/// [`reset_cuda_peak`]. Something must have been computed there before.
///
/// # Errors
/// There is no such device.
pub fn cuda_peak(index: usize) -> Result<u64, Error> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    let mut bytes = 0;
    // SAFETY: `bytes` lives through the call.
    result(unsafe { te_cuda_peak(index, &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// Lets [`cuda_peak`] begin with what is in use now.
///
/// # Errors
/// There is no such device.
pub fn reset_cuda_peak(index: usize) -> Result<(), Error> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    // SAFETY: a plain number.
    result(unsafe { te_cuda_reset_peak(index) })
}

/// Hands the memory of CUDA devices that libtorch keeps, and that no tensor has, back to the driver.
///
/// # Errors
/// CUDA has not been started, or it has failed.
pub fn empty_cuda_cache() -> Result<(), Error> {
    // SAFETY: it takes libtorch's own locks.
    result(unsafe { te_cuda_empty_cache() })
}

/// Whether this process has anything on the CUDA device of this number; none where the driver does
/// not say.
pub fn has_cuda_context(index: usize) -> Option<bool> {
    driver()?.has_context(index)
}

/// NVIDIA's library, which comes with the driver.
#[derive(Debug)]
struct Driver(Library);

fn driver() -> Option<&'static Driver> {
    static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
    DRIVER.get_or_init(|| open("libcuda.so.1").ok().map(Driver)).as_ref()
}

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `…_MINOR` of cuda.h.
const CAPABILITY: [c_int; 2] = [75, 76];

impl Driver {
    /// What it serves.
    fn version(&self) -> Option<CudaVersion> {
        let mut number: c_int = 0;
        // SAFETY: the function has this signature (cuda.h), and its place lives through the call.
        let code = unsafe {
            let get =
                self.0.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion\0").ok()?;
            get(&raw mut number)
        };
        (code == 0).then(|| CudaVersion::of(number.into()))
    }

    fn has_context(&self, index: usize) -> Option<bool> {
        let (mut device, mut flags, mut active) = (0, 0u32, 0);
        let index = c_int::try_from(index).ok()?;
        // SAFETY: the functions have these signatures (cuda.h); all places live through the calls.
        unsafe {
            type Get = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
            let get = self.0.get::<Get>(b"cuDeviceGet\0").ok()?;
            type State = unsafe extern "C" fn(c_int, *mut u32, *mut c_int) -> c_int;
            let state = self.0.get::<State>(b"cuDevicePrimaryCtxGetState\0").ok()?;
            if get(&raw mut device, index) != 0 || state(device, &raw mut flags, &raw mut active) != 0 {
                return None;
            }
        }
        Some(active != 0)
    }

    fn device(&self, index: usize) -> Option<CudaDevice> {
        type Get<T> = unsafe extern "C" fn(*mut T, c_int) -> c_int;
        let index = c_int::try_from(index).ok()?;
        let (mut device, mut memory, mut capability) = (0, 0usize, [0; 2]);
        let mut name = [0 as c_char; 256];
        // SAFETY: the functions have these signatures (cuda.h); all places live through the calls, and
        // the name is ended by a zero within its length.
        unsafe {
            let init = self.0.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0").ok()?;
            let get = self.0.get::<Get<c_int>>(b"cuDeviceGet\0").ok()?;
            if init(0) != 0 || get(&raw mut device, index) != 0 {
                return None;
            }
            type GetName = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
            let get_name = self.0.get::<GetName>(b"cuDeviceGetName\0").ok()?;
            let total = self.0.get::<Get<usize>>(b"cuDeviceTotalMem_v2\0").ok()?;
            type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
            let attribute = self.0.get::<Attribute>(b"cuDeviceGetAttribute\0").ok()?;
            let mut code = get_name(name.as_mut_ptr(), 255, device) | total(&raw mut memory, device);
            for (value, number) in capability.iter_mut().zip(CAPABILITY) {
                code |= attribute(value, number, device);
            }
            if code != 0 {
                return None;
            }
            let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
            Some(CudaDevice { name, capability: capability.into(), memory: memory as u64 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_devices_are_told_as_nvidia_does() {
        assert_eq!(CudaVersion::of(13000).to_string(), "13.0");
        assert_eq!(CudaVersion::of(12080).to_string(), "12.8");
        let device =
            CudaDevice { name: "NVIDIA H200".to_owned(), capability: (9, 0), memory: 150_000_000_000 };
        assert_eq!(device.to_string(), "NVIDIA H200, compute capability 9.0, 139.7 GiB");
    }

    #[test]
    fn errors_say_what_to_do() {
        let old = CudaError::OldDriver { found: CudaVersion::of(12080), needed: CudaVersion::of(13000) };
        let text = old.to_string();
        assert!(["12.8", "13.0", "580", "update"].iter().all(|part| text.contains(part)), "{text}");
        let none = |search_path: Option<&str>| {
            let reason = "libcudart.so.13: cannot open".to_owned();
            CudaError::NoLibrary { reason, search_path: search_path.map(str::to_owned) }.to_string()
        };
        assert!(none(None).contains("setup --compute cuda"), "{}", none(None));
        assert!(!none(None).contains("LD_LIBRARY_PATH"), "{}", none(None));
        let mixed = none(Some("/opt/cuda/lib64"));
        assert!(mixed.contains("LD_LIBRARY_PATH is `/opt/cuda/lib64`: unset it"), "{mixed}");
    }

    #[test]
    fn a_driver_that_is_there_but_does_not_start_is_told_with_a_remedy() {
        let (unknown, fabric) = ("CUDA unknown error.", "Error 802: system not yet initialized");
        for (reason, visible, remedy) in [
            (unknown, None, "`nvidia-smi` has to list a GPU"),
            (unknown, Some(""), "CUDA_VISIBLE_DEVICES is ``, which hides every GPU: unset it"),
            (unknown, Some("-1"), "hides every GPU"),
            (unknown, Some("7"), "CUDA_VISIBLE_DEVICES is `7`: unset it, or list GPUs"),
            (fabric, None, "nvidia-fabricmanager"),
            (fabric, Some("0"), "nvidia-fabricmanager"),
            (fabric, Some(""), "hides every GPU"),
        ] {
            let (reason, visible) = (reason.to_owned(), visible.map(str::to_owned));
            let text = CudaError::Unusable { reason: reason.clone(), visible }.to_string();
            assert!(text.contains(remedy) && text.contains(reason.trim_end_matches('.')), "{text}");
        }
    }

    #[test]
    fn versions_are_none_where_cuda_is_not_loaded() {
        assert_eq!(cudnn_version(91_900), "9.19.0");
        assert_eq!(cudnn_version(92_012), "9.20.12");
        // No test of this process loads it.
        let CudaVersions { cuda, cudnn, .. } = cuda_versions();
        assert_eq!((cuda, cudnn), (None, None));
    }
}
