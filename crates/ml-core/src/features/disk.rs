//! Features in a file: a header, rows, a checksum of the rows. Written beside and renamed, so that a
//! file that is there is whole; one that is not what it should be is as good as absent.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use atomic_file::AtomicFile;
use tch::{Kind, Tensor};

use super::FeatureError;
use crate::network::Prefix;

/// What a file begins with. The number changes with whatever changes features.
pub(super) const NAME: &str = "ml features 1";
/// Name and key.
const HEADER_BYTES: usize = NAME.len() + 32;
/// Stands for the path of a file that has none.
const MEMORY: &str = "memory that the processes of this machine share";
/// CRC-32.
const CHECKSUM_BYTES: usize = 4;

/// An open file of features.
pub(super) struct FileTable {
    path: PathBuf,
    file: File,
    /// Where the first row is.
    first: u64,
    row: Row,
}

/// What a row is.
#[derive(Clone, Copy)]
struct Row {
    kind: Kind,
    num_features: usize,
    bytes: usize,
}

impl Row {
    fn of(prefix: &Prefix) -> Row {
        Row { kind: prefix.kind(), num_features: prefix.num_features(), bytes: prefix.bytes() }
    }
}

impl FileTable {
    /// Rows without anything before them, in a file that has no name.
    pub fn in_memory(file: File, prefix: &Prefix) -> FileTable {
        FileTable { path: PathBuf::from(MEMORY), file, first: 0, row: Row::of(prefix) }
    }

    /// The features of so many images under `key` in `folder`, if they are there and whole.
    pub fn open(
        folder: &Path,
        key: &[u8; 32],
        prefix: &Prefix,
        images: usize,
    ) -> Result<Option<FileTable>, FeatureError> {
        let path = path_of(folder, key);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FeatureError::File { path, source }),
        };
        let table = FileTable { path, file, first: HEADER_BYTES as u64, row: Row::of(prefix) };
        match table.is_whole(key, images) {
            Ok(true) => Ok(Some(table)),
            Ok(false) => {
                tracing::warn!(
                    "{}: its content is damaged; computing the features anew",
                    table.path.display()
                );
                Ok(None)
            }
            Err(source) => Err(FeatureError::File { path: table.path, source }),
        }
    }

    fn is_whole(&self, key: &[u8; 32], images: usize) -> io::Result<bool> {
        let data = self.row.bytes * images;
        let length = self.file.metadata()?.len();
        if length != (HEADER_BYTES + data + CHECKSUM_BYTES) as u64 {
            return Ok(false);
        }
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let mut header = [0; HEADER_BYTES];
        reader.read_exact(&mut header)?;
        let (mut checksum, mut left, mut part) = (crc32fast::Hasher::new(), data, vec![0; 1 << 16]);
        while left > 0 {
            let count = part.len().min(left);
            reader.read_exact(&mut part[..count])?;
            checksum.update(&part[..count]);
            left -= count;
        }
        let mut end = [0; CHECKSUM_BYTES];
        reader.read_exact(&mut end)?;
        Ok(header == header_of(key) && u32::from_le_bytes(end) == checksum.finalize())
    }

    /// The rows of these images, `[N, F]`.
    pub fn rows(&self, indices: &[usize]) -> Result<Tensor, FeatureError> {
        let mut bytes = vec![0; indices.len() * self.row.bytes];
        for (row, index) in bytes.chunks_exact_mut(self.row.bytes.max(1)).zip(indices) {
            let at = self.first + (index * self.row.bytes) as u64;
            self.file
                .read_exact_at(row, at)
                .map_err(|source| FeatureError::File { path: self.path.clone(), source })?;
        }
        let size = [indices.len() as i64, self.row.num_features as i64];
        Ok(Tensor::f_from_data_size(&bytes, &size, self.row.kind)?)
    }
}

/// A file that is being written.
pub(super) struct DiskWriter {
    path: PathBuf,
    file: BufWriter<AtomicFile>,
    checksum: crc32fast::Hasher,
    written: usize,
    row: Row,
}

