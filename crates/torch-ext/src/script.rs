//! TorchScript modules: a program with parameters and buffers, made in Python by
//! `torch.jit.script(net).save(path)`.
//!
//! tch's `CModule` has no buffers and writes dots in names as underscores, so that a trained state
//! would have other names than in Python.

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

use crate::Error;
use crate::shim::{message, result, te_free};

unsafe extern "C" {
    fn te_script_load(bytes: *const c_char, length: usize, out: *mut *mut c_void) -> *mut c_char;
    fn te_script_free(script: *mut c_void);
    fn te_script_copy(script: *mut c_void, out: *mut *mut c_void) -> *mut c_char;
    fn te_script_len(script: *mut c_void) -> usize;
    fn te_script_item(
        script: *mut c_void,
        place: usize,
        name: *mut *const c_char,
        tensor: *mut *mut c_void,
        is_buffer: *mut bool,
        same_as: *mut i64,
    );
    fn te_script_train(script: *mut c_void, on: bool) -> *mut c_char;
    fn te_script_forward(script: *mut c_void, input: *const c_void, out: *mut *mut c_void) -> *mut c_char;
    fn te_script_without_switch(script: *mut c_void, found: *mut *mut c_char) -> *mut c_char;
}

/// A TorchScript module on the CPU, or wherever its tensors have been moved.
#[derive(Debug)]
pub struct Script(*mut c_void);

// SAFETY: the module, its code and its tensors are held by atomically counted references, and
// nothing of it belongs to a thread. It is not `Sync`: a forward pass may change its buffers.
unsafe impl Send for Script {}

/// A parameter or buffer of a [`Script`].
#[derive(Debug)]
pub struct ScriptTensor {
    /// Dotted, as in Python: `layer1.0.conv1.weight`.
    pub name: String,
    /// The tensor itself, not a copy.
    pub tensor: Tensor,
    /// Not a parameter.
    pub is_buffer: bool,
    /// The place of an earlier one that is this very tensor under another name.
    pub same_as: Option<usize>,
}

impl Script {
    /// Reads the bytes of a file that `torch.jit.ScriptModule.save` wrote. It is a program: what it
    /// does when it runs is up to who wrote it.
    ///
    /// # Errors
    /// It is no such file, or needs operators that this libtorch does not have.
    pub fn load(bytes: &[u8]) -> Result<Script, Error> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the bytes live through the call, which keeps none of them.
        result(unsafe { te_script_load(bytes.as_ptr().cast(), bytes.len(), &raw mut out) })?;
        Ok(Script(out))
    }

    /// A module of its own with the same program and copies of all tensors.
    ///
    /// # Errors
    /// libtorch's.
    pub fn deep_copy(&self) -> Result<Script, Error> {
        let mut out = std::ptr::null_mut();
        // SAFETY: a live script.
        result(unsafe { te_script_copy(self.0, &raw mut out) })?;
        Ok(Script(out))
    }

    /// Parameters and buffers, in the order of Python's `state_dict()`.
    pub fn state(&self) -> Vec<ScriptTensor> {
        // SAFETY: a live script.
        let len = unsafe { te_script_len(self.0) };
        (0..len).map(|place| self.item(place)).collect()
    }

    fn item(&self, place: usize) -> ScriptTensor {
        let (mut name, mut tensor) = (std::ptr::null(), std::ptr::null_mut());
        let (mut is_buffer, mut same_as) = (false, -1);
        // SAFETY: a live script that has this place; the name lives as long as the script, `tensor`
        // is a new `at::Tensor` that nobody else owns.
        unsafe {
            te_script_item(
                self.0,
                place,
                &raw mut name,
                &raw mut tensor,
                &raw mut is_buffer,
                &raw mut same_as,
            );
            ScriptTensor {
                name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                tensor: Tensor::from_ptr(tensor.cast()),
                is_buffer,
                same_as: usize::try_from(same_as).ok(),
            }
        }
    }

    /// Switches all modules in it to training or to evaluation.
    ///
    /// # Errors
    /// libtorch's.
    pub fn train(&self, on: bool) -> Result<(), Error> {
        // SAFETY: a live script.
        result(unsafe { te_script_train(self.0, on) })
    }

    /// Runs it on a tensor. Buffers that the program assigns anew are the same tensors afterwards.
    ///
    /// # Errors
    /// What the program or an operator in it raised, with the place in the Python source where it
    /// is known; or its output is not one tensor.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor, Error> {
        let mut out = std::ptr::null_mut();
        // SAFETY: a live script and a live tensor; without an error `out` is a new `at::Tensor`
        // that nobody else owns.
        unsafe {
            match message(te_script_forward(self.0, input.as_ptr().cast(), &raw mut out)) {
                None => Ok(Tensor::from_ptr(out.cast())),
                Some(text) => Err(Error(raised(&text))),
            }
        }
    }

    /// The name of an operator whose switch between training and evaluation is a constant
    /// (`dropout`, `batch_norm`), as in a traced module: [`Script::train`] has no effect on it.
    ///
    /// # Errors
    /// There is no `forward`.
    pub fn without_switch(&self) -> Result<Option<String>, Error> {
        let mut found = std::ptr::null_mut();
        // SAFETY: a live script; `found` is null or a C string that the shim allocated for us to
        // free, once.
        unsafe {
            result(te_script_without_switch(self.0, &raw mut found))?;
            if found.is_null() {
                return Ok(None);
            }
            let name = CStr::from_ptr(found).to_string_lossy().into_owned();
            te_free(found);
            Ok(Some(name))
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // SAFETY: allocated by the shim, freed once.
        unsafe { te_script_free(self.0) }
    }
}

