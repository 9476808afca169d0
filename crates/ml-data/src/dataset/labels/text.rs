//! The bytes of a CSV, as spreadsheets and editors write them → UTF-8, with the fields' separator.

use std::borrow::Cow;

use crate::files::{EncodingError, decode_text};

/// UTF-8 without a byte order mark, not checked yet: each line that is none is named. UTF-16 with
/// a mark is decoded.
///
/// # Errors
/// UTF-16 that is damaged.
pub(super) fn utf8(bytes: &[u8]) -> Result<Cow<'_, [u8]>, EncodingError> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Ok(Cow::Owned(decode_text(bytes.to_vec())?.into_bytes()));
    }
    Ok(Cow::Borrowed(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)))
}

/// What separates fields: of comma, semicolon, tab and bar the one that the first line has most
/// often outside quotes.
pub(super) fn separator(text: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in text.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n')) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            byte => counts.iter_mut().filter(|(known, _)| known == byte).for_each(|(_, count)| *count += 1),
        }
    }
    // The first of the most frequent.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(byte, _)| *byte)
}

/// Blanks between a separator and a quote are left out (`a.png, "b, c"`), so that the quote
/// counts.
pub(super) fn without_blanks_at_quotes(text: Cow<'_, [u8]>, separator: u8) -> Cow<'_, [u8]> {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t' && separator != b'\t';
    let is_needed = |pair: &[u8]| blank(&pair[0]) && pair[1] == b'"' || pair[0] == b'"' && blank(&pair[1]);
    if !text.windows(2).any(is_needed) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut at_start, mut quoted) = (0, true, false);
    while let Some(&byte) = text.get(at) {
        if at_start && !quoted {
            let blanks = text[at..].iter().take_while(|byte| blank(byte)).count();
            if text.get(at + blanks) == Some(&b'"') {
                at += blanks + 1;
                out.push(b'"');
                (quoted, at_start) = (true, false);
                continue;
            }
        }
        at_start = false;
        match byte {
            b'"' if quoted && text.get(at + 1) == Some(&b'"') => {
                out.extend(*b"\"\"");
                at += 2;
                continue;
            }
            b'"' if quoted => {
                quoted = false;
                let blanks = text[at + 1..].iter().take_while(|byte| blank(byte)).count();
                let next = text.get(at + 1 + blanks);
                if next.is_none_or(|next| *next == separator || matches!(next, b'\r' | b'\n')) {
                    at += blanks;
                }
            }
            _ if quoted => {}
            b'\n' | b'\r' => at_start = true,
            byte => at_start = byte == separator,
        }
        out.push(byte);
        at += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_found_in_the_first_line() {
        for (text, expected) in [
            ("path,label\na;b;c", b','),
            ("path;label", b';'),
            ("path\tlabel", b'\t'),
            ("path|label", b'|'),
            ("\"a,b\";c\n", b';'),
            ("path\n", b','),
            ("\n\npath;label", b';'),
        ] {
            assert_eq!(separator(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn blanks_at_quotes_go_and_all_else_stays() {
        for (text, expected) in [
            ("a, \"b, c\" ,d\n", "a,\"b, c\",d\n"),
            ("\"x \"\" y\" , z", "\"x \"\" y\", z"),
            ("a b,c d\n", "a b,c d\n"),
            ("a 5\" pipe, b\n", "a 5\" pipe, b\n"),
            ("\"a\n \"\"b\", c", "\"a\n \"\"b\", c"),
        ] {
            let found = without_blanks_at_quotes(Cow::Borrowed(text.as_bytes()), b',');
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
        let tabs = "a\t\"b\t\"\tc";
        assert_eq!(&*without_blanks_at_quotes(Cow::Borrowed(tabs.as_bytes()), b'\t'), tabs.as_bytes());
    }

    #[test]
    fn utf_16_is_decoded() {
        let text = "path,label\nä,b";
        let units = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(order).collect()
        };
        for bytes in
            [units(u16::to_le_bytes), units(u16::to_be_bytes), [b"\xef\xbb\xbf", text.as_bytes()].concat()]
        {
            assert_eq!(&*utf8(&bytes).unwrap(), text.as_bytes());
        }
        assert!(utf8(b"\xff\xfea").unwrap_err().to_string().contains("UTF-8"));
    }
}
