//! A tensor's elements ↔ the bytes of an entry, a chunk at a time, in the machine's (little-endian) order.

use std::io::{self, Write};

use tch::{Kind, TchError, Tensor};
use torch_ext::TensorWriter;

use super::archive::{Archive, Source};
use super::error::{Problem, first_line};
use super::pickle::Storage;

/// Small enough for a processor's second cache: copy, checksum and transfer then share one trip to memory.
pub(super) const CHUNK: usize = 1 << 20;

/// Writes the elements in row-major order, from any device and layout. Holds one chunk, and for a tensor
/// that is not contiguous a copy of it.
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

/// Reads a storage as a flat tensor on the CPU, its checksum verified.
pub(super) fn read<S: Source>(
    archive: &Archive<S>,
    storage: &Storage,
    buffer: &mut Vec<u8>,
) -> Result<Tensor, Problem> {
    let refused = |error: TchError| Problem::damaged(first_line(&error));
    let path = format!("data/{}", storage.key);
    let width = storage.kind.elt_size_in_bytes();
    let size = archive.size(&path)?;
    if storage.len.checked_mul(width as u64) != Some(size) {
        let key = &storage.key;
        return Err(Problem::damaged(format!(
            "storage {key:?} should have {} elements, its entry has {size} bytes",
            storage.len
        )));
    }

    // A bool is one byte that must be 0 or 1; any other is undefined behaviour in C++.
    let kind = if storage.kind == Kind::Bool { Kind::Uint8 } else { storage.kind };
    buffer.resize(buffer.len().max((size as usize).clamp(1, CHUNK)), 0);
    let damaged = |error: torch_ext::Error| Problem::damaged(error.to_string());
    let mut writer = TensorWriter::new(storage.len, kind).map_err(damaged)?;
    archive.read_chunks(&path, buffer, |bytes| writer.add(bytes).map_err(damaged))?;
    let flat = writer.finish().map_err(damaged)?;
    if storage.kind == Kind::Bool { flat.f_ne(0).map_err(refused) } else { Ok(flat) }
}