/// What went wrong, of an interpreter's text: its last error, and the innermost place that it names
/// before that.
fn raised(text: &str) -> String {
    let is_error = |line: &&str| {
        let name = line.split(": ").next().unwrap_or_default();
        line.contains(": ") && (name.ends_with("Error") || name.ends_with("Exception")) && !name.contains(' ')
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(last) = lines.iter().rposition(is_error) else {
        return lines.iter().find(|line| !line.is_empty()).copied().unwrap_or_default().to_owned();
    };
    let error = lines[last].split_once(": ").map_or(lines[last], |(name, rest)| {
        // Of libtorch's own errors the kind says nothing.
        if name == "RuntimeError" { rest } else { lines[last] }
    });
    match lines[..last].iter().rev().find_map(|line| place(line)) {
        Some(place) => format!("{error} ({place})"),
        None => error.to_owned(),
    }
}

/// `File "net.py", line 7, in forward` → `net.py, line 7`.
fn place(line: &str) -> Option<String> {
    let (file, rest) = line.strip_prefix("File \"")?.split_once("\", line ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{file}, line {number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreters_text_is_cut_to_the_error_and_its_place() {
        let text = "The following operation failed in the TorchScript interpreter.\n\
            Traceback of TorchScript, serialized code (most recent call last):\n  \
            File \"code/__torch__/net.py\", line 9, in forward\n    return torch.linear(x)\n    ~~~~ <--- HERE\n\n\
            Traceback of TorchScript, original code (most recent call last):\n  \
            File \"/home/net.py\", line 12, in forward\n    return self.fc(x)\n    ~~~~ <--- HERE\n\
            RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\n";
        assert_eq!(
            raised(text),
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5) (/home/net.py, line 12)"
        );
        let own = text.replace("RuntimeError: mat1", "builtins.ValueError: mat1");
        assert!(raised(&own).starts_with("builtins.ValueError: mat1"), "{}", raised(&own));
        assert_eq!(raised("forward() is missing value\nmore"), "forward() is missing value");
    }

    #[test]
    fn what_is_no_script_is_an_error() {
        let error = Script::load(b"not a script").unwrap_err().to_string();
        assert!(error.contains("zip") && !error.contains("0x"), "{error}");
        assert!(Script::load(b"").is_err());
    }
}
