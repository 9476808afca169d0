//! report

pub mod classification;
pub mod figures;
pub mod predictions;
pub mod text;
pub mod write;
