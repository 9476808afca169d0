//! Which files count as images, by their names.

use std::ffi::OsStr;
use std::path::Path;

/// Endings (after the dot, in any case) of the files that count as images; `pbm`, `pgm`, `ppm` are
/// PNM's three kinds.
pub const SUFFIXES: [&str; 16] = [
    "jpg", "jpeg", "jpe", "jif", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "pnm", "pbm", "pgm",
    "ppm", "qoi",
];

/// For messages.
pub(super) fn suffix_list() -> String {
    SUFFIXES.join(" ")
}

/// Whether a file counts as an image by its name: it ends as [`SUFFIXES`] say.
pub fn is_image(name: &OsStr) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

/// Endings of images in formats that are not read: of phones and cameras, of the web, of editors.
const UNREAD: [&str; 28] = [
    "heic", "heif", "hif", "avif", "jp2", "j2k", "jpf", "jpx", "j2c", "jxl", "jxr", "psd", "psb", "cr2",
    "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "raw", "svg", "ico", "tga", "dds", "exr", "hdr",
];

/// Whether a file ends as images do in formats that are not read.
pub fn is_unread_image(name: &OsStr) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    suffix.is_some_and(|suffix| UNREAD.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}
