//! The doctor: a folder of images → a [`Report`] of what is wrong with it, before a training finds
//! out.
//!
//! In: a folder of class folders, one that holds `raw/`, an ImageFolder tree, or a data folder with
//! `splits/`. Every image is decoded once, in threads. Out: [`Finding`]s with path and reason,
//! groups of duplicates, numbers by class; as JSON and as one HTML page ([`Report::to_json`],
//! [`to_html`]). Nothing is changed among the images, and nothing that is found there ends
//! the examination.
//!
//! ```text
//! layout + walk → Listing ─► examine (decode, hashes) ─► duplicates ─► judge ─► Report ─► html, output
//! ```
//!
//! Memory: one decoded image a thread, and about 400 bytes an image.

mod classes;
mod duplicates;
mod error;
mod examine;
mod finding;
mod header;
mod html;
mod index;
mod judge;
mod label_sets;
mod layout;
mod listing;
mod look;
mod names;
mod near;
mod output;
mod report;
mod stats;
mod walk;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub use error::CheckError;
pub use finding::{Finding, Kind, Severity};
pub use html::to_html;
pub use listing::Form;
pub use names::shown;
pub use near::MAX_DISTANCE;
pub use output::{HTML_FILE, JSON_FILE, Output};
pub use report::{ClassSummary, DuplicateGroups, KindCount, Report, Sizes};

/// What counts as a problem.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that decode; as many as there are processors if absent.
    pub threads: Option<NonZeroUsize>,
    /// Near duplicates differ in at most so many of the 64 bits of their perceptual hashes, 0 to
    /// [`MAX_DISTANCE`]. Default 6.
    pub near_distance: u32,
    /// A class of fewer readable images is tiny. Default 20.
    pub tiny_class: usize,
    /// The data set is imbalanced if its largest class has at least so many times the images of the
    /// smallest. Default 10.
    pub imbalance: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { threads: None, near_distance: 6, tiny_class: 20, imbalance: 10.0 }
    }
}

/// How far the examination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Images examined.
    pub done: usize,
    /// Images listed.
    pub total: usize,
    /// Images that cannot be used.
    pub unusable: usize,
}

/// A folder whose images are listed and not yet read.
#[derive(Debug)]
pub struct Survey {
    listing: listing::Listing,
}

impl Survey {
    /// Lists the images of `dir`.
    ///
    /// # Errors
    /// `dir` is missing, no folder, or cannot be listed itself. What is wrong below it becomes
    /// findings.
    pub fn open(dir: &Path) -> Result<Survey, CheckError> {
        layout::survey(dir).map(|listing| Survey { listing })
    }

    /// What the paths in the report are relative to: the data folder, which holds the class
    /// folders, `raw/`, `train/` or `splits/`. Reports lie here by default.
    pub fn data_dir(&self) -> &Path {
        &self.listing.data_dir
    }

    /// The folders that hold class folders: one, or one a split.
    pub fn image_dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.listing.images.iter().map(|(folder, _)| self.listing.root.join(folder))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.listing.files.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decodes and compares all images. `progress` is called in this thread after each; `stop` is
    /// asked between images.
    ///
    /// # Errors
    /// [`CheckError::Interrupted`] if `stop` says so.
    pub fn examine(
        self,
        options: &Options,
        progress: &mut dyn FnMut(Progress),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Report, CheckError> {
        let facts = examine::examine_all(&self.listing, options.threads, progress, stop)?;
        let duplicates = duplicates::find(&facts, options.near_distance, stop)?;
        Ok(judge::judge(self.listing, &facts, duplicates, options))
    }
}

/// [`Survey::open`] and [`Survey::examine`] in one.
///
/// # Errors
/// As those two.
pub fn examine(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Report, CheckError> {
    Survey::open(dir)?.examine(options, progress, stop)
}

#[cfg(test)]
mod tests;
