//! What can be wrong with a data folder. Each message is one line: what, where, and what to do.

use std::io;
use std::path::PathBuf;

use super::RAW_FOLDER;
use super::audit::Missing;
use super::scan::suffix_list;

/// Why a data folder or a folder of class folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is nothing at the path.
    #[error("{}: there is no such folder; check the path", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// There is a file at the path.
    #[error("{}: is a file, not a folder; give the folder that holds the class folders or the splits", path.display())]
    NotAFolder {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are class folders, but nothing says which images are for training.
    #[error("{}: is not divided into training and validation images; run `ml-split {}`", path.display(), shell_quoted(images))]
    NotSplit {
        /// The data folder.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// The parent is the data folder.
    #[error("{}: is part of a data folder; give {} instead", path.display(), data_dir.display())]
    GiveParent {
        /// What was given.
        path: PathBuf,
        /// What should be.
        data_dir: PathBuf,
    },
    /// An ImageFolder tree without training or validation folder.
    #[error("{}: there is no such folder beside `{beside}`; {remedy}", path.display())]
    MissingSplit {
        /// The folder that is missing.
        path: PathBuf,
        /// A split that is there.
        beside: String,
        /// What to do.
        remedy: String,
    },
    /// `raw` holds class folders, and others stand beside it.
    #[error(
        "{}: holds `raw`, which has class folders of its own, and `{other}`; give {} to divide that alone, or rename `raw` if it is a class",
        path.display(), path.join(RAW_FOLDER).display()
    )]
    RawBesideOthers {
        /// The folder.
        path: PathBuf,
        /// A folder beside `raw`.
        other: String,
    },
    /// Already an ImageFolder tree, so there is nothing to divide.
    #[error(
        "{}: already has the splits {}; use it as data_dir as it is, or give the folder of one split to divide that",
        path.display(), found.join(", ")
    )]
    AlreadySplit {
        /// The folder.
        path: PathBuf,
        /// Names of the splits in it.
        found: Vec<String>,
    },
    /// No class folders.
    #[error("{}: there are no class folders{}", path.display(), if *loose > 0 {
        format!(", and the {loose} images right in it have no class; put each class's images into a folder of its name")
    } else {
        "; put each class's images into a folder of its name".to_owned()
    })]
    NoClasses {
        /// The folder.
        path: PathBuf,
        /// Images that lie right in it.
        loose: usize,
    },
    /// No images at all.
    #[error("{}: there are no images; put files ending in {} into it, or remove it", path.display(), suffix_list())]
    NoImages {
        /// The folder or index file.
        path: PathBuf,
    },
    /// A class without (training) images.
    #[error("class `{class}` has no images in {}; add some ({}), or remove the class everywhere", path.display(), suffix_list())]
    EmptyClass {
        /// Its name.
        class: String,
        /// The class folder or index file.
        path: PathBuf,
    },
    /// A name that an index file cannot hold.
    #[error("{path:?}: the name {problem}; rename it")]
    Name {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        problem: &'static str,
    },
    /// A link to a folder above itself.
    #[error("{}: the link leads back to a folder that contains it; remove the link", path.display())]
    LinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// An image that is a link to nothing.
    #[error("{}: is a link that leads nowhere; bring back what it led to, or remove it", path.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// A class folder called `splits`.
    #[error("{}: `splits` is reserved for index files and cannot be a class; rename the folder", path.display())]
    Reserved {
        /// The folder.
        path: PathBuf,
    },
    /// A file of `splits/` is missing.
    #[error("{}: is missing; run `ml-split --force {}` to write the splits again", path.display(), shell_quoted(images))]
    MissingIndex {
        /// The file.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// The manifest cannot be understood or contradicts itself.
    #[error("{}: {problem}; correct it, or remove its folder and run ml-split again", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A line of an index file that cannot be used.
    #[error("{} line {line}: {problem}; correct the line, or run ml-split again with --force", path.display())]
    Line {
        /// The index file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// One image in two splits.
    #[error("`{image}` is listed in both {} and {}; an image belongs to one split: run ml-split again with --force", first.display(), second.display())]
    Leak {
        /// The image.
        image: String,
        /// An index file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// An index file that is not the one the manifest describes.
    #[error("{}: {problem}; run ml-split again with --force, or correct manifest.yaml if the change is meant", path.display())]
    Changed {
        /// The index file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A CSV of labels that cannot be used.
    #[error("{}: {}{}{}; correct the file", path.display(), if *count > 1 { format!("{count} problems: ") } else { String::new() }, first.join("; "), if *count > first.len() { "; …" } else { "" })]
    Labels {
        /// The CSV.
        path: PathBuf,
        /// How many problems there are.
        count: usize,
        /// The first of them, with their lines.
        first: Vec<String>,
    },
    /// Images of an opened data folder that are not there any more.
    #[error("{0}; bring them back, or divide the data set again")]
    MissingImages(Missing),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The folder has folds and none was chosen.
    #[error("{}: is divided into folds; choose one with --fold (data.fold), 0 to {}", path.display(), folds - 1)]
    FoldNeeded {
        /// The data folder.
        path: PathBuf,
        /// How many.
        folds: u32,
    },
    /// A fold was chosen and there are none.
    #[error("{}: is not divided into folds, but fold {fold} was asked for; leave out --fold (data.fold), or make folds with `ml-split --folds K`", path.display())]
    NoFolds {
        /// The data folder.
        path: PathBuf,
        /// What was asked for.
        fold: u32,
    },
    /// There is no such fold.
    #[error("{}: there is no fold {fold}; its folds are 0 to {}", path.display(), folds - 1)]
    NoSuchFold {
        /// The data folder.
        path: PathBuf,
        /// What was asked for.
        fold: u32,
        /// How many there are.
        folds: u32,
    },
}

impl DatasetError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> DatasetError {
        let path = path.into();
        |source| DatasetError::Io { path, source }
    }

    /// Whether what was asked for is wrong (the path, the fold), rather than what the folder holds:
    /// exit code 2, not 1.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            DatasetError::Missing { .. }
                | DatasetError::NotAFolder { .. }
                | DatasetError::NotSplit { .. }
                | DatasetError::GiveParent { .. }
                | DatasetError::RawBesideOthers { .. }
                | DatasetError::AlreadySplit { .. }
                | DatasetError::FoldNeeded { .. }
                | DatasetError::NoFolds { .. }
                | DatasetError::NoSuchFold { .. }
        )
    }
}

/// A path as a shell takes it: in quotes where it needs them.
pub fn shell_quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:=@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
