//! Matrices of f32 ↔ NumPy's `.npy` files, version 1.0: a magic string, a header that is a Python
//! literal, and the numbers row by row.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::write::{ReportError, replace};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The numbers begin at a multiple of it.
const ALIGNMENT: usize = 64;

/// Writes `values` `[N, columns]`, row by row.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, values: &[f32], columns: usize) -> Result<(), ReportError> {
    let rows = values.len() / columns.max(1);
    let mut header = header(rows, columns);
    let padding = (ALIGNMENT - (MAGIC.len() + 2 + header.len() + 1) % ALIGNMENT) % ALIGNMENT;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 + header.len() + values.len() * 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    replace(path, &bytes)
}

fn header(rows: usize, columns: usize) -> String {
    format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}")
}

/// Reads a file that [`write`] wrote, if it is of `rows` and `columns`.
///
/// # Errors
/// It is not there, or is another; says so in a sentence.
pub fn read(path: &Path, rows: usize, columns: usize) -> Result<Vec<f32>, String> {
    let cannot = |reason: &dyn std::fmt::Display| format!("{} cannot be read: {reason}.", path.display());
    let wanted = rows.saturating_mul(columns).saturating_mul(4);
    // A file that is larger than what belongs into it is not read to its end.
    let limit = (wanted as u64).saturating_add(2 * u64::from(u16::MAX));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot(&error))?;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    let other = || cannot(&format!("it is no matrix of {rows} rows and {columns} columns"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(other)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(other)?;
    let (found, values) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or_else(other)?;
    if !found.starts_with(header(rows, columns).as_bytes()) || values.len() != wanted {
        return Err(other());
    }
    let number = |four: &[u8]| four.try_into().map_or(f32::NAN, f32::from_le_bytes);
    Ok(values.chunks_exact(4).map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::python_json;

    #[test]
    fn numpy_reads_what_is_written_and_it_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let values = [1.0, -2.5, 3e-8, f32::INFINITY, 0.1, 7.0];
        write(&path, &values, 3).unwrap();
        assert_eq!(read(&path, 2, 3).unwrap(), values);
        assert!(read(&path, 3, 2).unwrap_err().contains("no matrix of 3 rows"));
        let found = python_json("npy_read.py", &[&path]);
        assert_eq!(found["shape"], serde_json::json!([2, 3]));
        assert_eq!(found["dtype"], "float32");
        assert_eq!(found["values"][1], -2.5);
        std::fs::write(&path, "x").unwrap();
        assert!(read(&path, 2, 3).is_err());
    }
}
