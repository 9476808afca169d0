//! The memory of batches: that of batches which nobody has any more serves again.

use tch::{Kind, Tensor};
use torch_ext::HostBuffers;

use super::LoaderError;
use crate::torch_error::TorchError;

/// What a batch's memory holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Samples, at most.
    pub samples: usize,
    /// Images a sample, one after another.
    pub views: usize,
    /// 1 to 64.
    pub channels: usize,
    /// Of an image: (height, width).
    pub size: (u32, u32),
    /// Bytes `[H, W, C]` of all samples and then their classes as i64, rather than normalised floats
    /// `[C, H, W]`.
    pub is_remote: bool,
    /// Of those bytes: in pinned memory.
    pub is_pinned: bool,
}

impl Layout {
    /// Bytes of a sample.
    pub(super) fn sample_bytes(&self) -> usize {
        self.views * self.image_bytes()
    }

    /// Bytes of one of its views.
    pub(super) fn image_bytes(&self) -> usize {
        let values = self.channels * self.size.0 as usize * self.size.1 as usize;
        values * if self.is_remote { 1 } else { size_of::<f32>() }
    }

    /// Of the bytes of `samples` samples.
    pub(super) fn shape(&self, samples: usize) -> [i64; 4] {
        [(samples * self.views) as i64, i64::from(self.size.0), i64::from(self.size.1), self.channels as i64]
    }

    /// Where the classes stand behind the bytes of the images.
    pub(super) fn targets_at(&self) -> usize {
        (self.samples * self.sample_bytes()).next_multiple_of(size_of::<i64>())
    }

    fn allocate(&self) -> Result<HostBuffers, torch_ext::Error> {
        let bytes = [(self.targets_at() + self.samples * size_of::<i64>()) as i64];
        if !self.is_remote {
            let (images, channels) = ((self.samples * self.views) as i64, self.channels as i64);
            let (height, width) = (i64::from(self.size.0), i64::from(self.size.1));
            HostBuffers::new(&[images, channels, height, width], Kind::Float)
        } else if self.is_pinned {
            HostBuffers::pinned(&bytes)
        } else {
            HostBuffers::new(&bytes, Kind::Uint8)
        }
    }
}

/// Gives out memory for batches.
pub(super) struct Memory {
    layout: Layout,
    /// Batches that were given to the consumer.
    given: Vec<Tensor>,
}

impl Memory {
    pub(super) fn new(layout: Layout) -> Memory {
        Memory { layout, given: Vec::new() }
    }

    /// Memory for one batch.
    pub(super) fn take(&mut self) -> Result<HostBuffers, LoaderError> {
        let mut free = None;
        for number in (0..self.given.len()).rev() {
            match HostBuffers::again(self.given.swap_remove(number)) {
                Ok(slots) => {
                    free = Some(slots);
                    break;
                }
                Err(shared) => self.given.push(shared),
            }
        }
        free.map_or_else(|| self.layout.allocate(), Ok).map_err(|source| match TorchError::from(source) {
            TorchError::Memory(reason) => {
                let (height, width) = self.layout.size;
                LoaderError::Memory { batch_size: self.layout.samples, height, width, reason }
            }
            // Pinned memory is CUDA's, which may fail for other reasons.
            other => other.into(),
        })
    }

    /// The tensor that `slots` have become, all of whose parts are back.
    pub(super) fn finish(&mut self, slots: HostBuffers) -> Result<Tensor, LoaderError> {
        let unfinished = |_| LoaderError::Tensor("a part of a batch is still being written".to_owned());
        let tensor = slots.finish().map_err(unfinished)?;
        // A copy from pinned memory may be under way when nobody has the tensor any more; PyTorch's
        // allocator knows.
        if !self.layout.is_remote {
            self.given.push(tensor.shallow_clone());
        }
        Ok(tensor)
    }
}
