//! A run folder or a folder of runs → the folder whose events TensorBoard shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ml_cli::exit::usage;

/// Folders of runs may be grouped; nothing lies deeper than that.
const MAX_DEPTH: usize = 6;

/// A run's `tensorboard/` if `folder` is a run, else `folder` itself.
///
/// # Errors
/// There is no such folder, or no events are in it.
pub fn find(folder: &Path) -> anyhow::Result<PathBuf> {
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return usage(format!(
                "{}: not a folder; name a run folder or a folder of runs",
                folder.display()
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return usage(format!(
                "{}: no such folder; name a run folder or a folder of runs, or train one with ml-train",
                folder.display()
            ));
        }
        Err(error) => return usage(format!("{}: {error}", folder.display())),
    }
    let of_run = folder.join("tensorboard");
    let shown = if of_run.is_dir() { of_run } else { folder.to_owned() };
    if !has_events(&shown, MAX_DEPTH) {
        return usage(format!(
            "{}: no TensorBoard events in this folder or below; ml-train writes them from the first epoch on",
            shown.display()
        ));
    }
    Ok(shown)
}

fn has_events(folder: &Path, depth: usize) -> bool {
    // A folder that cannot be listed shows no events, here and in TensorBoard.
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains("tfevents") {
            return true;
        }
        if entry.path().is_dir() {
            below.push(entry.path());
        }
    }
    depth > 0 && below.iter().any(|folder| has_events(folder, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_shows_its_own_events_and_a_folder_of_runs_all() {
        let dir = tempfile::tempdir().unwrap();
        let board = dir.path().join("runs/base/tensorboard");
        fs::create_dir_all(&board).unwrap();
        let error = find(&dir.path().join("runs")).unwrap_err().to_string();
        assert!(error.contains("no TensorBoard events"), "{error}");
        fs::write(board.join("events.out.tfevents.1.host"), "").unwrap();
        assert_eq!(find(&dir.path().join("runs")).unwrap(), dir.path().join("runs"));
        assert_eq!(find(&dir.path().join("runs/base")).unwrap(), board);
        assert_eq!(find(&board).unwrap(), board);
        assert!(find(&dir.path().join("none")).unwrap_err().to_string().contains("no such folder"));
    }
}
