//! Images that could not be read and were left out.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use ml_data::decode::DecodeError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LoaderError;

/// What happens when an image cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run ends with an error that names the image.
    #[default]
    Fail,
    /// A warning names the image, once, and the run continues without it: in training, the next image
    /// of its class stands in; in evaluation it does not count.
    Skip,
}

/// What a loader does about images that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Ends with an error.
    Fail,
    /// Takes the next readable image of the same class in its stead, so that batches keep their
    /// size and classes; ends with an error when more than `limit` images cannot be read.
    Replace {
        /// Images.
        limit: usize,
    },
    /// Leaves it out of its batch; ends with an error when more than `limit` images cannot be read.
    LeaveOut {
        /// Images.
        limit: usize,
    },
    /// Leaves it out of its batch, which tells why: [`Batch::unreadable`](super::Batch::unreadable).
    Tell,
}

/// The images that were left out so far, by their indices.
#[derive(Default)]
pub(super) struct Skipped(Mutex<BTreeSet<usize>>);

impl Skipped {
    /// Notes an image, and warns at the first time.
    ///
    /// # Errors
    /// It is one more than `limit`.
    pub(super) fn note(&self, index: usize, error: &DecodeError, limit: usize) -> Result<(), LoaderError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.insert(index) {
            return Ok(());
        }
        tracing::warn!("{error}; skipped");
        if seen.len() > limit {
            return Err(LoaderError::TooManySkipped { count: seen.len(), limit, last: error.to_string() });
        }
        Ok(())
    }
}
