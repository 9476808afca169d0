//! Epochs and results → terminal, TensorBoard, tables, figures. The only code that writes to the terminal,
//! and the only user of indicatif, tensorboard-rs and a plotting library.

pub mod board;
pub mod classification;
pub mod download;
pub mod figures;
pub mod predictions;
pub mod progress;
pub mod tensorboard;
pub mod text;
pub mod write;
