//! Images in memory.

use std::sync::{Arc, OnceLock};

use ml_data::transform::Prepared;

use super::Budget;

/// One slot for each sample of the index.
pub(super) struct Ram {
    images: Vec<OnceLock<Arc<Prepared>>>,
}

impl Ram {
    pub(super) fn new(samples: usize) -> Ram {
        Ram { images: (0..samples).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, sample: usize) -> Option<Arc<Prepared>> {
        self.images[sample].get().cloned()
    }

    /// Bytes of all images.
    pub(super) fn bytes(&self) -> u64 {
        self.images.iter().filter_map(OnceLock::get).map(|image| bytes(image)).sum()
    }

    pub(super) fn put(&self, sample: usize, image: &Arc<Prepared>, budget: &Budget) {
        let slot = &self.images[sample];
        let bytes = bytes(image);
        if slot.get().is_none() && budget.take(bytes) {
            // Two threads may have decoded the same image; they are equal.
            let _ = slot.set(Arc::clone(image));
        }
    }
}

fn bytes(image: &Prepared) -> u64 {
    (image.pixels.data.len() + size_of::<Prepared>()) as u64
}
