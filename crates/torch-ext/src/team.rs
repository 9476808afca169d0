//! Threads that do nothing, for what libgomp makes of their number.

use std::ffi::c_char;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::shim::result;

unsafe extern "C" {
    fn te_open_team(threads: u32, opened: *mut bool) -> *mut c_char;
}

/// While it lives, a team of threads sleeps beside libtorch's.
///
/// libgomp lets threads that wait for others spin for some 20 ms before they sleep, unless it manages
/// more threads than there are processors: then they spin for microseconds only. A team that makes
/// it so can come and go while a program runs, unlike `OMP_WAIT_POLICY`, which is read when the
/// library is loaded.
#[derive(Debug)]
pub struct IdleTeam {
    /// Hung up to end it.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IdleTeam {
    /// Of `threads`, at least 2. None without libgomp, or if no thread can be started.
    pub fn open(threads: usize) -> Option<IdleTeam> {
        let threads = u32::try_from(threads.max(2)).ok()?;
        let ((end, ended), (tell, told)): ((_, Receiver<()>), (_, Receiver<bool>)) = (channel(), channel());
        let body = move || {
            let mut opened = false;
            // SAFETY: `opened` lives through the call.
            let done = result(unsafe { te_open_team(threads, &raw mut opened) });
            // Nobody listens if it is not wanted any more.
            let _ = tell.send(done.is_ok() && opened);
            // Until the other end hangs up; libgomp ends the team with this thread.
            let _ = ended.recv();
        };
        let thread = Builder::new().name("idle-team".to_owned()).spawn(body).ok()?;
        let team = IdleTeam { end: Some(end), thread: Some(thread) };
        told.recv().unwrap_or(false).then_some(team)
    }
}

impl Drop for IdleTeam {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has no result, and nothing in it panics.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    #[test]
    fn a_team_sleeps_until_it_is_dropped() {
        // libgomp is libtorch's.
        assert_eq!(tch::Tensor::from(1.0).double_value(&[]), 1.0);
        let team = IdleTeam::open(5).unwrap();
        let with = threads();
        assert!(with >= 6, "{with}");
        drop(team);
        // Threads of other tests come and go.
        let gone = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            threads() <= with - 4
        });
        assert!(gone, "{} of {with}", threads());
    }
}
