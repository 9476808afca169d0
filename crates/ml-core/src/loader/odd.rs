//! Images that come out black, or of one colour: one warning a kind, not one an image.

use std::cell::RefCell;
use std::mem::{Discriminant, discriminant};
use std::path::Path;

use ml_data::decode::Oddity;
use ml_data::table::printable_path;

/// The kinds of oddities that were warned of.
#[derive(Default)]
pub(super) struct OddOnce {
    known: RefCell<Vec<Discriminant<Oddity>>>,
    is_silent: bool,
}

impl OddOnce {
    /// Warns of none.
    pub(super) fn silent() -> OddOnce {
        OddOnce { is_silent: true, ..OddOnce::default() }
    }

    /// Warns of the first image of each kind.
    pub(super) fn note(&self, path: &Path, oddity: Oddity) {
        let mut known = self.known.borrow_mut();
        if self.is_silent || known.contains(&discriminant(&oddity)) {
            return;
        }
        known.push(discriminant(&oddity));
        tracing::warn!(
            "{}: {oddity}; other images of this kind are not named here, `ml-split check` lists them",
            printable_path(path)
        );
    }
}
