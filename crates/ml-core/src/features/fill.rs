//! One forward pass of the prefix over all images.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tch::Tensor;
use torch_ext::CopyStream;

use super::disk::{self, DiskWriter, FileTable, MemoryWriter};
use super::round::{Part, Refusal, exchange};
use super::source::Source;
use super::table::{Table, TableWriter};
use super::{FeatureError, Features, key};
use crate::distributed::SharedMemory;
use crate::loader::DeviceBatch;
use crate::network::ForwardError;

/// Where features are kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// In memory.
    Ram,
    /// In files in a folder, which may hold so many bytes of features of this and of other runs.
    Disk {
        /// Made if need be.
        folder: PathBuf,
        /// Bytes.
        limit: u64,
    },
}

/// What became of it.
pub enum Filled {
    /// All are there.
    Whole(Features),
    /// The caller's `on_batch` asked to stop.
    Stopped,
    /// Features are not the same as without a cache; says why.
    Unsuitable(&'static str),
}

/// Computes, or finds on disk, the features of all images of `source`. With `check`, only if those
/// of an image do not depend, to the bit, on the batch that it is in, as far as the first batch
/// tells. `on_batch` is called after each batch and may stop it: all processes, if one is told to. Also
/// says how long it waited for images.
///
/// # Errors
/// See [`FeatureError`].
pub fn fill(
    source: &Source<'_>,
    store: &Store,
    check: bool,
    mut on_batch: impl FnMut() -> ControlFlow<()>,
) -> Result<(Filled, Duration), FeatureError> {
    let Source { prefix, loader, world, .. } = source;
    let stream = || CopyStream::new(source.compute.device);
    let features = |table| Features { prefix: Rc::new((*prefix).clone()), table, stream: stream() };
    let place = match Place::find(source, store)? {
        ControlFlow::Continue(place) => place,
        ControlFlow::Break(Found::Table(table)) => {
            return Ok((Filled::Whole(features(table)), Duration::ZERO));
        }
        ControlFlow::Break(Found::Nowhere(reason)) => {
            return Ok((Filled::Unsuitable(reason), Duration::ZERO));
        }
    };
    let mut writer = place.writer(source)?;
    let mut batches = loader.epoch(source.view, 0).on_device();
    let mut is_told_to_stop = false;
    for round in 0..loader.num_batches().div_ceil(world.size()) {
        let own = if is_told_to_stop {
            Some(Err(Refusal::Stopped))
        } else if source.has_batch(round) {
            Some(source.part(batches.next().transpose()?, check && round == 0)?)
        } else {
            None
        };
        let parts = match exchange(world, prefix, own)? {
            Ok(parts) => parts,
            Err(Refusal::Stopped) => return Ok((Filled::Stopped, batches.waited())),
            Err(Refusal::Dependent) => {
                let reason = "the last bits of an image's features depend on the batch that it is in";
                return Ok((Filled::Unsuitable(reason), batches.waited()));
            }
            Err(Refusal::Unreadable) => return Ok((Filled::Unsuitable(UNREADABLE), batches.waited())),
        };
        for Part { first, rows } in parts {
            if first != writer.written() {
                return Ok((Filled::Unsuitable(UNREADABLE), batches.waited()));
            }
            writer.add(&rows)?;
            is_told_to_stop |= on_batch().is_break();
        }
    }
    if writer.written() < loader.num_samples() {
        return Ok((Filled::Unsuitable(UNREADABLE), batches.waited()));
    }
    let table = writer.finish(prefix)?;
    // Whoever keeps them for others has written them.
    world.any(false)?;
    Ok((Filled::Whole(features(table.map_or_else(|| place.open(source), Ok)?)), batches.waited()))
}

const UNREADABLE: &str = "there are images that cannot be read (data.on_error: skip)";

/// Where features are kept, for this process and those that share with it.
enum Place {
    /// In this process's memory.
    Own,
    /// In memory of all processes of the machine.
    Shared(SharedMemory),
    /// In a file.
    Disk { folder: PathBuf, limit: u64, key: [u8; 32], is_writer: bool },
}

/// Why nothing is to be computed.
enum Found {
    /// It is there already.
    Table(Table),
    /// There is no place; says why.
    Nowhere(&'static str),
}

impl Place {
    fn find(source: &Source<'_>, store: &Store) -> Result<ControlFlow<Found, Place>, FeatureError> {
        let Source { prefix, loader, world, .. } = source;
        let (folder, limit) = match store {
            Store::Ram if world.is_alone() => return Ok(ControlFlow::Continue(Place::Own)),
            Store::Ram => {
                return Ok(world.shared_memory()?.map_or(
                    ControlFlow::Break(Found::Nowhere("the processes of a machine cannot share memory here")),
                    |memory| ControlFlow::Continue(Place::Shared(memory)),
                ));
            }
            Store::Disk { folder, limit } => (folder, *limit),
        };
        let key = key::of(source)?;
        let found = FileTable::open(folder, &key, prefix, loader.num_samples())?;
        if !world.any(found.is_none())?
            && let Some(table) = found
        {
            return Ok(ControlFlow::Break(Found::Table(Table::File(table))));
        }
        let is_writer = world.is_first_of_machine()?;
        Ok(ControlFlow::Continue(Place::Disk { folder: folder.clone(), limit, key, is_writer }))
    }

