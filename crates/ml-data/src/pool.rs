//! Work on numbered things in threads, with the results handed over one by one in the calling
//! thread.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// As many threads as asked for, or as there are processors; no more than there is work.
pub(crate) fn threads(asked: Option<NonZeroUsize>, count: usize) -> usize {
    asked.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from).min(count.max(1))
}

/// `work` for each number below `count`, in any order; `sink` gets each result in this thread. Ends
/// early, with `false`, after `stop` said so.
pub(crate) fn run<T: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> T + Sync,
    stop: &(dyn Fn() -> bool + Sync),
    mut sink: impl FnMut(usize, T),
) -> bool {
    let next = AtomicUsize::new(0);
    let mut done = 0;
    thread::scope(|scope| {
        // Bounded, so that a slow sink holds the workers up instead of filling memory.
        let (sender, receiver) = mpsc::sync_channel(4 * threads);
        for _ in 0..threads {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while !stop() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || sender.send((number, work(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (number, result) in receiver {
            done += 1;
            sink(number, result);
        }
    });
    done == count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_unless_stopped() {
        for threads in [1, 3] {
            let mut seen = vec![0; 100];
            assert!(run(
                100,
                threads,
                |i| i * 2,
                &|| false,
                |i, twice| seen[i] += usize::from(twice == 2 * i)
            ));
            assert_eq!(seen, [1; 100]);
            let count = AtomicUsize::new(0);
            let stop = || count.fetch_add(1, Ordering::Relaxed) >= 10;
            let mut done = 0;
            assert!(!run(100, threads, |i| i, &stop, |_, _| done += 1));
            assert!((1..=10).contains(&done), "{done}");
        }
    }
}
