//! A tensor in host memory that several threads fill at once, each its own part, without a copy
//! afterwards.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::shim::is_unshared;
use crate::{Error, first_line};

/// The memory, shared by the parts that are out.
#[derive(Debug)]
struct Memory {
    tensor: Tensor,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: nobody reads or writes through `tensor` while a `Memory` exists ([`HostBuffers`] gives it
// away only when all parts are back), and parts do not overlap; reference counts of tensors are
// atomic.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// A dense tensor in host memory, parts of which are with those who fill them.
#[derive(Debug)]
pub struct HostBuffers {
    memory: Arc<Memory>,
    /// Where the part to be taken next begins, in bytes.
    next: usize,
}

/// Some bytes of a [`HostBuffers`], to be written.
#[derive(Debug)]
pub struct Part {
    memory: Arc<Memory>,
    from: usize,
    bytes: usize,
    initialised: bool,
}

impl HostBuffers {
    /// Bytes in pinned memory, which is copied to CUDA devices without waiting; CUDA must be
    /// loaded.
    ///
    /// Such memory must not serve [`again`](HostBuffers::again), since a copy from it may still be
    /// under way: dropped, it goes back to PyTorch's allocator, which knows.
    ///
    /// # Errors
    /// No memory, or no CUDA.
    pub fn pinned(shape: &[i64]) -> Result<HostBuffers, Error> {
        crate::transfer::empty_pinned(shape, None).map(HostBuffers::over)
    }

    /// Memory for a tensor of this shape; `kind` must take any byte (u8, f32).
    ///
    /// # Errors
    /// No memory, or `kind` is bool.
    pub fn new(shape: &[i64], kind: Kind) -> Result<HostBuffers, Error> {
        if kind == Kind::Bool {
            return Err(Error("a bool cannot have any byte".to_owned()));
        }
        let failed = |error: tch::TchError| Error(first_line(&error));
        let elements = shape.iter().try_fold(1i64, |all, side| all.checked_mul(*side));
        let bytes = elements
            .and_then(|elements| usize::try_from(elements).ok())
            .and_then(|elements| elements.checked_mul(kind.elt_size_in_bytes()))
            .filter(|bytes| isize::try_from(*bytes).is_ok());
        if bytes.is_none() {
            return Err(Error(format!("a tensor of shape {shape:?} does not fit into memory")));
        }
        Ok(HostBuffers::over(Tensor::f_empty(shape, (kind, Device::Cpu)).map_err(failed)?))
    }

    /// The memory of a tensor that [`HostBuffers::finish`] gave, again; or the tensor back, if
    /// anyone else still has it or its values are bool.
    ///
    /// # Errors
    /// The tensor, as it was.
    pub fn again(tensor: Tensor) -> Result<HostBuffers, Tensor> {
        let takes_any_byte = tensor.kind() != Kind::Bool;
        if takes_any_byte && is_unshared(&tensor) && tensor.is_contiguous() && tensor.device() == Device::Cpu
        {
            Ok(HostBuffers::over(tensor))
        } else {
            Err(tensor)
        }
    }

    /// `tensor` is dense, in host memory, and no one else's.
    fn over(tensor: Tensor) -> HostBuffers {
        let bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
        let start = tensor.data_ptr().cast::<u8>();
        HostBuffers { memory: Arc::new(Memory { tensor, start, bytes }), next: 0 }
    }

    /// The next `bytes` bytes.
    ///
    /// # Panics
    /// If so many are not left.
    pub fn take(&mut self, bytes: usize) -> Part {
        assert!(bytes <= self.memory.bytes - self.next, "{bytes} bytes of a tensor that is all given out");
        let from = self.next;
        self.next += bytes;
        Part { memory: Arc::clone(&self.memory), from, bytes, initialised: false }
    }

    /// The tensor, once all parts have been dropped.
    ///
    /// # Errors
    /// Itself, if a part is still out.
    pub fn finish(self) -> Result<Tensor, HostBuffers> {
        let next = self.next;
        match Arc::try_unwrap(self.memory) {
            Ok(memory) => Ok(memory.tensor),
            Err(memory) => Err(HostBuffers { memory, next }),
        }
    }
}

impl Part {
    /// The bytes; zero before they are written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if self.bytes == 0 {
            return &mut [];
        }
        // SAFETY: `from..from + bytes` lies within the tensor's dense memory, which lives as long
        // as `memory`; no other part covers it, since `take` only moves on, and `self` is borrowed
        // for writing. libtorch does not initialise memory, so that it is done here, once, by the
        // thread that is about to fill it.
        unsafe {
            let start = self.memory.start.add(self.from);
            if !self.initialised {
                start.write_bytes(0, self.bytes);
                self.initialised = true;
            }
            std::slice::from_raw_parts_mut(start, self.bytes)
        }
    }

