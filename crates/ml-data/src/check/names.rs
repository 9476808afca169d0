//! Untrusted file names → text on one line.

use std::path::Path;

use crate::table::is_invisible;

/// A path as one line of text that stands for it alone: line breaks, other control and invisible
/// characters, invalid UTF-8 and backslashes are written as escapes (`\n`, `\u{202e}`, `\xff`,
/// `\\`).
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\n' | '\r' | '\t' => text.extend(c.escape_default()),
                c if c.is_control() || is_invisible(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn every_name_is_shown_on_one_line_and_no_two_alike() {
        let names: [&[u8]; 8] = [
            b"a b.jpg",
            b"a\nb",
            b"a\\nb",
            b"\xff",
            b"\\xff",
            "\u{202e}gpj".as_bytes(),
            b"\x1b[2J",
            "ü漢".as_bytes(),
        ];
        let shown: Vec<String> = names.iter().map(|name| shown(Path::new(OsStr::from_bytes(name)))).collect();
        let expected =
            ["a b.jpg", "a\\nb", "a\\\\nb", "\\xff", "\\\\xff", "\\u{202e}gpj", "\\u{1b}[2J", "ü漢"];
        assert_eq!(shown, expected);
    }
}
