//! How many processors' worth of time the control group of this process may use: containers get
//! shares of a machine that the number of its processors does not tell.
//!
//! Both versions of Linux's control groups are read: `cpu.max` of version 2, `cpu.cfs_quota_us` and
//! `cpu.cfs_period_us` of version 1 (kernel documentation, `admin-guide/cgroup-v2` and
//! `scheduler/sched-bwc`).

use std::fs;
use std::path::{Path, PathBuf};

/// The quota in whole processors, rounded up; none without one.
pub(super) fn processors() -> Option<usize> {
    quota(&fs::read_to_string("/proc/self/cgroup").ok()?, &fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// From the contents of `/proc/self/cgroup` and `/proc/self/mountinfo`. The smallest quota counts
/// of the group and those above it.
fn quota(groups: &str, mounts: &str) -> Option<usize> {
    let quotas = groups.lines().filter_map(|line| {
        // `hierarchy:controllers:path`; version 2 has no controllers there.
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_second = controllers.is_empty();
        if !is_second && !controllers.split(',').any(|controller| controller == "cpu") {
            return None;
        }
        let mount = mount(mounts, is_second)?;
        let read = if is_second { second } else { first };
        mount.folders(path).filter_map(|folder| read(&folder)).min_by(f64::total_cmp)
    });
    let smallest = quotas.min_by(f64::total_cmp)?;
    Some((smallest.ceil() as usize).max(1))
}

/// Where a hierarchy of groups is mounted.
struct Mount {
    /// The group that is seen at the mount point.
    root: String,
    point: PathBuf,
}

impl Mount {
    /// The folders of a group and of those above it, as far as they are seen here.
    fn folders(&self, path: &str) -> impl Iterator<Item = PathBuf> + use<> {
        let below = path.strip_prefix(self.root.trim_end_matches('/')).unwrap_or(path);
        // In a container the path may be that of the host, of which only the root is seen.
        let folder = self.point.join(below.trim_start_matches('/'));
        let folder = if folder.is_dir() { folder } else { self.point.clone() };
        let point = self.point.clone();
        let above: Vec<PathBuf> =
            folder.ancestors().take_while(|folder| folder.starts_with(&point)).map(Path::to_owned).collect();
        above.into_iter()
    }
}

/// The mount of version 2, or that of version 1 with the controller `cpu`.
fn mount(mounts: &str, is_second: bool) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        // Ids, device, root, mount point, options; ` - `; type, source, options.
        let (place, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?;
        let options = file_system.nth(1).unwrap_or_default();
        let is_it = if is_second {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|option| option == "cpu")
        };
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        is_it.then(|| Mount { root: root.to_owned(), point: PathBuf::from(point) })
    })
}

/// Version 1 in a group's folder.
fn first(folder: &Path) -> Option<f64> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<f64>().ok();
    ratio(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

/// Version 2 in a group's folder.
fn second(folder: &Path) -> Option<f64> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

/// None for `max`, which is no number, and for -1, which is no limit.
fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_quota_of_a_group_and_those_above_counts() {
        let dir = tempfile::tempdir().unwrap();
        let point = dir.path().display();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let second = format!("36 25 0:30 / {point} rw,nosuid - cgroup2 cgroup2 rw\n");
        assert_eq!(quota("0::/a/b\n", &second), None);
        write("a/b/cpu.max", "max 100000\n");
        assert_eq!(quota("0::/a/b\n", &second), None);
        write("a/cpu.max", "150000 100000\n");
        assert_eq!(quota("0::/a/b\n", &second), Some(2));
        write("a/b/cpu.max", "50000 100000\n");
        assert_eq!(quota("0::/a/b\n", &second), Some(1));
        // What a container sees of the host's groups.
        write("cpu.max", "400000 100000\n");
        assert_eq!(quota("0::/docker/123\n", &second), Some(4));
        let first = format!("40 31 0:33 / {point} rw - cgroup cgroup rw,cpu,cpuacct\n");
        let groups = "9:memory:/x\n3:cpu,cpuacct:/c\n";
        write("c/cpu.cfs_quota_us", "-1\n");
        write("c/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(groups, &first), None);
        write("c/cpu.cfs_quota_us", "250000\n");
        assert_eq!(quota(groups, &first), Some(3));
        let shown_root = format!("40 31 0:33 /c {point}/c rw - cgroup cgroup rw,cpu\n");
        assert_eq!(quota(groups, &shown_root), Some(3));
        assert_eq!(quota(groups, "40 31 0:33 / /x rw - cgroup cgroup rw,memory\n"), None);
    }
}
