//! The files of a data set's images, numbered through all splits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dataset::error::DatasetError;
use crate::dataset::missing::Missing;
use crate::dataset::{Index, Sample, Split};
use crate::pool;

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
    pub indices: Vec<&'a Arc<Index>>,
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

    /// Class numbers of an image, ascending.
    pub(super) fn labels(&self, image: u32) -> &[u32] {
        let (index, place) = self.place(image);
        index.labels(place)
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

    /// With its split where the path does not say it.
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
        let found = pool::map_small(self.len(), |image| {
            if stop() { Err(DatasetError::Interrupted) } else { Ok(Stat::of(&self.path(image as u32))) }
        })?;
        let mut missing: Option<Missing> = None;
        for (image, error) in (0..).zip(&found).filter_map(|(i, found)| Some((i, found.as_ref().err()?))) {
            let root = || self.indices.first().map(|index| index.root.clone()).unwrap_or_default();
            let missing = missing.get_or_insert_with(|| Missing::below(root()));
            missing.note(self.split(image), &self.sample(image).path, error);
        }
        Ok((found.into_iter().map(|stat| stat.unwrap_or(Stat::MISSING)).collect(), missing))
    }
}
