//! Memory for one batch, filled by several threads at once.
//!
//! Each thread owns its samples' part of the allocation while it writes; [`BytesMut`] splits and rejoins
//! the parts without copying.

use std::collections::TryReserveError;

use bytes::{Bytes, BytesMut};

/// The floats of a batch's pixels, as bytes in the machine's order.
pub(super) struct BatchBuffer {
    bytes: BytesMut,
}

/// A buffer of which parts are with the threads that fill them.
#[derive(Default)]
pub(super) struct Filling {
    /// Not given out yet.
    rest: BytesMut,
    /// Given back: (order, part), in any order.
    parts: Vec<(usize, BytesMut)>,
}

impl BatchBuffer {
    pub(super) fn new(length: usize) -> Result<BatchBuffer, TryReserveError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length)?;
        bytes.resize(length, 0);
        Ok(BatchBuffer { bytes: BytesMut::from(Bytes::from(bytes)) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn slots_mut(&mut self, sample_bytes: usize) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(sample_bytes)
    }

    pub(super) fn into_filling(self) -> Filling {
        Filling { rest: self.bytes, parts: Vec::new() }
    }
}

impl Filling {
    /// The next `length` bytes, to be written and given back.
    pub(super) fn take(&mut self, length: usize) -> BytesMut {
        self.rest.split_to(length)
    }

    /// Takes a part back. `order` rises with the parts' places.
    pub(super) fn give_back(&mut self, order: usize, part: BytesMut) {
        self.parts.push((order, part));
    }

    /// The whole buffer, once all parts are back.
    pub(super) fn into_buffer(mut self) -> BatchBuffer {
        self.parts.sort_unstable_by_key(|(order, _)| *order);
        let mut bytes = BytesMut::new();
        for (_, part) in self.parts {
            bytes.unsplit(part);
        }
        bytes.unsplit(self.rest);
        BatchBuffer { bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_rejoin_in_order_and_without_copying() {
        let buffer = BatchBuffer::new(10).unwrap();
        let allocation = buffer.bytes().as_ptr();
        let mut filling = buffer.into_filling();
        let (mut a, mut b) = (filling.take(4), filling.take(3));
        a.fill(1);
        b.fill(2);
        filling.give_back(4, b);
        filling.give_back(0, a);
        let buffer = filling.into_buffer();
        assert_eq!(buffer.bytes(), [1, 1, 1, 1, 2, 2, 2, 0, 0, 0]);
        assert_eq!(buffer.bytes().as_ptr(), allocation);
    }
}
