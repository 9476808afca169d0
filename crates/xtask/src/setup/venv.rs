//! The virtual environment `.venv` and what is installed in it. A stamp in it tells a finished one
//! from an interrupted one, and one of ours from the user's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::profile::Profile;
use super::python::{self, Python};
use crate::shell::{self, Shell};

/// Its folder, relative to the workspace.
pub const FOLDER: &str = ".venv";
/// The stamp, in that folder: a line with the state, then the lock that was installed, word for
/// word.
const STAMP: &str = "xtask-stamp.txt";

/// What stands in the folder's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// One that we made, but did not finish, or that no longer works: it is made anew.
    Broken,
    /// One that the user made.
    Foreign,
    /// One that we finished.
    Complete {
        /// What is installed.
        profile: Profile,
        /// The lock that was installed.
        lock: String,
    },
}

/// A virtual environment's folder.
#[derive(Debug)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// At `<root>/.venv`, whether it exists or not.
    pub fn new(root: &Path) -> Self {
        Self { folder: root.join(FOLDER) }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program in it.
    pub fn program(&self, name: &str) -> PathBuf {
        if cfg!(windows) {
            self.folder.join("Scripts").join(name).with_extension("exe")
        } else {
            self.folder.join("bin").join(name)
        }
    }

    /// What stands there.
    pub fn state(&self) -> State {
        let empty = fs::read_dir(&self.folder).map_or(true, |mut entries| entries.next().is_none());
        let is_there = fs::symlink_metadata(&self.folder).is_ok();
        let stamp = fs::read_to_string(self.folder.join(STAMP)).ok();
        match stamp.as_deref().map(read_stamp) {
            Some(Some((profile, lock))) if self.program("python").exists() => {
                State::Complete { profile, lock }
            }
            Some(_) => State::Broken,
            None if !is_there || (empty && self.folder.is_dir()) => State::Absent,
            None => State::Foreign,
        }
    }

    /// Where packages lie, relative to the workspace.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn site_packages(&self) -> Result<PathBuf> {
        if cfg!(windows) {
            return Ok(Path::new(FOLDER).join("Lib/site-packages"));
        }
        let versions =
            fs::read_dir(self.folder.join("lib")).with_context(|| self.advice("has no lib folder"))?;
        let found = versions.flatten().map(|entry| entry.file_name()).find(|name| {
            name.to_string_lossy().starts_with("python3")
                && self.folder.join("lib").join(name).join("site-packages").is_dir()
        });
        let version = found.with_context(|| self.advice("has no site-packages folder"))?;
        Ok(Path::new(FOLDER).join("lib").join(version).join("site-packages"))
    }

    fn advice(&self, what: &str) -> String {
        format!("{} {what}: delete it and repeat", self.folder.display())
    }

    /// Makes it anew; only what set-up itself has made is deleted.
    ///
    /// # Errors
    /// Python fails, or the disk refuses.
    pub fn create(&self, shell: &Shell, python: &Python) -> Result<()> {
        if self.state() == State::Broken {
            fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot delete {}", self.folder.display()))?;
        }
        fs::create_dir_all(&self.folder).with_context(|| format!("cannot make {}", self.folder.display()))?;
        self.mark_unfinished()?;
        let mut command = shell.command(&python.program);
        python::isolate(&mut command);
        shell::check(command.args(["-m", "venv", FOLDER]), "python3 -m venv .venv")
    }

    /// Installs a locked list, and notes it when all of it is there.
    ///
    /// # Errors
    /// pip fails (it has said why), or the disk refuses.
    pub fn install(&self, shell: &Shell, profile: Profile, lock: &str, guard: fs::File) -> Result<()> {
        self.mark_unfinished()?;
        // Wheels pass through the temporary folder, which may be a small disk in memory.
        let temporary = self.folder.join("tmp");
        fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
        let requirements = format!("requirements/{}.txt", profile.name());
        let mut command = shell.command(self.program("python"));
        python::isolate(&mut command);
        command.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]);
        command.args(["--only-binary=:all:", "--require-hashes", "--requirement", &requirements]);
        if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            command.args(["--progress-bar", "off"]);
        }
        command.env("TMPDIR", &temporary).env("PIP_USER", "0");
        for variable in ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_NO_BINARY", "PIP_CONSTRAINT"] {
            command.env_remove(variable);
        }
        // pip holds the lock too: if this program is killed, the next set-up waits until pip has
        // ended.
        command.stdin(guard);
        shell::check(&mut command, &format!("pip install --requirement {requirements}")).context(
            "packages could not be installed (the reason stands above; what was fetched is kept where pip caches)",
        )?;
        fs::remove_dir_all(&temporary).with_context(|| format!("cannot delete {}", temporary.display()))?;
        self.write_stamp(&format!("complete {}\n{lock}", profile.name()))
    }

    fn mark_unfinished(&self) -> Result<()> {
        self.write_stamp("unfinished\n")
    }

    fn write_stamp(&self, text: &str) -> Result<()> {
        let (path, new) = (self.folder.join(STAMP), self.folder.join("xtask-stamp.new"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Checks one that the user made: it is used as it is, and nothing is installed into it.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check_foreign(&self, profile: Profile) -> Result<()> {
        let missing = match self.site_packages() {
            Ok(folder) => missing_packages(&self.folder.with_file_name(folder), profile),
            Err(_) => vec!["it is no virtual environment".into()],
        };
        if !missing.is_empty() {
            bail!(
                "{} was not made by `cargo xtask setup` and is left alone, but it lacks {}: move it away \
                 (`mv .venv .venv.old`) and repeat, or install these into it",
                self.folder.display(),
                missing.join(", ")
            );
        }
        Ok(())
    }
}

/// The profile and lock of a finished installation.
fn read_stamp(text: &str) -> Option<(Profile, String)> {
    let (head, lock) = text.split_once('\n')?;
    Some((Profile::named(head.strip_prefix("complete ")?)?, lock.to_owned()))
}

/// What a folder of packages lacks, of those that matter.
fn missing_packages(site_packages: &Path, profile: Profile) -> Vec<String> {
    let mut wanted = vec![("tensorboard", "")];
    if profile > Profile::Tools {
        wanted.push(("torch", super::libtorch::VERSION));
    }
    if profile == Profile::Test {
        wanted.extend([("torchvision", "0.26.0"), ("numpy", ""), ("pillow", ""), ("scikit_learn", "")]);
    }
    let installed: Vec<String> = fs::read_dir(site_packages)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().to_lowercase()).collect()
        })
        .unwrap_or_default();
    let has = |name: &str, version: &str| {
        installed.iter().any(|entry| {
            let found = entry.strip_suffix(".dist-info").and_then(|entry| entry.split_once('-'));
            found.is_some_and(|(n, v)| {
                n == name && (version.is_empty() || v.split('+').next() == Some(version))
            })
        })
    };
    wanted.retain(|(name, version)| !has(name, version));
    wanted.iter().map(|(name, version)| format!("{name} {version}").trim_end().replace('_', "-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_python(root: &Path) -> Venv {
        let venv = Venv::new(root);
        fs::create_dir_all(venv.program("python").parent().unwrap()).unwrap();
        fs::write(venv.program("python"), "").unwrap();
        venv
    }

    #[test]
    fn a_stamp_is_read_back_with_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let venv = with_python(root.path());
        let lock = "torch==2.11.0 \\\n    --hash=sha256:00\n";
        venv.write_stamp(&format!("complete test\n{lock}")).unwrap();
        assert_eq!(venv.state(), State::Complete { profile: Profile::Test, lock: lock.into() });
    }

    #[test]
    fn an_interrupted_one_is_broken_whatever_it_holds() {
        let root = tempfile::tempdir().unwrap();
        let venv = with_python(root.path());
        venv.mark_unfinished().unwrap();
        assert_eq!(venv.state(), State::Broken);
    }

    #[test]
    fn one_whose_python_has_gone_is_broken() {
        let root = tempfile::tempdir().unwrap();
        let venv = with_python(root.path());
        venv.write_stamp("complete tools\n").unwrap();
        fs::remove_file(venv.program("python")).unwrap();
        assert_eq!(venv.state(), State::Broken);
    }

    #[test]
    fn one_without_a_stamp_is_the_users() {
        let root = tempfile::tempdir().unwrap();
        let venv = Venv::new(root.path());
        assert_eq!(venv.state(), State::Absent);
        fs::create_dir(venv.folder()).unwrap();
        assert_eq!(venv.state(), State::Absent, "an empty folder is free to use");
        fs::write(venv.folder().join("notes.txt"), "mine").unwrap();
        assert_eq!(venv.state(), State::Foreign);
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_is_the_users() {
        let root = tempfile::tempdir().unwrap();
        let venv = Venv::new(root.path());
        std::os::unix::fs::symlink("/no/such/folder", venv.folder()).unwrap();
        assert_eq!(venv.state(), State::Foreign);
    }

    #[test]
    fn stamps_of_unknown_content_mean_a_new_installation() {
        for text in ["", "complete", "complete everything\nlock", "unfinished\n"] {
            assert_eq!(read_stamp(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_users_own_is_accepted_only_with_what_is_needed() {
        let root = tempfile::tempdir().unwrap();
        let venv = Venv::new(root.path());
        let packages = venv.folder().join("lib/python3.12/site-packages");
        fs::create_dir_all(&packages).unwrap();
        fs::create_dir(packages.join("tensorboard-2.20.0.dist-info")).unwrap();
        fs::create_dir(packages.join("torch-2.10.0.dist-info")).unwrap();
        venv.check_foreign(Profile::Tools).unwrap();
        let error = venv.check_foreign(Profile::RuntimeCpu).unwrap_err().to_string();
        assert!(error.contains("lacks torch 2.11.0:"), "{error}");
        fs::create_dir(packages.join("torch-2.11.0+cpu.dist-info")).unwrap();
        venv.check_foreign(Profile::RuntimeCuda).unwrap();
        let error = venv.check_foreign(Profile::Test).unwrap_err().to_string();
        assert!(error.contains("torchvision 0.26.0, numpy, pillow, scikit-learn"), "{error}");
    }
}
