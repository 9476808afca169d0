//! What to do when, decided from numbers alone: which epoch is the best, when to write a checkpoint
//! and which ones to keep, when to stop early, what to do about a loss that is not finite, what
//! TensorBoard shows how often, how many steps fit into a time limit, the batch size and the size of
//! images of each epoch.
//!
//! In: configuration, metrics, the time. Out: data that the trainer acts on. No tensors, no files.

mod batch_schedule;
mod checkpointing;
mod divergence;
mod early_stopping;
mod monitor;
mod progressive_resizing;
mod tensorboard;
mod time_limit;

pub use batch_schedule::{BatchScheduleConfig, BatchSizeFrom, LrScaling};
pub use checkpointing::{Cadence, CheckpointConfig, Ranked, Ranking};
pub use divergence::{Action, DivergenceConfig, DivergenceState};
pub use early_stopping::{EarlyStoppingConfig, EarlyStoppingState};
pub use monitor::{Metric, Mode, Monitor};
pub use progressive_resizing::{ProgressiveResizingConfig, SizeFrom};
pub use tensorboard::TensorBoardConfig;
pub use time_limit::{TimeBudget, TimeLimit};
