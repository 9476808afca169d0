//! Text in any script → its pixels, with the fonts of the system where the built-in one lacks a
//! character.
//!
//! The built-in font (`DejaVu` Sans) has Latin, Greek, Cyrillic, Arabic, Hebrew and some more, so that
//! images with such names are the same on every machine. The system's fonts are looked for only
//! when a character is not in it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cosmic_text::fontdb::{Database, ID, Source};
use cosmic_text::{
    Attrs, Buffer, Color, Family, Font, FontSystem, Metrics, Shaping, SwashCache, Weight, Wrap,
};

/// The name of the built-in font.
pub(crate) const FONT: &str = "DejaVu Sans";
/// The built-in font.
pub(crate) static FONT_FILE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/DejaVuSans.ttf"));

/// A line of text as pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextImage {
    /// In pixels.
    pub width: i32,
    /// In pixels.
    pub height: i32,
    /// `[height, width, 4]`, red, green, blue and opacity, u8.
    pub rgba: Vec<u8>,
}

/// Draws a line of text in `color`, shaped and in reading order, `size` pixels high; the first
/// character that no font has instead, if there is one.
pub(crate) fn draw(text: &str, size: i32, color: (u8, u8, u8)) -> Result<TextImage, char> {
    static FONTS: OnceLock<Mutex<Fonts>> = OnceLock::new();
    let fonts = FONTS.get_or_init(|| Mutex::new(Fonts::new()));
    fonts.lock().unwrap_or_else(PoisonError::into_inner).draw(text, size, color)
}

/// Whether each character looks the same, drawn by itself with the built-in font: there is nothing
/// to shape and no reading order.
pub(crate) fn is_simple(text: &str) -> bool {
    // All of these are in it.
    let is_simple = |c: char| {
        matches!(c, ' '..='~' | '\u{a0}'..='\u{ac}' | '\u{ae}'..='\u{24f}'
        | '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3ff}' | '\u{400}'..='\u{482}' | '\u{48a}'..='\u{4ff}'
        | '\u{1e00}'..='\u{1efb}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{20ac}' | '\u{2190}'..='\u{21ff}')
    };
    text.chars().all(is_simple)
}

/// Characters that change others and need no glyph of their own: joiners and the choice between text
/// and emoji.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// The fonts that are loaded.
struct Fonts {
    built_in: FontSystem,
    /// With the built-in one as the first, once it was needed.
    system: Option<FontSystem>,
    images: SwashCache,
}

impl Fonts {
    fn new() -> Fonts {
        Fonts { built_in: font_system(false), system: None, images: SwashCache::new() }
    }

    fn draw(&mut self, text: &str, size: i32, color: (u8, u8, u8)) -> Result<TextImage, char> {
        let Fonts { built_in, system, images } = self;
        if missing(built_in, text).is_none() {
            // Glyphs of one set of fonts are unknown to another.
            let drawn = image(built_in, &mut SwashCache::new(), text, size, color);
            return drawn.ok_or_else(|| text.chars().next().unwrap_or(' '));
        }
        let system = system.get_or_insert_with(|| font_system(true));
        match missing(system, text) {
            Some(missing) => Err(missing),
            None => {
                image(system, images, text, size, color).ok_or_else(|| text.chars().next().unwrap_or(' '))
            }
        }
    }
}

fn font_system(with_system_fonts: bool) -> FontSystem {
    let mut fonts = Database::new();
    fonts.load_font_source(Source::Binary(Arc::new(FONT_FILE)));
    if with_system_fonts {
        fonts.load_system_fonts();
    }
    // The language decides between the Chinese, Japanese and Korean forms of a character.
    let language = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(value.split('.').next().unwrap_or_default().replace('_', "-"))
    });
    let language = language.unwrap_or_default();
    // The names of fonts are looked for by language alone, but for Chinese.
    let locale = match language.split('-').next() {
        Some(short @ ("ja" | "ko")) => short.to_owned(),
        _ => language,
    };
    FontSystem::new_with_locale_and_db(locale, fonts)
}

/// The first character of `text` that no font has.
fn missing(fonts: &mut FontSystem, text: &str) -> Option<char> {
    let faces: Vec<ID> = fonts.db().faces().map(|face| face.id).collect();
    text.chars().find(|c| {
        let mut has = |id: &ID| {
            let font: Option<Arc<Font>> = fonts.get_font(*id, Weight::NORMAL);
            font.is_some_and(|font| font.as_swash().charmap().map(*c) != 0)
        };
        !is_joiner(*c) && !faces.iter().any(&mut has)
    })
}

/// None if a glyph is missing all the same.
fn image(
    fonts: &mut FontSystem,
    images: &mut SwashCache,
    text: &str,
    size: i32,
    (red, green, blue): (u8, u8, u8),
) -> Option<TextImage> {
    // The built-in font's numbers count the height of a line, these the letters' own size.
    let (em, height) = (size as f32 * 0.92, (size * 3 + 1) / 2);
    let mut buffer = Buffer::new(fonts, Metrics::new(em, height as f32));
    buffer.set_wrap(Wrap::None);
    buffer.set_size(None, None);
    buffer.set_text(text, &Attrs::new().family(Family::Name(FONT)), Shaping::Advanced, None);
    buffer.shape_until_scroll(fonts, false);
    let run = buffer.layout_runs().next()?;
    if run
        .glyphs
        .iter()
        .any(|glyph| glyph.glyph_id == 0 && !text[glyph.start..glyph.end].chars().all(is_joiner))
    {
        return None;
    }
    // From right to left a line need not begin at 0.
    let left = run.glyphs.iter().map(|glyph| glyph.x).fold(f32::INFINITY, f32::min);
    let right = run.glyphs.iter().map(|glyph| glyph.x + glyph.w).fold(f32::NEG_INFINITY, f32::max);
    let width = ((right - left).ceil() as i32 + 1).clamp(1, 1 << 14);
    let mut drawn = TextImage { width, height, rgba: vec![0; (width * height * 4) as usize] };
    for glyph in run.glyphs {
        let placed = glyph.physical((-left, run.line_y), 1.0);
        images.with_pixels(fonts, placed.cache_key, Color::rgb(red, green, blue), |x, y, color| {
            drawn.blend(placed.x + x, placed.y + y, color.as_rgba());
        });
    }
    Some(drawn)
}

impl TextImage {
    /// Glyphs may overlap: the more opaque pixel stays.
    fn blend(&mut self, x: i32, y: i32, pixel: [u8; 4]) {
        if (0..self.width).contains(&x) && (0..self.height).contains(&y) {
            let start = ((y * self.width + x) * 4) as usize;
            if pixel[3] > self.rgba[start + 3] {
                self.rgba[start..start + 4].copy_from_slice(&pixel);
            }
        }
    }

    /// Its pixels, with their places.
    pub fn pixels(&self) -> impl Iterator<Item = (i32, i32, [u8; 4])> {
        let width = self.width;
        (0..).zip(self.rgba.chunks_exact(4)).map(move |(place, pixel): (i32, _)| {
            (place % width, place / width, [pixel[0], pixel[1], pixel[2], pixel[3]])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_font_has_all_that_is_called_simple() {
        let mut fonts = font_system(false);
        let simple = (0..=0x2_ffff).filter_map(char::from_u32).filter(|c| is_simple(&c.to_string()));
        let lacking: Vec<String> = simple
            .filter(|c| missing(&mut fonts, &c.to_string()).is_some())
            .map(|c| format!("{:x}", u32::from(c)))
            .collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}