impl DiskWriter {
    /// For so many images under `key` in `folder`, which is made if need be.
    pub fn create(folder: &Path, key: [u8; 32], prefix: &Prefix) -> Result<DiskWriter, FeatureError> {
        let path = path_of(folder, &key);
        let failed = |source| FeatureError::File { path: path.clone(), source };
        // Of a run that was killed.
        atomic_file::remove_abandoned(&path).map_err(failed)?;
        let file = AtomicFile::create(&path).map_err(failed)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header_of(&key)).map_err(failed)?;
        Ok(DiskWriter { file, checksum: crc32fast::Hasher::new(), written: 0, row: Row::of(prefix), path })
    }

    /// Rows so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Adds rows `[N, F]`.
    pub fn add(&mut self, rows: &Tensor) -> Result<(), FeatureError> {
        let bytes = bytes(rows)?;
        self.checksum.update(&bytes);
        self.written += rows.size()[0] as usize;
        self.file.write_all(&bytes).map_err(|source| FeatureError::File { path: self.path.clone(), source })
    }

    /// Ends the file and gives it its name.
    pub fn finish(self) -> Result<FileTable, FeatureError> {
        let DiskWriter { path, mut file, checksum, row, .. } = self;
        let publish = || {
            file.write_all(&checksum.finalize().to_le_bytes())?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.commit()?;
            File::open(&path)
        };
        match publish() {
            Ok(file) => Ok(FileTable { path, file, first: HEADER_BYTES as u64, row }),
            Err(source) => Err(FeatureError::File { path, source }),
        }
    }
}

/// Writes rows to a file in memory, which other processes read.
pub(super) struct MemoryWriter {
    file: BufWriter<File>,
    written: usize,
}

impl MemoryWriter {
    pub fn new(file: File) -> MemoryWriter {
        MemoryWriter { file: BufWriter::with_capacity(1 << 20, file), written: 0 }
    }

    /// Rows so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Adds rows `[N, F]`.
    pub fn add(&mut self, rows: &Tensor) -> Result<(), FeatureError> {
        self.written += rows.size()[0] as usize;
        self.file.write_all(&bytes(rows)?).map_err(not_in_memory)
    }

    /// Writes what is left.
    pub fn finish(self) -> Result<File, FeatureError> {
        self.file.into_inner().map_err(|error| not_in_memory(error.into_error()))
    }
}

pub(super) fn not_in_memory(source: io::Error) -> FeatureError {
    FeatureError::File { path: PathBuf::from(MEMORY), source }
}

/// Deletes files of features in `folder`, which is made if need be, the oldest first, until `bytes`
/// more are within `limit`. A run that has one open keeps it.
pub(super) fn make_room(folder: &Path, bytes: u64, limit: u64) -> Result<(), FeatureError> {
    let failed = |source| FeatureError::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_ours = stem.is_some_and(|stem| stem.starts_with("features-"))
            && path.extension().is_some_and(|extension| extension == "bin");
        // Another run may delete it at this moment.
        if let (true, Ok(status)) = (is_ours, entry.metadata()) {
            files.push((status.modified().unwrap_or(SystemTime::UNIX_EPOCH), status.len(), entry.path()));
        }
    }
    files.sort();
    let mut held: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if held.saturating_add(bytes) <= limit {
            break;
        }
        match fs::remove_file(&path) {
            Ok(()) => tracing::debug!("{}: deleted to make room", path.display()),
            Err(error) => tracing::warn!("{}: {error}", path.display()),
        }
        held -= size;
    }
    Ok(())
}

fn path_of(folder: &Path, key: &[u8; 32]) -> PathBuf {
    folder.join(format!("features-{}.bin", hex::encode(&key[..8])))
}

fn header_of(key: &[u8; 32]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..NAME.len()].copy_from_slice(NAME.as_bytes());
    header[NAME.len()..].copy_from_slice(key);
    header
}

/// The elements as they lie in memory, row by row.
pub(super) fn bytes(tensor: &Tensor) -> Result<Vec<u8>, FeatureError> {
    let tensor = torch_ext::to_host(&tensor.detach())?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}
