//! Where a path really leads.

use std::io;
use std::path::{Path, PathBuf};

/// A path that need not exist, absolute, with links resolved as far as it does.
///
/// # Errors
/// The current folder is not known.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        if let Ok(real) = there.canonicalize() {
            let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
            return Ok(if rest == Path::new("") { real } else { real.join(rest) });
        }
    }
    Ok(path)
}
