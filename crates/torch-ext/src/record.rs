//! What runs and what is allocated while a closure runs: operators with the shapes they see, and
//! the CPU's memory.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use tch::Tensor;

use crate::Error;
use crate::shim::result;

/// As in `cpp/record.cpp`, which checks the same.
#[repr(C)]
struct Event {
    address: *const c_void,
    bytes: i64,
}

const _: () = assert!(size_of::<Event>() == 16 && std::mem::offset_of!(Event, bytes) == 8);

unsafe extern "C" {
    fn te_operators_begin(out: *mut *mut c_void) -> *mut c_char;
    fn te_operators_end(operators: *mut c_void) -> *mut c_char;
    fn te_operators_free(operators: *mut c_void);
    fn te_operators_len(operators: *const c_void) -> usize;
    fn te_operator(
        operators: *const c_void,
        place: usize,
        name: *mut *const c_char,
        depth: *mut i64,
        is_transposed: *mut bool,
        nanoseconds: *mut i64,
        inputs: *mut usize,
        outputs: *mut usize,
    );
    fn te_operator_tensor(
        operators: *const c_void,
        place: usize,
        output: bool,
        number: usize,
        storage: *mut *const c_void,
        shape: *mut *const i64,
        dims: *mut usize,
    );
    fn te_storage(tensor: *const c_void) -> *const c_void;
    fn te_memory_begin(out: *mut *mut c_void) -> *mut c_char;
    fn te_memory_end(memory: *mut c_void) -> *mut c_char;
    fn te_memory_free(memory: *mut c_void);
    fn te_memory_events(memory: *const c_void, count: *mut usize) -> *const Event;
}

/// A tensor that an operator took or gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its shape.
    pub shape: Vec<i64>,
    /// The address of its storage, as [`storage_address`] gives it: of a view, that of the whole.
    pub storage: usize,
}

/// A call of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `aten::conv2d`
    pub name: String,
    /// How many recorded calls it is inside of: 0 for those that the program makes, more for what
    /// they are made of.
    pub depth: usize,
    /// Of a convolution: it is a transposed one.
    pub is_transposed: bool,
    /// How long it took, with what it is made of.
    pub duration: Duration,
    /// Its tensors, those in lists included, in order; absent ones are left out.
    pub inputs: Vec<Seen>,
    /// Likewise; of an operator in place, what it wrote into.
    pub outputs: Vec<Seen>,
}

/// Memory of the CPU that was taken, or given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEvent {
    /// Where it begins.
    pub address: usize,
    /// How much; negative if it was given back.
    pub bytes: i64,
}

/// Where a tensor's storage begins; 0 if it has none.
pub fn storage_address(tensor: &Tensor) -> usize {
    // SAFETY: a live tensor, of which an address is read.
    unsafe { te_storage(tensor.as_ptr().cast()) as usize }
}

/// Ends a recording when it is dropped, on the thread that began it (pointers are not `Send`).
struct Recording {
    raw: *mut c_void,
    end: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_char>,
    free: unsafe extern "C" fn(*mut c_void),
}

impl Recording {
    fn end(&mut self) -> Result<(), Error> {
        match self.end.take() {
            // SAFETY: begun on this thread and not ended yet.
            Some(end) => result(unsafe { end(self.raw) }),
            None => Ok(()),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Only after a panic of what ran, which says more.
        let _ = self.end();
        // SAFETY: ended, and freed once.
        unsafe { (self.free)(self.raw) }
    }
}

/// Runs `run` and returns the operators that it called on this thread, in the order of their
/// beginning.
///
/// # Errors
/// They are being recorded already.
pub fn record_operators<T>(run: impl FnOnce() -> T) -> Result<(T, Vec<Operator>), Error> {
    let mut raw = std::ptr::null_mut();
    // SAFETY: writes a new recording, ended and freed by `Recording`.
    result(unsafe { te_operators_begin(&raw mut raw) })?;
    let mut recording = Recording { raw, end: Some(te_operators_end), free: te_operators_free };
    let value = run();
    recording.end()?;
    // SAFETY: a live recording.
    let len = unsafe { te_operators_len(raw) };
    Ok((value, (0..len).map(|place| operator(&recording, place)).collect()))
}

/// `place` is below the recording's length.
fn operator(recording: &Recording, place: usize) -> Operator {
    let (mut name, mut depth, mut is_transposed, mut nanoseconds) = (std::ptr::null(), 0, false, 0);
    let mut counts = [0; 2];
    let [inputs, outputs] = &mut counts;
    // SAFETY: a live recording that has this place; the name lives as long as it.
    let name = unsafe {
        let (name_out, depth_out) = (&raw mut name, &raw mut depth);
        let (transposed_out, took_out) = (&raw mut is_transposed, &raw mut nanoseconds);
        te_operator(recording.raw, place, name_out, depth_out, transposed_out, took_out, inputs, outputs);
        CStr::from_ptr(name).to_string_lossy().into_owned()
    };
    let seen = |output: bool, number: usize| {
        let (mut storage, mut shape, mut dims) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: a live recording that has this operator with this tensor, whose `dims` numbers
        // live as long as it.
        let shape = unsafe {
            let (storage_out, shape_out) = (&raw mut storage, &raw mut shape);
            te_operator_tensor(recording.raw, place, output, number, storage_out, shape_out, &raw mut dims);
            // A vector without elements may have no address.
            if dims == 0 { Vec::new() } else { std::slice::from_raw_parts(shape, dims).to_vec() }
        };
        Seen { shape, storage: storage as usize }
    };
    Operator {
        name,
        depth: usize::try_from(depth).unwrap_or_default(),
        is_transposed,
        duration: Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default()),
        inputs: (0..counts[0]).map(|number| seen(false, number)).collect(),
        outputs: (0..counts[1]).map(|number| seen(true, number)).collect(),
    }
}

