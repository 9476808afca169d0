//! The library of the toolkit: everything between a folder of images and a trained classifier,
//! usable from any Rust program. It parses no flags, never exits, and prints nothing: a
//! [`trainer::Reporter`] is told what happens.
//!
//! In import order, each module using only those above it: [`dataset`] and [`transform`] (of
//! `ml-data`), [`torch_error`] → [`device`] → [`distributed`] → [`loader`] → [`network`] → [`features`] → [`loss`] →
//! [`optimizer`] → [`metrics`] → [`evaluation`] → [`attribution`] → [`checkpoint`] →
//! [`weights`] → [`policy`] → [`config`] → [`run`] → [`trainer`] → [`starter`] → [`job`] → [`inference`].

pub use torch_file;

pub use ml_data::{dataset, decode, rng, setting, text, transform};

pub mod attribution;
pub mod checkpoint;
pub mod config;
pub mod device;
pub mod distributed;
pub mod evaluation;
pub mod features;
pub mod inference;
pub mod job;
pub mod loader;
pub mod loss;
pub mod metrics;
pub mod network;
pub mod optimizer;
pub mod policy;
pub mod run;
pub mod starter;
pub mod torch_error;
pub mod trainer;
pub mod weights;

#[cfg(test)]
mod testing;

/// The version of libtorch that this was built against.
pub static LIBTORCH_VERSION: std::sync::LazyLock<&str> = std::sync::LazyLock::new(torch_ext::version);

/// Uses only deterministic algorithms from here on, if `on`.
///
/// # Errors
/// libtorch refuses.
pub fn set_deterministic(on: bool) -> Result<(), torch_ext::Error> {
    torch_ext::set_deterministic(on)
}
