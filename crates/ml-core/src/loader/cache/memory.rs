//! Memory that this process may still take, as Linux reports it.

use std::fs;
use std::path::{Path, PathBuf};

/// In bytes: `MemAvailable` of the machine, or what is left below the tightest limit of the cgroups
/// that this process is in. `root` is `/`, but for tests. None where the system does not say.
pub(super) fn available(root: &Path) -> Option<u64> {
    let of_machine = meminfo(&root.join("proc/meminfo"));
    let left = cgroups(root).into_iter().filter_map(|group| group.left());
    of_machine.into_iter().chain(left).min()
}

fn meminfo(path: &Path) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The names of a cgroup's files differ between the two versions.
struct Cgroup {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: page cache that is given up first, so it counts as free.
    reclaimable: &'static str,
}

impl Cgroup {
    /// None if it has no limit.
    fn left(&self) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        // Without a limit, version 2 says `max`, and version 1 a number larger than any memory.
        let limit = number(self.limit)?;
        let stat = read("memory.stat").unwrap_or_default();
        let reclaimable = stat.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            bytes.trim().parse::<u64>().ok().filter(|_| name == self.reclaimable)
        });
        let used = number(self.usage)?.saturating_sub(reclaimable.unwrap_or(0));
        Some(limit.saturating_sub(used))
    }
}

/// Those of this process and all above, whose limits hold for it too. In a container, `/proc` may
/// name the group as the host does while the container's own is mounted as the topmost: folders
/// that are not there are passed over.
fn cgroups(root: &Path) -> Vec<Cgroup> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, [limit, usage, reclaimable]) = if controllers.is_empty() {
            ("sys/fs/cgroup", ["memory.max", "memory.current", "inactive_file"])
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
            ("sys/fs/cgroup/memory", names)
        } else {
            continue;
        };
        for above in Path::new(path.trim_start_matches('/')).ancestors() {
            let folder = root.join(mount).join(above);
            found.push(Cgroup { folder, limit, usage, reclaimable });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let machine = ("proc/meminfo", "MemTotal: 16000 kB\nMemAvailable:    8000 kB\n");
        for (name, text) in files.iter().chain([&machine]) {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn without_limits_it_is_what_the_machine_has() {
        assert_eq!(available(system(&[]).path()), Some(8000 * 1024));
        let unlimited = system(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory.current", "5000\n"),
        ]);
        assert_eq!(available(unlimited.path()), Some(8000 * 1024));
        assert_eq!(available(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_container_has_what_its_limit_leaves_and_its_page_cache_counts_as_free() {
        let version_2 = system(&[
            ("proc/self/cgroup", "0::/jobs/one\n"),
            ("sys/fs/cgroup/jobs/one/memory.max", "max\n"),
            ("sys/fs/cgroup/jobs/one/memory.current", "100\n"),
            ("sys/fs/cgroup/jobs/memory.max", "4000000\n"),
            ("sys/fs/cgroup/jobs/memory.current", "1500000\n"),
            ("sys/fs/cgroup/jobs/memory.stat", "anon 900000\ninactive_file 500000\n"),
        ]);
        assert_eq!(available(version_2.path()), Some(3_000_000));
        // The host's name of the group, of which the container sees only the top.
        let version_1 = system(&[
            ("proc/self/cgroup", "11:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "2500000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 1000000\n"),
        ]);
        assert_eq!(available(version_1.path()), Some(500_000));
    }
}
