//! Small files in [`CACHE_FOLDER`] of a data folder: what was found once about its images, so that
//! the next start need not read them again. Whoever reads one treats anything unexpected in it as
//! if it were not there.

use std::fs;
use std::io::Read as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Dataset;
use super::names::CACHE_FOLDER;

/// Bytes of the largest file that is read: what is kept is short.
const LARGEST: u64 = 1 << 20;

/// The content of the file called `name`, if there is one and it is what is expected.
pub(crate) fn read<T: DeserializeOwned>(dataset: &Dataset, name: &str) -> Option<T> {
    let path = dataset.root.join(CACHE_FOLDER).join(name);
    // Opening a pipe could wait for ever.
    if !fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Keeps `value` as the file called `name`, if the folder can be written to.
pub(crate) fn write(dataset: &Dataset, name: &str, value: &impl Serialize) {
    let folder = dataset.root.join(CACHE_FOLDER);
    let path = folder.join(name);
    let keep = || -> std::io::Result<()> {
        fs::create_dir_all(&folder)?;
        atomic_file::remove_abandoned(&path)?;
        atomic_file::replace(&path, &serde_json::to_vec(value)?)
    };
    // Without it the next start only takes longer.
    let _ = keep();
}
