//! Names that are written differently and are, or look, the same.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::table::is_invisible;

/// Normalization form C, in which canonically equivalent names are equal: a Mac's file systems
/// and ZIP files write `é` as `e` and an accent, other systems as one character (Unicode Standard
/// Annex #15).
pub(crate) fn nfc(name: &str) -> Cow<'_, str> {
    if is_nfc(name) { Cow::Borrowed(name) } else { Cow::Owned(name.nfc().collect()) }
}

/// Equal for names that look the same: without blanks at the ends and characters that nobody
/// sees, in one form of letters of different scripts (Unicode Technical Standard #39) and of wide
/// and narrow ones (NFKC).
pub(crate) fn skeleton(name: &str) -> String {
    let visible: String = name.nfkc().filter(|c| !is_invisible(*c)).collect();
    let blank = |c: char| if c.is_whitespace() { ' ' } else { c };
    let visible: String = visible.trim().chars().map(blank).collect();
    unicode_security::skeleton(&visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_name_are_equal() {
        let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
        assert_ne!(composed, decomposed);
        assert_eq!(nfc(composed), nfc(decomposed));
        assert!(matches!(nfc("cat"), Cow::Borrowed("cat")));
    }

    #[test]
    fn names_that_look_the_same_have_one_skeleton() {
        for (a, b) in [
            ("caf\u{e9}", "cafe\u{301}"),
            // Latin and Cyrillic.
            ("cat", "\u{441}\u{430}t"),
            ("cat", "cat "),
            ("c\u{200b}at", "cat"),
            ("a\u{a0}b", "a b"),
            ("\u{ff21}", "A"),
        ] {
            assert_eq!(skeleton(a), skeleton(b), "{a:?} {b:?}");
        }
        for (a, b) in [("cat", "cut"), ("Cat", "cat"), ("猫", "狗"), ("a b", "ab")] {
            assert_ne!(skeleton(a), skeleton(b), "{a:?} {b:?}");
        }
    }
}
