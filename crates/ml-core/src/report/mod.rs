//! report

pub mod classification;
pub mod figures;
pub mod predictions;
pub mod tensorboard;
pub mod text;
pub mod write;
