//! What can be wrong with a data folder or with its division. Each message is one line: what, where, and
//! what to do.

use std::io;
use std::path::PathBuf;

use super::RAW_FOLDER;
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
    /// There are class folders, but nothing says which pictures are for training.
    #[error("{}: is not divided into training and validation pictures; run `ml-split {}`", path.display(), shell_quoted(images))]
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
        format!(", and the {loose} pictures right in it have no class; put each class's pictures into a folder of its name")
    } else {
        "; put each class's pictures into a folder of its name".to_owned()
    })]
    NoClasses {
        /// The folder.
        path: PathBuf,
        /// Pictures that lie right in it.
        loose: usize,
    },
    /// No pictures at all.
    #[error("{}: there are no pictures; put files ending in {} into it, or remove it", path.display(), suffix_list())]
    NoPictures {
        /// The folder or index file.
        path: PathBuf,
    },
    /// A class without (training) pictures.
    #[error("class `{class}` has no pictures in {}; add some ({}), or remove the class everywhere", path.display(), suffix_list())]
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
    /// A picture that is a link to nothing.
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
    /// One picture in two splits.
    #[error("`{picture}` is listed in both {} and {}; a picture belongs to one split: run ml-split again with --force", first.display(), second.display())]
    Leak {
        /// The picture.
        picture: String,
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

    /// Whether what was asked for is wrong (the path, the fold), rather than what the folder holds: exit
    /// code 2, not 1.
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

/// Why a division cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The pictures cannot be listed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The ratios make no sense.
    #[error(
        "--ratio {given}: {problem}; for example 0.7 0.15 0.15, or 70 15 15, or 0.8 0.2 for no test split"
    )]
    Ratio {
        /// As it was given.
        given: String,
        /// What is wrong.
        problem: String,
    },
    /// The share of the test split makes no sense.
    #[error("--test_ratio {0}: must be at least 0 and less than 1")]
    TestRatio(f64),
    /// The number of folds makes no sense.
    #[error("--folds {0}: must be 2 to 1000")]
    Folds(u32),
    /// A class that cannot be trained on in every fold.
    #[error(
        "class `{class}` has {pictures} picture(s), and one outside its validation fold is needed for training; add pictures, or use ratios instead of folds"
    )]
    TooFew {
        /// Its name.
        class: String,
        /// How many it has.
        pictures: usize,
    },
    /// So few pictures that a split would be empty.
    #[error(
        "{total} pictures are too few: the {split} split would be empty; add pictures, or ask for larger shares or fewer folds"
    )]
    EmptySplit {
        /// All pictures.
        total: usize,
        /// The split's name.
        split: String,
    },
    /// Something is there already.
    #[error("{}: exists already and differs; give --force to replace it, or --output for another place", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// Something is there that was not written by [`Plan`](super::Plan), so it is never replaced.
    #[error("{}: holds `{stranger}`, which ml-split did not write; move it away, or give --output for another place", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// A file in it, or the manifest it lacks.
        stranger: String,
    },
    /// There is a file where a folder is to be.
    #[error("{}: is a file, not a folder; move it away, or give --output for another place", path.display())]
    OutputNotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{}: cannot be written: {source}; give --output for another place", path.display())]
    Output {
        /// The file or folder that was to be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The output would become a class.
    #[error("{}: lies among the pictures of {}; choose an output outside of it", path.display(), images.display())]
    OutputInside {
        /// The output.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// Trees are made of one division.
    #[error(
        "folds have no folder layout (their trees would hold every picture many times); leave out --layout folders: the index files need no copies"
    )]
    FoldsAsFolders,
    /// Hard links do not reach other disks.
    #[error("{}: cannot be hard-linked from {}, which is on another file system; use --link symlink or --link copy", to.display(), from.display())]
    OtherDevice {
        /// The picture.
        from: PathBuf,
        /// The link that was to be.
        to: PathBuf,
    },
    /// The file system refuses a link or a copy.
    #[error("{}: cannot be made from {}: {source}; try another --link, or give --output for another place", to.display(), from.display())]
    Picture {
        /// The picture.
        from: PathBuf,
        /// The link or copy that was to be.
        to: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SplitError {
    /// Whether what was asked for is wrong, rather than what the folders hold: exit code 2, not 1.
    pub fn is_usage(&self) -> bool {
        match self {
            SplitError::Dataset(error) => error.is_usage(),
            SplitError::Ratio { .. }
            | SplitError::TestRatio(_)
            | SplitError::Folds(_)
            | SplitError::OutputNotAFolder { .. }
            | SplitError::OutputInside { .. }
            | SplitError::FoldsAsFolders => true,
            _ => false,
        }
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> SplitError {
        let path = path.into();
        |source| SplitError::Dataset(DatasetError::Io { path, source })
    }

    pub(super) fn output(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> SplitError {
        let path = path.into();
        |source| SplitError::Output { path, source }
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
