//! Work on numbered things in threads, with the results handed over one by one in the calling
//! thread ([`run`]), or as a list ([`map`], [`map_small`]).

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// As many threads as requested, or as there are processors; no more than there is work.
pub(crate) fn threads(requested: Option<NonZeroUsize>, count: usize) -> usize {
    requested.or_else(|| thread::available_parallelism().ok()).map_or(1, usize::from).min(count.max(1))
}

/// Threads that wait for a disk: more do not make it faster.
const MOST_MAPPING: usize = 16;
/// Small things that a thread takes at once.
const CHUNK: usize = 128;

/// `work` for each number below `count`, in threads; the first error by number, if any.
pub(crate) fn map<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = threads(None, count).min(MOST_MAPPING);
    if threads == 1 {
        return (0..count).map(work).collect();
    }
    let mut results: Vec<Option<Result<T, E>>> = (0..count).map(|_| None).collect();
    run(count, threads, work, &|| false, |number, result| results[number] = Some(result));
    results.into_iter().flatten().collect()
}

/// As [`map`], for work that takes less time than handing over its result.
pub(crate) fn map_small<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let chunk = |chunk: usize| -> Result<Vec<T>, E> {
        (chunk * CHUNK..((chunk + 1) * CHUNK).min(count)).map(&work).collect()
    };
    let mut all = Vec::with_capacity(count);
    map(count.div_ceil(CHUNK), chunk)?.into_iter().for_each(|chunk| all.extend(chunk));
    Ok(all)
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
    fn lists_are_in_order_and_the_first_error_by_number_is_reported() {
        let even = |i: usize| if i.is_multiple_of(2) { Ok(i) } else { Err(i) };
        for count in [0, 1, 2, 1000] {
            let all: Result<Vec<_>, ()> = map_small(count, Ok);
            assert_eq!(all.unwrap(), (0..count).collect::<Vec<_>>());
            let all: Result<Vec<_>, ()> = map(count, Ok);
            assert_eq!(all.unwrap(), (0..count).collect::<Vec<_>>());
        }
        assert_eq!((map(1000, even), map_small(1000, even)), (Err(1), Err(1)));
    }

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
