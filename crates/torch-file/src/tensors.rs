//! A tensor's elements ↔ the bytes of an entry, a chunk at a time, in the machine's (little-endian)
//! order.

use std::io::{self, Write};

use tch::{Kind, TchError, Tensor};
use torch_ext::TensorWriter;

use super::archive::{Archive, Source};
use super::error::{Problem, first_line};
use super::pickle::Storage;

/// Small enough for a processor's second cache: copy, checksum and transfer then share one trip to
/// memory.
pub(super) const CHUNK: usize = 1 << 20;

/// Writes the elements in row-major order, from any device and layout. Holds one chunk, and for a
/// tensor that is not contiguous a copy of it.
pub(super) fn write(tensor: &Tensor, out: &mut impl Write, buffer: &mut Vec<u8>) -> io::Result<()> {
    let other = |error: TchError| io::Error::other(first_line(&error));
    let width = tensor.kind().elt_size_in_bytes();
    let flat =
        tensor.f_detach().and_then(|t| t.f_contiguous()).and_then(|t| t.f_view([-1])).map_err(other)?;
    let (len, step) = (tensor.numel(), CHUNK / width);
    buffer.resize(buffer.len().max((len * width).min(CHUNK)), 0);
    for start in (0..len).step_by(step) {
        let count = step.min(len - start);
        let part = flat.f_narrow(0, start as i64, count as i64).map_err(other)?;
        let bytes = &mut buffer[..count * width];
        part.f_copy_data_u8(bytes, count).map_err(other)?;
        out.write_all(bytes)?;
    }
    Ok(())
}

/// Reads a storage of an archive as a flat tensor on the CPU, its checksum verified.
pub(super) fn read<S: Source>(
    archive: &Archive<S>,
    storage: &Storage,
    buffer: &mut Vec<u8>,
) -> Result<Tensor, Problem> {
    let path = format!("data/{}", storage.key);
    let size = archive.size(&path)?;
    if storage.size() != Some(size) {
        let key = &storage.key;
        return Err(Problem::damaged(format!(
            "storage {key:?} should have {} elements, its entry has {size} bytes",
            storage.len
        )));
    }
    fill(storage, size, buffer, |buffer, take| archive.read_chunks(&path, buffer, take))
}

/// Takes the bytes of a storage, part by part.
pub(super) type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Problem>;

/// A flat tensor on the CPU from `size` bytes, which are those of `storage` and known to be there;
/// `chunks` hands them over.
pub(super) fn fill(
    storage: &Storage,
    size: u64,
    buffer: &mut Vec<u8>,
    chunks: impl FnOnce(&mut [u8], Take<'_>) -> Result<(), Problem>,
) -> Result<Tensor, Problem> {
    // A bool is one byte that must be 0 or 1; any other is undefined behaviour in C++.
    let kind = if storage.kind == Kind::Bool { Kind::Uint8 } else { storage.kind };
    buffer.resize(buffer.len().max((size as usize).clamp(1, CHUNK)), 0);
    let damaged = |error: torch_ext::Error| Problem::damaged(error.to_string());
    let mut writer = TensorWriter::new(storage.len, kind).map_err(damaged)?;
    chunks(buffer, &mut |bytes| writer.add(bytes).map_err(damaged))?;
    let flat = writer.finish().map_err(damaged)?;
    let refused = |error: TchError| Problem::damaged(first_line(&error));
    if storage.kind == Kind::Bool { flat.f_ne(0).map_err(refused) } else { Ok(flat) }
}
