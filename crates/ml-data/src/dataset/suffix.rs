//! Which files count as images, by their names.

use std::ffi::OsStr;
use std::path::Path;

/// Endings (after the dot, in any case) of the files that count as images; `pbm`, `pgm`, `ppm` are
/// PNM's three kinds.
pub const SUFFIXES: [&str; 13] =
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "pnm", "pbm", "pgm", "ppm", "qoi"];

/// For messages.
pub(super) fn suffix_list() -> String {
    SUFFIXES.join(" ")
}

/// Whether a file counts as an image by its name: it ends as [`SUFFIXES`] say.
pub fn is_image(name: &OsStr) -> bool {
    let suffix = Path::new(name).extension().and_then(OsStr::to_str);
    suffix.is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}
