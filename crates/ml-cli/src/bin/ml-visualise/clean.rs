//! A folder of runs → what is no longer needed there, removed once it was shown.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use ml_cli::console::tell;
use ml_cli::exit::{print, usage};
use ml_core::run::{Run, RunError, RunGroup, RunLock};
use ml_data::table::{Align, printable, table};

use crate::args::CleanArgs;

/// What is removed of a run that has ended with `--checkpoints`.
const STATES: [&str; 3] = ["last.pt", "previous.pt", "rollback.pt"];

/// A file or folder to be removed.
struct Item {
    path: PathBuf,
    why: &'static str,
    bytes: u64,
}

/// Shows what can be removed, asks, and removes it.
///
/// # Errors
/// There is no such folder, nobody can be asked, or something cannot be removed.
pub fn run(args: &CleanArgs) -> anyhow::Result<ExitCode> {
    if !args.folder.is_dir() {
        return usage(format!("{}: no such folder", args.folder.display()));
    }
    let mut items = Vec::new();
    // Held until the end: nobody trains in a run while it is cleaned.
    let mut locks = Vec::new();
    for folder in runs_below(&args.folder)? {
        match RunLock::take(&folder) {
            Ok(lock) => locks.push(lock),
            Err(RunError::Locked { .. }) => {
                tell(format_args!("{}: left alone, since it is being trained", folder.display()));
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        find(&folder, args, &mut items)?;
    }
    if items.is_empty() {
        return print("nothing to remove");
    }
    let rows: Vec<[String; 3]> = items
        .iter()
        .map(|item| [printable(&item.path.to_string_lossy()), megabytes(item.bytes), item.why.to_owned()])
        .collect();
    tell(table(&rows, [Align::Left, Align::Right, Align::Left]).trim_end());
    let total: u64 = items.iter().map(|item| item.bytes).sum();
    if !args.yes && !agreed(&format!("remove these {} ({})?", items.len(), megabytes(total)))? {
        tell("nothing was removed");
        return Ok(ExitCode::SUCCESS);
    }
    for Item { path, .. } in &items {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    print(&format!("removed {}", megabytes(total)))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The folder itself if it is a run; else the folders in it that are, those of groups too, and those
/// that look like runs which were killed before they began.
fn runs_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join("config.yaml").is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if RunGroup::open(&path)?.is_some() {
            found.extend(runs_below(&path)?);
        } else if path.join("config.yaml").is_file() || path.join(".lock").is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn find(folder: &Path, args: &CleanArgs, items: &mut Vec<Item>) -> anyhow::Result<()> {
    let mut add = |path: PathBuf, why| -> io::Result<()> {
        let bytes = freed(&path)?;
        items.push(Item { path, why, bytes });
        Ok(())
    };
    let cannot = || format!("cannot read {}", folder.display());
    let Ok(run) = Run::open(folder) else {
        // Whatever else lies there is not ours to remove.
        let is_ours = |name: &str| name.starts_with('.') || name == "model.torchscript.pt";
        let mut entries = fs::read_dir(folder).with_context(cannot)?;
        let is_empty =
            entries.all(|entry| entry.is_ok_and(|entry| is_ours(&entry.file_name().to_string_lossy())));
        if is_empty {
            add(folder.to_owned(), "a run that never began").with_context(cannot)?;
        }
        return Ok(());
    };
    let is_final = run.read_summary().is_ok_and(|summary| summary.status.is_final());
    let has_rewound = |name: &str| name == "rewound" || name.starts_with("rewound_");
    for part in [folder.to_owned(), folder.join("checkpoints"), run.report_dir(), run.tensorboard_dir()] {
        let entries = match fs::read_dir(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.with_context(cannot)?,
        };
        for entry in entries {
            let entry = entry.with_context(cannot)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_of_run = part == folder;
            let why = if atomic_file::is_leftover(&name) {
                "never finished by a process that was killed"
            } else if is_of_run && args.rewound && has_rewound(&name) {
                "what the run held before --rewind"
            } else if is_of_run && args.checkpoints && is_final && STATES.contains(&name.as_str()) {
                "the run has ended"
            } else {
                continue;
            };
            add(entry.path(), why).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Bytes that removing a file or a folder gives back: none of a file that has another name.
fn freed(path: &Path) -> io::Result<u64> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Ok(if found.nlink() > 1 { 0 } else { found.len() });
    }
    fs::read_dir(path)?.map(|entry| freed(&entry?.path())).sum()
}

/// Whether the user says yes.
fn agreed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return usage("there is no terminal to ask on; --yes removes these without asking");
    }
    let mut err = io::stderr().lock();
    write!(err, "{question} [y/N] ").and_then(|()| err.flush()).context("cannot ask")?;
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer).context("cannot read the answer")? == 0 {
        bail!("no answer; nothing was removed");
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
