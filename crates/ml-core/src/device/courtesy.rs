//! Leaves the processors to others while libtorch's threads wait.
//!
//! libgomp's waiting threads spin for some 20 ms before they sleep. Alone on a machine that is the
//! fastest way to begin the next operation. Where two programs share the processors, each burns the
//! time that the other needs, and both become several times slower. A thread here watches how long
//! the compute threads were ready to run but were not running, which the Linux scheduler counts
//! (`schedstat`; kernel documentation, `scheduler/sched-stats`); while that is much, an [`IdleTeam`]
//! makes libgomp's threads sleep at once. The loader's own threads count as others: while they need
//! the processors, spinning would delay the batch that is waited for.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use torch_ext::IdleTeam;

use super::threads;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// More threads than that are not looked at: the others fare alike.
const MOST_TASKS: usize = 64;
/// A team larger than that is not opened. Its threads sleep from the start and touch a few pages of
/// their stacks each; a machine with more processors than this has not been tried.
const LARGEST_TEAM: usize = 1024;
/// Of the times in `stat`: Linux counts 100 ticks a second for programs.
const NANOSECONDS_A_TICK: u64 = 10_000_000;

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// Hung up to end it.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Courtesy {
    /// For a process that computes with `num_threads` threads, the calling one among them. None
    /// where there is nothing to watch: one thread does not wait for others, the user's variables
    /// win, and without Linux or libgomp it is not known how.
    pub(super) fn start(num_threads: usize) -> Option<Courtesy> {
        let is_given = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].into_iter().any(threads::is_set);
        Courtesy::watch(team_size(num_threads, threads::allowed().len(), is_given)?, num_threads)
    }

    /// Opens a team of `team` threads while others need the processors.
    fn watch(team: usize, num_threads: usize) -> Option<Courtesy> {
        let mut sensor = Sensor::new()?;
        let (end, ended) = channel::<()>();
        let body = move || {
            let mut policy = Policy::default();
            let mut idle: Option<IdleTeam> = None;
            let mut before = Instant::now();
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let elapsed = before.elapsed();
                before = Instant::now();
                let throttles = policy.observe(sensor.waiting_share(elapsed, num_threads), elapsed);
                match (throttles, &idle) {
                    (true, None) => {
                        idle = IdleTeam::open(team);
                        tracing::debug!("the processors are shared: waiting threads sleep at once");
                    }
                    (false, Some(_)) => {
                        idle = None;
                        tracing::debug!("the processors are free: waiting threads spin");
                    }
                    _ => {}
                }
            }
        };
        let thread = Builder::new().name("courtesy".to_owned()).spawn(body).ok()?;
        Some(Courtesy { end: Some(end), thread: Some(thread) })
    }
}

/// How many threads [`IdleTeam`] takes, so that libgomp manages more threads than there are
/// processors and therefore spins less; none where nothing is to be watched.
fn team_size(num_threads: usize, processors: usize, is_given: bool) -> Option<usize> {
    let team = (processors + 2).saturating_sub(num_threads).max(2);
    (num_threads > 1 && !is_given && team <= LARGEST_TEAM).then_some(team)
}

impl Drop for Courtesy {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has no result, and nothing in it panics.
            let _ = thread.join();
        }
    }
}

/// Whether other programs take processor time from the compute threads, over a while.
#[derive(Debug)]
pub struct Contention {
    sensor: Option<Sensor>,
    started: Instant,
}

impl Contention {
    /// Begins now, for the calling thread and those that compute for it.
    pub fn watch() -> Contention {
        let mut sensor = Sensor::new();
        if let Some(sensor) = &mut sensor {
            sensor.waiting_share(Duration::ZERO, 1);
        }
        Contention { sensor, started: Instant::now() }
    }

    /// Whether they did since it began; false where the system does not tell.
    pub fn is_high(&mut self) -> bool {
        let threads = super::threads::current();
        let elapsed = self.started.elapsed();
        let share = self.sensor.as_mut().map(|sensor| sensor.waiting_share(elapsed, threads));
        share.is_some_and(|share| share > Policy::THRESHOLD)
    }
}

