//! Checkpoints written off the training thread.
//!
//! In: a training state that keeps changing, and the names that its file is to get. Out: files,
//! each replaced as a whole, in an order in which a kill between any two leaves a state to go on
//! from.
//!
//! The caller waits only for a copy of the tensors to be made (into buffers that are used again and
//! again); a thread of its own writes and syncs it. At most one is under way, so there is at most
//! one copy.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tch::{Kind, Tensor};
use torch_ext::Fetch;

use super::{Checkpoint, CheckpointError};
use atomic_file::{FileOps, System, also_name_through};
use torch_file::Value;

use crate::torch_error::TorchError;

/// The names that a checkpoint's file gets, in this order.
#[derive(Clone, Debug, Default)]
pub struct CheckpointPaths {
    /// What `last` names so far is named this from now on; it is the state to fall back to.
    pub previous: PathBuf,
    /// The newest state.
    pub last: PathBuf,
    /// Then `best.pt` and the like. Killed before them, a process that resumes from `last` gives
    /// them again.
    pub names: Vec<PathBuf>,
    /// Files that the state no longer speaks of, deleted at the end.
    pub delete: Vec<PathBuf>,
}

/// What saving cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteStats {
    /// Checkpoints handed over.
    pub count: u64,
    /// How long training stood still for them, in all.
    pub paused: Duration,
    /// The longest of these pauses.
    pub longest_pause: Duration,
    /// How long the thread was writing, in all.
    pub writing: Duration,
}

struct Job {
    state: Value,
    files: CheckpointPaths,
}

struct Done {
    result: Result<(), CheckpointError>,
    /// The buffers, for use again.
    buffers: Vec<Tensor>,
    took: Duration,
}

/// Writes checkpoints one after the other in a thread of its own.
#[derive(Debug)]
pub struct AsyncWriter {
    /// None once [`AsyncWriter::finish`] has let go of it, which ends the thread.
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
    /// Of the newest state handed over.
    last: PathBuf,
    buffers: Vec<Tensor>,
    stats: WriteStats,
}

impl AsyncWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start() -> std::io::Result<AsyncWriter> {
        let (jobs, todo) = sync_channel::<Job>(1);
        let (finished, done) = sync_channel::<Done>(1);
        let thread = std::thread::Builder::new().name("saver".to_owned()).spawn(move || {
            for Job { state, files } in todo {
                let started = Instant::now();
                let result = save(&System, &state, &files);
                let mut buffers = Vec::new();
                state.for_each_tensor("", &mut |_, tensor| buffers.push(tensor.shallow_clone()));
                // Nobody listens any more: the process is ending with another error.
                let _ = finished.send(Done { result, buffers, took: started.elapsed() });
            }
        })?;
        Ok(AsyncWriter {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
            under_way: false,
            last: PathBuf::new(),
            buffers: Vec::new(),
            stats: WriteStats::default(),
        })
    }

    /// Copies `state` and has it written; waits for the one before to be done. Returns how long
    /// that took.
    ///
    /// # Errors
    /// The one before could not be written, or `state` has something in it that cannot be.
    pub fn save(&mut self, state: Checkpoint, files: CheckpointPaths) -> Result<Duration, CheckpointError> {
        let started = Instant::now();
        self.wait()?;
        self.last.clone_from(&files.last);
        let state = state.into_value().map_err(|error| error.in_file(&self.last))?;
        let state = self.copied(&state)?;
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { state, files }).is_ok());
        if !sent {
            return Err(self.ended());
        }
        self.under_way = true;
        let pause = started.elapsed();
        self.stats.count += 1;
        self.stats.paused += pause;
        self.stats.longest_pause = self.stats.longest_pause.max(pause);
        Ok(pause)
    }

    /// `state` with its tensors in host memory, in that of the state before where they fit; waited
    /// for once.
    fn copied(&mut self, state: &Value) -> Result<Value, CheckpointError> {
        let mut tensors = Vec::new();
        let _ = state.map_tensors(&mut |tensor| {
            tensors.push(tensor.detach());
            tensor.shallow_clone()
        });
        let copies = Fetch::start(&tensors, std::mem::take(&mut self.buffers)).and_then(Fetch::wait);
        let mut copies = copies.map_err(TorchError::from)?.into_iter();
        Ok(state.map_tensors(&mut |tensor| copies.next().unwrap_or_else(|| tensor.copy())))
    }

    /// Whether something went wrong meanwhile; does not wait.
    ///
    /// # Errors
    /// The checkpoint under way could not be written.
    pub fn check(&mut self) -> Result<(), CheckpointError> {
        if !self.under_way {
            return Ok(());
        }
        match self.done.try_recv() {
            Ok(done) => self.take(done),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(self.ended()),
        }
    }

    /// Waits until the checkpoint under way is written.
    ///
    /// # Errors
    /// It could not be.
    pub fn wait(&mut self) -> Result<(), CheckpointError> {
        if !self.under_way {
            return Ok(());
        }
        match self.done.recv() {
            Ok(done) => self.take(done),
            Err(_) => Err(self.ended()),
        }
    }

    /// What saving cost so far.
    pub fn stats(&self) -> WriteStats {
        self.stats
    }

    /// The thread is gone, which a defect alone can cause: what it was to write is not there.
    fn ended(&self) -> CheckpointError {
        cannot_write(&self.last, std::io::Error::other("the thread that writes has ended"))
    }

    fn take(&mut self, done: Done) -> Result<(), CheckpointError> {
        self.under_way = false;
        self.buffers = done.buffers;
        self.stats.writing += done.took;
        done.result
    }
}

