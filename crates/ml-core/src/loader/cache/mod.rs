//! Decoded images kept between epochs: in memory, or in a file that outlives the run.
//!
//! What is kept is an image after all that does not depend on chance ([`Pipeline::prepare`]), so
//! that batches are the same to the bit with and without a cache. What does not fit into the budget
//! is decoded every time.

mod disk;
mod memory;
mod ram;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ml_data::dataset::Index;
use ml_data::transform::{Pipeline, Prepared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::distributed::SharedMemory;

/// Where decoded images are kept between epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Nowhere: every epoch reads the files.
    #[default]
    None,
    /// In memory.
    Ram,
    /// In a file, for later runs too.
    Disk,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep decoded images in {}: {source}; set data.cache_dir to a writable folder, or data.cache to none or ram", path.display())]
pub struct CacheError {
    /// The file or folder.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: std::io::Error,
}

/// Bytes that all caches of a run may still take.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU64>);

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Budget {
        Budget(Arc::new(AtomicU64::new(bytes)))
    }

    /// Half of the memory that this process may still take: what the machine has available, or
    /// less where a container (a cgroup) has a limit. 1 GB where the system does not say.
    pub fn half_of_memory() -> Budget {
        Budget::new(memory::available(Path::new("/")).map_or(1_000_000_000, |bytes| bytes / 2))
    }

    /// Half of what is free on the disk of `folder`, which is made if need be.
    ///
    /// # Errors
    /// It cannot be made or looked at.
    pub fn half_of_disk(folder: &Path) -> Result<Budget, CacheError> {
        let free = || {
            std::fs::create_dir_all(folder)?;
            Ok(rustix::fs::statvfs(folder).map(|status| status.f_bavail.saturating_mul(status.f_frsize))?)
        };
        let free = free().map_err(|source| CacheError { path: folder.to_owned(), source })?;
        Ok(Budget::new(free / 2))
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or what is left.
    fn take_at_most(&self, bytes: u64) {
        let taken = |left: u64| Some(left.saturating_sub(bytes));
        // Never refused.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes`, if so many are left.
    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The caches of a run. Loaders whose pipelines prepare images alike share one file.
pub struct Caches {
    kind: CacheKind,
    folder: PathBuf,
    /// Without one, nothing is kept.
    budget: Option<Budget>,
    /// By [`Pipeline::preparation`].
    on_disk: HashMap<String, Arc<Cache>>,
    /// What `ram` keeps images in, where other processes have it too.
    shared: Option<Arc<disk::Disk>>,
}

impl Caches {
    /// Of `kind`, in `folder` if they are on disk, all within `budget`.
    pub fn new(kind: CacheKind, folder: PathBuf, budget: Option<Budget>) -> Caches {
        Caches { kind, folder, budget, on_disk: HashMap::new(), shared: None }
    }

    /// The same, where [`CacheKind::Ram`] is memory that the processes of the machine share.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn in_shared_memory(self, memory: SharedMemory) -> Result<Caches, CacheError> {
        let Some(budget) = &self.budget else { return Ok(self) };
        let shared = Some(Arc::new(disk::Disk::in_memory(memory.file, budget)?));
        Ok(Caches { shared, ..self })
    }

    /// The cache for the samples of `index` as `pipeline` prepares them; none if none was chosen.
    ///
    /// # Errors
    /// The folder or the file cannot be made or read.
    pub fn for_preparation(
        &mut self,
        index: &Index,
        pipeline: &Pipeline,
    ) -> Result<Option<Arc<Cache>>, CacheError> {
        let Some(budget) = &self.budget else { return Ok(None) };
        match self.kind {
            CacheKind::None => Ok(None),
            CacheKind::Ram => Ok(Some(Arc::new(match &self.shared {
                None => Cache::ram(index.samples.len(), budget.clone()),
                Some(disk) => {
                    let store = Store::Shared { disk: Arc::clone(disk), salt: pipeline.preparation() };
                    Cache { store, budget: budget.clone() }
                }
            }))),
            CacheKind::Disk => {
                let preparation = pipeline.preparation();
                if let Some(cache) = self.on_disk.get(&preparation) {
                    return Ok(Some(Arc::clone(cache)));
                }
                let cache = Arc::new(Cache::disk(&self.folder, pipeline, budget.clone())?);
                self.on_disk.insert(preparation, Arc::clone(&cache));
                Ok(Some(cache))
            }
        }
    }
}

/// Decoded images: of one index in memory, or of any index in a file, as one pipeline prepares
/// them.
pub struct Cache {
    store: Store,
    budget: Budget,
}

enum Store {
    Ram(ram::Ram),
    Disk(disk::Disk),
    /// Several pipelines' images in one file, told apart by `salt`.
    Shared {
        disk: Arc<disk::Disk>,
        salt: String,
    },
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Another may take its place, of images of another size.
        if let Store::Ram(ram) = &self.store {
            self.budget.give_back(ram.bytes());
        }
    }
}

impl Cache {
    /// In memory, for the samples of an index of `samples` samples.
    pub fn ram(samples: usize, budget: Budget) -> Cache {
        Cache { store: Store::Ram(ram::Ram::new(samples)), budget }
    }

    /// In a file in `folder`, which is made if need be. The file's name is a function of what
    /// `pipeline` does to an image before chance comes in; entries are known by the image's path,
    /// size and time of change.
    ///
    /// # Errors
    /// The folder or the file cannot be made or read.
    pub fn disk(folder: &Path, pipeline: &Pipeline, budget: Budget) -> Result<Cache, CacheError> {
        Ok(Cache { store: Store::Disk(disk::Disk::open(folder, pipeline, &budget)?), budget })
    }

    /// Image `sample` of `index`, if it is kept.
    pub(super) fn get(&self, index: &Index, sample: usize) -> Option<Arc<Prepared>> {
        let path = || index.root.join(&index.samples[sample].path);
        match &self.store {
            Store::Ram(ram) => ram.get(sample),
            Store::Disk(disk) => disk.get(&path(), "", &self.budget).map(Arc::new),
            Store::Shared { disk, salt } => disk.get(&path(), salt, &self.budget).map(Arc::new),
        }
    }

    /// Keeps image `sample` of `index`, if there is room.
    pub(super) fn put(&self, index: &Index, sample: usize, image: &Arc<Prepared>) {
        let path = || index.root.join(&index.samples[sample].path);
        match &self.store {
            Store::Ram(ram) => ram.put(sample, image, &self.budget),
            Store::Disk(disk) => disk.put(&path(), "", image, &self.budget),
            Store::Shared { disk, salt } => disk.put(&path(), salt, image, &self.budget),
        }
    }
}
