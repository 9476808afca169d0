//! A folder of class folders → its files, past whatever is wrong on the way. Hidden names
//! are ignored and links to folders followed, as the listing for training does.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::finding::Kind;
use super::listing::{File, Listing};
use crate::dataset::{REPORT_FILES, SPLITS_FOLDER, is_image};
use crate::decode;
use crate::decode::foreign::{self, Foreign};
use crate::files::{Entry, EntryKind, list};

/// What a name in a folder leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Folder {
        linked: bool,
    },
    File,
    DanglingLink,
    LinkLoop,
    /// A pipe, a socket, a device.
    Other,
}

impl Target {
    fn of(folder: &Path, Entry { name, kind }: &Entry) -> Target {
        match kind {
            EntryKind::Folder => Target::Folder { linked: false },
            EntryKind::File => Target::File,
            EntryKind::Other => Target::Other,
            EntryKind::Link => match fs::metadata(folder.join(name)) {
                Ok(target) if target.is_dir() => Target::Folder { linked: true },
                Ok(target) if target.is_file() => Target::File,
                Ok(_) => Target::Other,
                Err(error) if error.kind() == ErrorKind::NotFound => Target::DanglingLink,
                // A link to itself, in so many words (`FilesystemLoop` is not yet stable).
                Err(error) if error.raw_os_error() == Some(40) => Target::LinkLoop,
                // Reading it will say why.
                Err(_) => Target::File,
            },
        }
    }
}

/// Lists the class folders in `images` (relative to the root), which is the split `split` if that
/// is given.
pub(super) fn images(listing: &mut Listing, images: &Path, split: Option<u32>) {
    let folder = listing.root.join(images);
    let found = match list(&folder, &mut listing.left_out) {
        Ok(found) => found,
        Err(error) => return listing.find(Kind::UnreadableFolder, images, error.to_string()),
    };
    // Beside class folders, `splits` holds index files; below `raw` or a split it would be a class,
    // which is refused there.
    for entry in found {
        let target = Target::of(&folder, &entry);
        let name = entry.name;
        let path = images.join(&name);
        match target {
            Target::Folder { .. } if name == SPLITS_FOLDER => {
                if images != Path::new("") {
                    let message =
                        "`splits` is reserved for index files and cannot be a class; rename the folder";
                    listing.find(Kind::BadName, &path, message);
                }
            }
            Target::Folder { .. } => {
                check_name(listing, &path, &name);
                let class = listing.class(&name, &path);
                let mut walk = Walk { listing, class, split, seen: HashSet::new(), above: Vec::new() };
                walk.enter(&folder);
                walk.folder(&path, target);
            }
            Target::File if is_image(&name) => {
                listing.find(Kind::NoClass, &path, "lies beside the class folders, in none of them");
            }
            Target::File if REPORT_FILES.iter().any(|report| name == *report) => {}
            _ => other_file(listing, &path, target),
        }
    }
}

/// One class of one split.
struct Walk<'a> {
    listing: &'a mut Listing,
    class: u32,
    split: Option<u32>,
    /// Real paths of the folders listed for this class: none is listed twice, so that links cannot
    /// multiply them.
    seen: HashSet<PathBuf>,
    /// Real paths of the folders on the way here.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path) {
        // What has no real path cannot be listed either, which is reported then.
        self.above.extend(folder.canonicalize());
    }

    /// Lists the folder at `relative` and what is below it.
    fn folder(&mut self, relative: &Path, target: Target) {
        let path = self.listing.root.join(relative);
        let left_out = &mut self.listing.left_out;
        let listed = path.canonicalize().and_then(|real| Ok((real, list(&path, left_out)?)));
        let (real, found) = match listed {
            Ok(listed) => listed,
            Err(error) => return self.listing.find(Kind::UnreadableFolder, relative, error.to_string()),
        };
        let linked = target == Target::Folder { linked: true };
        if linked && self.above.iter().any(|above| above.starts_with(&real)) {
            return self.listing.find(
                Kind::LinkLoop,
                relative,
                "the link leads back to a folder that contains it",
            );
        }
        if !self.seen.insert(real.clone()) {
            let message = "its images are listed already, by another way to the same folder";
            return self.listing.find(Kind::FolderTwice, relative, message);
        }
        self.above.push(real);
        for entry in found {
            let target = Target::of(&path, &entry);
            let name = entry.name;
            let path = relative.join(&name);
            match target {
                Target::Folder { .. } => {
                    check_name(self.listing, &path, &name);
                    self.folder(&path, target);
                }
                Target::File if is_image(&name) => {
                    check_name(self.listing, &path, &name);
                    self.listing.files.push(File {
                        path,
                        class: self.class,
                        labels: Vec::new(),
                        split: self.split,
                    });
                }
                _ => other_file(self.listing, &path, target),
            }
        }
        self.above.pop();
    }
}

/// A name must fit on a line of an index file.
fn check_name(listing: &mut Listing, path: &Path, name: &OsStr) {
    match name.to_str() {
        None => listing.find(Kind::BadName, path, "the name is not valid UTF-8; rename it"),
        Some(text) if text.contains(['\n', '\r']) => {
            listing.find(Kind::BadName, path, "the name contains a line break; rename it");
        }
        Some(_) => {}
    }
}

/// What is neither a folder nor an image by its name.
fn other_file(listing: &mut Listing, path: &Path, target: Target) {
    match target {
        Target::DanglingLink => listing.find(Kind::DanglingLink, path, "is a link that leads nowhere"),
        Target::LinkLoop => listing.find(Kind::LinkLoop, path, "is a link that leads back to itself"),
        Target::File => match sniff(&listing.root.join(path)) {
            Some(message) => listing.find(Kind::IgnoredImage, path, message),
            None => listing.find(Kind::IgnoredFile, path, "is no image by its name"),
        },
        Target::Other => {
            let image = path.file_name().is_some_and(is_image);
            let kind = if image { Kind::Unreadable } else { Kind::IgnoredFile };
            listing.find(kind, path, "is a pipe, a socket or a device");
        }
        Target::Folder { .. } => {}
    }
}

/// What is to be said of a file that is an image by its content, read or not.
fn sniff(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(4096).read_to_end(&mut start).ok()?;
    if let Some(format) = decode::recognize(&start) {
        let name = format.name();
        return Some(format!("is a {name} file by its content, and not used because of its name"));
    }
    let Foreign { name, advice, .. } =
        foreign::recognize(&start).filter(|found| found.kind == foreign::Kind::Image)?;
    Some(format!("is {name}, which is not supported; {advice}"))
}
