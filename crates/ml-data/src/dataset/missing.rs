//! Images of a data set that are not where its index says.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Split;
use crate::files;
use crate::table::{printable, printable_path};
use crate::unicode::nfc;

/// How many of them are named.
const SHOWN: usize = 3;

/// Images that a split lists and that cannot be found. At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What paths are relative to.
    pub root: PathBuf,
    /// By split, in the order of [`Split::ALL`]; splits that lack none are left out.
    pub counts: Vec<(Split, usize)>,
    /// The first of them, with the system's words where the file is not just gone.
    pub first: Vec<String>,
}

impl Missing {
    /// None yet, of an index with this root.
    pub(super) fn below(root: PathBuf) -> Missing {
        Missing { root, counts: Vec::new(), first: Vec::new() }
    }

    /// Adds an image; those of a split follow each other.
    pub(super) fn note(&mut self, split: Split, path: &Path, error: &io::Error) {
        match self.counts.last_mut() {
            Some((last, count)) if *last == split => *count += 1,
            _ => self.counts.push((split, 1)),
        }
        if self.first.len() < SHOWN {
            let shown = path.display();
            self.first.push(match error.kind() {
                io::ErrorKind::NotFound if has_same_name(&self.root.join(path)) => {
                    format!("{shown} (a file there has this name in another Unicode normalization)")
                }
                io::ErrorKind::NotFound => shown.to_string(),
                _ => format!("{shown}: {error}"),
            });
        }
    }

    /// In all splits.
    pub fn count(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// Whether a name beside `path` differs from it in its Unicode normalization only: what a Mac packed
/// may be called so elsewhere.
fn has_same_name(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return false;
    };
    let names = files::entries(folder).unwrap_or_default();
    names.iter().any(|entry| entry.name.to_str().is_some_and(|other| nfc(other) == nfc(name)))
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, root, first) =
            (self.count(), printable_path(&self.root), printable(&self.first.join(", ")));
        let more = if count > self.first.len() { ", …" } else { "" };
        write!(f, "{count} image(s) of the data set cannot be found in {root}: {first}{more}")
    }
}
