//! The main job on real images: split, train, evaluate, predict; each command shown before it runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Options, Purpose};
use crate::shell::Shell;
use crate::text::yaml_number;

/// What the test split must reach, as a fraction.
const WANTED_ACCURACY: f64 = 0.97;
/// The images in the repository, and the copy that is split.
const IMAGES: &str = "tests/data/digits/raw";
const DATA: &str = "data/digits";
const CONFIG: &str = "configs/digits.yaml";

/// # Errors
/// A step fails, or the accuracy is lower than it should be.
pub fn run(shell: &Shell, options: &Options) -> Result<()> {
    let shell = &setup::run(shell, Purpose::Run, options)?;
    eprintln!("\nBuilding the programs (the first time, libtorch's bindings take some minutes) …");
    // As the README has it, so that its steps find them built.
    shell.run("cargo", &["build", "--locked", "--release", "--bins"])?;
    let programs = shell.target_dir()?.join("release");
    let program = |name: &str| programs.join(name);

    copy_images(shell)?;
    let split = shell.path(DATA).join("splits/manifest.yaml");
    if split.exists() {
        eprintln!("\n{DATA} is split already ({DATA}/splits).");
    } else {
        let raw = format!("{DATA}/raw");
        shell.run(program("ml-split"), &[&raw, "--ratio", "0.7", "0.15", "0.15", "--seed", "42"])?;
    }

    let before = runs(shell);
    let start = Instant::now();
    shell.run(program("ml-train"), &["--config", CONFIG])?;
    let seconds = start.elapsed().as_secs_f64();
    let run = runs(shell).difference(&before).last().cloned().context("ml-train made no folder in runs/")?;

    let checkpoint = format!("{run}/best.pt");
    shell.run(program("ml-inference"), &["--checkpoint", &checkpoint])?;
    let images = some_images(shell)?;
    let mut args = vec!["--checkpoint", &checkpoint];
    args.extend(images.iter().map(String::as_str));
    shell.run(program("ml-inference"), &args)?;

    let accuracy = test_accuracy(&shell.path(&run))?;
    eprintln!("\n{}", closing_words(&run, &shell_path(shell, &programs), accuracy, seconds));
    if accuracy < WANTED_ACCURACY {
        bail!(
            "{:.2} % on the test split is below the expected {:.0} %",
            accuracy * 100.0,
            WANTED_ACCURACY * 100.0
        );
    }
    Ok(())
}

/// A path as it is typed in the workspace's root.
fn shell_path(shell: &Shell, path: &Path) -> String {
    path.strip_prefix(shell.root()).unwrap_or(path).display().to_string()
}

/// Copies the images, so that splitting them leaves the repository as it is.
fn copy_images(shell: &Shell) -> Result<()> {
    let (from, to) = (shell.path(IMAGES), shell.path(DATA).join("raw"));
    if to.is_dir() {
        return Ok(());
    }
    eprintln!("\n$ mkdir -p {DATA} && cp -r {IMAGES} {DATA}/");
    let partial = shell.path(DATA).join("raw.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot delete {}", partial.display()))?;
    }
    copy_tree(&from, &partial)?;
    fs::rename(&partial, &to).with_context(|| format!("cannot make {}", to.display()))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

/// The run folders, oldest first, as typed in the workspace's root.
fn runs(shell: &Shell) -> BTreeSet<String> {
    let folders = fs::read_dir(shell.path("runs")).into_iter().flatten().flatten();
    let names = folders.filter(|entry| entry.path().join("config.yaml").exists());
    names.map(|entry| format!("runs/{}", entry.file_name().to_string_lossy())).collect()
}

/// Three images that training has not seen, of different classes.
fn some_images(shell: &Shell) -> Result<Vec<String>> {
    let list = shell.path(DATA).join("splits/test.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        bail!("{} is empty", list.display());
    }
    Ok([1, 4, 8].map(|tenth| format!("{DATA}/{}", lines[tenth * lines.len() / 10])).into())
}

fn test_accuracy(run: &Path) -> Result<f64> {
    let path = run.join("summary.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    yaml_number(&text, "test_accuracy").with_context(|| format!("{} has no test_accuracy", path.display()))
}

fn closing_words(run: &str, programs: &str, accuracy: f64, seconds: f64) -> String {
    format!(
        "Done: {:.2} % of the test split's digits are recognised, after {seconds:.0} s of training.

Where everything lies
  {DATA}/raw, {DATA}/splits   the images, and which of them train, validate and test
  {CONFIG}           what was trained, and how
  {run}/best.pt            the best weights; torch.load opens it in Python too
  {run}/summary.yaml       the outcome; metrics.csv has a row an epoch
  {run}/report/            figures for each class, confusion matrices
  {programs}/           the programs; they start from anywhere

What to try next
  {programs}/ml-visualise {run}
  {programs}/ml-inference --checkpoint {run}/best.pt --format csv {DATA}/raw/7
  {programs}/ml-train --config {CONFIG} --lr 0.01 --batch_size 64
  {programs}/ml-split YOUR_FOLDER_OF_CLASS_FOLDERS, then {programs}/ml-train --data_dir YOUR_FOLDER",
        accuracy * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_words_name_the_run_and_the_accuracy() {
        let words = closing_words("runs/base_2", "target/release", 0.981_48, 31.4);
        assert!(words.contains("98.15 %") && words.contains("31 s"), "{words}");
        assert!(
            words.contains("runs/base_2/best.pt") && words.contains("target/release/ml-visualise"),
            "{words}"
        );
    }

    #[test]
    fn a_tree_is_copied_with_its_folders() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("raw/3")).unwrap();
        fs::write(root.path().join("raw/3/a.png"), "three").unwrap();
        copy_tree(&root.path().join("raw"), &root.path().join("copy/raw")).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("copy/raw/3/a.png")).unwrap(), "three");
    }

    #[test]
    fn a_summary_without_an_accuracy_is_named_in_the_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("summary.yaml"), "status: running\n").unwrap();
        let error = test_accuracy(root.path()).unwrap_err().to_string();
        assert!(error.contains("summary.yaml has no test_accuracy"), "{error}");
    }
}
