//! Images and their labels: what lies on disk, how it is split, and how a file becomes pixels at
//! network size. Nothing here knows tensors, so `ml-split` neither links nor loads libtorch.
//!
//! - [`check`]: a folder → what is wrong with its images, as a report.
//! - [`csv_text`]: rows as CSV.
//! - [`dataset`]: a folder → an index of samples, ordered classes and splits.
//! - [`decode`]: a file → RGB pixels, as Pillow's `convert("RGB")` would give them.
//! - [`files`]: replacing a file whole, and where a path really leads.
//! - [`geometry`]: sizes and areas.
//! - [`guard`]: panics that are reported as errors.
//! - [`transform`]: pixels + a sample's random stream → pixels at network size.
//! - [`rng`]: random streams derived from (seed, purpose, epoch, sample).
//! - [`setting`]: values of the configuration that may be left to the program (`auto`).
//! - [`violations`]: what is wrong with a configuration, collected.
//! - [`yaml`]: values as YAML that every reader takes for the same values.

// Test code that an example shares names the crate from outside.
#[cfg(test)]
extern crate self as ml_data;

pub mod check;
pub mod csv_text;
pub mod dataset;
pub mod decode;
pub mod files;
pub mod geometry;
pub mod guard;
mod left_out;
mod pool;
pub mod rng;
pub mod setting;
pub mod table;
pub mod text;
pub mod transform;
mod unicode;
mod union;
pub mod violations;
pub mod yaml;
