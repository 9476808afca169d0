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

    pub(super) fn put(&self, sample: usize, image: &Arc<Prepared>, budget: &Budget) {
        let slot = &self.images[sample];
        let bytes = (image.pixels.data.len() + size_of::<Prepared>()) as u64;
        if slot.get().is_none() && budget.take(bytes) {
            // Two threads may have decoded the same image; they are equal.
            let _ = slot.set(Arc::clone(image));
        }
    }
}
