//! A row of features for each image of a split.

use tch::{Device, Tensor};

use super::FeatureError;
use super::disk::{DiskWriter, FileTable, MemoryWriter};
use crate::network::Prefix;

/// All rows.
pub(super) enum Table {
    /// `[images, F]` in host memory.
    Ram(Tensor),
    File(FileTable),
}

impl Table {
    /// The rows of these images, `[N, F]`, in host memory; a copy.
    pub fn rows(&self, indices: &[usize]) -> Result<Tensor, FeatureError> {
        match self {
            Table::Ram(rows) => {
                let indices: Vec<i64> = indices.iter().map(|index| *index as i64).collect();
                Ok(rows.f_index_select(0, &Tensor::f_from_slice(&indices)?)?)
            }
            Table::File(table) => table.rows(indices),
        }
    }
}

/// Takes the rows in order.
pub(super) enum TableWriter {
    Ram {
        rows: Tensor,
        written: usize,
    },
    Disk(DiskWriter),
    /// For the other processes of the machine too.
    Memory(MemoryWriter),
    /// Nowhere: another process of the machine keeps them.
    Elsewhere {
        written: usize,
    },
}

impl TableWriter {
    /// In memory, for so many images.
    pub fn ram(prefix: &Prefix, images: usize) -> Result<TableWriter, FeatureError> {
        let size = [images as i64, prefix.num_features() as i64];
        // Pages that nothing is written to take no memory.
        let rows = Tensor::f_empty(size, (prefix.kind(), Device::Cpu))?;
        Ok(TableWriter::Ram { rows, written: 0 })
    }

    /// Rows written so far.
    pub fn written(&self) -> usize {
        match self {
            TableWriter::Ram { written, .. } | TableWriter::Elsewhere { written } => *written,
            TableWriter::Memory(writer) => writer.written(),
            TableWriter::Disk(writer) => writer.written(),
        }
    }

    /// Adds rows `[N, F]`.
    pub fn add(&mut self, features: &Tensor) -> Result<(), FeatureError> {
        match self {
            TableWriter::Ram { rows, written } => {
                let count = features.size()[0];
                rows.f_narrow(0, *written as i64, count)?.f_copy_(features)?;
                *written += count as usize;
                Ok(())
            }
            TableWriter::Disk(writer) => writer.add(features),
            TableWriter::Memory(writer) => writer.add(features),
            TableWriter::Elsewhere { written } => {
                *written += features.size()[0] as usize;
                Ok(())
            }
        }
    }

    /// The table, all of whose rows are written; none where another process keeps it.
    pub fn finish(self, prefix: &Prefix) -> Result<Option<Table>, FeatureError> {
        Ok(match self {
            TableWriter::Ram { rows, .. } => Some(Table::Ram(rows)),
            TableWriter::Disk(writer) => Some(Table::File(writer.finish()?)),
            TableWriter::Memory(writer) => Some(Table::File(FileTable::in_memory(writer.finish()?, prefix))),
            TableWriter::Elsewhere { .. } => None,
        })
    }
}
