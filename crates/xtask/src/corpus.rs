//! Decodes the images that packages bring for their own tests, and compares them with Pillow's.
//! What it downloads and unpacks goes into `target/corpus`, with a virtual environment of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::{self, BUILD, Shell};

/// Packages with images: their sources, which hold the tests, or else what is installed.
const SOURCES: [&str; 4] = ["pillow==13.0.0", "imageio", "tifffile", "pypng"];
const WHEELS: [&str; 3] = ["scikit-image", "matplotlib", "imageio"];
/// What the comparison runs with.
const COMPARED_WITH: [&str; 2] = ["pillow==13.0.0", "numpy"];

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of images to compare too; may be repeated
    #[arg(long, value_name = "FOLDER")]
    folder: Vec<PathBuf>,
    /// Download nothing: compare what is there from the last time
    #[arg(long)]
    offline: bool,
    /// Compare by this Python 3
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
}

/// # Errors
/// A program is missing or fails; or an image makes the decoder panic, or comes out otherwise than
/// Pillow has it without a known reason.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let target = shell.target_dir()?;
    let folder = target.join("corpus");
    let python = folder.join("venv/bin/python");
    let downloads = folder.join("downloads");
    std::fs::create_dir_all(&downloads).with_context(|| format!("cannot make {}", downloads.display()))?;
    if !python.exists() {
        let venv = folder.join("venv").display().to_string();
        shell.run(&args.python, &["-m", "venv", &venv])?;
        shell.run(&python, &[["-m", "pip", "install", "-q"].as_slice(), &COMPARED_WITH].concat())?;
    }
    if !args.offline {
        download(shell, &python, &downloads);
    }
    shell.run("cargo", &BUILD)?;
    let mut compare = shell.command(&python);
    compare.arg(shell.path("tests/reference/corpus.py"));
    compare.args([target.join("debug/examples/decode_files"), folder.join("files")]);
    compare.args(contents(&downloads)?).args(registry()).args(&args.folder);
    compare.args(["tests/data", "tests/reference"].map(|folder| shell.path(folder)));
    shell::check(&mut compare, "tests/reference/corpus.py")
}

/// What cannot be had is left out: packages come and go.
fn download(shell: &Shell, python: &Path, to: &Path) {
    let to = to.display().to_string();
    let get = |package: &str, options: &[&str]| {
        let args = ["-m", "pip", "download", "-q", "--no-deps", "-d", &to];
        if let Err(error) = shell.run(python, &[&args, options, &[package]].concat()) {
            eprintln!("Left out: {error:#}");
        }
    };
    for package in SOURCES {
        // Not `:all:`, which would compile what the package is built with.
        let name = package.split("==").next().unwrap_or(package);
        get(package, &["--no-binary", name]);
    }
    WHEELS.iter().for_each(|package| get(package, &["--only-binary", ":all:"]));
}

fn contents(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Cargo's copies of the crates' sources, some with images.
fn registry() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    Some(home.join("registry/src")).filter(|folder| folder.is_dir())
}
