//! What features are computed from.

use crate::device::Compute;
use crate::distributed::World;
use crate::loader::Loader;
use crate::network::{Network, Prefix};

/// What features are computed from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its weights in front of the cut are frozen.
    pub network: &'a Network,
    /// The frozen layers.
    pub prefix: &'a Prefix,
    /// How they compute.
    pub compute: &'a Compute,
    /// All images of the split, in the index's order; of several processes, every one takes a batch of
    /// each round ([`World::share_of_steps`]).
    pub loader: &'a Loader,
    /// The epoch whose augmentation the images get; 0 where nothing is random.
    pub view: u64,
    /// The processes that share the work.
    pub world: &'a World,
}