    /// Copies `bytes` into all of it.
    ///
    /// # Panics
    /// If they are not as many as the part has.
    pub fn write(self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.bytes, "as many bytes as the part has");
        // SAFETY: as for `bytes_mut`; `bytes` is other memory, since nobody else borrows the part.
        unsafe { self.memory.start.add(self.from).copy_from_nonoverlapping(bytes.as_ptr(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_fill_their_parts_and_the_tensor_is_whole_when_all_are_back() {
        let mut slots = HostBuffers::new(&[4, 3], Kind::Uint8).unwrap();
        let parts: Vec<Part> = (0..4).map(|_| slots.take(3)).collect();
        let slots = slots.finish().unwrap_err();
        std::thread::scope(|scope| {
            for (number, mut part) in parts.into_iter().enumerate() {
                scope.spawn(move || part.bytes_mut().fill(number as u8 + 1));
            }
        });
        let tensor = slots.finish().unwrap();
        assert_eq!(Vec::<u8>::try_from(tensor.flatten(0, -1)).unwrap(), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    }

    #[test]
    fn a_part_is_zero_before_it_is_written() {
        let tensor = Tensor::ones([4], (Kind::Float, Device::Cpu));
        let mut slots = HostBuffers::again(tensor).unwrap();
        let mut part = slots.take(8);
        assert_eq!(part.bytes_mut(), [0; 8]);
        part.bytes_mut()[0] = 7;
        assert_eq!(part.bytes_mut()[0], 7, "once");
    }

    #[test]
    fn parts_are_written_one_after_the_other() {
        let mut slots = HostBuffers::new(&[5], Kind::Uint8).unwrap();
        for bytes in [&[1u8, 2][..], &[], &[3, 4, 5]] {
            slots.take(bytes.len()).write(bytes);
        }
        assert_eq!(Vec::<u8>::try_from(slots.finish().unwrap()).unwrap(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn memory_is_used_again_only_when_no_one_else_has_it() {
        let tensor = HostBuffers::new(&[2, 2], Kind::Float).unwrap().finish().unwrap();
        let start = tensor.data_ptr();
        let (clone, view) = (tensor.shallow_clone(), tensor.narrow(0, 0, 1));
        let tensor = HostBuffers::again(tensor).unwrap_err();
        drop(clone);
        let tensor = HostBuffers::again(tensor).unwrap_err();
        drop(view);
        let slots = HostBuffers::again(tensor).unwrap();
        assert_eq!(slots.finish().unwrap().data_ptr(), start);
    }

    #[test]
    fn what_cannot_be_held_is_an_error() {
        assert!(HostBuffers::new(&[i64::MAX, 2], Kind::Uint8).is_err());
        assert!(HostBuffers::new(&[1 << 55], Kind::Uint8).is_err());
        assert!(HostBuffers::new(&[1], Kind::Bool).is_err());
        assert_eq!(HostBuffers::new(&[0, 3], Kind::Float).unwrap().take(0).bytes_mut().len(), 0);
    }
}
