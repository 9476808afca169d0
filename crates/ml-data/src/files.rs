//! What lies in a folder, where a path really leads, and what a text file says.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::left_out::LeftOut;

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

/// Why a path that starts with `~` leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// `HOME` is not set.
    #[error("`~` stands for the home folder, but HOME is not set; set it, or write the path in full")]
    Unset,
    /// `~user`.
    #[error(
        "`{0}` would be the home folder of another user, which is not looked up; write the path in full, or ./{0} for \
         a folder of that name"
    )]
    OtherUser(String),
}

/// A path in which `~` or a leading `~/` is `home`, as shells have it; others as they are. A folder
/// that is called `~` is `./~`.
///
/// # Errors
/// There is no `home`, or the path starts with `~user`.
pub fn expand_home_to(path: &Path, home: Option<&Path>) -> Result<PathBuf, HomeError> {
    let mut parts = path.components();
    match parts.next().map(std::path::Component::as_os_str) {
        Some(first) if first == "~" => {
            let home = home.filter(|home| !home.as_os_str().is_empty()).ok_or(HomeError::Unset)?;
            let rest = parts.as_path();
            Ok(if rest == Path::new("") { home.to_owned() } else { home.join(rest) })
        }
        Some(first) if first.as_encoded_bytes().starts_with(b"~") => {
            Err(HomeError::OtherUser(first.to_string_lossy().into_owned()))
        }
        _ => Ok(path.to_owned()),
    }
}

/// As [`expand_home_to`], to the folder that the variable `HOME` names.
///
/// # Errors
/// As there.
pub fn expand_home(path: &Path) -> Result<PathBuf, HomeError> {
    expand_home_to(path, home().as_deref())
}

/// The folder that the variable `HOME` names.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// A variable of the environment that a path seems to name, as `$NAME`, `${NAME}` or `%NAME%`: such
/// are not looked up.
pub fn variable_in(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let end_of_name =
        |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    for (start, sign) in text.match_indices(['$', '%']) {
        let rest = &text[start + 1..];
        let (inner, close) = match (sign, rest.strip_prefix('{')) {
            ("$", Some(inner)) => (inner, "}"),
            ("$", None) => (rest, ""),
            _ => (rest, "%"),
        };
        let name = &inner[..end_of_name(inner)];
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if is_name && inner[name.len()..].starts_with(close) {
            return Some(text[start..text.len() - inner.len() + name.len() + close.len()].to_owned());
        }
    }
    None
}

/// Why bytes are no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Of an older encoding, or no text at all.
    #[error(
        "line {line} is not UTF-8 (byte 0x{byte:02x}); if an editor wrote it in another encoding, such as Windows-1252, \
         save the file as UTF-8"
    )]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
        /// The first that is not.
        byte: u8,
    },
    /// UTF-16 without the mark that says so, or with half a character.
    #[error(
        "the file is UTF-16 (\"Unicode\" in Windows editors), and damaged or without a byte order mark; save it as UTF-8"
    )]
    Utf16,
}

