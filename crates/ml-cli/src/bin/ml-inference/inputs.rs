//! Arguments → image files, as given and in order: files as they are, folders with all below them
//! sorted, patterns (which the shell may have left to us) expanded. What folders hold beside images
//! is counted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ml_cli::exit::{UsageError, usage};
use ml_core::dataset::{SUFFIXES, is_image};
use ml_data::files::{Entry, EntryKind, LeftOut, list};

/// Images that were found.
#[derive(Debug, Default)]
pub struct Inputs {
    pub images: Vec<PathBuf>,
    /// What lies beside them in folders.
    pub left_out: LeftOut,
}

/// # Errors
/// Something that is not there, a pattern without a match, a folder without images.
pub fn expand(inputs: &[PathBuf]) -> anyhow::Result<Inputs> {
    let mut found = Inputs::default();
    for input in inputs {
        // A name that exists is never a pattern.
        match fs::metadata(input) {
            Ok(status) if status.is_dir() => add_folder(input, &mut found)?,
            Ok(_) => found.images.push(input.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => add_pattern(input, &mut found)?,
            Err(error) => return usage(format!("{}: {error}", input.display())),
        }
    }
    Ok(found)
}

fn add_pattern(pattern: &Path, found: &mut Inputs) -> anyhow::Result<()> {
    let missing = || usage(format!("{}: no such file or folder", pattern.display()));
    let Some(text) = pattern.to_str().filter(|text| text.contains(['*', '?', '['])) else { return missing() };
    let paths = glob::glob(text)
        .map_err(|error| UsageError(anyhow::anyhow!("{text}: not a pattern that can be used: {error}")))?;
    let before = found.images.len();
    for path in paths {
        let path = path.map_err(|error| anyhow::anyhow!("{}: {}", error.path().display(), error.error()))?;
        if path.is_dir() { add_folder(&path, found)? } else { found.images.push(path) }
    }
    if found.images.len() == before { usage(format!("{text}: the pattern matches no file")) } else { Ok(()) }
}

fn add_folder(folder: &Path, found: &mut Inputs) -> anyhow::Result<()> {
    let before = found.images.len();
    walk(folder, found, &mut Vec::new())?;
    found.images[before..].sort();
    if found.images.len() == before {
        let (folder, suffixes) = (folder.display(), SUFFIXES.join(" "));
        let there =
            if found.left_out.is_empty() { String::new() } else { format!("; there are {}", found.left_out) };
        return usage(format!("{folder}: no images in this folder or below ({suffixes}){there}"));
    }
    Ok(())
}

/// `above`: the real paths of the folders on the way, since a link may lead back to one of them.
fn walk(folder: &Path, found: &mut Inputs, above: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let unreadable =
        |error: io::Error| anyhow::anyhow!("{}: cannot list the folder: {error}", folder.display());
    let real = fs::canonicalize(folder).map_err(unreadable)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for Entry { name, kind } in list(folder, &mut found.left_out).map_err(unreadable)? {
        let path = folder.join(&name);
        if kind == EntryKind::Folder || kind == EntryKind::Link && path.is_dir() {
            walk(&path, found, above)?;
        } else if is_image(&name) {
            found.images.push(path);
        } else {
            found.left_out.add_file(&name);
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(dir: &tempfile::TempDir, inputs: &[&str]) -> Result<Vec<String>, String> {
        let inputs: Vec<PathBuf> = inputs.iter().map(|input| dir.path().join(input)).collect();
        let images = expand(&inputs).map_err(|error| error.to_string())?.images;
        let name = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().to_string_lossy().into_owned();
        Ok(images.iter().map(name).collect())
    }

    #[test]
    fn arguments_keep_their_order_and_folders_are_sorted_with_all_below() {
        let dir = tree(&["z.png", "f/b.JPG", "f/a/c.png", "f/note.txt", "f/.hidden.png", "odd.dat"]);
        assert_eq!(
            names(&dir, &["z.png", "f", "odd.dat"]).unwrap(),
            ["z.png", "f/a/c.png", "f/b.JPG", "odd.dat"]
        );
    }

    #[test]
    fn patterns_are_expanded_and_names_that_look_like_patterns_are_names() {
        let dir = tree(&["a1.png", "a2.png", "b[1].png", "b1.png", "sub/x.png"]);
        assert_eq!(names(&dir, &["a*.png"]).unwrap(), ["a1.png", "a2.png"]);
        assert_eq!(names(&dir, &["b[1].png"]).unwrap(), ["b[1].png"]);
        assert_eq!(names(&dir, &["*ub"]).unwrap(), ["sub/x.png"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tree(&["empty/readme.txt"]);
        for (input, reason) in [
            ("none.png", "no such file"),
            ("*.gif", "matches no file"),
            ("empty", "no images"),
            ("a[.png", "not a pattern"),
        ] {
            let error = names(&dir, &[input]).unwrap_err();
            assert!(error.contains(reason) && error.contains(input), "{error}");
        }
    }

    #[test]
    fn a_link_to_the_folder_above_ends_the_walk() {
        let dir = tree(&["f/a.png"]);
        std::os::unix::fs::symlink(dir.path().join("f"), dir.path().join("f/again")).unwrap();
        assert_eq!(names(&dir, &["f"]).unwrap(), ["f/a.png"]);
    }
}
