//! Names of classes → labels that fit and that differ: names that cannot be drawn, or that would
//! look alike once they are shortened, are preceded by the number of their class, `#3`.

use std::collections::HashMap;
use std::sync::Once;

use super::fonts::{self, TextImage};

/// What is drawn for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Each character by itself, with the built-in font.
    Plain(String),
    /// Shaped text of any script.
    Image(TextImage),
}

/// How labels are measured and drawn.
pub(crate) struct LabelStyle<'a> {
    /// In pixels.
    pub size: i32,
    /// The widest label, in pixels.
    pub limit: i32,
    /// Of the text.
    pub color: (u8, u8, u8),
    /// Pixels that plain text takes at this size.
    pub width: &'a dyn Fn(&str) -> i32,
}

/// A label for each class, in the order of their numbers.
pub(crate) fn labels(names: &[String], style: &LabelStyle<'_>) -> Vec<Label> {
    let mut missing = Vec::new();
    let labels: Vec<Label> = names
        .iter()
        .enumerate()
        .map(|(class, name)| {
            style.label(&visible(name)).unwrap_or_else(|c| {
                missing.push(c);
                style.plain(&format!("#{class} {}", code_points(name)))
            })
        })
        .collect();
    if !missing.is_empty() {
        advise(&missing);
    }
    // A blank label says nothing either.
    let mut seen: HashMap<String, usize> = HashMap::new();
    let key = |label: &Label| match label {
        Label::Plain(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Label::Image(image) => format!("{}\0{:?}", image.width, image.rgba),
    };
    let keys: Vec<String> = labels.iter().map(key).collect();
    keys.iter().for_each(|key| *seen.entry(key.clone()).or_default() += 1);
    let is_clear = |key: &String| seen[key] == 1 && !key.is_empty();
    labels
        .into_iter()
        .zip(&keys)
        .enumerate()
        .map(
            |(class, (label, key))| {
                if is_clear(key) { label } else { numbered(class, &names[class], style) }
            },
        )
        .collect()
}

/// With the number of the class in front.
fn numbered(class: usize, name: &str, style: &LabelStyle<'_>) -> Label {
    let name = visible(name);
    let text = format!("#{class} {name}");
    style.label(text.trim_end()).unwrap_or_else(|_| style.plain(&format!("#{class} {}", code_points(&name))))
}

impl Label {
    /// Pixels that it takes in a line.
    pub fn width(&self, style: &LabelStyle<'_>) -> i32 {
        match self {
            Label::Plain(text) => (style.width)(text),
            Label::Image(image) => image.width,
        }
    }
}

impl LabelStyle<'_> {
    /// Cut with `…` where it would pass the limit; a character that no font has instead.
    fn label(&self, text: &str) -> Result<Label, char> {
        if fonts::is_simple(text) {
            return Ok(self.plain(text));
        }
        let draw = |text: &str| fonts::draw(text, self.size, self.color);
        let whole = draw(text)?;
        if whole.width <= self.limit {
            return Ok(Label::Image(whole));
        }
        // The longest beginning that fits: more characters are hardly ever narrower.
        let ends: Vec<usize> = text.char_indices().map(|(end, _)| end).take(200).collect();
        let cut = |count: usize| draw(&format!("{}…", text[..ends[count]].trim_end()));
        let (mut fits, mut too_long) = (0, ends.len());
        while too_long - fits > 1 {
            let middle = usize::midpoint(fits, too_long);
            if cut(middle)?.width <= self.limit { fits = middle } else { too_long = middle }
        }
        cut(fits).map(Label::Image)
    }

    fn plain(&self, text: &str) -> Label {
        if (self.width)(text) <= self.limit {
            return Label::Plain(text.to_owned());
        }
        let mut chars: Vec<char> = text.chars().take(200).collect();
        loop {
            chars.pop();
            let cut = format!("{}…", chars.iter().collect::<String>().trim_end());
            if chars.is_empty() || (self.width)(&cut) <= self.limit {
                return Label::Plain(cut);
            }
        }
    }
}

/// Without control characters and those that reorder others.
fn visible(name: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{61c}' | '\u{feff}' | '\u{ad}')
    };
    name.chars().filter(|c| !is_hidden(*c)).collect()
}

/// `U+732B U+72D7`.
fn code_points(name: &str) -> String {
    name.chars().map(|c| format!("U+{:04X}", u32::from(c))).collect::<Vec<_>>().join(" ")
}

/// Says, once, which fonts are missing.
fn advise(missing: &[char]) {
    static SAID: Once = Once::new();
    let mut packages: Vec<&str> = missing.iter().map(|c| package(*c)).collect();
    packages.sort_unstable();
    packages.dedup();
    SAID.call_once(|| {
        tracing::warn!(
            "images of metrics show classes by number and code points where no installed font has a character of \
             their name; to see the names, install fonts: apt-get install {}",
            packages.join(" ")
        );
    });
}

/// The package of Debian and Ubuntu with a font that has the character.
fn package(c: char) -> &'static str {
    match u32::from(c) {
        0x1100..=0x11ff
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7ff
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xffef
        | 0x2_0000..=0x3_ffff => "fonts-noto-cjk",
        0x2600..=0x27bf | 0x2b00..=0x2bff | 0x1_f000..=0x1_faff => "fonts-noto-color-emoji",
        _ => "fonts-noto-core",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(names: &[&str]) -> Vec<Label> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let width = |text: &str| 8 * text.chars().count() as i32;
        labels(&names, &LabelStyle { size: 15, limit: 160, color: (0, 0, 0), width: &width })
    }

    fn plain(text: &str) -> Label {
        Label::Plain(text.to_owned())
    }

    #[test]
    fn names_that_would_look_alike_are_numbered() {
        assert_eq!(drawn(&["a", "b c"]), [plain("a"), plain("b c")]);
        let long = ["a name of thirty characters, 1", "a name of thirty characters, 2"];
        let expected = [plain("#0 a name of thirty…"), plain("#1 a name of thirty…")];
        assert_eq!(drawn(&long), expected);
        assert_eq!(
            drawn(&["a\u{200b}", "a", " ", ""]),
            [plain("#0 a"), plain("#1 a"), plain("#2"), plain("#3")]
        );
    }

    #[test]
    fn a_name_that_no_font_has_is_shown_by_number_and_code_points() {
        // Not characters, so in no font.
        let labels = drawn(&["x", "\u{10fffe}\u{1fffe}", "\u{10fffe}\u{2fffe}"]);
        assert_eq!(labels, [plain("x"), plain("#1 U+10FFFE U+1FFFE"), plain("#2 U+10FFFE U+2FFFE")]);
    }

    #[test]
    fn the_built_in_font_shapes_arabic_from_right_to_left() {
        let width = |text: &str| match &drawn(&[text])[0] {
            Label::Image(image) => image.width,
            label @ Label::Plain(_) => panic!("{label:?}"),
        };
        // Letters that join are narrower than by themselves, and one after the other.
        let joined = width("\u{628}\u{628}\u{628}");
        assert!(joined > 0 && joined < width("\u{628}\u{200c}\u{628}\u{200c}\u{628}"), "{joined}");
        let (hebrew, reversed) = (drawn(&["\u{5d0}\u{5d1}"]), drawn(&["\u{5d1}\u{5d0}"]));
        assert_ne!(hebrew, reversed);
    }

    #[test]
    fn long_names_of_any_script_are_cut() {
        let Label::Image(image) = &drawn(&[&"\u{5d0}".repeat(100)])[0] else { panic!("no image") };
        assert!(image.width <= 160 && image.width > 100, "{}", image.width);
    }
}
