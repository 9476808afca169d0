//! Pictures in memory.

use std::sync::{Arc, OnceLock};

use ml_data::transform::Prepared;

use super::Budget;

/// One place a sample of the index.
pub(super) struct Ram {
    pictures: Vec<OnceLock<Arc<Prepared>>>,
}

impl Ram {
    pub(super) fn new(samples: usize) -> Ram {
        Ram { pictures: (0..samples).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, place: usize) -> Option<Arc<Prepared>> {
        self.pictures[place].get().cloned()
    }

    pub(super) fn put(&self, place: usize, picture: &Arc<Prepared>, budget: &Budget) {
        let slot = &self.pictures[place];
        let bytes = (picture.pixels.data.len() + size_of::<Prepared>()) as u64;
        if slot.get().is_none() && budget.take(bytes) {
            // Two threads may have decoded the same picture; they are equal.
            let _ = slot.set(Arc::clone(picture));
        }
    }
}
