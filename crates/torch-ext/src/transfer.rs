//! Copies between host and device that the host does not wait for, and a count of the times that it
//! does wait.
//!
//! In: tensors on a device, to be read; tensors in pinned memory, to be sent. Out: the same on the
//! other side. On the CPU all of it is plain copies that are done at once, and counted alike, so
//! that a program's waits are known without a GPU.

use std::cell::{Cell, OnceCell};
use std::ffi::{c_char, c_void};
use std::marker::PhantomData;

use tch::{Device, Tensor};

use crate::Error;
use crate::shim::{Pointers, pointer, pointers, result};

unsafe extern "C" {
    fn te_fetch(tensors: Pointers, places: Pointers, count: usize, event: *mut *mut c_void) -> *mut c_char;
    fn te_event_wait(event: *const c_void) -> *mut c_char;
    fn te_event_free(event: *mut c_void);
    fn te_copy_stream(index: i32, out: *mut *mut c_void) -> *mut c_char;
    fn te_copy_stream_free(stream: *mut c_void);
    fn te_send(
        stream: *const c_void,
        tensor: *const c_void,
        out: *mut *mut c_void,
        event: *mut *mut c_void,
    ) -> *mut c_char;
    fn te_receive(event: *const c_void, tensor: *const c_void) -> *mut c_char;
    fn te_empty_pinned(
        shape: *const i64,
        dims: usize,
        like: *const c_void,
        out: *mut *mut c_void,
    ) -> *mut c_char;
}

thread_local! {
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has waited for a device, or on the CPU would have waited for one: once for
/// each [`to_host`], [`scalar`] and [`Fetch::wait`].
pub fn host_waits() -> u64 {
    WAITS.get()
}

/// `tensor` in host memory, dense in the order of its dimensions; waits until all that it depends on
/// is computed.
///
/// # Errors
/// No memory, or what the device could not do before.
pub fn to_host(tensor: &Tensor) -> Result<Tensor, Error> {
    let mut all = Fetch::start(std::slice::from_ref(tensor), Vec::new())?.wait()?;
    all.pop().ok_or_else(|| Error("a tensor was lost".to_owned()))
}

/// The value of a tensor of one element; waits as [`to_host`].
///
/// # Errors
/// It has not one element, or as for [`to_host`].
pub fn scalar(tensor: &Tensor) -> Result<f64, Error> {
    Ok(to_host(&tensor.detach())?.f_reshape([1i64])?.f_double_value(&[0])?)
}

/// Copies to host memory that are under way.
#[derive(Debug)]
pub struct Fetch {
    tensors: Vec<Tensor>,
    /// None where they are done.
    arrival: Option<Event>,
}

impl Fetch {
    /// Begins to copy `tensors`, behind what is queued on their device; they may be overwritten
    /// from here on. Places are taken from `buffers`, one by one where they fit, which are results
    /// of an earlier [`Fetch::wait`].
    ///
    /// # Errors
    /// No memory, or what the device could not do before.
    pub fn start(tensors: &[Tensor], buffers: Vec<Tensor>) -> Result<Fetch, Error> {
        let mut buffers = buffers.into_iter();
        let places =
            tensors.iter().map(|tensor| place(tensor, buffers.next())).collect::<Result<Vec<_>, _>>()?;
        let (from, to) = (pointers(tensors), pointers(&places));
        let mut event = std::ptr::null_mut();
        // SAFETY: as many live tensors on either side.
        result(unsafe { te_fetch(from.as_ptr(), to.as_ptr(), from.len(), &raw mut event) })?;
        let arrival = (!event.is_null()).then(|| Event { event, thread: PhantomData });
        Ok(Fetch { tensors: places, arrival })
    }

    /// The copies, dense and in the order of the tensors.
    ///
    /// # Errors
    /// What the device could not do.
    pub fn wait(self) -> Result<Vec<Tensor>, Error> {
        if !self.tensors.is_empty() {
            WAITS.set(WAITS.get() + 1);
        }
        if let Some(arrival) = &self.arrival {
            // SAFETY: the event lives.
            result(unsafe { te_event_wait(arrival.event) })?;
        }
        Ok(self.tensors)
    }
}

/// Host memory for a copy of `tensor`, pinned where that is on a GPU: `buffer`, if it fits.
fn place(tensor: &Tensor, buffer: Option<Tensor>) -> Result<Tensor, Error> {
    let fits = |buffer: &Tensor| {
        buffer.size() == tensor.size()
            && buffer.kind() == tensor.kind()
            && buffer.device() == Device::Cpu
            && buffer.is_contiguous()
    };
    match buffer.filter(fits) {
        Some(buffer) => Ok(buffer),
        None if tensor.device().is_cuda() => empty_pinned(&tensor.size(), Some(tensor)),
        None => Ok(Tensor::f_empty(tensor.size(), (tensor.kind(), Device::Cpu))?),
    }
}

/// A point in a stream of work.
#[derive(Debug)]
struct Event {
    event: *mut c_void,
    /// c10's events are used from one thread.
    thread: PhantomData<*const ()>,
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it was given to us to own.
        unsafe { te_event_free(self.event) };
    }
}

/// A queue for copies to a device, beside that of the computations; made when something is sent.
#[derive(Debug)]
pub struct CopyStream {
    device: Device,
    stream: OnceCell<*mut c_void>,
}

/// A tensor on its way to a device.
#[derive(Debug)]
pub struct Sent {
    tensor: Tensor,
    arrival: Option<Event>,
}

