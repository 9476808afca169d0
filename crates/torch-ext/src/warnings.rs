//! What libtorch warns of, for the log.

use std::ffi::c_char;
use std::sync::OnceLock;

use crate::Error;
use crate::shim::result;

unsafe extern "C" {
    fn te_tell_warnings(told: extern "C" fn(*const c_char, usize)) -> *mut c_char;
}

static TELL: OnceLock<fn(&str)> = OnceLock::new();

/// From now on, `tell` gets what libtorch warns of in this thread, its backward passes included, one
/// line each; without it, libtorch writes to stderr, across everything else there. The first `tell`
/// of a process stays.
///
/// # Errors
/// libtorch's.
pub fn tell_warnings(tell: fn(&str)) -> Result<(), Error> {
    TELL.get_or_init(|| tell);
    // SAFETY: `told` may be called at any time from any thread.
    result(unsafe { te_tell_warnings(told) })
}

extern "C" fn told(text: *const c_char, length: usize) {
    if text.is_null() {
        return;
    }
    // SAFETY: libtorch's text, of that length, which lives through the call.
    let text = String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.cast(), length) });
    // A panic must not unwind into libtorch; it has been reported by its hook.
    let _ = std::panic::catch_unwind(|| {
        if let Some(tell) = TELL.get() {
            tell(text.lines().next().unwrap_or_default());
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tch::{Device, Kind, Tensor};

    use super::*;

    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn warnings_are_told_rather_than_printed() {
        tell_warnings(|text| SEEN.lock().unwrap().push(text.to_owned())).unwrap();
        // libtorch warns of results that have to be resized.
        let out = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        let one = Tensor::ones([3], (Kind::Float, Device::Cpu));
        let _ = one.f_add_out(&out, &one);
        let seen = SEEN.lock().unwrap().join("\n");
        assert!(seen.contains("resized"), "{seen}");
        assert_eq!(seen.lines().count(), 1, "{seen}");
    }
}
