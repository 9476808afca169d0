//! Weights to start from: a name of torchvision's or a path → a file → a network's state.
//!
//! In: `model.weights`, read by [`Choice`]. A published name is looked up in the compiled-in table
//! ([`Published`]) and its file in PyTorch's cache ([`Cache`]), where it is fetched if it is not
//! there. Out: [`load`] puts what the file holds into a network, whose classifier may have another
//! number of classes, and says what it did beside copying ([`Loaded`]).

mod cache;
mod choice;
mod error;
mod fetch;
mod load;
mod partial;
mod rename;
mod request;
mod table;
#[cfg(test)]
mod tests;

pub use cache::{Cache, MIRROR};
pub use choice::{Choice, UnknownWeights};
pub use error::WeightsError;
pub use fetch::{Event, FetchError, FetchOptions, Listener};
pub use load::{Loaded, Part, load};
pub use table::{BASE_URL, Published};
