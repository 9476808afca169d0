//! Verdicts about leaks, so that the next start need not read the pictures again: one file a list of splits in the
//! data folder. Anything unexpected in it counts as no verdict; a folder that cannot be written to gets none.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::Stat;
use super::{CACHE_FOLDER, Leaks};
use crate::dataset::{Dataset, MANIFEST_FILE, PICTURES_FILE, SPLITS_FOLDER, hex};

/// Bytes of the largest file that is read: a verdict is short.
const LARGEST: u64 = 1 << 20;

/// Changes with what a verdict means.
const VERSION: &[u8] = b"leaks 1";

/// What was found for one state of a data folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    /// Of the state that the verdict is about.
    key: String,
    pub leaks: Option<Leaks>,
}

/// Hex SHA-256 over everything that a verdict depends on: the samples, the sizes and times of their files, and those
/// of the files that name groups.
pub(super) fn key(dataset: &Dataset, stats: &[Stat]) -> String {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    hash.update(dataset.fingerprint());
    let splits = dataset.root.join(SPLITS_FOLDER);
    let beside = [MANIFEST_FILE, PICTURES_FILE].map(|name| Stat::of(&splits.join(name)).ok());
    for stat in beside.iter().flatten().chain(stats) {
        hash.update(stat.bytes.to_le_bytes());
        hash.update(stat.modified.to_le_bytes());
    }
    hex(&hash.finalize())
}

/// Named by the samples: folds have verdicts of their own, and a new one replaces the outdated.
fn path(dataset: &Dataset) -> PathBuf {
    let fold = dataset.fold.map_or_else(String::new, |fold| format!("_fold_{fold}"));
    dataset.root.join(CACHE_FOLDER).join(format!("leaks{fold}.json"))
}

/// The verdict for `key`, if there is one.
pub(super) fn read(dataset: &Dataset, key: &str) -> Option<Verdict> {
    let path = path(dataset);
    if fs::metadata(&path).ok()?.len() > LARGEST {
        return None;
    }
    let verdict: Verdict = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (verdict.key == key).then_some(verdict)
}

/// Keeps the verdict, if the folder can be written to.
pub(super) fn write(dataset: &Dataset, key: &str, leaks: Option<&Leaks>) {
    let path = path(dataset);
    let verdict = Verdict { key: key.to_owned(), leaks: leaks.cloned() };
    let keep = || -> std::io::Result<()> {
        let folder = dataset.root.join(CACHE_FOLDER);
        fs::create_dir_all(&folder)?;
        let unfinished = path.with_extension(format!("tmp-{}", std::process::id()));
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&verdict)?)?;
        fs::rename(&unfinished, &path)
    };
    // Without it the next start only takes longer.
    let _ = keep();
}
