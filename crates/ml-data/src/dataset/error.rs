//! What can be wrong with a data folder. Each message is one line: what, where, and what to do.

use std::io;
use std::path::PathBuf;

use super::label_sets::Task;
use super::missing::Missing;
use super::names::RAW_FOLDER;
use super::suffix::suffix_list;
use crate::table::{printable, printable_path};
use crate::text::shell_quoted;

/// Why a data folder or a folder of class folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is nothing at the path.
    #[error("{}: there is no such folder; check the path", printable_path(path))]
    Missing {
        /// What was requested.
        path: PathBuf,
    },
    /// There is a file at the path.
    #[error(
        "{}: is a file, not a folder; give the folder that holds the class folders or the splits",
        printable_path(path)
    )]
    NotAFolder {
        /// What was requested.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: {source}", printable_path(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are class folders, but nothing says which images are for training.
    #[error(
        "{}: is not split into training and validation images; run `ml-split {}`",
        printable_path(path),
        shell_quoted(images)
    )]
    NotSplit {
        /// The data folder.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// The parent is the data folder.
    #[error("{}: is part of a data folder; give {} instead", printable_path(path), printable_path(data_dir))]
    GiveParent {
        /// What was given.
        path: PathBuf,
        /// What should be.
        data_dir: PathBuf,
    },
    /// An ImageFolder tree without training or validation folder.
    #[error("{}: there is no such folder beside `{beside}`; {remedy}", printable_path(path))]
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
        "{}: holds `raw`, which has class folders of its own, and `{other}`; give {} to split that alone, or rename `raw` if it is a class",
        printable_path(path), printable_path(&path.join(RAW_FOLDER))
    )]
    RawBesideOthers {
        /// The folder.
        path: PathBuf,
        /// A folder beside `raw`.
        other: String,
    },
    /// Already an ImageFolder tree, so there is nothing to split.
    #[error(
        "{}: its folders are splits, not classes ({}); {}, or give {} to split that again",
        printable_path(path), found.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", "),
        if found.len() > 1 { "train with `ml-train --data_dir` on it as it is" } else { "rename the folder if it is a class" },
        printable_path(&path.join(&found[0]))
    )]
    AlreadySplit {
        /// The folder.
        path: PathBuf,
        /// Names of the splits in it, at least one.
        found: Vec<String>,
    },
    /// Two folders stand for one split.
    #[error(
        "{}: `{}` and `{}` both stand for the {split} split; rename one of them to `{split}`, or remove it",
        printable_path(path),
        printable(first),
        printable(second)
    )]
    SplitTwice {
        /// The folder.
        path: PathBuf,
        /// The split's name.
        split: &'static str,
        /// A folder's name.
        first: String,
        /// Another's.
        second: String,
    },
    /// Two classes have names that look the same.
    #[error(
        "{}: the classes `{}` and `{}` look the same and are written differently ({}, {}); rename one",
        printable_path(path), printable(first), printable(second), first.escape_unicode(), second.escape_unicode()
    )]
    SameLooks {
        /// The folder or file.
        path: PathBuf,
        /// A class.
        first: String,
        /// Another.
        second: String,
    },
    /// No part of the training images can be set aside for validation.
    #[error(
        "{}: there are no validation images, and none can be taken from the training images: {problem}",
        printable_path(path)
    )]
    HoldOut {
        /// The folder of training images.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The folder holds another, and that is the data folder.
    #[error(
        "{}: is not a data folder; the folder in it is: give {}",
        printable_path(path),
        printable_path(data_dir)
    )]
    GiveChild {
        /// What was given.
        path: PathBuf,
        /// What should be.
        data_dir: PathBuf,
    },
    /// A split was requested of images that have none.
    #[error(
        "{}: there is no {split} split; {}", printable_path(path),
        if found.is_empty() { "its images are not split: leave --split out to take them all".to_owned() }
        else { format!("choose another with --split: {}", found.join(", ")) }
    )]
    NoSuchSplit {
        /// The folder or file.
        path: PathBuf,
        /// What was requested.
        split: &'static str,
        /// What there is.
        found: Vec<&'static str>,
    },
    /// Images of a class that the model was not trained on.
    #[error(
        "{}: the model does not know the class `{}`{hint}; it knows {}. Rename the class to one of these, or leave its images out",
        printable_path(path),
        printable(class),
        known
    )]
    UnknownClass {
        /// The folder or file.
        path: PathBuf,
        /// The class.
        class: String,
        /// Some of the model's classes.
        known: String,
        /// What it looks like, in parentheses, or nothing.
        hint: &'static str,
    },
    /// Images without labels, where labels are needed.
    #[error(
        "{}: the {loose} images right in it have no class, so there is nothing to compare with; predict them with `ml-inference --checkpoint … {}`",
        printable_path(path),
        shell_quoted(path)
    )]
    NoLabels {
        /// The folder.
        path: PathBuf,
        /// Images that lie right in it.
        loose: usize,
    },
    /// No class folders.
    #[error("{}: there are no class folders{}", printable_path(path), if *loose > 0 {
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
    #[error(
        "{}: there are no images; put files ending in {} into it, or remove it",
        printable_path(path),
        suffix_list()
    )]
    NoImages {
        /// The folder or index file.
        path: PathBuf,
    },
    /// A class without (training) images.
    #[error(
        "class `{}` has no images in {}; add some ({}), or remove the class everywhere",
        printable(class),
        printable_path(path),
        suffix_list()
    )]
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
    #[error("{}: the link leads back to a folder that contains it; remove the link", printable_path(path))]
    LinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// An image that is a link to nothing.
    #[error(
        "{}: is a link that leads nowhere; bring back what it led to, or remove it",
        printable_path(path)
    )]
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// A class folder called `splits`.
    #[error(
        "{}: `splits` is reserved for index files and cannot be a class; rename the folder",
        printable_path(path)
    )]
    Reserved {
        /// The folder.
        path: PathBuf,
    },
    /// A file of `splits/` is missing.
    #[error(
        "{}: is missing; run `ml-split --force {}` to write the splits again",
        printable_path(path),
        shell_quoted(images)
    )]
    MissingIndex {
        /// The file.
        path: PathBuf,
        /// The folder of class folders.
        images: PathBuf,
    },
    /// The manifest cannot be understood or contradicts itself.
    #[error("{}: {problem}; correct it, or remove its folder and run ml-split again", printable_path(path))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A line of an index file that cannot be used.
    #[error(
        "{} line {line}: {problem}; correct the line, or run ml-split again with --force",
        printable_path(path)
    )]
    Line {
        /// The index file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// One image in two splits.
    #[error(
        "`{}` is listed in both {} and {}; an image belongs to one split: run ml-split again with --force",
        printable(image),
        printable_path(first),
        printable_path(second)
    )]
    Leak {
        /// The image.
        image: String,
        /// An index file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// An index file that is not the one the manifest describes.
    #[error(
        "{}: {problem}; run ml-split again with --force, or correct manifest.yaml if the change is meant",
        printable_path(path)
    )]
    Changed {
        /// The index file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// Images may have several labels, and the caller uses one.
    #[error(
        "{}: its images have several labels (task: multi_label): set data.task to multi_label, or split them with one label an image \
         (ml-split without --task multi_label)",
        printable_path(path)
    )]
    MultiLabel {
        /// The data folder.
        path: PathBuf,
    },
    /// Its images have one label each, where the caller expects several.
    #[error(
        "{}: data.task is multi_label, but its images have one label each: set data.task to single_label, or split \
         them with ml-split --task multi_label",
        printable_path(path)
    )]
    SingleLabel {
        /// The data folder.
        path: PathBuf,
    },
    /// The images have one label each and the model gives an image several, or the other way round.
    #[error("{}: {}", printable_path(path), other_task(*found))]
    OtherTask {
        /// The data folder.
        path: PathBuf,
        /// That of the images.
        found: Task,
    },
    /// A CSV of labels that cannot be used.
    #[error("{}: {}{}{}; {}", printable_path(path), if *count > 1 { format!("{count} problems: ") } else { String::new() }, first.join("; "), if *count > first.len() { "; …" } else { "" }, hint.as_deref().unwrap_or("correct the file"))]
    Labels {
        /// The CSV.
        path: PathBuf,
        /// How many problems there are.
        count: usize,
        /// The first of them, with their lines.
        first: Vec<String>,
        /// What to do, if not to correct the file.
        hint: Option<String>,
    },
    /// Images of an opened data folder that are not there any more.
    #[error("{0}; bring them back, or split the data set again")]
    MissingImages(Missing),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The folder has folds and none was chosen.
    #[error("{}: is split into folds; choose one with --fold (data.fold), 0 to {}", printable_path(path), folds - 1)]
    FoldNeeded {
        /// The data folder.
        path: PathBuf,
        /// How many.
        folds: u32,
    },
    /// A fold was chosen and there are none.
    #[error(
        "{}: is not split into folds, but fold {fold} was requested; leave out --fold (data.fold), or make folds with `ml-split --folds K`",
        printable_path(path)
    )]
    NoFolds {
        /// The data folder.
        path: PathBuf,
        /// What was requested.
        fold: u32,
    },
    /// There is no such fold.
    #[error("{}: there is no fold {fold}; its folds are 0 to {}", printable_path(path), folds - 1)]
    NoSuchFold {
        /// The data folder.
        path: PathBuf,
        /// What was requested.
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

    /// Whether what was requested is wrong (the path, the fold), rather than what the folder holds:
    /// exit code 2, not 1.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            DatasetError::Missing { .. }
                | DatasetError::NotAFolder { .. }
                | DatasetError::NotSplit { .. }
                | DatasetError::GiveParent { .. }
                | DatasetError::GiveChild { .. }
                | DatasetError::SplitTwice { .. }
                | DatasetError::NoSuchSplit { .. }
                | DatasetError::UnknownClass { .. }
                | DatasetError::NoLabels { .. }
                | DatasetError::MultiLabel { .. }
                | DatasetError::SingleLabel { .. }
                | DatasetError::OtherTask { .. }
                | DatasetError::RawBesideOthers { .. }
                | DatasetError::AlreadySplit { .. }
                | DatasetError::FoldNeeded { .. }
                | DatasetError::NoFolds { .. }
                | DatasetError::NoSuchFold { .. }
        )
    }
}

/// Why images of the other task cannot be used, and what can.
fn other_task(found: Task) -> &'static str {
    match found {
        Task::SingleLabel => {
            "its images have one label each, and the model gives an image several (data.task: multi_label); give images \
             that `ml-split --task multi_label` split, or a CSV"
        }
        Task::MultiLabel => {
            "its images have several labels (task: multi_label), and the model gives an image one; give images with one \
             label each"
        }
    }
}
