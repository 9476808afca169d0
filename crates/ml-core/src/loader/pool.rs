//! Threads that fill batch buffers ahead of the consumer.
//!
//! One mutex guards which samples are taken. A worker takes a run of samples at a time together with
//! their part of the batch buffer, fills it without the lock, and gives it back; so a batch is spread over
//! all workers, and small pictures do not pay for a hand-over each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;

use super::LoaderError;
use super::buffer::{BatchBuffer, Filling};
use super::plan::Plan;

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
    /// Buffers for use again.
    free: Vec<BatchBuffer>,
}

struct Underway {
    filling: Filling,
    /// Samples not made yet.
    missing: usize,
    /// The failure of the sample with the lowest position.
    error: Option<(usize, LoaderError)>,
}

/// A run of samples that one worker makes.
struct Run {
    batch: usize,
    /// Position in the epoch of the first.
    first: usize,
    samples: usize,
    part: BytesMut,
}

impl Pool {
    /// Starts `num_workers` threads on the batches from `first` on; none if no thread is wanted or can be
    /// had.
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
                free: Vec::new(),
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

    /// Waits until batch `number` is complete; they are to be asked for in order.
    pub(super) fn wait_for(&mut self, number: usize) -> Result<BatchBuffer, LoaderError> {
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
        drop(state);
        shared.work.notify_all();
        match done.error {
            Some((_, error)) => Err(error),
            None => Ok(done.filling.into_buffer()),
        }
    }

    /// Gives a buffer back for use again.
    pub(super) fn recycle(&mut self, buffer: BatchBuffer) {
        self.shared.lock().free.push(buffer);
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
            let error = self.make(&mut run);
            self.give_back(run, error);
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
        let place = batch - state.next_batch;
        if place == state.batches.len() {
            let underway = match state.free.pop().map_or_else(|| self.plan.new_buffer(), Ok) {
                Ok(buffer) => {
                    Underway { filling: buffer.into_filling(), missing: samples.len(), error: None }
                }
                Err(error) => {
                    // Nothing can be made from here on; the consumer learns why when it gets here.
                    state.next_sample = self.plan.num_samples();
                    let error = Some((samples.start, error));
                    state.batches.push_back(Underway { filling: Filling::default(), missing: 0, error });
                    self.ready.notify_one();
                    self.work.notify_all();
                    return None;
                }
            };
            state.batches.push_back(underway);
        }
        let first = state.next_sample;
        let count = self.run.min(samples.end - first);
        let part = state.batches[place].filling.take(count * self.plan.sample_bytes());
        state.next_sample += count;
        Some(Run { batch, first, samples: count, part })
    }

    /// Makes a run's samples up to the first that fails.
    fn make(&self, run: &mut Run) -> Option<(usize, LoaderError)> {
        let slots = run.part.chunks_exact_mut(self.plan.sample_bytes());
        for (position, slot) in (run.first..).zip(slots) {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Err(error) = self.plan.make_sample(position, slot) {
                return Some((position, error));
            }
        }
        None
    }

    fn give_back(&self, run: Run, error: Option<(usize, LoaderError)>) {
        let mut state = self.lock();
        // The batch is under way until all its runs are back, so it stands at or behind `next_batch`.
        let place = run.batch - state.next_batch;
        let batch = &mut state.batches[place];
        batch.filling.give_back(run.first, run.part);
        batch.missing -= run.samples;
        if let Some((position, error)) = error
            && batch.error.as_ref().is_none_or(|(earlier, _)| position < *earlier)
        {
            batch.error = Some((position, error));
        }
        if place == 0 && batch.missing == 0 {
            self.ready.notify_one();
        }
    }
}
