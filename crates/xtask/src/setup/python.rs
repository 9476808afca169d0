//! Finding a Python that can make a virtual environment: asked by running it, so that shims and
//! links count.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest and newest minor versions of Python 3 for which the locked wheels exist.
const MINORS: std::ops::RangeInclusive<u32> = 10..=14;

/// Prints three lines: version, missing modules, free bytes where `argv[1]` lies.
const PROBE: &str = "
import importlib.util as i, shutil, sys
print('%d.%d' % sys.version_info[:2])
print(' '.join(m for m in ('venv', 'ensurepip') if i.find_spec(m) is None))
print(shutil.disk_usage(sys.argv[1]).free)
";

/// A Python that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// How to call it.
    pub program: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
    /// Modules that it lacks, of those that set-up needs.
    pub missing: Vec<String>,
    /// Free bytes on the disk of the workspace.
    pub free: u64,
}

impl Python {
    /// Asks `program`, and for the free space at `folder`; nothing if it does not answer.
    pub fn probe(program: &Path, folder: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        isolate(&mut command);
        let output = command.args(["-c", PROBE]).arg(folder).output().ok()?;
        parse(program, &String::from_utf8_lossy(&output.stdout))
    }

    /// What keeps it from being used, with the remedy.
    pub fn problem(&self) -> Option<String> {
        let (program, (major, minor)) = (self.program.display(), self.version);
        let range = format!("3.{} to 3.{}", MINORS.start(), MINORS.end());
        if major != 3 || !MINORS.contains(&minor) {
            return Some(format!(
                "`{program}` is Python {major}.{minor}, but {range} is needed: install one and name it with `--python PATH`"
            ));
        }
        if !self.missing.is_empty() {
            let modules = self.missing.join(", ");
            return Some(format!(
                "`{program}` (Python {major}.{minor}) lacks {modules}: on Debian and Ubuntu run \
                 `sudo apt install python3-venv` (or python{major}.{minor}-venv)"
            ));
        }
        None
    }
}

fn parse(program: &Path, answer: &str) -> Option<Python> {
    let mut lines = answer.lines();
    let (major, minor) = lines.next()?.split_once('.')?;
    Some(Python {
        program: program.into(),
        version: (major.parse().ok()?, minor.parse().ok()?),
        missing: lines.next()?.split_whitespace().map(str::to_owned).collect(),
        free: lines.next()?.trim().parse().ok()?,
    })
}

/// The Python to use: the requested one, else the first that suits.
///
/// # Errors
/// What is wrong with the requested one, or with `python3`; or that there is none.
pub fn find(wanted: Option<&Path>, folder: &Path) -> Result<Python, String> {
    if let Some(program) = wanted {
        let python = Python::probe(program, folder)
            .ok_or_else(|| format!("`{}` is not a Python: it does not start", program.display()))?;
        return python.problem().map_or(Ok(python), Err);
    }
    let mut first_problem = None;
    for name in names() {
        let Some(python) = Python::probe(Path::new(&name), folder) else { continue };
        match python.problem() {
            None => return Ok(python),
            Some(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    Err(first_problem.unwrap_or_else(|| {
        "no Python 3 found: on Debian and Ubuntu run `sudo apt install python3 python3-venv`, on Fedora \
         `sudo dnf install python3`, on macOS `brew install python`; or name one with `--python PATH`"
            .into()
    }))
}

fn names() -> impl Iterator<Item = String> {
    let versioned = MINORS.rev().map(|minor| format!("python3.{minor}"));
    std::iter::once("python3".to_owned()).chain(versioned).chain(["python".to_owned()])
}

/// Keeps the user's Python variables out of the virtual environment.
pub fn isolate(command: &mut Command) {
    for variable in ["PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"] {
        command.env_remove(variable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(version: (u32, u32), missing: &[&str]) -> Python {
        let missing = missing.iter().map(ToString::to_string).collect();
        Python { program: "python3".into(), version, missing, free: 1 }
    }

    #[test]
    fn the_answer_of_the_probe_is_understood() {
        let parsed = parse(Path::new("python3"), "3.12\nensurepip\n1000\n").unwrap();
        assert_eq!(parsed, Python { free: 1000, ..python((3, 12), &["ensurepip"]) });
        assert_eq!(parse(Path::new("python3"), "3.12\n\n5\n").unwrap().missing, Vec::<String>::new());
        assert_eq!(parse(Path::new("python3"), ""), None);
        assert_eq!(parse(Path::new("python2"), "hello\n\n5"), None);
    }

    #[test]
    fn versions_without_wheels_are_refused_with_the_remedy() {
        for minor in [8, 9, 15] {
            let problem = python((3, minor), &[]).problem().unwrap();
            assert!(problem.contains(&format!("is Python 3.{minor}")), "{problem}");
            assert!(problem.contains("3.10 to 3.14") && problem.contains("--python"), "{problem}");
        }
        assert!(python((2, 12), &[]).problem().is_some());
        for minor in 10..=14 {
            assert_eq!(python((3, minor), &[]).problem(), None);
        }
    }

    #[test]
    fn a_python_without_venv_says_which_package_has_it() {
        let problem = python((3, 11), &["ensurepip"]).problem().unwrap();
        assert!(
            problem.contains("lacks ensurepip") && problem.contains("apt install python3-venv"),
            "{problem}"
        );
    }

    #[test]
    fn a_named_python_that_does_not_start_is_an_error_and_no_other_is_taken() {
        let error = find(Some(Path::new("/no/such/python")), Path::new("/")).unwrap_err();
        assert!(error.contains("/no/such/python"), "{error}");
    }
}
