//! Set-up: what libjpeg-turbo is compiled with, Python packages into `.venv`, and the link
//! `.libtorch` to the libtorch among them or to the user's. It may be interrupted and repeated;
//! once done, repeating it takes milliseconds.

mod compiler;
mod libtorch;
mod native;
mod profile;
mod python;
mod venv;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use libtorch::Linked;
pub use libtorch::VERSION as LIBTORCH_VERSION;
use profile::{Compute, Machine, Profile};
use python::Python;
use venv::{State, Venv};

use crate::shell::{LIBTORCH_LINK, Shell};

/// Options of set-up.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Use this libtorch 2.11.0 instead of installing one [default: the variable LIBTORCH, where it
    /// is set]
    #[arg(long, value_name = "FOLDER")]
    pub libtorch: Option<PathBuf>,
    /// Make .venv with this Python [default: the variable PYTHON, else the first suitable one]
    #[arg(long, value_name = "PROGRAM")]
    pub python: Option<PathBuf>,
    /// Which libraries to fetch
    #[arg(long, value_enum, default_value_t)]
    pub compute: Compute,
}

/// What the set-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run the programs.
    Run,
    /// To test them, too.
    Test,
}

/// Python of the virtual environment.
pub fn venv_python(shell: &Shell) -> PathBuf {
    Venv::new(shell.root()).program("python")
}

/// Sets up what `purpose` needs. Returns the shell whose commands use it.
///
/// # Errors
/// What is missing on this machine, with the remedy; or what failed.
pub fn run(shell: &Shell, purpose: Purpose, options: &Options) -> Result<Shell> {
    let start = Instant::now();
    let guard = lock(shell)?;
    if let Some(problem) = native::problem(shell) {
        bail!("this machine lacks something:\n  - {problem}");
    }
    let venv = Venv::new(shell.root());
    let (external, shell) = external_libtorch(shell, &venv, options)?;
    let wanted = match (purpose, &external) {
        (Purpose::Test, _) => Profile::Test,
        (Purpose::Run, Some(_)) => Profile::Tools,
        (Purpose::Run, None) => {
            let machine = Machine::this(options.python.as_deref());
            if let Some(problem) = machine.driver_problem().filter(|_| options.compute != Compute::Cpu) {
                eprintln!("warning: {problem}");
            }
            Profile::runtime(options.compute, machine)
        }
    };
    let mut changed = match venv.state() {
        State::Foreign => {
            venv.check_foreign(wanted)?;
            eprintln!("Using .venv as it is: it was not made by this set-up.");
            false
        }
        state => install(&shell, &venv, &state, wanted, options, guard)?,
    };
    let target = match external {
        Some(folder) => folder,
        None => venv.site_packages()?.join("torch"),
    };
    libtorch::validate(&shell.path(&target), "set-up")?;
    if let Linked::Changed { rebuild } = libtorch::link(&shell.path(LIBTORCH_LINK), &target)? {
        eprintln!("Linked .libtorch to {}.", target.display());
        changed = true;
        if rebuild {
            forget_bindings(&shell)?;
        }
    }
    if changed {
        eprintln!("Set up in {:.0} s.", start.elapsed().as_secs_f64());
    } else {
        eprintln!("Set up already: libtorch {LIBTORCH_VERSION} at {}.", target.display());
    }
    Ok(shell)
}

