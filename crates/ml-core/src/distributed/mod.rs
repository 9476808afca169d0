//! Several processes that train one network: who they are, and what they decide and add up together.
//!
//! In: what the launcher says ([`Environment`]), a [`DistributedConfig`]. Out: a [`World`], which
//! stands for all of them and is also there for a process that is alone, where nothing is sent.
//! Every rank makes the same calls in the same order. [`Share`] says which batches of an epoch are
//! whose.

mod config;
mod environment;
mod launch;
mod machine;
mod share;
mod watch;
mod world;

use std::time::Duration;

pub use config::{Backend, Compression, DistributedConfig};
pub use environment::Environment;
pub use launch::{NoTorchrun, torchrun};
pub use machine::SharedMemory;
pub use share::Share;
pub use watch::Place;
pub use world::World;

/// Why processes cannot work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistributedError {
    /// The launcher's variables are wrong.
    #[error("the environment says that there are several processes, but {}", .0.join("; "))]
    Environment(Vec<String>),
    /// The processes cannot find each other.
    #[error("rank {rank} cannot reach the others at {address}: {reason}")]
    Unreachable {
        /// Of this process.
        rank: usize,
        /// Host and port.
        address: String,
        /// What libtorch says.
        reason: String,
    },
    /// The port on which rank 0 is to be found is in use.
    #[error(
        "MASTER_PORT: port {port} is taken on this machine; choose another, or let torchrun do so (--rdzv-backend c10d)"
    )]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Not all processes have come.
    #[error("{} did not come within {} s (training.distributed.timeout_seconds)", ranks(missing), timeout.as_secs())]
    Missing {
        /// Their ranks.
        missing: Vec<usize>,
        /// How long the others waited.
        timeout: Duration,
    },
    /// Processes were started with something that differs.
    #[error("all processes must have the same {what}: {} of {size} {theirs}", ranks(others))]
    Differs {
        /// What.
        what: String,
        /// The ranks that have another one than rank 0.
        others: Vec<usize>,
        /// How many processes there are.
        size: usize,
        /// What they have.
        theirs: String,
    },
    /// Another process has failed.
    #[error("rank {rank} has failed: {message}")]
    Failed {
        /// Its rank.
        rank: usize,
        /// What it says.
        message: String,
    },
    /// The connection to another process is lost.
    #[error("the connection to other processes is lost: {reason}{}", details(where_they_are))]
    Lost {
        /// What libtorch says.
        reason: String,
        /// Where those stand that are behind.
        where_they_are: Vec<String>,
    },
    /// The device cannot be used with this backend.
    #[error("training.distributed.backend: {0}")]
    Backend(String),
    /// libtorch refuses.
    #[error("{0}")]
    Torch(String),
}

impl DistributedError {
    /// Whether it is the caller's mistake.
    pub fn is_usage(&self) -> bool {
        use DistributedError::{Backend, Differs, Environment, PortTaken};
        matches!(self, Environment(_) | PortTaken { .. } | Differs { .. } | Backend(_))
    }

    /// Whether a message of libtorch says that another process is gone or does not answer.
    pub fn is_loss_of_peer(message: &str) -> bool {
        [
            "gloo/",
            "Connection closed by peer",
            "Connection reset by peer",
            "Broken pipe",
            "ProcessGroup",
            "NCCL",
        ]
        .iter()
        .any(|words| message.contains(words))
    }
}

/// `rank 1`, `ranks 1, 2 and 5`.
fn ranks(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("rank {one}"),
        [first @ .., last] => format!("ranks {} and {last}", first.join(", ")),
        [] => "no rank".to_owned(),
    }
}

fn details(where_they_are: &[String]) -> String {
    if where_they_are.is_empty() { String::new() } else { format!("; {}", where_they_are.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_counted_as_people_do() {
        assert_eq!(ranks(&[3]), "rank 3");
        assert_eq!(ranks(&[1, 2, 5]), "ranks 1, 2 and 5");
    }

    #[test]
    fn a_lost_peer_is_told_from_other_errors() {
        let gloo =
            "[../third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection closed by peer [127.0.0.1]:5";
        assert!(DistributedError::is_loss_of_peer(gloo));
        assert!(!DistributedError::is_loss_of_peer("CUDA out of memory"));
    }
}
