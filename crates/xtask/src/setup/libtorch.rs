//! The link `.libtorch`, by which every cargo command finds libtorch: to the one in `.venv`, or to
//! the user's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The version that tch binds; another one neither compiles nor links.
pub const VERSION: &str = "2.11.0";

/// Checks that a folder is a libtorch of the right version. `source` says who named the folder.
///
/// # Errors
/// What is wrong, and how to fix it.
pub fn validate(folder: &Path, source: &str) -> Result<()> {
    let remedy = "name the folder with `lib/` and `include/` of libtorch, or leave it out and have it \
                  installed into .venv";
    let libraries = ["libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"];
    if !libraries.iter().any(|library| folder.join("lib").join(library).exists()) {
        bail!("{source}: there is no libtorch at {} (no lib/{}): {remedy}", folder.display(), libraries[0]);
    }
    match version(folder) {
        Some(found) if matches(&found) => Ok(()),
        Some(found) => bail!(
            "{source}: {} is libtorch {found}, but {VERSION} is needed: name one of that version, or leave it \
             out and have it installed into .venv",
            folder.display()
        ),
        None => bail!(
            "{source}: {} does not tell its version (neither build-version nor version.py): {remedy}",
            folder.display()
        ),
    }
}

/// The version with its local part, such as `2.11.0+cpu`.
fn version(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("build-version")) {
        return Some(text.trim().to_owned()).filter(|version| !version.is_empty());
    }
    let text = fs::read_to_string(folder.join("version.py")).ok()?;
    let value =
        text.lines().find_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='))?;
    Some(value.trim().trim_matches(['\'', '"']).to_owned())
}

fn matches(version: &str) -> bool {
    version.split('+').next() == Some(VERSION)
}

/// What became of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// It led there already.
    Unchanged,
    /// It leads there now; what was compiled against another one is stale if `rebuild`.
    Changed {
        /// Whether the new libtorch may differ from the old.
        rebuild: bool,
    },
}

/// Whether the link leads to a libtorch of the user's outside `venv`, as an earlier set-up left it.
pub fn linked_elsewhere(link: &Path, venv: &Path) -> Option<PathBuf> {
    let target = link.canonicalize().ok()?;
    let inside = venv.canonicalize().is_ok_and(|venv| target.starts_with(venv));
    (!inside).then_some(target)
}

/// Points the link at `target`, atomically. `target` may be relative to the link's folder.
///
/// # Errors
/// Something that is not a link is in its place, or the disk refuses.
pub fn link(link: &Path, target: &Path) -> Result<Linked> {
    let folder = link.parent().context("the link lies in a folder")?;
    if let (Ok(old), Ok(new)) = (link.canonicalize(), folder.join(target).canonicalize())
        && old == new
    {
        return Ok(Linked::Unchanged);
    }
    let old = match fs::symlink_metadata(link) {
        Ok(data) if !data.is_symlink() => {
            bail!("{} is not a link: move it away, or name it with `--libtorch`", link.display())
        }
        Ok(_) => fs::read_link(link).ok(),
        Err(_) => None,
    };
    let new = folder.join(format!(".libtorch.{}", std::process::id()));
    symlink(target, &new)
        .and_then(|()| fs::rename(&new, link))
        .with_context(|| format!("cannot make the link {} to {}", link.display(), target.display()))?;
    // The locked requirements fix the build of those in a .venv, whatever the Python.
    let locked = |path: &Path| path.starts_with(".venv");
    Ok(Linked::Changed { rebuild: !(locked(target) && old.is_some_and(|old| locked(&old))) })
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libtorch(root: &Path, name: &str, file: &str, text: &str) -> PathBuf {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/libtorch_cpu.so"), "").unwrap();
        fs::write(folder.join(file), text).unwrap();
        folder
    }

    #[test]
    fn versions_are_read_from_the_zip_and_from_the_python_package() {
        let root = tempfile::tempdir().unwrap();
        let zip = libtorch(root.path(), "zip", "build-version", "2.11.0+cpu\n");
        validate(&zip, "--libtorch").unwrap();
        let package =
            libtorch(root.path(), "package", "version.py", "debug = False\n__version__ = '2.11.0+cu130'\n");
        assert_eq!(version(&package).unwrap(), "2.11.0+cu130");
        validate(&package, "LIBTORCH").unwrap();
    }

    #[test]
    fn a_wrong_version_says_what_was_found_and_what_is_needed() {
        let root = tempfile::tempdir().unwrap();
        for wrong in ["2.9.1+cpu", "2.11.0rc1", "2.110.0"] {
            let folder = libtorch(root.path(), wrong, "build-version", wrong);
            let error = validate(&folder, "LIBTORCH").unwrap_err().to_string();
            assert!(error.contains(&format!("is libtorch {wrong}, but 2.11.0 is needed")), "{error}");
        }
    }

    #[test]
    fn a_folder_without_libtorch_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = validate(root.path(), "--libtorch").unwrap_err().to_string();
        assert!(
            error.contains("--libtorch") && error.contains(&root.path().display().to_string()),
            "{error}"
        );
        let folder = libtorch(root.path(), "x", "README", "");
        assert!(
            validate(&folder, "--libtorch").unwrap_err().to_string().contains("does not tell its version")
        );
    }

    #[test]
    fn the_link_is_replaced_and_says_when_to_rebuild() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in [".venv/lib/python3.10/torch", ".venv/lib/python3.11/torch", "opt"] {
            fs::create_dir_all(path(folder)).unwrap();
        }
        let to = |target: &str| link(&path(".libtorch"), Path::new(target)).unwrap();
        assert_eq!(
            to(".venv/lib/python3.10/torch"),
            Linked::Changed { rebuild: true },
            "nothing is known before"
        );
        assert_eq!(to(".venv/lib/python3.10/torch"), Linked::Unchanged);
        assert_eq!(to(".venv/lib/python3.11/torch"), Linked::Changed { rebuild: false }, "the same build");
        assert_eq!(linked_elsewhere(&path(".libtorch"), &path(".venv")), None);
        assert_eq!(to(path("opt").to_str().unwrap()), Linked::Changed { rebuild: true });
        assert_eq!(
            linked_elsewhere(&path(".libtorch"), &path(".venv")),
            Some(path("opt").canonicalize().unwrap())
        );
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 3, "no temporary link is left");
    }

    #[test]
    fn a_folder_in_the_links_place_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(".libtorch")).unwrap();
        let error = link(&root.path().join(".libtorch"), Path::new("elsewhere")).unwrap_err().to_string();
        assert!(error.contains("is not a link"), "{error}");
        assert!(root.path().join(".libtorch").is_dir());
    }
}
