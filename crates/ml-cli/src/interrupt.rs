//! Signals that ask a program to stop: the work ends where it can be left, so that nothing is lost.
//!
//! These are SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal is gone), and SIGUSR1 and SIGUSR2
//! (Slurm's `--signal` before the time limit). Of the last three, one that the caller ignores
//! (`nohup`) stays ignored.

use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Those that stop a program unless its caller ignores them.
const MAY_BE_IGNORED: [i32; 3] = [SIGHUP, SIGUSR1, SIGUSR2];

/// The signal that asked the program to stop, if one came.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Catches the signals from now on. A second SIGINT ends the process at once, with exit code
    /// 130; other signals may come any number of times, as schedulers send them to whole groups of
    /// processes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install() -> io::Result<Interrupt> {
        let interrupted_before = Arc::new(AtomicBool::new(false));
        // In this order: the first SIGINT finds the flag unset.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&interrupted_before))?;
        flag::register(SIGINT, interrupted_before)?;
        Interrupt::install_without_exit()
    }

    /// As [`Interrupt::install`], and `before` is called before a second SIGINT ends the process: by a
    /// thread of its own, so that it may do what signal handlers may not.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install_with_exit(before: fn()) -> io::Result<Interrupt> {
        let mut signals = Signals::new([SIGINT])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if let Some(signal) = signals.forever().nth(1) {
                before();
                signal_hook::low_level::exit(128 + signal);
            }
        })?;
        Interrupt::install_without_exit()
    }

    /// As [`Interrupt::install`], but a second SIGINT changes nothing: for a program that must not
    /// leave a child behind.
    ///
    /// # Errors
    /// The system refuses.
    pub fn install_without_exit() -> io::Result<Interrupt> {
        let seen = Arc::new(AtomicUsize::new(0));
        let ignored = ignored_signals();
        for signal in [SIGINT, SIGTERM].into_iter().chain(MAY_BE_IGNORED) {
            if !(MAY_BE_IGNORED.contains(&signal) && ignored & (1 << (signal - 1)) != 0) {
                flag::register_usize(signal, Arc::clone(&seen), signal as usize)?;
            }
        }
        Ok(Interrupt(seen))
    }

    /// Holds the number of the latest signal, 0 before the first: for code that is to know nothing
    /// of signals.
    pub fn flag(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.0)
    }

    /// The number of the latest signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }

    /// 128 + the signal's number, as shells have it, after a signal.
    pub fn exit_code(&self) -> Option<ExitCode> {
        self.signal().map(|signal| ExitCode::from(128 + signal as u8))
    }

    /// Breaks after a signal.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.signal().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Of this process, bit `n - 1` for signal `n`; none where the system does not say.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// The only test here that sends signals: they reach the whole process.
    #[test]
    fn each_signal_that_asks_to_stop_is_kept_with_its_exit_code() {
        let interrupt = Interrupt::install_without_exit().unwrap();
        assert!(interrupt.signal().is_none() && interrupt.exit_code().is_none());
        assert!(interrupt.flow().is_continue());
        for (signal, number) in [
            (Signal::INT, SIGINT),
            (Signal::TERM, SIGTERM),
            (Signal::HUP, SIGHUP),
            (Signal::USR1, SIGUSR1),
            (Signal::USR2, SIGUSR2),
            (Signal::INT, SIGINT),
        ] {
            if ignored_signals() & (1 << (number - 1)) != 0 && MAY_BE_IGNORED.contains(&number) {
                continue;
            }
            kill_process(getpid(), signal).unwrap();
            for _ in 0..1000 {
                if interrupt.signal() == Some(number) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            assert_eq!(interrupt.signal(), Some(number));
            assert_eq!(interrupt.flag().load(Ordering::Relaxed), number as usize);
            assert!(interrupt.flow().is_break());
        }
    }
}
