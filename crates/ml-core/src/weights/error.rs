//! Why a network does not begin with the weights requested.

use std::io;
use std::path::PathBuf;

use super::download::{FetchError, MIRROR};
use crate::checkpoint::CheckpointError;
use crate::network::NetworkError;

/// Why a network does not begin with the weights requested.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There is nowhere to keep fetched weights.
    #[error("there is no home folder to keep fetched weights in: set TORCH_HOME")]
    NoHome,
    /// The mirror is no address.
    #[error("{MIRROR} must be an address that begins with http:// or https://, got `{given}`")]
    Mirror {
        /// What was given.
        given: String,
    },
    /// A file of the cache is not whole, or another one.
    #[error(
        "{}: has {found} bytes, but the published file has {expected} MiB: delete it, and it is fetched again", path.display()
    )]
    CachedSize {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The published size, in units of 2²⁰ bytes.
        expected: f64,
    },
    /// A file of the cache cannot be looked at.
    #[error("{}: cannot look at the fetched weights: {source}", path.display())]
    Cached {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// They cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file cannot be read, or holds no state dict.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The state is of another network.
    #[error("{}: {source}", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// All that differs.
        source: NetworkError,
    },
    /// A tensor contains NaN or Inf.
    #[error("{}: the weights contain NaN or Inf, in `{name}`: use another file", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The first such tensor.
        name: String,
    },
}

impl WeightsError {
    /// Whether what was requested is wrong, rather than the machine or the network.
    pub fn is_usage(&self) -> bool {
        match self {
            WeightsError::NoHome
            | WeightsError::Mirror { .. }
            | WeightsError::Network { .. }
            | WeightsError::NotFinite { .. } => true,
            WeightsError::Checkpoint(error) => error.is_usage(),
            WeightsError::CachedSize { .. } | WeightsError::Cached { .. } | WeightsError::Fetch(_) => false,
        }
    }

    /// Whether the listener broke off the transfer.
    pub fn is_interruption(&self) -> bool {
        matches!(self, WeightsError::Fetch(FetchError::Interrupted))
    }
}
