//! What decoders say → words for users: one line, without the names of types and values of the
//! decoder's own code.

use std::fmt;

/// What is said where a decoder's words are of use only to its authors.
const GENERIC: &str = "its data break the format's rules";

/// What is said of a kind of image that is not read.
const UNSUPPORTED: &str = "it is of a kind that is not read";

/// The first line of what a decoder says; a general reason where that is debugging output.
pub(super) fn plain(words: &impl fmt::Display) -> String {
    let words = words.to_string();
    let line = words.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    let (line, general) = match line.split_once(" does not support the ") {
        Some((_, what)) => (what.strip_prefix("format features ").unwrap_or(what), UNSUPPORTED),
        None => (line, GENERIC),
    };
    // The format is named already.
    let line = match line.split_once(": ") {
        Some((head, rest)) if head.to_ascii_lowercase().starts_with("format error") => rest,
        _ => line,
    };
    if line.is_empty() || is_debug_output(line) { general.to_owned() } else { line.to_owned() }
}

/// Whether a line holds a path, a type's name or a value as Rust's `{:?}` writes them.
pub(super) fn is_debug_output(line: &str) -> bool {
    let has_sign =
        ["{", "}", "::", "[", "]", "`", "\\", "\"", "()", "&&", "=="].iter().any(|sign| line.contains(sign));
    has_sign
        || line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '(').any(|word| {
            let name = word.split('(').next().unwrap_or_default();
            is_value_of_type(name, word.len() > name.len()) || is_identifier(name)
        })
}

/// `Some(`, `Error(`.
fn is_value_of_type(name: &str, has_argument: bool) -> bool {
    has_argument && name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// `CamelCase` or `snake_case`; names of formats and their chunks (`WebP`, `iCCP`, `VP8X`) are
/// not.
fn is_identifier(word: &str) -> bool {
    const NAMES: [&str; 14] = [
        "ICCP", "eXIf", "tRNS", "sBIT", "gAMA", "cHRM", "fcTL", "fdAT", "fDAT", "acTL", "WebP", "BigTIFF",
        "OpenEXR", "libjpeg",
    ];
    if NAMES.contains(&word) {
        return false;
    }
    let pairs = word.as_bytes().windows(2);
    let humps = pairs.filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()).count();
    humps > 0 || word.contains('_')
}
