//! Verdicts about leaks, so that the next start need not read the images again: one file a list of
//! splits in the data folder. Anything unexpected in it counts as no verdict; a folder that cannot
//! be written to gets none.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Leaks;
use super::files::Stat;
use crate::dataset::{Dataset, IMAGES_FILE, MANIFEST_FILE, SPLITS_FOLDER, hidden};

/// Changes with what a verdict means.
const VERSION: &[u8] = b"leaks 2";

/// What was found for one state of a data folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Verdict {
    /// Of the state that the verdict is about.
    key: String,
    pub leaks: Option<Leaks>,
}

/// Hex SHA-256 over everything that a verdict depends on: the samples, the sizes and times of their
/// files, and those of the files that name groups.
pub(super) fn key(dataset: &Dataset, stats: &[Stat]) -> String {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    hash.update(dataset.fingerprint());
    let splits = dataset.root.join(SPLITS_FOLDER);
    let beside = [MANIFEST_FILE, IMAGES_FILE].map(|name| Stat::of(&splits.join(name)).ok());
    for stat in beside.iter().flatten().chain(stats) {
        hash.update(stat.bytes.to_le_bytes());
        hash.update(stat.modified.to_le_bytes());
    }
    hex::encode(hash.finalize())
}

/// Named by the samples: folds have verdicts of their own, and a new one replaces the outdated.
fn name(dataset: &Dataset) -> String {
    let fold = dataset.fold.map_or_else(String::new, |fold| format!("_fold_{fold}"));
    format!("leaks{fold}.json")
}

/// The verdict for `key`, if there is one.
pub(super) fn read(dataset: &Dataset, key: &str) -> Option<Verdict> {
    let verdict: Verdict = hidden::read(dataset, &name(dataset))?;
    (verdict.key == key).then_some(verdict)
}

/// Keeps the verdict, if the folder can be written to.
pub(super) fn write(dataset: &Dataset, key: &str, leaks: Option<&Leaks>) {
    hidden::write(dataset, &name(dataset), &Verdict { key: key.to_owned(), leaks: leaks.cloned() });
}