/// When waiting threads are to sleep at once.
#[derive(Debug)]
struct Policy {
    throttles: bool,
    /// Looks in a row above the threshold.
    busy: u32,
    /// Since the last look above the threshold, while it throttles.
    quiet: Duration,
    /// How long it must be quiet until it is tried again without.
    patience: Duration,
    /// Since throttling ended.
    free: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        let free = Policy::LONGEST;
        Policy { throttles: false, busy: 0, quiet: Duration::ZERO, patience: Policy::SHORTEST, free }
    }
}

impl Policy {
    /// Share of the time that compute threads are ready but not running. Alone it is 0.03, and 0.16
    /// at most; of two programs on the same processors it is 0.5, and 0.3 once they sleep.
    const THRESHOLD: f64 = 0.22;
    /// One look may be an accident.
    const LOOKS: u32 = 2;
    const SHORTEST: Duration = Duration::from_secs(3);
    const LONGEST: Duration = Duration::from_secs(48);

    /// Whether waiting threads are to sleep at once, after a look that covers `elapsed`.
    fn observe(&mut self, share: f64, elapsed: Duration) -> bool {
        let is_busy = share > Policy::THRESHOLD;
        if self.throttles {
            self.quiet = if is_busy { Duration::ZERO } else { self.quiet + elapsed };
            if self.quiet >= self.patience {
                *self = Policy { throttles: false, busy: 0, free: Duration::ZERO, ..*self };
            }
            return self.throttles;
        }
        self.free += elapsed;
        self.busy = if is_busy { self.busy + 1 } else { 0 };
        if self.busy >= Policy::LOOKS {
            // Others who were still there are left alone for longer.
            let was_wrong = self.free < Policy::SHORTEST;
            let patience =
                if was_wrong { (self.patience * 2).min(Policy::LONGEST) } else { Policy::SHORTEST };
            *self = Policy { throttles: true, quiet: Duration::ZERO, patience, ..*self };
        }
        self.throttles
    }
}

/// Looks at how long the compute threads have waited for a processor.
#[derive(Debug)]
struct Sensor {
    /// Compute threads have the name of the one that computes, which they inherit.
    name: String,
    counter: Counter,
    tasks: HashMap<u32, Task>,
}

/// A thread, as it was at the last look.
#[derive(Clone, Copy, Debug)]
struct Task {
    is_compute: bool,
    /// Nanoseconds that it has waited for a processor, from some time on.
    waited: Option<u64>,
}

impl Sensor {
    /// None where the system does not tell.
    fn new() -> Option<Sensor> {
        let name = fs::read_to_string("/proc/thread-self/comm").ok()?;
        let own = Path::new("/proc/thread-self");
        let counters = [Counter::Schedstat, Counter::Stat { start: Instant::now() }];
        let counter = counters.into_iter().find(|counter| counter.read(own).is_some())?;
        Some(Sensor { name, counter, tasks: HashMap::new() })
    }

    /// Since the last look, `elapsed` ago: the share of the time that each of the `num_threads`
    /// threads waited for a processor, on average.
    fn waiting_share(&mut self, elapsed: Duration, num_threads: usize) -> f64 {
        let Ok(entries) = fs::read_dir("/proc/self/task") else { return 0.0 };
        let mut tasks = HashMap::new();
        let (mut sum, mut count) = (0, 0);
        for entry in entries.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let before = self.tasks.get(&number).copied();
            let is_compute = before.map_or_else(
                || fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == self.name),
                |before| before.is_compute,
            );
            let is_read = is_compute && count < MOST_TASKS;
            let waited = if is_read { self.counter.read(&entry.path()) } else { None };
            count += usize::from(is_read);
            if let (Some(now), Some(before)) = (waited, before.and_then(|before| before.waited)) {
                sum += now.saturating_sub(before);
            }
            tasks.insert(number, Task { is_compute, waited });
        }
        self.tasks = tasks;
        let threads = count.min(num_threads).max(1) as f64;
        sum as f64 / threads / elapsed.as_nanos().max(1) as f64
    }
}

/// Where the system tells how long a thread has waited.
#[derive(Clone, Copy, Debug)]
enum Counter {
    /// The second number of a thread's `schedstat`.
    Schedstat,
    /// Without it: of a thread that is ready to run, the time since `start` in which it has not
    /// run, by its `stat`, which counts hundredths of a second.
    Stat { start: Instant },
}