/// Bytes of a text file as text: UTF-8, or UTF-16 if a byte order mark says so. The mark is left
/// out.
///
/// # Errors
/// Another encoding.
pub fn decode_text(bytes: Vec<u8>) -> Result<String, EncodingError> {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        let text = String::from_utf16(&units).map_err(|_| EncodingError::Utf16)?;
        if bytes.len().is_multiple_of(2) { Ok(text) } else { Err(EncodingError::Utf16) }
    };
    if let Some(bytes) = bytes.strip_prefix(b"\xff\xfe") {
        return units(bytes, u16::from_le_bytes);
    }
    if let Some(bytes) = bytes.strip_prefix(b"\xfe\xff") {
        return units(bytes, u16::from_be_bytes);
    }
    // Every other byte of Latin text is 0.
    if let [first, second, ..] = bytes[..]
        && (first == 0) != (second == 0)
    {
        return Err(EncodingError::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = 1 + memchr::memchr_iter(b'\n', &bytes[..good]).count();
        EncodingError::NotUtf8 { line, byte: bytes.get(good).copied().unwrap_or_default() }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The text of a file, decoded as by [`decode_text`].
///
/// # Errors
/// The file cannot be read, or [`EncodingError`] as its cause.
pub fn read_text(path: &Path) -> io::Result<String> {
    decode_text(fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its path.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name in a folder stands for, as far as the folder itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link, to whatever it leads.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What lies in `folder`, sorted bytewise by name, without what is hidden and what systems leave
/// behind. No file's status is read, so that folders of a million images are listed at once.
///
/// # Errors
/// The folder cannot be listed.
pub fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    list(folder, &mut LeftOut::default())
}

/// As [`entries`]; what is passed over is counted in `left_out`.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(folder: &Path, left_out: &mut LeftOut) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if left_out.passes_over(&name) {
            continue;
        }
        let file_type = entry.file_type()?;
        let kind = if file_type.is_dir() {
            EntryKind::Folder
        } else if file_type.is_file() {
            EntryKind::File
        } else if file_type.is_symlink() {
            EntryKind::Link
        } else {
            EntryKind::Other
        };
        found.push(Entry { name, kind });
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_tilde_is_the_home_folder_and_others_are_left() {
        let home = Path::new("/home/u");
        for (path, expanded) in [
            ("~", "/home/u"),
            ("~/", "/home/u"),
            ("~/x/y", "/home/u/x/y"),
            ("./~/x", "./~/x"),
            ("a/~", "a/~"),
            ("", ""),
            ("x~", "x~"),
        ] {
            assert_eq!(expand_home_to(Path::new(path), Some(home)), Ok(PathBuf::from(expanded)), "{path}");
        }
        for home in [None, Some(Path::new(""))] {
            assert_eq!(expand_home_to(Path::new("~/x"), home), Err(HomeError::Unset));
            assert_eq!(expand_home_to(Path::new("x"), home), Ok(PathBuf::from("x")));
        }
        let other = expand_home_to(Path::new("~ann/x"), Some(home)).unwrap_err();
        assert_eq!(other, HomeError::OtherUser("~ann".to_owned()));
    }

    #[test]
    fn variables_of_the_environment_are_found_in_paths() {
        for (path, variable) in [
            ("$HOME/x", Some("$HOME")),
            ("a/${DATA_2}/x", Some("${DATA_2}")),
            ("%USERPROFILE%\\x", Some("%USERPROFILE%")),
            ("a$", None),
            ("100 %", None),
            ("5%/6%", None),
            ("$1", None),
            ("${x", None),
            ("", None),
        ] {
            assert_eq!(variable_in(Path::new(path)).as_deref(), variable, "{path}");
        }
    }

    #[test]
    fn text_of_windows_editors_is_decoded_or_the_encoding_is_reported() {
        let text = "a: é\n";
        let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect()
        };
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [text.into(), marked, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
            assert_eq!(decode_text(bytes).unwrap(), text);
        }
        let error = EncodingError::NotUtf8 { line: 2, byte: 0xe9 };
        assert_eq!(decode_text(b"a: b\nc: \xe9\n".to_vec()), Err(error));
        for damaged in [&b"a\0:\0"[..], b"\0a\0:", b"\xff\xfea", b"\xff\xfe\0\xd8"] {
            assert_eq!(decode_text(damaged.to_vec()), Err(EncodingError::Utf16));
        }
        assert_eq!(decode_text(Vec::new()).unwrap(), "");
    }

    #[test]
    fn a_folder_is_listed_in_order_without_hidden_names_and_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a.png", ".hidden"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("A")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let found = entries(dir.path()).unwrap();
        let found: Vec<_> = found.iter().map(|entry| (entry.name.to_str().unwrap(), entry.kind)).collect();
        let expected = [
            ("A", EntryKind::Folder),
            ("a.png", EntryKind::File),
            ("b", EntryKind::File),
            ("link", EntryKind::Link),
        ];
        assert_eq!(found, expected);
        assert!(entries(&dir.path().join("missing")).is_err());
    }
}
