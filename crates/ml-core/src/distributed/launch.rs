//! `--nproc N`: the same program N times on this machine, by PyTorch's `torchrun`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable with which libgomp is told how many threads compute.
const THREADS: &str = "OMP_NUM_THREADS";

/// `torchrun` is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "torchrun was not found: {looked}; install PyTorch (`pip install torch`) and have its torchrun on the PATH"
)]
pub struct NoTorchrun {
    looked: String,
}

/// What starts `program` with `args` as `processes` ranks on this machine: torchrun of the Python that
/// this libtorch is part of, else that on the `PATH`. Each has its share of the processors, where
/// `OMP_NUM_THREADS` says nothing else.
///
/// # Errors
/// There is none.
pub fn torchrun(
    processes: NonZeroUsize,
    program: &Path,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Command, NoTorchrun> {
    let mut command = launcher()?;
    command.args(["--standalone", "--nproc-per-node", &processes.to_string(), "--no-python"]);
    command.arg(program).args(args);
    if std::env::var_os(THREADS).is_none_or(|value| value.is_empty()) {
        let all = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        command.env(THREADS, (all / processes).max(1).to_string());
    }
    Ok(command)
}

fn launcher() -> Result<Command, NoTorchrun> {
    let packages = site_packages();
    let python = packages.as_deref().and_then(python_of);
    // Set-ups for one process have libtorch's files alone.
    let is_whole = packages.as_deref().is_some_and(|packages| packages.join("sympy").is_dir());
    if let Some(python) = python.as_ref().filter(|_| is_whole) {
        let mut command = Command::new(python);
        command.args(["-m", "torch.distributed.run"]);
        return Ok(command);
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("torchrun")).find(|file| file.is_file())
    });
    on_path.map(Command::new).ok_or_else(|| {
        let looked = match (packages, python) {
            (Some(packages), Some(_)) => {
                format!("{} has libtorch, and not all that PyTorch takes", packages.display())
            }
            _ => "this libtorch is not part of a Python".to_owned(),
        };
        NoTorchrun { looked }
    })
}

/// The folder of Python's packages that libtorch was loaded from: `…/site-packages` of
/// `…/site-packages/torch/lib/libtorch_cpu.so`.
fn site_packages() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        path.ends_with("/torch/lib/libtorch_cpu.so").then(|| PathBuf::from(path))
    })?;
    library.ancestors().nth(3).map(Path::to_owned)
}

/// `bin/python3` of `lib/python3.11/site-packages`.
fn python_of(packages: &Path) -> Option<PathBuf> {
    let python = packages.ancestors().nth(3)?.join("bin/python3");
    python.is_file().then_some(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_of_a_folder_of_packages_is_found() {
        let venv = tempfile::tempdir().unwrap();
        let packages = venv.path().join("lib/python3.11/site-packages");
        std::fs::create_dir_all(&packages).unwrap();
        assert_eq!(python_of(&packages), None);
        std::fs::create_dir_all(venv.path().join("bin")).unwrap();
        std::fs::write(venv.path().join("bin/python3"), "").unwrap();
        assert_eq!(python_of(&packages), Some(venv.path().join("bin/python3")));
    }
}