/// One set-up at a time. The lock goes with the file's last handle, even if the program is killed.
fn lock(shell: &Shell) -> Result<File> {
    let folder = shell.path("target");
    let path = folder.join("xtask-setup.lock");
    let file = std::fs::create_dir_all(&folder)
        .and_then(|()| File::options().create(true).append(true).open(&path))
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("Another set-up is at work; waiting for it to end."),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

/// The user's own libtorch, by option, by variable, or as an earlier set-up linked it; and the
/// shell to continue with.
fn external_libtorch(shell: &Shell, venv: &Venv, options: &Options) -> Result<(Option<PathBuf>, Shell)> {
    let link = shell.path(LIBTORCH_LINK);
    if let Some(folder) = &options.libtorch {
        let folder = std::path::absolute(folder).context("--libtorch")?;
        libtorch::validate(&folder, "--libtorch")?;
        if shell.libtorch().is_some_and(|variable| variable != folder) {
            eprintln!(
                "Note: LIBTORCH is set to another folder; unset it, or plain cargo commands will use that."
            );
        }
        return Ok((Some(folder), shell.without_libtorch_variable()));
    }
    if let Some(folder) = shell.libtorch() {
        libtorch::validate(&shell.path(folder), "LIBTORCH")?;
        return Ok((Some(folder.to_owned()), shell.clone()));
    }
    let linked = libtorch::linked_elsewhere(&link, venv.folder());
    if let Some(folder) = &linked {
        libtorch::validate(folder, ".libtorch (delete this link to have libtorch installed into .venv)")?;
    }
    Ok((linked, shell.clone()))
}

/// Brings `.venv` to `wanted` or more. Returns whether there was anything to do.
fn install(
    shell: &Shell,
    venv: &Venv,
    state: &State,
    wanted: Profile,
    options: &Options,
    guard: File,
) -> Result<bool> {
    // What is installed stays: a later, smaller wish must not cost the tests their packages.
    let profile = match state {
        State::Complete { profile, .. } => wanted.max(*profile),
        _ => wanted,
    };
    let path = shell.path(format!("requirements/{}.txt", profile.name()));
    let locked = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_there = matches!(state, State::Complete { .. });
    if matches!(state, State::Complete { profile: p, lock } if *p == profile && *lock == locked) {
        return Ok(false);
    }
    let python = requirements_met(shell, venv, is_there, profile, options)?;
    if !is_there {
        if *state == State::Broken {
            eprintln!("An earlier set-up was interrupted; starting over.");
        }
        eprintln!("Making .venv with Python {}.{} …", python.version.0, python.version.1);
        venv.create(shell, &python)?;
    }
    let megabytes = profile.size().download;
    eprintln!("Installing {} (up to {megabytes} MB to fetch) …", profile.describe());
    venv.install(shell, profile, &locked, guard)?;
    Ok(true)
}

/// Checks everything at once, so that nobody fixes one thing after another.
fn requirements_met(
    shell: &Shell,
    venv: &Venv,
    is_there: bool,
    profile: Profile,
    options: &Options,
) -> Result<Python> {
    let variable = std::env::var_os("PYTHON").filter(|value| !value.is_empty()).map(PathBuf::from);
    let inside = is_there.then(|| venv.program("python"));
    // A path is the caller's, whose folder may not be the workspace's root; a bare name is looked
    // up.
    let asked = options.python.clone().or(variable).map(|program| match program.components().count() {
        0 | 1 => Ok(program),
        _ => std::path::absolute(program),
    });
    let named = inside.map(Ok).or(asked).transpose().context("--python")?;
    let python = python::find(named.as_deref(), shell.root());
    let mut problems: Vec<String> = compiler::problem().into_iter().collect();
    match &python {
        Ok(python) => problems.extend(disk_problem(python.free, profile, is_there, shell.root())),
        Err(problem) => problems.insert(0, problem.clone()),
    }
    match python {
        Ok(python) if problems.is_empty() => Ok(python),
        _ => bail!("this machine lacks something:\n  - {}", problems.join("\n  - ")),
    }
}

fn disk_problem(free: u64, profile: Profile, is_there: bool, folder: &Path) -> Option<String> {
    // Part of what an upgrade needs is installed already; how much is not worth knowing exactly.
    let need = if is_there { profile.size().disk / 2 } else { profile.size().disk };
    let free = free / 1_000_000;
    (free < need).then(|| {
        format!(
            "not enough disk space at {}: {} takes up to {:.1} GB while it is installed, and {:.1} GB are free",
            folder.display(),
            profile.describe(),
            need as f64 / 1e3,
            free as f64 / 1e3
        )
    })
}

/// Has the bindings compiled anew: cargo sees only the link's path, which is the same.
fn forget_bindings(shell: &Shell) -> Result<()> {
    let target = shell.target_dir()?;
    for (profile, folder) in [("dev", "debug"), ("release", "release")] {
        let built = std::fs::read_dir(target.join(folder).join("build")).is_ok_and(|entries| {
            entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with("torch-sys-"))
        });
        if built {
            shell.run(
                "cargo",
                &["clean", "--profile", profile, "--package", "torch-sys", "--package", "torch-ext"],
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_is_needed_and_what_there_is() {
        let problem = disk_problem(1_234_000_000, Profile::Test, false, Path::new("/clone")).unwrap();
        assert!(
            problem.contains("/clone") && problem.contains("10.5 GB") && problem.contains("1.2 GB"),
            "{problem}"
        );
        assert_eq!(disk_problem(11_000_000_000, Profile::Test, false, Path::new("/clone")), None);
        assert_eq!(disk_problem(3_000_000_000, Profile::RuntimeCpu, false, Path::new("/clone")), None);
    }
}
