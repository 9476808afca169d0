//! Packs what proves the programs on a GPU: they, their configurations, images, and a script that
//! runs every check there. Nothing is built or fetched on that machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::setup::{self, LIBTORCH_VERSION, Options, Purpose};
use crate::shell::Shell;

/// What the pack may weigh.
const MAX_BYTES: u64 = 60_000_000;
/// Programs of the package ml-cli.
const PROGRAMS: [&str; 2] = ["ml-train", "ml-inference"];
/// Examples of the package ml-core.
const EXAMPLES: [&str; 2] = ["gpu_check", "bench_step"];
const SCRIPT: &str = include_str!("run.sh");
/// Digits a class that are trained with; the others are the test split.
const DIGITS_A_CLASS: usize = 140;
/// Images a class that a folder of one's own gives.
const IMAGES_A_CLASS: usize = 300;

/// Where the pack goes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the pack; it must not exist
    #[arg(long, value_name = "FOLDER", required_unless_present = "try_on_cpu")]
    pack: Option<PathBuf>,
    /// A folder of class folders with larger images (CIFAR-10's, say), of which some are packed for
    /// the timing of epochs
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// Pack the programs of the dev profile in target/gpu-check, and run the script here on the CPU
    #[arg(long, conflicts_with = "pack")]
    try_on_cpu: bool,
    #[command(flatten)]
    options: Options,
}

/// # Errors
/// Set-up or the build fails, a file cannot be copied, or the pack is too large.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let tried = shell.path("target/gpu-check");
    let pack = args.pack.as_ref().unwrap_or(&tried);
    if args.pack.is_none() && pack.exists() {
        fs::remove_dir_all(pack).with_context(|| format!("cannot remove {}", pack.display()))?;
    }
    if pack.exists() {
        bail!("--pack: {} exists already", pack.display());
    }
    let purpose = if args.try_on_cpu { Purpose::Test } else { Purpose::Run };
    let shell = setup::run(shell, purpose, &args.options)?;
    // All of the workspace, so that its crates are built with the features that the tests are.
    let profile: &[&str] = if args.try_on_cpu { &[] } else { &["--release"] };
    let build = ["build", "--locked", "--workspace", "--bins", "--examples"];
    shell.run("cargo", &[&build, profile].concat())?;
    let release = shell.target_dir()?.join(if args.try_on_cpu { "debug" } else { "release" });
    let programs = pack.join("bin");
    for name in PROGRAMS {
        copy(&release.join(name), &programs.join(name))?;
    }
    for name in EXAMPLES {
        copy(&release.join("examples").join(name), &programs.join(name))?;
    }
    for name in ["benches/python/step.py", "tests/reference/compare_runs.py"] {
        let path = shell.path(name);
        copy(&path, &pack.join("python").join(path.file_name().context("a file has a name")?))?;
    }
    let digits = shell.path("tests/data/digits/raw");
    images(&digits, &pack.join("digits/train"), 0, DIGITS_A_CLASS)?;
    images(&digits, &pack.join("digits/test"), DIGITS_A_CLASS, usize::MAX)?;
    if let Some(folder) = &args.images {
        images(folder, &pack.join("images/train"), 0, IMAGES_A_CLASS)?;
    }
    let script = pack.join("run.sh");
    fs::write(&script, SCRIPT.replace("@VERSION@", LIBTORCH_VERSION))
        .with_context(|| format!("cannot write {}", script.display()))?;
    make_executable(&script)?;
    if args.try_on_cpu {
        let python = setup::venv_python(&shell);
        return shell.run(&script, &["--device", "cpu", "--python", &python.to_string_lossy()]);
    }
    let bytes = size(pack)?;
    if bytes > MAX_BYTES {
        bail!("{} has {bytes} bytes, more than {MAX_BYTES}", pack.display());
    }
    println!(
        "{}: {:.0} MB. On a machine with a GPU and libtorch {LIBTORCH_VERSION} for CUDA: {}/run.sh",
        pack.display(),
        bytes as f64 / 1e6,
        pack.display()
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

/// What a folder holds, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = read.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Of each class folder in `from`, `count` files after the first `skipped`.
fn images(from: &Path, to: &Path, skipped: usize, count: usize) -> Result<()> {
    for class in entries(from)?.into_iter().filter(|path| path.is_dir()) {
        let own = to.join(class.file_name().context("a folder has a name")?);
        for file in entries(&class)?.into_iter().filter(|path| path.is_file()).skip(skipped).take(count) {
            copy(&file, &own.join(file.file_name().context("a file has a name")?))?;
        }
    }
    Ok(())
}

/// Bytes of all files.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in entries(folder)? {
        bytes += if path.is_dir() { size(&path)? } else { path.metadata()?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_of_each_class_are_packed() {
        let place = std::env::temp_dir().join(format!("xtask-gpu-{}", std::process::id()));
        for file in ["from/a/1.png", "from/a/2.png", "from/a/3.png", "from/b/1.png"] {
            let path = place.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "xy").unwrap();
        }
        fs::write(place.join("from/list.txt"), "no class").unwrap();
        images(&place.join("from"), &place.join("to"), 0, 2).unwrap();
        let files = |class: &str| entries(&place.join("to").join(class)).unwrap().len();
        assert_eq!((files("a"), files("b")), (2, 1));
        assert_eq!(size(&place.join("to")).unwrap(), 6);
        images(&place.join("from"), &place.join("rest"), 2, 9).unwrap();
        assert!(place.join("rest/a/3.png").exists() && !place.join("rest/a/2.png").exists());
        fs::remove_dir_all(&place).unwrap();
    }
}
