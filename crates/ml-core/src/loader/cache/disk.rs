//! Images in a file: records one after the other, only ever added. A record that was cut short by a
//! crash ends the file's use and is overwritten; one whose checksum is wrong is as good as absent.
//!
//! Several processes may have the file open. Each adds while it holds the file's lock, behind what the
//! others have added, and looks for what they have added when it misses an image.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

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

/// How long a process waits for another to add an image, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);

/// A file of decoded images.
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    /// Where each known record begins.
    records: RwLock<HashMap<Key, u64>>,
    end: Mutex<End>,
}

struct End {
    /// Where the known records end.
    at: u64,
    /// Whether more may be added.
    may_add: bool,
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
        let file = file.map_err(failed(&path))?;
        let disk = Disk::of_file(path.clone(), file);
        disk.begin(budget).map_err(failed(&path))?;
        Ok(disk)
    }

    /// In memory that processes share, which is empty or as another of them has begun it.
    pub(super) fn in_memory(file: File, budget: &Budget) -> Result<Disk, CacheError> {
        let path = PathBuf::from("memory that the processes of this machine share");
        let disk = Disk::of_file(path.clone(), file);
        disk.begin(budget).map_err(|source| CacheError { path, source })?;
        Ok(disk)
    }

    fn of_file(path: PathBuf, file: File) -> Disk {
        let end = Mutex::new(End { at: 0, may_add: true });
        Disk { path, file, records: RwLock::default(), end }
    }

    /// Finds what is there. What is no file of ours gives way.
    fn begin(&self, budget: &Budget) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = self.lock();
        end.may_add = lock.is_ok();
        if let Err(error) = &lock {
            tracing::warn!(
                "{}: cannot be locked ({error}): no images are added to the cache; choose another data.cache_dir, or \
                 data.cache: ram",
                self.path.display()
            );
        }
        self.catch_up(&mut end, budget)?;
        if end.may_add && end.at == 0 {
            self.file.set_len(0)?;
            self.file.write_all_at(MAGIC, 0)?;
            end.at = MAGIC.len() as u64;
        }
        Ok(())
    }

    /// Until it is dropped, no other process adds to the file.
    fn lock(&self) -> io::Result<FileLock<'_>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.file.try_lock() {
                Ok(()) => return Ok(FileLock(&self.file)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::other("another process holds its lock"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Finds what others have added since.
    fn catch_up(&self, end: &mut End, budget: &Budget) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length <= end.at {
            return Ok(());
        }
        let before = end.at;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        end.at = scan(&self.file, before, length, &mut records)?;
        budget.take_at_most(end.at - before);
        Ok(())
    }

    pub(super) fn get(&self, image: &Path, salt: &str, budget: &Budget) -> Option<Prepared> {
        let key = key(image, salt).ok()?;
        let at = self.find(&key, budget)?;
        match self.read(at, &key) {
            Ok(prepared) => Some(prepared),
            Err(error) => {
                tracing::debug!("{}: record at {at}: {error}; decoding anew", self.path.display());
                None
            }
        }
    }

    fn find(&self, key: &Key, budget: &Budget) -> Option<u64> {
        let known = || self.records.read().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        known().or_else(|| {
            let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            if end.at == 0 {
                return None;
            }
            // What cannot be read now is decoded.
            self.catch_up(&mut end, budget).ok()?;
            known()
        })
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

    pub(super) fn put(&self, image: &Path, salt: &str, prepared: &Prepared, budget: &Budget) {
        let Ok(key) = key(image, salt) else { return };
        let record = record(key, prepared);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if !end.may_add {
            return;
        }
        let added = (|| {
            let _lock = self.lock()?;
            self.catch_up(&mut end, budget)?;
            let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
            if records.contains_key(&key) || !budget.take(record.len() as u64) {
                return Ok(());
            }
            // What a process has left that was killed meanwhile.
            self.file.set_len(end.at)?;
            self.file.write_all_at(&record, end.at)?;
            records.insert(key, end.at);
            end.at += record.len() as u64;
            io::Result::Ok(())
        })();
        if let Err(error) = added {
            tracing::warn!("{}: {error}; this process keeps no more images there", self.path.display());
            end.may_add = false;
        }
    }
}

/// The lock of a file.
struct FileLock<'a>(&'a File);

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // It ends with the process at the latest.
        let _ = self.0.unlock();
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

/// Adds the whole records from `at` on in a file of `length` bytes; where they end. 0 for a file that
/// is not one of ours.
fn scan(mut file: &File, at: u64, length: u64, records: &mut HashMap<Key, u64>) -> io::Result<u64> {
    let mut at = at;
    if at == 0 {
        let mut magic = [0; MAGIC.len()];
        if length < magic.len() as u64 || file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
            return Ok(0);
        }
        at = magic.len() as u64;
    }
    file.seek(SeekFrom::Start(at))?;
    let mut reader = io::BufReader::with_capacity(HEADER_BYTES, file);
    loop {
        let mut header = [0; HEADER_BYTES];
        match reader.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(at),
            Err(error) => return Err(error),
        }
        let Some(header) = Header::parse(&header) else { return Ok(at) };
        let next = at + (HEADER_BYTES + header.bytes()) as u64;
        if next > length {
            return Ok(at);
        }
        records.insert(header.key, at);
        at = next;
        reader.seek(SeekFrom::Start(at))?;
    }
}

/// Path, size and time of change of an image file, and what else tells records apart.
fn key(image: &Path, salt: &str) -> io::Result<Key> {
    let status = fs::metadata(image)?;
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(std::path::absolute(image)?.as_os_str().as_encoded_bytes());
    for number in [status.len() as i64, status.mtime(), status.mtime_nsec()] {
        hash.update(number.to_le_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    Ok(key)
}
