//! Why a network does not begin with the weights requested.

use std::io;
use std::path::PathBuf;

use ml_data::text::listed;
use torch_file::ValueError;

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
    #[error("{}: {source}{read}", path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// Where in it was read and how much of it fits, as a line of its own, or nothing.
        read: String,
        /// All that differs.
        source: NetworkError,
    },
    /// The file is a pickled object whose tensors cannot be told from its other state.
    #[error(
        "{}: it is a whole pickled object `{}`, not its weights: save its state_dict() in Python: {SAVE}",
        path.display(), .class.escape_debug()
    )]
    WholeModule {
        /// The file.
        path: PathBuf,
        /// The object's class.
        class: String,
    },
    /// There are no tensors by name in the file.
    #[error(
        "{}: there are no weights in it, as names with tensors; there is {found}. In Python, save them by {SAVE}",
        path.display()
    )]
    NoWeights {
        /// The file.
        path: PathBuf,
        /// What there is instead.
        found: String,
    },
    /// Something else stands where the network has a tensor.
    #[error("{}: {source}: use another file", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: ValueError,
    },
    /// Nothing in the file is called as `FILE:key` says.
    #[error(
        "{}: there are no weights called `{key}` in it; there are {}", path.display(), quoted(.found)
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        key: String,
        /// Keys with tensors by name; empty for the root.
        found: Vec<String>,
    },
    /// Different weights in the file fit the network.
    #[error(
        "{file}: several weights in it fit this network, and they differ: {}: name those to take, as in \
         --weights {file}:{first}",
        quoted(.keys), file = path.display(),
        first = .keys.first().map(String::as_str).unwrap_or_default().escape_debug()
    )]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// What they are called.
        keys: Vec<String>,
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

/// How another program saves what is read.
const SAVE: &str = "torch.save(model.state_dict(), 'weights.pth')";

/// Keys that a message lists.
const LISTED: usize = 12;

/// Keys of a file, which may be anyone's.
fn quoted(keys: &[String]) -> String {
    let quoted: Vec<String> = keys
        .iter()
        .map(|key| match key.as_str() {
            "" => "those at its root".to_owned(),
            key => format!("`{}`", key.escape_debug()),
        })
        .collect();
    listed(&quoted, LISTED)
}

impl WeightsError {
    /// Whether what was requested is wrong, rather than the machine or the network.
    pub fn is_usage(&self) -> bool {
        match self {
            WeightsError::NoHome
            | WeightsError::Mirror { .. }
            | WeightsError::Network { .. }
            | WeightsError::WholeModule { .. }
            | WeightsError::NoWeights { .. }
            | WeightsError::Content { .. }
            | WeightsError::NoKey { .. }
            | WeightsError::Ambiguous { .. }
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
