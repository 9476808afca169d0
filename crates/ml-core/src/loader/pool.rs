//! Threads that fill batch buffers ahead of the consumer.
//!
//! One mutex guards which samples are taken. A worker takes a run of samples at a time together
//! with their part of the batch buffer, fills it without the lock, and gives it back; so a batch is
//! spread over all workers, and small images do not pay for a hand-over each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tch::Tensor;
use torch_ext::{HostBuffers, Part};

use super::LoaderError;
use super::memory::Memory;
use super::plan::{Plan, Remark};

/// Batches under way at least, however few workers there are.
const MIN_AHEAD: usize = 2;
/// Bytes that batches under way may fill, if that is at least one batch.
const MAX_AHEAD_BYTES: usize = 1 << 30;
/// Samples that a worker takes at once at most.
const MAX_RUN: usize = 16;

/// The workers of one epoch. Dropping it stops and joins them.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    plan: Arc<Plan>,
    state: Mutex<State>,
    /// There may be samples to take, or it is time to stop.
    work: Condvar,
    /// The front batch may be complete.
    ready: Condvar,
    stop: AtomicBool,
    /// Batches that may be under way.
    ahead: usize,
    /// Samples that a worker takes at once.
    run: usize,
}

struct State {
    /// Position in the epoch of the first sample that no worker has taken.
    next_sample: usize,
    /// Number of the batch that the consumer gets next.
    next_batch: usize,
    /// Batches under way, `next_batch` first.
    batches: VecDeque<Underway>,
    memory: Memory,
}

struct Underway {
    /// None where there was no memory.
    slots: Option<HostBuffers>,
    /// Samples not made yet.
    missing: usize,
    /// The failure of the sample with the lowest position.
    error: Option<(usize, LoaderError)>,
    /// By position in the epoch.
    remarks: Vec<(usize, Remark)>,
}

/// A run of samples that one worker makes.
struct Run {
    batch: usize,
    /// Position in the epoch of the first.
    first: usize,
    samples: usize,
    part: Part,
}

/// What became of a run.
#[derive(Default)]
struct Made {
    error: Option<(usize, LoaderError)>,
    remarks: Vec<(usize, Remark)>,
}

