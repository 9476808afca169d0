//! The files of a data set's pictures, numbered through all splits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SHOWN;
use crate::dataset::error::DatasetError;
use crate::dataset::parallel::map_in_parallel;
use crate::dataset::{Index, Sample, Split};

/// Of one picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// Likewise, of its contents or its status: cannot be set by hand.
    pub changed: i64,
}

impl Stat {
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
pub(super) struct Pictures<'a> {
    pub indices: Vec<&'a Index>,
}

impl Pictures<'_> {
    pub(super) fn len(&self) -> usize {
        self.indices.iter().map(|index| index.samples.len()).sum()
    }

    fn place(&self, picture: u32) -> (&Index, usize) {
        let mut place = picture as usize;
        for index in &self.indices {
            if place < index.samples.len() {
                return (index, place);
            }
            place -= index.samples.len();
        }
        unreachable!("numbers are below len()")
    }

    pub(super) fn split(&self, picture: u32) -> Split {
        self.place(picture).0.split
    }

    pub(super) fn sample(&self, picture: u32) -> &Sample {
        let (index, place) = self.place(picture);
        &index.samples[place]
    }

    pub(super) fn path(&self, picture: u32) -> PathBuf {
        let (index, place) = self.place(picture);
        index.root.join(&index.samples[place].path)
    }

    /// With its split where the path does not tell it.
    pub(super) fn name(&self, picture: u32) -> String {
        let (index, place) = self.place(picture);
        let (path, split) = (index.samples[place].path.display(), index.split.name());
        if index.samples[place].path.starts_with(split) {
            path.to_string()
        } else {
            format!("{path} ({split})")
        }
    }

    /// Of each picture; all that are missing are counted.
    pub(super) fn stats(&self, stop: &(impl Fn() -> bool + Sync)) -> Result<Vec<Stat>, DatasetError> {
        let stats = map_in_parallel(self.len(), |picture| {
            if stop() {
                return Err(DatasetError::Interrupted);
            }
            let path = self.path(picture as u32);
            match Stat::of(&path) {
                Ok(stat) => Ok(Some(stat)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(DatasetError::Io { path, source }),
            }
        })?;
        let missing: Vec<u32> =
            (0..).zip(&stats).filter(|(_, stat)| stat.is_none()).map(|(i, _)| i).collect();
        if missing.is_empty() {
            return Ok(stats.into_iter().flatten().collect());
        }
        let name = |i: &u32| self.sample(*i).path.display().to_string();
        Err(DatasetError::MissingPictures {
            root: self.indices.first().map(|index| index.root.clone()).unwrap_or_default(),
            count: missing.len(),
            first: missing.iter().take(SHOWN).map(name).collect(),
        })
    }
}
