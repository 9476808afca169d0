//! Work on many small things in threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Things that a thread takes at once.
const CHUNK: usize = 128;

/// `work` for each number below `count`, many of them at once; the first error by number, if any.
pub(super) fn map_in_parallel<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let chunk = |chunk: usize| -> Result<Vec<T>, E> {
        (chunk * CHUNK..((chunk + 1) * CHUNK).min(count)).map(&work).collect()
    };
    let mut all = Vec::with_capacity(count);
    in_parallel(count.div_ceil(CHUNK), chunk)?.into_iter().for_each(|chunk| all.extend(chunk));
    Ok(all)
}

/// `work` for each number below `count`, in threads; the first error by number, if any.
pub(super) fn in_parallel<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16).min(count.max(1));
    if threads == 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<T, E>)> = std::thread::scope(|scope| {
        let run = || {
            let mut mine = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    return mine;
                }
                mine.push((i, work(i)));
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_unstable_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}
