//! Weights to start from: a name of torchvision's or a path → a file → a network's state.
//!
//! In: `model.weights`, read by [`Choice`]. A published name is looked up in the compiled-in table
//! ([`Published`]) and its file in PyTorch's cache ([`Cache`]), where it is fetched if it is not
//! there. Out: [`load`] finds the weights in what the file holds, puts them into a network, whose
//! classifier may have another number of classes, and says what it took and did ([`Loaded`]). [`Origin`] is what the weights
//! tell of the images that they are used to.

mod cache;
mod candidates;
mod choice;
mod choose;
mod download;
mod error;
mod fetch;
mod fit;
mod imagenet;
mod load;
mod loaded;
mod names;
mod origin;
mod partial;
mod request;
mod table;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub use choice::{Choice, UnknownWeights};
pub use download::{Event, FetchError, FetchOptions, Listener, MIRROR};
pub use error::WeightsError;
pub use imagenet::{ImagenetClass, imagenet_classes};
pub use load::{WeightsFile, load};
pub use loaded::{Loaded, Part};
pub use origin::{Origin, OriginError};
pub use table::{BASE_URL, Published};