impl Counter {
    /// In nanoseconds.
    fn read(self, task: &Path) -> Option<u64> {
        match self {
            Counter::Schedstat => {
                let text = fs::read_to_string(task.join("schedstat")).ok()?;
                text.split_whitespace().nth(1)?.parse().ok()
            }
            Counter::Stat { start } => {
                let text = fs::read_to_string(task.join("stat")).ok()?;
                // After the name, which may hold spaces: the state, and 11 fields on utime and stime.
                let mut fields = text.rsplit_once(") ")?.1.split_whitespace();
                let is_ready = fields.next()? == "R";
                let mut ticks = fields.skip(10).map(|field| field.parse::<u64>().ok());
                let nanoseconds = (ticks.next()?? + ticks.next()??) * NANOSECONDS_A_TICK;
                // A large number, so that it stays one after the subtraction.
                let elapsed = u64::try_from(start.elapsed().as_nanos()).ok()?;
                is_ready.then(|| (u64::MAX / 2 + elapsed).saturating_sub(nanoseconds))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(policy: &mut Policy, share: f64, count: u32) -> bool {
        (0..count).map(|_| policy.observe(share, PERIOD)).last().unwrap()
    }

    #[test]
    fn threads_sleep_while_processors_are_shared_and_spin_again_afterwards() {
        let mut policy = Policy::default();
        assert!(!looks(&mut policy, 0.03, 100));
        // One accident is none.
        assert!(!looks(&mut policy, 0.9, 1));
        assert!(!looks(&mut policy, 0.03, 1));
        assert!(looks(&mut policy, 0.5, 2));
        assert!(looks(&mut policy, 0.3, 100));
        assert!(looks(&mut policy, 0.1, 14));
        assert!(!looks(&mut policy, 0.1, 1));
        // The others were only waiting: this time it takes twice as long.
        assert!(looks(&mut policy, 0.5, 2));
        assert!(looks(&mut policy, 0.1, 29));
        assert!(!looks(&mut policy, 0.1, 1));
        // After a while alone it is as at first.
        assert!(!looks(&mut policy, 0.1, 100));
        assert!(looks(&mut policy, 0.5, 2));
        assert!(!looks(&mut policy, 0.1, 15));
    }

    /// Processes that take all processors, for as long as it lives.
    struct Others(Vec<std::process::Child>);

    impl Others {
        fn start() -> Others {
            let busy = || std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
            Others((0..3 * threads::allowed().len()).map(|_| busy().unwrap()).collect())
        }
    }

    impl Drop for Others {
        fn drop(&mut self) {
            for child in &mut self.0 {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    /// What the calling thread, which computes for half a second, is seen to have waited.
    fn share_seen(counter: Counter) -> f64 {
        let mut sensor = Sensor { counter, ..Sensor::new().unwrap() };
        sensor.waiting_share(PERIOD, 1);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(500) {
            std::hint::spin_loop();
        }
        sensor.waiting_share(started.elapsed(), 1)
    }

    #[test]
    fn threads_that_share_a_processor_are_seen_to_wait() {
        if Sensor::new().is_none() {
            // Some containers hide it; then nothing is watched.
            return;
        }
        let others = Others::start();
        for counter in [Counter::Schedstat, Counter::Stat { start: Instant::now() }] {
            if counter.read(Path::new("/proc/thread-self")).is_some() {
                // Three others a processor leave it a quarter.
                let share = share_seen(counter);
                assert!(share > Policy::THRESHOLD && share < 1.5, "{counter:?}: {share}");
            }
        }
        drop(others);
    }

    #[test]
    fn nothing_is_watched_where_one_thread_computes_or_the_user_decides() {
        assert_eq!(team_size(2, 2, false), Some(2));
        assert_eq!(team_size(64, 128, false), Some(66));
        assert_eq!(team_size(8, 128, false), Some(122));
        assert_eq!(team_size(1, 8, false), None);
        assert_eq!(team_size(2, 2, true), None);
        assert_eq!(team_size(2, 5000, false), None);
    }

    #[test]
    fn it_ends_at_once() {
        let started = Instant::now();
        for _ in 0..20 {
            let watching = Courtesy::watch(2, 2);
            assert_eq!(watching.is_some(), Sensor::new().is_some());
        }
        // Not at the end of its period.
        assert!(started.elapsed() < 10 * PERIOD);
    }
}
