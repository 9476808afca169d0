//! SIGINT and SIGTERM end the work where it can be left; a second one ends it at once.

use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The signal that came, if one did.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn catch() -> io::Result<Interrupt> {
        let seen = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            let again = Arc::new(AtomicBool::new(false));
            // In this order: the first signal finds `again` unset.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, again)?;
            flag::register_usize(signal, Arc::clone(&seen), signal as usize)?;
        }
        Ok(Interrupt(seen))
    }

    /// 130 or 143 after a signal.
    pub fn exit_code(&self) -> Option<ExitCode> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(ExitCode::from(128 + signal as u8)),
        }
    }

    /// Breaks after a signal.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.exit_code().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
