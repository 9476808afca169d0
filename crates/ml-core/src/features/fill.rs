//! One forward pass of the prefix over all images.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tch::Tensor;
use torch_ext::CopyStream;

use super::disk::{self, DiskTable, DiskWriter};
use super::source::Source;
use super::table::{Table, TableWriter};
use super::{FeatureError, Features, key};
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
/// tells. `on_batch` is called after each batch and may stop it. Also says how long it waited for
/// images.
///
/// # Errors
/// See [`FeatureError`].
pub fn fill(
    source: &Source<'_>,
    store: &Store,
    check: bool,
    mut on_batch: impl FnMut() -> ControlFlow<()>,
) -> Result<(Filled, Duration), FeatureError> {
    let Source { prefix, loader, .. } = source;
    let images = loader.num_samples();
    let key = match store {
        Store::Ram => None,
        Store::Disk { .. } => Some(key::of(source)?),
    };
    let stream = || CopyStream::new(source.compute.device);
    let features = |table| Features { prefix: Rc::new((*prefix).clone()), table, stream: stream() };
    if let (Store::Disk { folder, .. }, Some(key)) = (store, &key)
        && let Some(table) = DiskTable::open(folder, key, prefix, images)?
    {
        return Ok((Filled::Whole(features(Table::Disk(table))), Duration::ZERO));
    }
    let mut writer = match (store, key) {
        (Store::Disk { folder, limit }, Some(key)) => {
            disk::make_room(folder, (prefix.bytes() * images) as u64, *limit)?;
            TableWriter::Disk(DiskWriter::create(folder, key, prefix)?)
        }
        _ => TableWriter::ram(prefix, images)?,
    };
    let unreadable = "there are images that cannot be read (data.on_error: skip)";
    let mut batches = loader.epoch(source.view, 0).on_device();
    while let Some(batch) = batches.next() {
        let batch = batch?;
        let rows = source.features(&batch.images)?;
        if check && writer.written() == 0 && !source.is_independent_of_batch(&batch.images, &rows)? {
            let reason = "the last bits of an image's features depend on the batch that it is in";
            return Ok((Filled::Unsuitable(reason), batches.waited()));
        }
        let expected = writer.written()..writer.written() + batch.indices.len();
        if !batch.indices.iter().copied().eq(expected) {
            return Ok((Filled::Unsuitable(unreadable), batches.waited()));
        }
        writer.add(&rows)?;
        if on_batch().is_break() {
            return Ok((Filled::Stopped, batches.waited()));
        }
    }
    if writer.written() < images {
        return Ok((Filled::Unsuitable(unreadable), batches.waited()));
    }
    Ok((Filled::Whole(features(writer.finish()?)), batches.waited()))
}

impl Source<'_> {
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
