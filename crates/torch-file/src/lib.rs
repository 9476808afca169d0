//! PyTorch's files, read and written without Python.
//!
//! In: a [`Value`], a tree of tensors and plain values. Out: a zip of stored entries, as torch 2.11
//! writes it: `data.pkl` (the tree), `data/<k>` (each tensor's elements, at multiples of 64 bytes,
//! so that Python can also map the file with `mmap=True`) and a few small entries that name the
//! format. Python's `torch.load(weights_only=True)` opens it. The same tree gives the same bytes.
//!
//! Also read: the format from before torch 1.6, in which many published weights still are, and
//! safetensors.
//!
//! Files are replaced as a whole: at any instant the old or the new one is there. What is read is
//! treated as hostile: nothing in it is executed, checksums are verified, and memory is bounded by
//! the file's size.

mod archive;
mod error;
mod legacy;
mod pickle;
mod safetensors;
mod tensors;
#[cfg(test)]
mod tests;
pub mod value;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use atomic_file::{FileOps, System};

use self::archive::{Archive, ArchiveWriter, Source};
use self::error::Problem;
use self::pickle::write::Unwritable;

pub use error::Error;
pub use value::{Field, Key, Opaque, Value, ValueError};

/// What messages call bytes that are in no file.
const IN_MEMORY: &str = "(in memory)";

/// The largest `data.pkl` that is read; torch's own are some hundred bytes a tensor.
const MAX_PICKLE: u64 = 32 << 20;

/// Writes `value` (usually a dict) as PyTorch would: beside, synced, renamed.
///
/// Tensors may be on any device and of any layout; they are written contiguous, for the CPU. Those
/// that are contiguous and occupy the same memory share a storage in the file too. Dtypes: f32,
/// f64, f16, bf16, i64, i32, i16, i8, u8, bool. Beyond the tensors themselves, about a megabyte of
/// memory is used.
///
/// # Errors
/// Anything that keeps the file from being complete; the file that was there before is untouched
/// then.
pub fn write(path: &Path, value: &Value) -> Result<(), Error> {
    write_through(&System, path, value)
}

/// The bytes of the file that [`write()`] would write.
///
/// # Errors
/// A value that cannot be written.
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, Error> {
    let path = || Path::new(IN_MEMORY).to_owned();
    let unwritable = |Unwritable(what)| Error::Unwritable { path: path(), what };
    let pickled = pickle::write::pickle(value).map_err(unwritable)?;
    let mut bytes = Vec::new();
    write_archive(&mut bytes, &pickled).map_err(|error| Error::write(&path(), error))?;
    Ok(bytes)
}

/// As [`read`], of a file's bytes.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: &[u8]) -> Result<Value, Error> {
    read_from(bytes).map_err(|problem| problem.at(Path::new(IN_MEMORY)))
}

/// Reads what [`write()`] or Python's `torch.save` wrote, in its format of today or of before 1.6,
/// or a `.safetensors` file (a dict of its tensors, sorted by name). Executes nothing; memory is
/// bounded by the file's size.
///
/// Tensors come on the CPU, without gradients, with the strides they were saved with; those that
/// shared a storage share it again. A `set` or `deque` comes as a list, `torch.Size` as a tuple, a
/// dtype or device as a `str` (`torch.float32`, `cuda:0`), an `OrderedDict`, `Counter`,
/// `argparse.Namespace` or another kind of `dict` as a dict, a scalar of numpy's as a number. Any
/// other object is [`Opaque`].
///
/// # Errors
/// Another kind of file, cut short, or damaged.
pub fn read(path: &Path) -> Result<Value, Error> {
    let file = File::open(path).map_err(|error| Problem::Io(error).at(path))?;
    read_from(file).map_err(|problem| problem.at(path))
}

/// What [`read`] gives of a file of today's format, with `None` in the place of each tensor: little
/// of a large file. Other formats have nothing but tensors, and give a dict without entries.
///
/// # Errors
/// As [`read`], as far as the file is looked at.
pub fn read_without_tensors(path: &Path) -> Result<Value, Error> {
    let read = || {
        let file = File::open(path).map_err(Problem::Io)?;
        match recognise(&file)? {
            Format::Torch => pickle::build::build_without_tensors(parse_archive(&open_archive(file)?)?),
            Format::Legacy | Format::Safetensors => Ok(Value::Dict(Vec::new())),
        }
    };
    read().map_err(|problem: Problem| problem.at(path))
}

