//! The terminal of stderr: its modes and its alternate screen, and how it gets back what it had.
//!
//! In: bytes of frames. Out: a terminal that neither echoes nor collects lines while the dashboard
//! is up; Ctrl-C sends SIGINT as before. There is one per process, so its state is static, and
//! [`restore`] can be called from anywhere.

use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::getpgrp;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcgetpgrp, tcgetwinsize, tcsetattr,
};

use super::patience::{lock_within_patience, write_all, write_unless_stalled};
use super::shared::SharedDashboard;

/// Alternate screen, cursor hidden.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// Plain style, normal screen, cursor shown.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?1049l\x1b[?25h";
/// What a special character of the terminal is set to when there is to be none, in Linux.
const DISABLED: u8 = 0;
/// Columns and rows where the terminal does not say.
const DEFAULT_SIZE: (u16, u16) = (80, 24);
/// The largest frame: a terminal may claim any size.
const LARGEST: (u16, u16) = (500, 200);

/// What the terminal had before, while a dashboard is up.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);
/// Whether frames may be written.
static IS_UP: AtomicBool = AtomicBool::new(false);
/// Held while a frame is written.
static FRAME: Mutex<()> = Mutex::new(());

struct Saved {
    termios: Termios,
    dashboard: SharedDashboard,
}

/// The dashboard cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// There is nothing to draw on.
    #[error(
        "the dashboard needs a terminal, and stderr is none; use another --ui, or do not redirect stderr"
    )]
    NotATerminal,
    /// The shell would stop a program that changes the terminal from the background.
    #[error(
        "the dashboard cannot be shown by a program in the background; use another --ui, or leave out `&`"
    )]
    Background,
    /// Another dashboard has the terminal.
    #[error("a dashboard is shown already")]
    AlreadyShown,
    /// The system refuses.
    #[error("cannot set up the terminal of stderr: {0}")]
    Terminal(#[from] io::Error),
}

/// Takes the terminal for `dashboard`.
///
/// # Errors
/// stderr is no terminal, or not this program's; a dashboard is up; the system refuses.
pub(super) fn enter(dashboard: &SharedDashboard) -> Result<(), ScreenError> {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return Err(ScreenError::NotATerminal);
    }
    if tcgetpgrp(&stderr).is_ok_and(|foreground| foreground != getpgrp()) {
        return Err(ScreenError::Background);
    }
    let Some(mut saved) = lock_within_patience(&SAVED).filter(|saved| saved.is_none()) else {
        return Err(ScreenError::AlreadyShown);
    };
    let termios = tcgetattr(&stderr).map_err(io::Error::from)?;
    tcsetattr(&stderr, OptionalActions::Now, &quiet(&termios)).map_err(io::Error::from)?;
    *saved = Some(Saved { termios, dashboard: dashboard.clone() });
    drop(saved);
    dashboard.screen_is_up();
    IS_UP.store(true, Ordering::SeqCst);
    write_all(ENTER).map_err(|error| {
        restore();
        ScreenError::Terminal(error)
    })
}

/// No echo and no lines, and Ctrl-C as before. Of the other keys that act on a program, none is
/// left: after Ctrl-Z or Ctrl-\ the shell would have this terminal as it is, and Ctrl-S would stop
/// the dashboard.
fn quiet(termios: &Termios) -> Termios {
    let mut quiet = termios.clone();
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    quiet.input_modes.remove(InputModes::IXON);
    quiet.special_codes[SpecialCodeIndex::VSUSP] = DISABLED;
    quiet.special_codes[SpecialCodeIndex::VQUIT] = DISABLED;
    quiet
}

/// Gives the terminal back what it had, and prints the lines of the log that only the dashboard has
/// shown. It does nothing where no dashboard is up, so that it may be called any number of times,
/// from any thread: before the process ends at once, for example. It is not fit for a signal
/// handler itself, since it waits for locks, though never for long.
pub fn restore() {
    let Some(mut saved) = lock_within_patience(&SAVED) else { return };
    let Some(Saved { termios, dashboard }) = saved.take() else { return };
    IS_UP.store(false, Ordering::SeqCst);
    // The frame that is being written ends first, if the terminal takes it.
    let frame = lock_within_patience(&FRAME);
    let stderr = io::stderr();
    // Whatever fails here, the rest is still worth trying. Keys that were pressed meanwhile are not
    // for the shell.
    let _ = tcflush(&stderr, QueueSelector::IFlush);
    let _ = tcsetattr(&stderr, OptionalActions::Now, &termios);
    let _ = write_unless_stalled(LEAVE);
    drop(frame);
    dashboard.screen_is_gone();
}

/// Writes a frame, unless the terminal was given back; says whether it was written.
///
/// # Errors
/// The terminal cannot be written.
pub(super) fn write_frame(bytes: &[u8]) -> io::Result<bool> {
    let Some(_frame) = lock_within_patience(&FRAME) else { return Ok(false) };
    if !IS_UP.load(Ordering::SeqCst) {
        return Ok(false);
    }
    write_all(bytes).map(|()| true)
}

/// Columns and rows of the terminal, from 1 to 500 and 200.
///
/// # Errors
/// stderr is no terminal any more.
pub(super) fn size() -> io::Result<(u16, u16)> {
    let size = tcgetwinsize(io::stderr())?;
    if size.ws_col == 0 || size.ws_row == 0 {
        return Ok(DEFAULT_SIZE);
    }
    Ok((size.ws_col.min(LARGEST.0), size.ws_row.min(LARGEST.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_restored_or_drawn_where_no_dashboard_is_up() {
        restore();
        restore();
        assert!(!write_frame(b"never written").unwrap());
    }
}
