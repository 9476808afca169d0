//! Time and memory of whole processes, as the user waits for them and the machine holds them.

use std::collections::HashSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// What a process took.
#[derive(Debug)]
pub struct Run {
    /// When it was started, in seconds since 1970.
    pub started: f64,
    /// From start to end, in seconds.
    pub seconds: f64,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// Runs a command to its end.
///
/// # Errors
/// It does not start or fails; the end of what it said is in the error.
pub fn timed(command: &mut Command) -> Result<Run> {
    let started =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs_f64();
    let start = Instant::now();
    let child = spawn(command)?;
    finish(child, command, started, start)
}

/// Runs a command and watches the memory of it and its children: the highest sum in MB. Pages that
/// several processes share count once (the kernel's proportional set size), which favours the one
/// with workers.
///
/// # Errors
/// As for [`timed`]; or this is not Linux.
pub fn watched(command: &mut Command) -> Result<f64> {
    if !fs::exists("/proc/self/smaps_rollup").unwrap_or(false) {
        bail!("memory can be measured only on Linux");
    }
    let start = Instant::now();
    let child = spawn(command)?;
    let (id, over) = (child.id(), AtomicBool::new(false));
    let (peak, run) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(family(id).into_iter().filter_map(proportional_kb).sum());
                std::thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        let run = finish(child, command, 0.0, start);
        over.store(true, Ordering::Relaxed);
        (sampler.join().unwrap_or(0), run)
    });
    run?;
    Ok(peak as f64 / 1024.0)
}

fn spawn(command: &mut Command) -> Result<Child> {
    let name = command.get_program().display().to_string();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().with_context(|| format!("cannot start `{name}`"))
}

fn finish(child: Child, command: &Command, started: f64, start: Instant) -> Result<Run> {
    let name = command.get_program().display();
    let output = child.wait_with_output().with_context(|| format!("cannot wait for `{name}`"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let end: Vec<&str> = said.lines().rev().take(5).collect();
        bail!(
            "`{name}` failed ({}): {}",
            output.status,
            end.into_iter().rev().collect::<Vec<_>>().join(" / ")
        );
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Run { started, seconds, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// A process and its descendants.
fn family(root: u32) -> HashSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, parent(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    let mut members = HashSet::from([root]);
    loop {
        let before = members.len();
        members.extend(
            parents
                .iter()
                .filter(|(_, parent)| members.contains(parent))
                .map(|(id, _)| *id)
                .collect::<Vec<_>>(),
        );
        if members.len() == before {
            return members;
        }
    }
}

/// The second field after the name, which may hold spaces and parentheses.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

fn proportional_kb(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

/// The middle value; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn the_parent_is_found_whatever_the_process_is_called() {
        assert_eq!(parent("12 (a) (b c) S 7 12 12 0"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_of_children_counts() {
        let mut parent = Command::new("sh");
        parent.args(["-c", "sleep 0.3 & sleep 0.3 & wait"]);
        let together = watched(&mut parent).unwrap();
        let alone = watched(Command::new("sleep").arg("0.3")).unwrap();
        assert!(alone > 0.0 && together > alone, "{together} MB for three processes, {alone} MB for one");
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_process_is_an_error_with_its_last_words() {
        let error =
            timed(Command::new("sh").args(["-c", "echo out of luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("out of luck") && error.contains('3'), "{error}");
    }

    #[test]
    fn time_is_that_of_the_whole_process() {
        let run = timed(Command::new("sh").args(["-c", "sleep 0.1; echo done"])).unwrap();
        assert!(run.seconds >= 0.1 && run.started > 1e9, "{run:?}");
        assert_eq!(run.stdout, "done\n");
    }
}
