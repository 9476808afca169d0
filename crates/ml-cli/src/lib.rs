//! What the programs share: flags in either spelling, the console, exit codes, interruption. Knows
//! no tensors, so that `ml-split` does not load libtorch.

pub mod console;
mod escapes;
pub mod exit;
pub mod flags;
pub mod interrupt;
mod log_file;
