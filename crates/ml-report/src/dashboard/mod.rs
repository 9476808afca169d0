//! A training run → a dashboard that fills the terminal (`ml-train --ui tui`). The only user of
//! ratatui.
//!
//! In: a [`SharedDashboard`] that is told what happens, and the log through its [`LogWriter`]. Out:
//! while a [`Screen`] is there, a frame up to ten times a second on stderr's terminal.

mod charts;
mod draw;
mod epochs;
mod eta;
mod log;
mod log_view;
mod patience;
mod phase;
mod progress_view;
mod reporter;
mod screen;
mod section;
mod shared;
#[cfg(test)]
mod snapshots;
mod state;
mod terminal;
mod text;
mod theme;

pub use log::LogLines;
pub use phase::{Phase, PhaseProgress};
pub use reporter::DashboardReporter;
pub(crate) use reporter::{completed, history};
pub use screen::{Screen, ScreenError};
pub use shared::{LogWriter, SharedDashboard};
pub use state::{Dashboard, Epoch, EpochTime, RunInfo};
pub use terminal::restore;
pub(crate) use text::duration;
pub use theme::Theme;
