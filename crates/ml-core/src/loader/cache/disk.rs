//! Images in a file: records one after the other, only ever added. A record that was cut short by a
//! crash ends the file's use and is overwritten; one whose checksum is wrong is as good as absent.
//!
//! The first process that opens a file adds to it; others read what was there when they opened it.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use ml_data::decode::Pixels;
use ml_data::geometry::Size;
use ml_data::transform::{Pipeline, Prepared};
use sha2::{Digest as _, Sha256};

use super::{Budget, CacheError};

/// What a file begins with. The number changes with whatever changes decoded pixels.
const MAGIC: &[u8; 16] = b"ml pixel cache 1";
/// Bytes of a record before its pixels: key, five numbers, checksum.
const HEADER_BYTES: usize = 16 + 5 * 4 + 4;

/// An image file at one state of its content, as far as the file system tells.
type Key = [u8; 16];

/// A file of decoded images.
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    /// Where each record begins.
    records: RwLock<HashMap<Key, u64>>,
    /// Where the next record goes; none where nothing may be added.
    end: Mutex<Option<u64>>,
}

impl Disk {
    pub(super) fn open(folder: &Path, pipeline: &Pipeline, budget: &Budget) -> Result<Disk, CacheError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let name = hex::encode(&Sha256::digest(pipeline.preparation())[..8]);
        let path = folder.join(format!("pixels-{name}.bin"));
        let file =
            File::options().read(true).append(false).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed(&path))?;
        let is_ours = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                tracing::info!("{}: another run adds to it; this one only reads", path.display());
                false
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{}: this file system has no locks ({error}): no images are added to the cache; choose another \
                     data.cache_dir, or data.cache: ram",
                    path.display()
                );
                false
            }
        };
        let (records, end) = scan(&mut file).map_err(failed(&path))?;
        if is_ours {
            // What a crash left, and files of another version, make room.
            file.set_len(end).map_err(failed(&path))?;
            if end == 0 {
                file.write_all_at(MAGIC, 0).map_err(failed(&path))?;
            }
            budget.take_at_most(end);
        }
        let end = is_ours.then_some(end.max(MAGIC.len() as u64));
        Ok(Disk { path, file, records: RwLock::new(records), end: Mutex::new(end) })
    }

    pub(super) fn get(&self, image: &Path) -> Option<Prepared> {
        let key = key(image).ok()?;
        let at = *self.records.read().unwrap_or_else(PoisonError::into_inner).get(&key)?;
        match self.read(at, &key) {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                tracing::debug!("{}: record at {at}: {error}; decoding anew", self.path.display());
                None
            }
        }
    }

    fn read(&self, at: u64, key: &Key) -> io::Result<Prepared> {
        let mut header = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut header, at)?;
        let damaged = || io::Error::other("its content is damaged");
        let header = Header::parse(&header).filter(|header| header.key == *key).ok_or_else(damaged)?;
        let mut data = vec![0; header.bytes()];
        self.file.read_exact_at(&mut data, at + HEADER_BYTES as u64)?;
        if crc32fast::hash(&data) != header.checksum {
            return Err(damaged());
        }
        let Header { height, width, size, divisor, .. } = header;
        Ok(Prepared { pixels: Pixels { width, height, data }, size, divisor })
    }

    pub(super) fn put(&self, image: &Path, prepared: &Prepared, budget: &Budget) {
        let Ok(key) = key(image) else { return };
        let bytes = (HEADER_BYTES + prepared.pixels.data.len()) as u64;
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = *end else { return };
        if self.records.read().unwrap_or_else(PoisonError::into_inner).contains_key(&key)
            || !budget.take(bytes)
        {
            return;
        }
        match self.file.write_all_at(&record(key, prepared), at) {
            Ok(()) => {
                self.records.write().unwrap_or_else(PoisonError::into_inner).insert(key, at);
                *end = Some(at + bytes);
            }
            Err(error) => {
                tracing::warn!("{}: {error}; no more images are kept there", self.path.display());
                *end = None;
            }
        }
    }
}

/// A record's header.
struct Header {
    key: Key,
    height: u32,
    width: u32,
    size: Size,
    divisor: u32,
    /// CRC-32 of the pixels.
    checksum: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let (key, numbers) = bytes.split_at(16);
        let numbers: Vec<u32> =
            numbers.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let [height, width, full_height, full_width, divisor, checksum] = numbers[..] else { return None };
        let size = Size { height: full_height, width: full_width };
        let sound = matches!(divisor, 1 | 2 | 4 | 8)
            && (1..=ml_data::decode::MAX_PIXELS).contains(&(u64::from(height) * u64::from(width)));
        sound.then_some(Header { key: key.try_into().ok()?, height, width, size, divisor, checksum })
    }

    fn bytes(&self) -> usize {
        self.height as usize * self.width as usize * 3
    }
}

fn record(key: Key, Prepared { pixels, size, divisor }: &Prepared) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + pixels.data.len());
    record.extend(key);
    let checksum = crc32fast::hash(&pixels.data);
    for number in [pixels.height, pixels.width, size.height, size.width, *divisor, checksum] {
        record.extend(number.to_le_bytes());
    }
    record.extend(&pixels.data);
    record
}

/// Where the whole records begin, and where they end; 0 for a file that is not one of ours.
fn scan(file: &mut File) -> io::Result<(HashMap<Key, u64>, u64)> {
    let length = file.metadata()?.len();
    let mut records = HashMap::new();
    let mut reader = io::BufReader::with_capacity(HEADER_BYTES, file);
    let mut magic = [0; MAGIC.len()];
    if length < magic.len() as u64 || reader.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Ok((records, 0));
    }
    let mut at = magic.len() as u64;
    loop {
        let mut header = [0; HEADER_BYTES];
        match reader.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((records, at)),
            Err(error) => return Err(error),
        }
        let Some(header) = Header::parse(&header) else { return Ok((records, at)) };
        let next = at + (HEADER_BYTES + header.bytes()) as u64;
        if next > length {
            return Ok((records, at));
        }
        records.insert(header.key, at);
        at = next;
        reader.seek(SeekFrom::Start(at))?;
    }
}

/// Path, size and time of change of an image file.
fn key(image: &Path) -> io::Result<Key> {
    let status = fs::metadata(image)?;
    let mut hash = Sha256::new();
    hash.update(std::path::absolute(image)?.as_os_str().as_encoded_bytes());
    for number in [status.len() as i64, status.mtime(), status.mtime_nsec()] {
        hash.update(number.to_le_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    Ok(key)
}
