//! Where TensorBoard is: the project's `.venv`, the PATH, or a Python that has it as a module.

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to say where there is none.
pub const MISSING: &str = "TensorBoard is not installed: no .venv/bin/tensorboard here or above, none on the PATH, \
    and python3 has no module `tensorboard`; get it with `cargo xtask setup` in the project, \
    or with `python3 -m pip install tensorboard` in an environment of yours";

/// A TensorBoard that can be started.
#[derive(Debug)]
pub enum TensorBoard {
    /// Its script.
    Script(PathBuf),
    /// `<python> -m tensorboard.main`.
    Module(PathBuf),
}

impl TensorBoard {
    /// The first of: `.venv` in this folder or above, `.venv` beside the program or above it, the
    /// PATH, a Python module.
    pub fn find() -> Option<TensorBoard> {
        let here = env::current_dir().ok();
        let program = env::current_exe().ok();
        for start in [here.as_deref(), program.as_deref().and_then(Path::parent)].into_iter().flatten() {
            for folder in start.ancestors() {
                if let Some(found) = in_venv(&folder.join(".venv")) {
                    return Some(found);
                }
            }
        }
        on_path("tensorboard").map(TensorBoard::Script).or_else(|| {
            let python = on_path("python3").or_else(|| on_path("python"))?;
            has_module(&python).then_some(TensorBoard::Module(python))
        })
    }

    /// What starts it, without arguments of ours.
    pub fn command(&self) -> Command {
        match self {
            TensorBoard::Script(script) => Command::new(script),
            TensorBoard::Module(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "tensorboard.main"]);
                command
            }
        }
    }
}

impl fmt::Display for TensorBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorBoard::Script(script) => write!(f, "{}", script.display()),
            TensorBoard::Module(python) => write!(f, "{} -m tensorboard.main", python.display()),
        }
    }
}

fn in_venv(venv: &Path) -> Option<TensorBoard> {
    let script = venv.join("bin/tensorboard");
    if !is_program(&script) {
        return None;
    }
    // The script names its Python by an absolute path, which is wrong once the folder was moved.
    let python = venv.join("bin/python");
    Some(if is_program(&python) { TensorBoard::Module(python) } else { TensorBoard::Script(script) })
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn has_module(python: &Path) -> bool {
    // Looks the module up without running it.
    let code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorboard') is None)";
    Command::new(python)
        .args(["-c", code])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
