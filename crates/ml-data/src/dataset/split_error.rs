//! What can be wrong with splits. Each message is one line: what, where, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::error::DatasetError;
use crate::table::{printable, printable_path};

/// Why splits cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The images cannot be listed.
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
        "class `{}` has {images} image(s), and one outside its validation fold is needed for training; add images, or use ratios instead of folds",
        printable(class)
    )]
    TooFew {
        /// Its name.
        class: String,
        /// How many it has.
        images: usize,
    },
    /// So few images that a split would be empty.
    #[error(
        "{total} images are too few: the {split} split would be empty; add images, or choose larger shares or fewer folds"
    )]
    EmptySplit {
        /// All images.
        total: usize,
        /// The split's name.
        split: String,
    },
    /// A regular expression that is none.
    #[error(
        "--group_by `{pattern}`: is not a regular expression ({problem}); give folder, csv, none, or an expression such as 'patient_(\\d+)'"
    )]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// Groups are to come from a CSV that has none.
    #[error(
        "--group_by csv: {} has no column `group`; give a CSV of labels with one (ml-split labels.csv), or group by folder or an expression",
        printable_path(path)
    )]
    NoGroupColumn {
        /// The CSV, or the folder of class folders.
        path: PathBuf,
    },
    /// Splits are to come from a CSV that has none.
    #[error("{}: has no column `split`; add one, or give shares", printable_path(path))]
    NoSplitColumn {
        /// The CSV, or the folder of class folders.
        path: PathBuf,
    },
    /// Something else than an image is to be kept together with others.
    #[error("`{}`: is no image of this data set; give paths as index files have them", printable(path))]
    NoSuchImage {
        /// As it was given.
        path: String,
    },
    /// A list of images to leave out or to relabel.
    #[error("{}: cannot be used as a list of images: {reason}", path.display())]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A new label that no image has so far.
    #[error("`{}`: there is no class `{}` that it could be given", printable(path), printable(label))]
    NoSuchClass {
        /// The image.
        path: String,
        /// As it was given.
        label: String,
    },
    /// One new label where images may have several.
    #[error("--relabel: gives an image one label, and with --task multi_label it has a set; correct the CSV")]
    RelabelMultiLabel,
    /// A tree of folders has one class an image.
    #[error(
        "--layout folders: a tree of folders has one class an image, and with --task multi_label an image has any \
         number; use --layout index"
    )]
    MultiLabelAsFolders,
    /// All images are to be left out.
    #[error("no image is left to split")]
    NothingLeft,
    /// A group without which something would be empty.
    #[error(
        "{}: {} stays together and has {images} of {of}; split up the group, add images, or choose other shares",
        printable(problem),
        group_in_words(group)
    )]
    GroupTooLarge {
        /// What would be empty.
        problem: String,
        /// Its name, or its first image.
        group: String,
        /// Images in it.
        images: usize,
        /// Out of how many.
        of: String,
    },
    /// Splits given by a CSV that leak.
    #[error("{0}")]
    GivenLeak(Box<GivenLeak>),
    /// Splits given by a CSV that lack one.
    #[error(
        "{}: no line has the split `{split}`; name some, or leave the column out and give shares",
        printable_path(path)
    )]
    NoGivenImages {
        /// The CSV.
        path: PathBuf,
        /// The split.
        split: String,
    },
    /// Something is there already.
    #[error(
        "{}: exists already and differs; give --force to replace it, or --output for another place",
        printable_path(path)
    )]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// Something is there that was not written by [`Plan`](super::Plan), so it is never replaced.
    #[error(
        "{}: holds `{}`, which ml-split did not write; move it away, or give --output for another place",
        printable_path(path),
        printable(stranger)
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// A file in it, or the manifest it lacks.
        stranger: String,
    },
    /// There is a file where a folder is to be.
    #[error(
        "{}: is a file, not a folder; move it away, or give --output for another place",
        printable_path(path)
    )]
    OutputNotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("{}: cannot be written: {source}; give --output for another place", printable_path(path))]
    Output {
        /// The file or folder that was to be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The output would become a class.
    #[error(
        "{}: lies among the images of {}; choose an output outside of it",
        printable_path(path),
        printable_path(images)
    )]
    OutputInside {
        /// The output.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// Trees are made of one set of splits.
    #[error(
        "folds have no folder layout (their trees would hold every image many times); leave out --layout folders: the index files need no copies"
    )]
    FoldsAsFolders,
    /// Hard links do not reach other disks.
    #[error(
        "{}: cannot be hard-linked from {}, which is on another file system; use --link symlink or --link copy",
        printable_path(to),
        printable_path(from)
    )]
    OtherDevice {
        /// The image.
        from: PathBuf,
        /// The link that was to be.
        to: PathBuf,
    },
    /// The file system has no such links.
    #[error(
        "{}: the link cannot be made ({source}), as on file systems without links; use --link copy, or --layout index, \
         which needs none",
        printable_path(to)
    )]
    NoLinks {
        /// The link that was to be.
        to: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file system refuses a link or a copy.
    #[error(
        "{}: cannot be made from {}: {source}; try another --link, or give --output for another place",
        printable_path(to),
        printable_path(from)
    )]
    Image {
        /// The image.
        from: PathBuf,
        /// The link or copy that was to be.
        to: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A CSV names an image or a class that a tree of folders cannot hold.
    #[error(
        "--layout folders: `{}` {problem}, so it would not be found again; rename it, or use --layout index",
        printable(name)
    )]
    UnfitForFolders {
        /// An image or a class.
        name: String,
        /// Why.
        problem: &'static str,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SplitError {
    /// Whether what was requested is wrong, rather than what the folders hold: exit code 2, not 1.
    pub fn is_usage(&self) -> bool {
        match self {
            SplitError::Dataset(error) => error.is_usage(),
            SplitError::Ratio { .. }
            | SplitError::TestRatio(_)
            | SplitError::Folds(_)
            | SplitError::OutputNotAFolder { .. }
            | SplitError::OutputInside { .. }
            | SplitError::Pattern { .. }
            | SplitError::NoGroupColumn { .. }
            | SplitError::NoSuchImage { .. }
            | SplitError::List { .. }
            | SplitError::NoSuchClass { .. }
            | SplitError::NothingLeft
            | SplitError::NoSplitColumn { .. }
            | SplitError::UnfitForFolders { .. }
            | SplitError::RelabelMultiLabel
            | SplitError::MultiLabelAsFolders
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

/// Splits given by a CSV that separate images which belong together.
#[derive(Clone, Debug)]
pub struct GivenLeak {
    /// The CSV.
    pub path: PathBuf,
    /// How many groups are in more than one split.
    pub count: usize,
    /// The group that both images name; otherwise their contents keep them together.
    pub group: Option<String>,
    /// An image of the first of them, and its split.
    pub first: (String, &'static str),
    /// Another.
    pub second: (String, &'static str),
}

impl fmt::Display for GivenLeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GivenLeak { path, count, group, first, second } = self;
        let what =
            group.as_ref().map_or_else(|| "with the same content".to_owned(), |name| group_in_words(name));
        write!(
            f,
            "{}: {count} group(s) of images that belong together are in more than one split, first {what}: `{}` in {} \
             and `{}` in {}; correct the column, leave it out to have groups kept together, or accept this with \
             --on_leak warn",
            printable_path(path),
            printable(&first.0),
            first.1,
            printable(&second.0),
            second.1
        )
    }
}

fn group_in_words(name: &str) -> String {
    format!("the group `{}`", printable(name))
}
