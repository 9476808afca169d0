//! What a folder holds and no program uses ([`LeftOut`]): counted while folders are listed, and
//! told in one line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use crate::dataset::{is_image, unread_format};
use crate::table::printable;
use crate::text::{grouped, listed};

/// Files and folders that systems and their tools leave behind, in any case: those of Synology
/// and QNAP devices, macOS (`__MACOSX` is in its ZIP files), Windows, ext file systems, Python.
const LEFTOVERS: [&str; 26] = [
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "__macosx",
    "icon\r",
    "desktop db",
    "desktop df",
    "network trash folder",
    "temporary items",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "picasa.ini",
    "$recycle.bin",
    "recycler",
    "recycled",
    "system volume information",
    "found.000",
    "lost+found",
    "__pycache__",
    "_gsdata_",
];
/// Likewise, among hidden names.
const HIDDEN_LEFTOVERS: [&str; 13] = [
    ".ds_store",
    ".ipynb_checkpoints",
    ".trashes",
    ".trash",
    ".trash-0",
    ".trash-1000",
    ".spotlight-v100",
    ".fseventsd",
    ".temporaryitems",
    ".documentrevisions-v100",
    ".appledouble",
    ".picasa.ini",
    ".thumbnails",
];
/// Kinds of files that are named.
const SHOWN: usize = 8;

/// What was passed over, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Files that are no images by their names, by ending: with its dot and in lower case, or
    /// `without ending`.
    pub by_suffix: BTreeMap<String, usize>,
    /// What systems leave behind, by name; `._*` are the files in which a Mac keeps what other
    /// file systems cannot.
    pub leftovers: BTreeMap<String, usize>,
    /// Other hidden files and folders: their names begin with a dot.
    pub hidden: usize,
}

impl LeftOut {
    /// Counts `name` if it is hidden or what a system leaves behind; whether it is.
    pub(crate) fn passes_over(&mut self, name: &OsStr) -> bool {
        if let Some(leftover) = leftover(name) {
            *self.leftovers.entry(leftover).or_default() += 1;
            return true;
        }
        let hidden = name.as_encoded_bytes().starts_with(b".");
        // What programs keep beside images is nobody's loss.
        self.hidden += usize::from(hidden && name != crate::dataset::CACHE_FOLDER);
        hidden
    }

    /// Counts a file that is no image by its name.
    pub fn add_file(&mut self, name: &OsStr) {
        debug_assert!(!is_image(name));
        let suffix = match Path::new(name).extension() {
            Some(suffix) => format!(".{}", suffix.to_string_lossy().to_lowercase()),
            None => "without ending".to_owned(),
        };
        *self.by_suffix.entry(suffix).or_default() += 1;
    }

    /// Adds what was passed over elsewhere.
    pub fn add(&mut self, other: &LeftOut) {
        for (own, others) in
            [(&mut self.by_suffix, &other.by_suffix), (&mut self.leftovers, &other.leftovers)]
        {
            for (name, count) in others {
                *own.entry(name.clone()).or_default() += count;
            }
        }
        self.hidden += other.hidden;
    }

    /// Whether nothing was passed over.
    pub fn is_empty(&self) -> bool {
        *self == LeftOut::default()
    }
}

/// The format that images with this ending have, if it is not read.
fn unread(suffix: &str) -> Option<&'static str> {
    unread_format(OsStr::new(&format!("x{suffix}")))
}

/// What Windows calls the streams that say where a file came from, once they are files.
const ORIGIN: &[u8] = b":Zone.Identifier";

/// The name under which something that a system leaves behind is counted.
fn leftover(name: &OsStr) -> Option<String> {
    if name.as_encoded_bytes().starts_with(b"._") {
        return Some("._*".to_owned());
    }
    let text = name.to_str()?;
    // Asked of each of a million names: nothing is copied.
    let end = text.len().saturating_sub(ORIGIN.len());
    if text.as_bytes()[end..].eq_ignore_ascii_case(ORIGIN) {
        return Some("*:Zone.Identifier".to_owned());
    }
    let mut known = LEFTOVERS.iter().chain(&HIDDEN_LEFTOVERS);
    known.any(|known| known.eq_ignore_ascii_case(text)).then(|| text.trim_end_matches('\r').to_owned())
}

/// `3 .heic (HEIC, which is not read), 2 .txt, 4 left by systems (@eaDir, ._*)`.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |(suffix, count): (&String, &usize)| {
            let unread = unread(suffix).map(|format| format!(" ({format}, which is not read)"));
            format!("{} {}{}", grouped(count), printable(suffix), unread.unwrap_or_default())
        };
        let (unread, others): (Vec<_>, Vec<_>) =
            self.by_suffix.iter().partition(|(suffix, _)| unread(suffix).is_some());
        let kinds: Vec<String> = unread.into_iter().chain(others).map(kind).collect();
        let mut parts = if kinds.is_empty() { Vec::new() } else { vec![listed(&kinds, SHOWN)] };
        if !self.leftovers.is_empty() {
            let names: Vec<String> = self.leftovers.keys().map(|name| printable(name)).collect();
            let count: usize = self.leftovers.values().sum();
            parts.push(format!("{} left by systems ({})", grouped(count), listed(&names, SHOWN)));
        }
        if self.hidden > 0 {
            parts.push(format!("{} hidden", grouped(self.hidden)));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_leave_is_told_from_other_files() {
        let mut left_out = LeftOut::default();
        for name in ["@eaDir", "__MACOSX", "Thumbs.db", "._a.png", "._b.png", "$RECYCLE.BIN", "lost+found"] {
            assert!(left_out.passes_over(OsStr::new(name)), "{name}");
        }
        for name in [".git", ".hidden.png"] {
            assert!(left_out.passes_over(OsStr::new(name)), "{name}");
        }
        for name in ["a.png", "cats", "thumbs", "MACOSX"] {
            assert!(!left_out.passes_over(OsStr::new(name)), "{name}");
        }
        for name in ["a.HEIC", "notes.txt", "README"] {
            left_out.add_file(OsStr::new(name));
        }
        let mut twice = left_out.clone();
        twice.add(&left_out);
        assert_eq!(
            twice.to_string(),
            "2 .heic (HEIC, which is not read), 2 .txt, 2 without ending, \
             14 left by systems ($RECYCLE.BIN, ._*, @eaDir, Thumbs.db, __MACOSX, lost+found), 4 hidden"
        );
        assert!(LeftOut::default().is_empty());
    }
}
