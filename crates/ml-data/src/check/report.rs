//! The result of an examination.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::duplicates::Duplicates;
use super::finding::{Finding, Kind, Severity};
use super::listing::Form;
use super::names::shown;

/// Version of the JSON form.
pub(super) const FORMAT_VERSION: u32 = 1;

/// What was found in a data folder.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub format_version: u32,
    /// The program and its version.
    pub created_by: String,
    /// What was examined, as [`shown`] writes it; paths are relative to it.
    pub root: String,
    /// Which kind of data folder it is.
    pub form: Form,
    /// Image files.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Those that can be decoded.
    pub usable: usize,
    /// Size of all image files that could be read.
    pub bytes: u64,
    /// Findings of each severity.
    pub counts: BTreeMap<&'static str, usize>,
    /// Kinds that were found, worst first.
    pub kinds: Vec<KindCount>,
    /// Names of the splits, if there are any; of folds, `fold 0` and so on are the validation
    /// sides.
    pub splits: Vec<String>,
    /// Classes, sorted by name.
    pub classes: Vec<ClassSummary>,
    /// Sizes of usable images; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    /// Groups of duplicates, as paths.
    pub duplicates: ShownGroups,
    /// All findings, worst first, then by path.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) base: PathBuf,
    /// By number; the rows of `classes` are in another order.
    #[serde(skip)]
    pub(super) class_names: Vec<String>,
    #[serde(skip)]
    pub(super) files: Vec<Listed>,
    #[serde(skip)]
    pub(super) groups: Duplicates,
}

/// A listed image, for what is drawn of it.
#[derive(Debug)]
pub(super) struct Listed {
    pub path: PathBuf,
    /// None where images may have several labels.
    pub class: Option<u32>,
    pub split: Option<u32>,
    /// Width and height in pixels, if it is usable.
    pub size: Option<(u32, u32)>,
}

/// How often a kind was found.
#[derive(Clone, Debug, Serialize)]
pub struct KindCount {
    /// The kind.
    pub kind: Kind,
    /// Its severity.
    pub severity: Severity,
    /// Findings of the kind, at least 1.
    pub count: usize,
    /// A path, of the first that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// What the first of them says.
    pub message: String,
}

/// One class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassSummary {
    /// As [`shown`] writes it.
    pub name: String,
    /// Image files.
    #[serde(rename = "pictures")]
    pub images: usize,
    /// Those that can be decoded.
    pub usable: usize,
    /// Image files in each split, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, usize>,
    /// Images of which there is a copy: the same file or the same pixels.
    pub duplicates: usize,
    /// Images that look like another one, without those above.
    pub near_duplicates: usize,
    /// Median width in pixels, 0 without usable images.
    pub median_width: u32,
    /// Median height in pixels, 0 without usable images.
    pub median_height: u32,
}

/// Sizes of usable images.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// Median width in pixels.
    pub median_width: u32,
    /// Median height in pixels.
    pub median_height: u32,
    /// Smallest width and smallest height in pixels.
    pub min: [u32; 2],
    /// Largest width and largest height in pixels.
    pub max: [u32; 2],
}

/// Groups of at least two images that belong together, as paths relative to [`Report::root`],
/// sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateGroups {
    /// Files of the same content.
    pub exact: Vec<Vec<PathBuf>>,
    /// Files of the same pixels, not all of the same content. Contains the exact copies of its
    /// members.
    pub same_pixels: Vec<Vec<PathBuf>>,
    /// Images that look alike, not all of the same pixels. Contains the copies of its members, so
    /// an image is in at most one group.
    pub near: Vec<Vec<PathBuf>>,
}

/// [`DuplicateGroups`] as [`shown`] writes them.
#[derive(Clone, Debug, Serialize)]
pub struct ShownGroups {
    /// Files of the same content.
    pub exact: Vec<Vec<String>>,
    /// Files of the same pixels.
    pub same_pixels: Vec<Vec<String>>,
    /// Images that look alike.
    pub near: Vec<Vec<String>>,
}

impl Report {
    /// Groups of images that must stay in one split. Every image is in at most one group of each
    /// kind.
    pub fn duplicate_groups(&self) -> DuplicateGroups {
        let paths = |groups: &[Vec<u32>]| self.grouped(groups, Path::to_owned);
        DuplicateGroups {
            exact: paths(&self.groups.exact),
            same_pixels: paths(&self.groups.pixels),
            near: paths(&self.groups.near),
        }
    }

    pub(super) fn shown_groups(&self) -> ShownGroups {
        let paths = |groups: &[Vec<u32>]| self.grouped(groups, shown);
        ShownGroups {
            exact: paths(&self.groups.exact),
            same_pixels: paths(&self.groups.pixels),
            near: paths(&self.groups.near),
        }
    }

    fn grouped<T>(&self, groups: &[Vec<u32>], form: fn(&Path) -> T) -> Vec<Vec<T>> {
        let member = |number: &u32| form(&self.files[*number as usize].path);
        groups.iter().map(|group| group.iter().map(member).collect()).collect()
    }

    /// Findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.counts.get(severity.name()).copied().unwrap_or(0)
    }

    /// Image files that cannot be decoded: training stops at the first.
    pub fn unusable(&self) -> usize {
        self.images - self.usable
    }

    /// The report as JSON, ending in a line break.
    ///
    /// # Errors
    /// None that is known: every field has a JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}
