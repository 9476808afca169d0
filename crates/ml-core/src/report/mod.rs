//! report

pub mod tensorboard;
