//! The running TensorBoard: its last words, its answer, its end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ml_cli::interrupt::Interrupt;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::address::Address;
use crate::locate::TensorBoard;

const POLL: Duration = Duration::from_millis(50);
/// It takes seconds to start; on a cold disk, many.
const START_WITHIN: Duration = Duration::from_mins(2);
/// What it gets to end after a signal.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Lines of its stderr to show if it fails.
const LAST_LINES: usize = 8;

/// TensorBoard as our child, in a process group of its own: signals reach it through us only, once.
pub struct Child {
    process: process::Child,
    pid: Pid,
    words: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
    interrupt: Interrupt,
    ended: bool,
}

impl Child {
    /// Starts `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command, tensorboard: &TensorBoard) -> anyhow::Result<Child> {
        // Caught before there is a child, so that none is left behind.
        let interrupt = Interrupt::install_without_exit().context("cannot catch signals")?;
        // Its stdout holds nothing that is not said better here.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut process = command.spawn().with_context(|| format!("cannot start {tensorboard}"))?;
        let pid = Pid::from_raw(process.id() as i32).context("the process has no number")?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        let reader = process.stderr.take().map(|stderr| {
            let words = Arc::clone(&words);
            std::thread::spawn(move || remember(BufReader::new(stderr), &words))
        });
        Ok(Child { process, pid, words, reader, interrupt, ended: false })
    }

    /// Waits for the first answer; an exit code if a signal came first.
    ///
    /// # Errors
    /// It ends before, or does not answer in time.
    pub fn wait_until_it_answers(&mut self, address: &Address) -> anyhow::Result<Option<ExitCode>> {
        let started = Instant::now();
        while started.elapsed() < START_WITHIN {
            if let Some(code) = self.interrupted()? {
                return Ok(Some(code));
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(self.failure(status));
            }
            if address.answers() {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
        bail!("TensorBoard does not answer at {} after {} s", address.url(), START_WITHIN.as_secs())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It ends by itself.
    pub fn wait(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            if let Some(code) = self.interrupted()? {
                return Ok(code);
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(self.failure(status));
            }
            std::thread::sleep(POLL);
        }
    }

    /// If a signal came: passes it on, waits for the end, and says which exit code that is.
    fn interrupted(&mut self) -> anyhow::Result<Option<ExitCode>> {
        let Some(code) = self.interrupt.exit_code() else { return Ok(None) };
        let is_ctrl_c = self.interrupt.signal() == Some(Signal::INT.as_raw());
        self.end(if is_ctrl_c { Signal::INT } else { Signal::TERM })?;
        Ok(Some(code))
    }

    fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        // It may have ended by itself in the meantime: then there is nothing to do.
        let _ = kill_process(self.pid, signal);
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > END_WITHIN {
                let _ = kill_process_group(self.pid, Signal::KILL);
                self.process.wait()?;
                break;
            }
            std::thread::sleep(POLL);
        }
        self.ended = true;
        Ok(())
    }

    fn failure(&mut self, status: process::ExitStatus) -> anyhow::Error {
        self.ended = true;
        if let Some(reader) = self.reader.take() {
            // The pipe may be held open by a grandchild; what it said until then is enough.
            let asked = Instant::now();
            while !reader.is_finished() && asked.elapsed() < Duration::from_secs(1) {
                std::thread::sleep(POLL);
            }
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<&str> = words.iter().map(String::as_str).collect();
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "for an unknown reason".to_owned(),
        };
        let said = if said.is_empty() {
            "it said nothing".to_owned()
        } else {
            format!("it said:\n  {}", said.join("\n  "))
        };
        anyhow::anyhow!("TensorBoard ended {how}; {said}")
    }
}

impl Drop for Child {
    /// However this program ends, TensorBoard does not stay behind.
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.end(Signal::TERM);
        }
    }
}

fn remember(lines: impl BufRead, words: &Mutex<VecDeque<String>>) {
    for line in lines.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if line.is_empty() {
            continue;
        }
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LAST_LINES {
            words.pop_front();
        }
        words.push_back(line);
    }
}
