//! The files of a data set's images, numbered through all splits.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SHOWN;
use crate::dataset::error::DatasetError;
use crate::dataset::parallel::map_in_parallel;
use crate::dataset::{Index, Sample, Split};

/// Of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// Likewise, of its contents or its status: cannot be set by hand.
    pub changed: i64,
}

impl Stat {
    /// Of an image that is not there.
    pub(super) const MISSING: Stat = Stat { bytes: 0, modified: i64::MIN, changed: i64::MIN };

    pub(super) fn of(path: &Path) -> std::io::Result<Stat> {
        let status = fs::metadata(path)?;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Ok(Stat {
            bytes: status.len(),
            modified: nanoseconds(status.mtime(), status.mtime_nsec()),
            changed: nanoseconds(status.ctime(), status.ctime_nsec()),
        })
    }
}

/// The samples of all splits, numbered through.
pub(super) struct Images<'a> {
    pub indices: Vec<&'a Index>,
}

impl Images<'_> {
    pub(super) fn len(&self) -> usize {
        self.indices.iter().map(|index| index.samples.len()).sum()
    }

    fn place(&self, image: u32) -> (&Index, usize) {
        let mut place = image as usize;
        for index in &self.indices {
            if place < index.samples.len() {
                return (index, place);
            }
            place -= index.samples.len();
        }
        unreachable!("numbers are below len()")
    }

    pub(super) fn split(&self, image: u32) -> Split {
        self.place(image).0.split
    }

    pub(super) fn sample(&self, image: u32) -> &Sample {
        let (index, place) = self.place(image);
        &index.samples[place]
    }

    pub(super) fn path(&self, image: u32) -> PathBuf {
        let (index, place) = self.place(image);
        index.root.join(&index.samples[place].path)
    }

    /// With its split where the path does not tell it.
    pub(super) fn name(&self, image: u32) -> String {
        let (index, place) = self.place(image);
        let (path, split) = (index.samples[place].path.display(), index.split.name());
        if index.samples[place].path.starts_with(split) {
            path.to_string()
        } else {
            format!("{path} ({split})")
        }
    }

    /// Of each image; one that cannot be looked at gets [`Stat::MISSING`] and counts as missing.
    ///
    /// # Errors
    /// `stop` said so.
    pub(super) fn stats(
        &self,
        stop: &(impl Fn() -> bool + Sync),
    ) -> Result<(Vec<Stat>, Option<Missing>), DatasetError> {
        let found = map_in_parallel(self.len(), |image| {
            if stop() { Err(DatasetError::Interrupted) } else { Ok(Stat::of(&self.path(image as u32))) }
        })?;
        let mut missing: Option<Missing> = None;
        for (image, error) in (0..).zip(&found).filter_map(|(i, found)| Some((i, found.as_ref().err()?))) {
            missing.get_or_insert_with(|| Missing::below(self)).note(self, image, error);
        }
        Ok((found.into_iter().map(|stat| stat.unwrap_or(Stat::MISSING)).collect(), missing))
    }
}

/// Images that a split lists and that cannot be found. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What paths are relative to.
    pub root: PathBuf,
    /// By split, in the order of [`Split::ALL`]; splits that lack none are left out.
    pub counts: Vec<(Split, usize)>,
    /// The first of them, with the system's words where the file is not just gone.
    pub first: Vec<String>,
}

impl Missing {
    fn below(images: &Images<'_>) -> Missing {
        let root = images.indices.first().map(|index| index.root.clone()).unwrap_or_default();
        Missing { root, counts: Vec::new(), first: Vec::new() }
    }

    fn note(&mut self, images: &Images<'_>, image: u32, error: &std::io::Error) {
        let split = images.split(image);
        match self.counts.last_mut() {
            Some((last, count)) if *last == split => *count += 1,
            _ => self.counts.push((split, 1)),
        }
        if self.first.len() < SHOWN {
            let path = images.sample(image).path.display();
            self.first.push(match error.kind() {
                std::io::ErrorKind::NotFound => path.to_string(),
                _ => format!("{path}: {error}"),
            });
        }
    }

    /// In all splits.
    pub fn count(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, root, first) = (self.count(), self.root.display(), self.first.join(", "));
        let more = if count > self.first.len() { ", …" } else { "" };
        write!(f, "{count} image(s) of the data set cannot be found in {root}: {first}{more}")
    }
}