impl Pool {
    /// Starts `num_workers` threads on the batches from `first` on; none if no thread is wanted or
    /// can be had.
    pub(super) fn start(plan: &Arc<Plan>, first: usize, num_workers: usize) -> Option<Pool> {
        let batch_size = plan.batch_size();
        let batch_bytes = plan.sample_bytes().saturating_mul(batch_size).max(1);
        let wanted = (2 * num_workers).div_ceil(batch_size).max(MIN_AHEAD);
        let shared = Arc::new(Shared {
            plan: Arc::clone(plan),
            state: Mutex::new(State {
                next_sample: first.saturating_mul(batch_size),
                next_batch: first,
                batches: VecDeque::new(),
                memory: Memory::new(plan.layout()),
            }),
            work: Condvar::new(),
            ready: Condvar::new(),
            stop: AtomicBool::new(false),
            ahead: wanted.min(MAX_AHEAD_BYTES / batch_bytes).max(1),
            run: (batch_size / (4 * num_workers.max(1))).clamp(1, MAX_RUN),
        });
        let mut workers = Vec::with_capacity(num_workers);
        for number in 0..num_workers {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("loader-{number}"));
            match thread.spawn(move || shared.work()) {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    let started = workers.len();
                    tracing::warn!("loading with {started} of {num_workers} threads: {error}");
                    break;
                }
            }
        }
        (!workers.is_empty()).then_some(Pool { shared, workers })
    }

    /// Whether the next batch is complete.
    pub(super) fn is_ready(&self) -> bool {
        self.shared.lock().batches.front().is_some_and(|batch| batch.missing == 0)
    }

    /// Waits until batch `number` is complete; they are to be requested in order. All samples'
    /// slots, and remarks on samples by position in the epoch.
    pub(super) fn wait_for(&mut self, number: usize) -> Result<(Tensor, Vec<(usize, Remark)>), LoaderError> {
        let shared = &self.shared;
        let mut state = shared.lock();
        debug_assert_eq!(state.next_batch, number);
        let done = loop {
            if state.batches.front().is_some_and(|batch| batch.missing == 0)
                && let Some(batch) = state.batches.pop_front()
            {
                break batch;
            }
            state = shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.next_batch += 1;
        let mut remarks = done.remarks;
        let result = match (done.error, done.slots) {
            (None, Some(slots)) => state.memory.finish(slots).map(|tensor| {
                remarks.sort_by_key(|(position, _)| *position);
                (tensor, remarks)
            }),
            (Some((_, error)), _) => Err(error),
            (None, None) => Err(LoaderError::Tensor("a batch has no memory".to_owned())),
        };
        drop(state);
        shared.work.notify_all();
        result
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            // Under the lock, so that no worker is between asking and going to sleep.
            let _state = self.shared.lock();
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker has no result, and catches the panics of what it calls.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn work(&self) {
        while let Some(mut run) = self.take() {
            let made = self.make(&mut run);
            self.give_back(run, made);
        }
    }

    /// The next run of samples; waits while enough batches are under way. None at the end.
    fn take(&self) -> Option<Run> {
        let mut state = self.lock();
        loop {
            if self.stop.load(Ordering::Relaxed) || state.next_sample >= self.plan.num_samples() {
                return None;
            }
            let batch = state.next_sample / self.plan.batch_size();
            if batch < state.next_batch + self.ahead {
                return self.take_of(&mut state, batch);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_of(&self, state: &mut State, batch: usize) -> Option<Run> {
        let samples = self.plan.samples_of(batch);
        let slot = batch - state.next_batch;
        if slot == state.batches.len() {
            let underway = match state.memory.take() {
                Ok(slots) => {
                    Underway { slots: Some(slots), missing: samples.len(), error: None, remarks: Vec::new() }
                }
                Err(error) => {
                    // Nothing can be made from here on; the consumer learns why when it gets here.
                    state.next_sample = self.plan.num_samples();
                    let error = Some((samples.start, error));
                    state.batches.push_back(Underway { slots: None, missing: 0, error, remarks: Vec::new() });
                    self.ready.notify_one();
                    self.work.notify_all();
                    return None;
                }
            };
            state.batches.push_back(underway);
        }
        let first = state.next_sample;
        let count = self.run.min(samples.end - first);
        let part = state.batches[slot].slots.as_mut()?.take(count * self.plan.sample_bytes());
        state.next_sample += count;
        Some(Run { batch, first, samples: count, part })
    }

    /// Makes a run's samples up to the first that fails.
    fn make(&self, run: &mut Run) -> Made {
        let mut made = Made::default();
        let slots = run.part.bytes_mut().chunks_exact_mut(self.plan.sample_bytes());
        for (position, slot) in (run.first..).zip(slots) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.plan.make_sample(position, slot) {
                Ok(remarks) => made.remarks.extend(remarks.into_iter().map(|remark| (position, remark))),
                Err(error) => {
                    made.error = Some((position, error));
                    break;
                }
            }
        }
        made
    }

    fn give_back(&self, Run { batch, samples, part, .. }: Run, made: Made) {
        // Before the batch can be taken for complete.
        drop(part);
        let mut state = self.lock();
        // The batch is under way until all its runs are back, so it stands at or behind
        // `next_batch`.
        let slot = batch - state.next_batch;
        let batch = &mut state.batches[slot];
        batch.missing -= samples;
        batch.remarks.extend(made.remarks);
        if let Some((position, error)) = made.error
            && batch.error.as_ref().is_none_or(|(earlier, _)| position < *earlier)
        {
            batch.error = Some((position, error));
        }
        if slot == 0 && batch.missing == 0 {
            self.ready.notify_one();
        }
    }
}