/// [`write()`] over any file operations, so that tests can make them fail.
///
/// # Errors
/// As [`write()`].
pub fn write_through(ops: &impl FileOps, path: &Path, value: &Value) -> Result<(), Error> {
    let unwritable = |Unwritable(what)| Error::Unwritable { path: path.to_owned(), what };
    let pickled = pickle::write::pickle(value).map_err(unwritable)?;
    atomic_file::replace_through(ops, path, |file| write_archive(file, &pickled))
        .map_err(|error| Error::write(path, error))
}

fn write_archive(file: &mut impl Write, pickled: &pickle::write::Pickled) -> io::Result<()> {
    let mut archive = ArchiveWriter::new(io::BufWriter::new(file));
    write_entries(&mut archive, pickled)?;
    archive.finish()
}

/// The entries in torch's order; the folder's name is the one that torch uses where it knows no
/// file name.
fn write_entries<W: Write>(
    archive: &mut ArchiveWriter<W>,
    pickled: &pickle::write::Pickled,
) -> io::Result<()> {
    archive.bytes("archive/data.pkl", &pickled.bytes)?;
    archive.bytes("archive/.format_version", b"1")?;
    archive.bytes("archive/.storage_alignment", b"64")?;
    archive.bytes("archive/byteorder", b"little")?;
    let mut buffer = Vec::new();
    for (key, tensor) in pickled.storages.iter().enumerate() {
        let size = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
        let name = format!("archive/data/{key}");
        archive.entry(&name, size, |out| tensors::write(tensor, out, &mut buffer))?;
    }
    archive.bytes("archive/version", b"3\n")?;
    // torch's is 40 digits: a hash of the names, then one of the checksums.
    let id = format!("{:020}{:020}", 0, archive.fingerprint());
    archive.bytes("archive/.data/serialization_id", id.as_bytes())
}

fn read_from(source: impl Source) -> Result<Value, Problem> {
    match recognise(&source)? {
        Format::Torch => read_archive(source),
        Format::Legacy => legacy::read(&source),
        Format::Safetensors => {
            let length = source.length().map_err(Problem::Io)?;
            let mut bytes = vec![0; length as usize];
            source.read_at(&mut bytes, 0).map_err(Problem::Io)?;
            safetensors::read(&bytes)
        }
    }
}

fn read_archive(source: impl Source) -> Result<Value, Problem> {
    let archive = open_archive(source)?;
    let mut buffer = Vec::new();
    pickle::build::build(parse_archive(&archive)?, |storage| tensors::read(&archive, storage, &mut buffer))
}

/// One of `torch.save`, and nothing else that is a zip file.
fn open_archive<S: Source>(source: S) -> Result<Archive<S>, Problem> {
    let archive = Archive::open(source)?;
    if !archive.contains("data.pkl") {
        return Err(Problem::NotTorch("it is a zip file without the `data.pkl` of torch.save".into()));
    }
    if archive.contains("constants.pkl") || archive.has_folder("code/") {
        return Err(Problem::TorchScript);
    }
    if archive.contains("byteorder") && archive.read("byteorder", 16)? != b"little" {
        return Err(Problem::Unsupported("big-endian numbers".into()));
    }
    Ok(archive)
}

fn parse_archive<S: Source>(archive: &Archive<S>) -> Result<pickle::machine::Parsed, Problem> {
    Ok(pickle::machine::parse(&archive.read("data.pkl", MAX_PICKLE)?)?.0)
}

/// What is read.
enum Format {
    Torch,
    Legacy,
    Safetensors,
}

/// Files of other kinds get an answer of their own.
fn recognise(source: &impl Source) -> Result<Format, Problem> {
    // As much as tells a tar file.
    let length = source.length().map_err(Problem::Io)?;
    let mut head = [0; 262];
    let known = length.min(head.len() as u64) as usize;
    source.read_at(&mut head[..known], 0).map_err(Problem::Io)?;
    let head = &head[..known];
    let reason = if head.is_empty() {
        return Err(Problem::CutShort("it is empty".into()));
    } else if head.starts_with(b"PK\x03\x04") || b"PK\x03\x04".starts_with(head) {
        return Ok(Format::Torch);
    } else if safetensors::is_safetensors(head) {
        return Ok(Format::Safetensors);
    } else if legacy::is_legacy(head) {
        return Ok(Format::Legacy);
    } else if head.ends_with(b"ustar") {
        "it is a tar file, perhaps of PyTorch before 0.1.10; in Python, save such a one anew: \
         torch.save(torch.load(path, weights_only=False), new_path)"
    } else {
        "it does not begin as a file of torch.save does"
    };
    Err(Problem::NotTorch(reason.into()))
}