impl CopyStream {
    /// To `device`; CUDA must be loaded before anything is sent to a CUDA device.
    pub fn new(device: Device) -> CopyStream {
        CopyStream { device, stream: OnceCell::new() }
    }

    /// Begins to copy `tensor`, from pinned memory: one that is not there is copied to it before. It
    /// may be dropped at once: its memory is kept until the copy is done. On the CPU nothing is
    /// copied.
    ///
    /// # Errors
    /// No memory, no such device, or what it could not do before.
    pub fn send(&self, tensor: &Tensor) -> Result<Sent, Error> {
        let Device::Cuda(index) = self.device else {
            return Ok(Sent { tensor: tensor.shallow_clone(), arrival: None });
        };
        let stream = self.stream(index)?;
        let tensor = if tensor.f_is_pinned(self.device)? {
            tensor.shallow_clone()
        } else {
            tensor.f_pin_memory(self.device)?
        };
        let (mut out, mut event) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: stream and tensor live; on success both results are ours.
        result(unsafe { te_send(stream, tensor.as_ptr().cast(), &raw mut out, &raw mut event) })?;
        // SAFETY: as above.
        let tensor = unsafe { Tensor::from_ptr(out.cast()) };
        Ok(Sent { tensor, arrival: Some(Event { event, thread: PhantomData }) })
    }

    fn stream(&self, index: usize) -> Result<*mut c_void, Error> {
        if let Some(stream) = self.stream.get() {
            return Ok(*stream);
        }
        let mut stream = std::ptr::null_mut();
        // SAFETY: on success `stream` is ours.
        result(unsafe { te_copy_stream(i32::try_from(index).unwrap_or(i32::MAX), &raw mut stream) })?;
        Ok(*self.stream.get_or_init(|| stream))
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.get() {
            // SAFETY: it was given to us to own.
            unsafe { te_copy_stream_free(*stream) };
        }
    }
}

impl Sent {
    /// The tensor on its device. What is computed with it from here on waits for its arrival there;
    /// the host does not.
    ///
    /// # Errors
    /// What the device could not do before.
    pub fn receive(self) -> Result<Tensor, Error> {
        if let Some(arrival) = &self.arrival {
            // SAFETY: event and tensor live.
            result(unsafe { te_receive(arrival.event, self.tensor.as_ptr().cast()) })?;
        }
        Ok(self.tensor)
    }
}

/// A tensor in pinned memory, of the dtype of `like`, or u8; CUDA must be loaded.
pub(crate) fn empty_pinned(shape: &[i64], like: Option<&Tensor>) -> Result<Tensor, Error> {
    let mut out = std::ptr::null_mut();
    // SAFETY: shape and tensor live through the call.
    result(unsafe { te_empty_pinned(shape.as_ptr(), shape.len(), pointer(like), &raw mut out) })?;
    // SAFETY: without an error, `out` is a new `at::Tensor` that nobody else owns.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn tensors_arrive_dense_in_order_and_every_wait_is_counted() {
        let rows = Tensor::arange(6, (Kind::Int64, Device::Cpu)).view([2, 3]);
        let before = host_waits();
        let columns = to_host(&rows.tr()).unwrap();
        assert_eq!(columns.stride(), [2, 1]);
        assert_eq!(columns, rows.tr());
        assert_eq!(host_waits(), before + 1);

        let tensors = [rows.shallow_clone(), Tensor::from(1.5f32), rows.ne(4)];
        let fetch = Fetch::start(&tensors, vec![columns]).unwrap();
        assert_eq!(host_waits(), before + 1, "nothing is waited for yet");
        let got = fetch.wait().unwrap();
        assert_eq!(host_waits(), before + 2, "once for all");
        for (got, tensor) in got.iter().zip(&tensors) {
            assert_eq!(got, tensor);
            assert_ne!(got.data_ptr(), tensor.data_ptr());
        }
        assert!(Fetch::start(&[], Vec::new()).unwrap().wait().unwrap().is_empty());
        assert_eq!(host_waits(), before + 2, "there was nothing to wait for");
    }

    #[test]
    fn places_of_an_earlier_copy_serve_again_where_they_fit() {
        let tensors = [Tensor::from_slice(&[1f32, 2.0]), Tensor::from_slice(&[3i64])];
        let first = Fetch::start(&tensors, Vec::new()).unwrap().wait().unwrap();
        let places: Vec<_> = first.iter().map(Tensor::data_ptr).collect();
        let second = [Tensor::from_slice(&[5f32, 6.0]), Tensor::from_slice(&[7f32])];
        let got = Fetch::start(&second, first).unwrap().wait().unwrap();
        assert_eq!(got[0].data_ptr(), places[0]);
        assert_eq!(got[1].kind(), Kind::Float, "one that does not fit is replaced");
        assert!(got[0].equal(&second[0]) && got[1].equal(&second[1]));
    }

    #[test]
    fn on_the_cpu_nothing_is_sent() {
        let tensor = Tensor::from_slice(&[1u8, 2]);
        let sent = CopyStream::new(Device::Cpu).send(&tensor).unwrap();
        assert_eq!(sent.receive().unwrap().data_ptr(), tensor.data_ptr());
        let error = CopyStream::new(Device::Cuda(0)).send(&tensor).unwrap_err().to_string();
        assert!(!error.is_empty(), "without CUDA it is an error");
    }
}