/// Runs `run` and returns what it took from and gave back to PyTorch's allocator for the CPU on
/// this thread, in order; a backward pass counts. What was there before and is given back meanwhile
/// is not reported.
///
/// # Errors
/// libtorch's.
pub fn record_memory<T>(run: impl FnOnce() -> T) -> Result<(T, Vec<MemoryEvent>), Error> {
    let mut raw = std::ptr::null_mut();
    // SAFETY: writes a new recording, ended and freed by `Recording`.
    result(unsafe { te_memory_begin(&raw mut raw) })?;
    let mut recording = Recording { raw, end: Some(te_memory_end), free: te_memory_free };
    let value = run();
    recording.end()?;
    let mut count = 0;
    // SAFETY: a live recording, whose `count` events live as long as it.
    let events = unsafe {
        let first = te_memory_events(raw, &raw mut count);
        if count == 0 { &[] } else { std::slice::from_raw_parts(first, count) }
    };
    let event = |event: &Event| MemoryEvent { address: event.address as usize, bytes: event.bytes };
    Ok((value, events.iter().map(event).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn operators_are_reported_with_what_they_see_and_what_they_are_made_of() {
        let (input, weight) = (
            Tensor::ones([2, 3, 8, 8], (Kind::Float, Device::Cpu)),
            Tensor::ones([4, 3, 3, 3], (Kind::Float, Device::Cpu)),
        );
        let (_, operators) =
            record_operators(|| input.conv2d(&weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1).relu_())
                .unwrap();
        let called: Vec<&Operator> = operators.iter().filter(|operator| operator.depth == 0).collect();
        assert_eq!(
            called.iter().map(|operator| operator.name.as_str()).collect::<Vec<_>>(),
            ["aten::conv2d", "aten::relu_"]
        );
        assert_eq!(called[0].inputs[1], Seen { shape: vec![4, 3, 3, 3], storage: storage_address(&weight) });
        assert_eq!(called[0].outputs[0].shape, [2, 4, 6, 6]);
        assert_eq!(called[1].outputs[0].storage, called[0].outputs[0].storage, "in place");
        assert!(operators.iter().any(|operator| operator.name == "aten::convolution" && operator.depth > 0));
        assert!(operators[1].duration > Duration::ZERO && operators[1].duration <= operators[0].duration);
        let (_, none) = record_operators(|| ()).unwrap();
        assert!(none.is_empty());
        assert!(record_operators(|| record_operators(|| ()).is_err()).unwrap().0);
    }

    #[test]
    fn memory_is_reported_when_it_is_taken_and_when_it_is_given_back() {
        let before = Tensor::ones([1000], (Kind::Float, Device::Cpu));
        let (kept, events) = record_memory(|| {
            drop(Tensor::ones([500], (Kind::Double, Device::Cpu)));
            drop(before);
            Tensor::ones([16, 16], (Kind::Float, Device::Cpu))
        })
        .unwrap();
        let bytes: Vec<i64> = events.iter().map(|event| event.bytes).collect();
        assert_eq!(bytes, [4000, -4000, 1024]);
        assert_eq!(events[0].address, events[1].address);
        assert_eq!(events[2].address, storage_address(&kept));
        drop(kept);
    }
}
