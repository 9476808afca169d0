//! How many threads libtorch computes with on a CPU: no more than this process may use.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::quota;

/// Sets the number of compute threads: `wanted`, or as many as there are processors for this
/// process, by its affinity, the quota of its control group, and physical cores, divided by the
/// number of `processes` that share these. Returns the number and what bounds it. `OMP_NUM_THREADS`
/// wins over everything but `wanted`.
pub(super) fn set(wanted: Option<usize>, processes: usize) -> (usize, &'static str) {
    let allowed = allowed();
    // Those that their launcher has bound to processors of their own share nothing.
    let is_bound = online().is_some_and(|online| allowed.len() < online);
    let (threads, reason) = decide(&Machine {
        wanted,
        processes: if is_bound { 1 } else { processes },
        // Affinity and `OMP_NUM_THREADS`; libtorch heeds both.
        libtorch: current(),
        has_variable: is_set("OMP_NUM_THREADS"),
        quota: quota::processors(),
        cores: physical_cores(Path::new("/sys/devices/system/cpu"), &allowed),
    });
    // Also where it is libtorch's own number: the thread that calls this is then told.
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    (threads, reason)
}

/// Threads that libtorch computes with now, at least 1.
pub fn current() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Whether an environment variable is set, and not empty.
pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// What is known of threads.
struct Machine {
    wanted: Option<usize>,
    processes: usize,
    libtorch: usize,
    has_variable: bool,
    quota: Option<usize>,
    cores: Option<usize>,
}

fn decide(machine: &Machine) -> (usize, &'static str) {
    let &Machine { wanted, processes, libtorch, has_variable, quota, cores } = machine;
    if let Some(wanted) = wanted {
        return (wanted.max(1), "as requested");
    }
    if has_variable {
        return (libtorch, "OMP_NUM_THREADS");
    }
    let bounds = [(quota, "the control group's quota"), (cores, "physical cores")];
    let bounds = bounds.into_iter().filter_map(|(bound, reason)| Some((bound?.max(1), reason)));
    let (all, reason) = bounds.fold((libtorch, "the processors of this process"), |least, bound| {
        if bound.0 < least.0 { bound } else { least }
    });
    if processes > 1 { ((all / processes).max(1), "its share of the processors") } else { (all, reason) }
}

/// How many processors the machine has.
fn online() -> Option<usize> {
    let list = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    Some(numbers(list.trim()).len()).filter(|&count| count > 0)
}

/// The processors that this process may run on, by number.
pub(super) fn allowed() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(Vec::new, |list| numbers(list.trim()))
}

/// `0-3,8` → 0, 1, 2, 3, 8.
fn numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // A kernel has at most 8,192.
        (last < 1 << 16).then_some(first..=last)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// How many cores these processors are of: hyperthreads share one, and two threads of arithmetic on
/// one core are no faster than one. None where the machine does not tell.
fn physical_cores(cpus: &Path, processors: &[usize]) -> Option<usize> {
    let siblings = |number: &usize| {
        let file = format!("cpu{number}/topology/thread_siblings_list");
        fs::read_to_string(cpus.join(file)).ok().map(|text| text.trim().to_owned())
    };
    let cores: Option<BTreeSet<String>> = processors.iter().map(siblings).collect();
    cores.map(|cores| cores.len()).filter(|&cores| cores > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Machine =
        Machine { wanted: None, processes: 1, libtorch: 8, has_variable: false, quota: None, cores: None };

    #[test]
    fn the_smallest_bound_counts_and_the_users_word_before_it() {
        assert_eq!(decide(&PLAIN).0, 8);
        assert_eq!(decide(&Machine { quota: Some(3), ..PLAIN }), (3, "the control group's quota"));
        assert_eq!(decide(&Machine { quota: Some(16), ..PLAIN }).0, 8);
        assert_eq!(decide(&Machine { quota: Some(6), cores: Some(4), ..PLAIN }), (4, "physical cores"));
        let variable = Machine { has_variable: true, quota: Some(1), cores: Some(1), ..PLAIN };
        assert_eq!(decide(&variable), (8, "OMP_NUM_THREADS"));
        assert_eq!(decide(&Machine { wanted: Some(12), ..variable }), (12, "as requested"));
        let shared = Machine { processes: 3, ..PLAIN };
        assert_eq!(decide(&shared), (2, "its share of the processors"));
        assert_eq!(decide(&Machine { processes: 100, ..PLAIN }).0, 1);
        assert_eq!(decide(&Machine { has_variable: true, ..shared }).0, 8);
    }

    #[test]
    fn hyperthreads_of_a_core_are_one() {
        let folder = tempfile::tempdir().unwrap();
        for (number, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")] {
            let topology = folder.path().join(format!("cpu{number}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join("thread_siblings_list"), format!("{siblings}\n")).unwrap();
        }
        assert_eq!(physical_cores(folder.path(), &[0, 1, 2, 3]), Some(2));
        assert_eq!(physical_cores(folder.path(), &[0, 2]), Some(1));
        assert_eq!(physical_cores(folder.path(), &[0, 7]), None);
        assert_eq!(physical_cores(folder.path(), &[]), None);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0-3,8,10-11"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(numbers(""), [] as [usize; 0]);
        assert_eq!(numbers("x,1,2-"), [1]);
        assert!(!allowed().is_empty());
    }
}