impl Drop for AsyncWriter {
    /// Waits for the thread; who needs to know how it went calls [`AsyncWriter::wait`] before.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn cannot_write(path: &Path, error: std::io::Error) -> CheckpointError {
    torch_file::Error::write(path, error).into()
}

/// The file operations of one save; a kill between any two leaves `last` or `previous` whole.
pub(super) fn save(
    ops: &impl FileOps,
    state: &Value,
    files: &CheckpointPaths,
) -> Result<(), CheckpointError> {
    let naming =
        |from: &Path, to: &Path| also_name_through(ops, from, to).map_err(|error| cannot_write(to, error));
    if files.last.exists() {
        naming(&files.last, &files.previous)?;
    }
    torch_file::write_through(ops, &files.last, state)?;
    for path in &files.names {
        naming(&files.last, path)?;
    }
    for path in &files.delete {
        match ops.remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot_write(path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The name of the first tensor with an infinite number in it or one that is none.
pub fn not_finite(state: &[(String, Tensor)]) -> Option<&str> {
    state
        .iter()
        .filter(|(_, tensor)| tensor.is_floating_point())
        .find(|(_, tensor)| tensor.isfinite().all().to_kind(Kind::Int64).int64_value(&[]) == 0)
        .map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::testing::checkpoint;

    fn files(folder: &Path, names: &[&str]) -> CheckpointPaths {
        CheckpointPaths {
            previous: folder.join("previous.pt"),
            last: folder.join("last.pt"),
            names: names.iter().map(|name| folder.join(name)).collect(),
            delete: Vec::new(),
        }
    }

    fn step(path: &Path) -> u64 {
        read(path).unwrap().get("step").unwrap().as_u64().unwrap()
    }

    #[test]
    fn a_state_that_goes_on_changing_is_written_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = AsyncWriter::start().unwrap();
        for number in 1..=3u64 {
            let state = checkpoint(number, number as f64);
            let mut weight = state.model_state_dict[0].1.shallow_clone();
            saver.save(state, files(folder.path(), &[])).unwrap();
            let _ = weight.fill_(-1.0);
        }
        saver.wait().unwrap();
        let last = read(&folder.path().join("last.pt")).unwrap();
        let weight = last.get("model_state_dict").unwrap().as_tensors().unwrap().remove(0).1;
        assert_eq!(weight.double_value(&[0]), 3.0);
        assert_eq!(step(&folder.path().join("previous.pt")), 2);
        assert_eq!(saver.stats().count, 3);
    }

    #[test]
    fn one_file_gets_all_its_names_and_what_is_out_of_date_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = AsyncWriter::start().unwrap();
        saver
            .save(checkpoint(1, 1.0), files(folder.path(), &["best.pt", "epoch_1.pt", "rollback.pt"]))
            .unwrap();
        let mut second = files(folder.path(), &[]);
        second.delete = vec![folder.path().join("epoch_1.pt"), folder.path().join("never.pt")];
        saver.save(checkpoint(2, 2.0), second).unwrap();
        saver.wait().unwrap();
        let mut found: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["best.pt", "last.pt", "previous.pt", "rollback.pt"]);
        let steps =
            ["best.pt", "last.pt", "previous.pt", "rollback.pt"].map(|name| step(&folder.path().join(name)));
        assert_eq!(steps, [1, 2, 1, 1]);
    }

    #[test]
    fn a_failed_write_is_told_at_the_next_occasion() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = AsyncWriter::start().unwrap();
        saver.save(checkpoint(1, 1.0), files(&folder.path().join("gone"), &[])).unwrap();
        let error = saver.wait().unwrap_err().to_string();
        assert!(error.contains("gone/last.pt"), "{error}");
        saver.save(checkpoint(2, 1.0), files(folder.path(), &[])).unwrap();
        saver.wait().unwrap();
    }

    #[test]
    fn a_number_that_is_none_is_found_and_named() {
        let state = vec![
            ("a".to_owned(), Tensor::from_slice(&[1.0f32, 2.0])),
            ("n".to_owned(), Tensor::from_slice(&[1i64])),
            ("b".to_owned(), Tensor::from_slice(&[1.0f32, f32::NAN])),
        ];
        assert_eq!(not_finite(&state), Some("b"));
        assert_eq!(not_finite(&state[..2]), None);
    }
}