    fn writer(&self, source: &Source<'_>) -> Result<TableWriter, FeatureError> {
        let (prefix, images) = (source.prefix, source.loader.num_samples());
        Ok(match self {
            Place::Own => TableWriter::ram(prefix, images)?,
            Place::Shared(memory) if memory.is_first => {
                TableWriter::Memory(MemoryWriter::new(memory.file.try_clone().map_err(disk::not_in_memory)?))
            }
            Place::Disk { folder, limit, key, is_writer: true } => {
                disk::make_room(folder, (prefix.bytes() * images) as u64, *limit)?;
                TableWriter::Disk(DiskWriter::create(folder, *key, prefix)?)
            }
            Place::Shared(_) | Place::Disk { .. } => TableWriter::Elsewhere { written: 0 },
        })
    }

    /// What another process of the machine has written.
    fn open(self, source: &Source<'_>) -> Result<Table, FeatureError> {
        let images = source.loader.num_samples();
        match self {
            Place::Shared(memory) => Ok(Table::File(FileTable::in_memory(memory.file, source.prefix))),
            Place::Disk { folder, key, .. } => {
                let table = FileTable::open(&folder, &key, source.prefix, images)?;
                let source = io::Error::from(io::ErrorKind::NotFound);
                table.map(Table::File).ok_or(FeatureError::File { path: folder, source })
            }
            Place::Own => Err(FeatureError::Tensor("this process has not written them".to_owned())),
        }
    }
}

impl Source<'_> {
    /// Whether one of the round's batches is this process's.
    fn has_batch(&self, round: usize) -> bool {
        let (first, num_batches) = (round * self.world.size(), self.loader.num_batches());
        self.world
            .share_of_steps(1)
            .is_none_or(|share| !share.part(&share.step(first, num_batches), self.world.rank()).is_empty())
    }

    /// The rows of a batch of images that follow each other in the index; none if it should be there and
    /// is not. With `check`, only if they do not depend on the batch.
    fn part(&self, batch: Option<DeviceBatch>, check: bool) -> Result<Result<Part, Refusal>, FeatureError> {
        let Some(DeviceBatch { images, indices, .. }) = batch else { return Ok(Err(Refusal::Unreadable)) };
        let first = indices.first().copied().unwrap_or_default();
        if !indices.iter().copied().eq(first..first + indices.len()) {
            return Ok(Err(Refusal::Unreadable));
        }
        let rows = self.features(&images)?;
        if check && !self.is_independent_of_batch(&images, &rows)? {
            return Ok(Err(Refusal::Dependent));
        }
        Ok(Ok(Part { first, rows }))
    }

    fn features(&self, images: &Tensor) -> Result<Tensor, ForwardError> {
        self.network.features(images, self.prefix, self.compute)
    }

    /// Whether the rows of a batch of `images` are the same, to the bit, in another order, at every
    /// place of the batch, and in a batch of the size of the epoch's last one.
    fn is_independent_of_batch(&self, images: &Tensor, rows: &Tensor) -> Result<bool, FeatureError> {
        let size = images.size()[0];
        let last = self.loader.num_samples() as i64 % size;
        if !self.features(&images.flip([0]))?.equal(&rows.flip([0])) {
            return Ok(false);
        }
        if last > 0 && !self.features(&images.narrow(0, 0, last))?.equal(&rows.narrow(0, 0, last)) {
            return Ok(false);
        }
        // One image at all places.
        let repeated = images.narrow(0, size - 1, 1).expand_as(images).contiguous();
        Ok(self.features(&repeated)?.equal(&rows.narrow(0, size - 1, 1).expand_as(rows)))
    }
}
