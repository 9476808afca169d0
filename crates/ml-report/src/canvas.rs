//! Strokes and text → a [`Figure`] of RGB pixels: what the images of metrics share.

use std::sync::OnceLock;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::Rectangle;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, register_font};

use super::fonts::{FONT, FONT_FILE, TextImage};
use super::labels::Label;
use super::pictures::encode_png;

/// RGB pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// `[height, width, 3]`, u8.
    pub rgb: Vec<u8>,
}

/// The plotting library's or the encoder's reason, which it gives for a defect only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FigureError(pub String);

impl Figure {
    /// The pixels as a PNG file.
    ///
    /// # Errors
    /// The encoder refuses.
    pub fn to_png(&self) -> Result<Vec<u8>, FigureError> {
        encode_png(&self.rgb, self.width, self.height).map_err(|error| FigureError(error.to_string()))
    }
}

/// Of labels and captions, in pixels.
pub(crate) const LABEL_SIZE: i32 = 15;
/// Of titles, in pixels.
pub(crate) const TITLE_SIZE: i32 = 18;
/// Between things that stand beside each other, in pixels.
pub(crate) const GAP: i32 = 8;

/// The background.
pub(crate) const WHITE: RGBColor = RGBColor(255, 255, 255);
/// Text and frames.
pub(crate) const INK: RGBColor = RGBColor(38, 38, 38);
/// Lines that stay behind what is shown.
pub(crate) const LINE: RGBColor = RGBColor(225, 225, 225);

/// Makes the built-in font known; whether that worked.
fn has_font() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, FONT_FILE).is_ok())
}

/// A figure of `width` by `height` pixels with what `paint` draws on white.
///
/// # Errors
/// The plotting library refuses.
pub(crate) fn draw(
    width: i32,
    height: i32,
    paint: impl FnOnce(&mut Canvas<'_>),
) -> Result<Figure, FigureError> {
    if !has_font() {
        return Err(FigureError("the built-in font is damaged".into()));
    }
    let (width, height) = (width as u32, height as u32);
    let mut rgb = vec![255; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width, height)).into_drawing_area();
        let mut canvas = Canvas { area, failed: None };
        paint(&mut canvas);
        if let Some(reason) = canvas.failed {
            return Err(FigureError(reason));
        }
        canvas.area.present().map_err(|error| FigureError(error.to_string()))?;
    }
    Ok(Figure { width, height, rgb })
}

/// Pixels that `text` takes in a line.
pub(crate) fn width_of(text: &str, size: i32) -> i32 {
    // Texts are measured before the first figure is drawn.
    if !has_font() {
        return 0;
    }
    let layout = (FONT, size).into_font().layout_box(text);
    // A font without a width for its text draws nothing either.
    layout.map_or(0, |((left, _), (right, _))| right - left)
}

/// Keeps the first error, so that drawing reads as a list of strokes.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
    failed: Option<String>,
}

impl Canvas<'_> {
    /// One pixel wide or high it has to be drawn unfilled: the library fills nothing then.
    pub fn rectangle(&mut self, from: (i32, i32), to: (i32, i32), color: RGBColor, filled: bool) {
        let style = if filled { color.filled() } else { color.stroke_width(1) };
        let drawn = self.area.draw(&Rectangle::new([from, to], style));
        self.note(drawn.map_err(|error| error.to_string()));
    }

    /// `turned`: read from below.
    pub fn text(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: i32,
        color: RGBColor,
        (h, v): (HPos, VPos),
        turned: bool,
    ) {
        let mut font = (FONT, size).into_font();
        if turned {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h, v));
        let drawn = self.area.draw_text(text, &style, at);
        self.note(drawn.map_err(|error| error.to_string()));
    }

    pub fn label(&mut self, label: &Label, at: (i32, i32), size: i32, pos: (HPos, VPos), turned: bool) {
        match label {
            Label::Plain(text) => self.text(text, at, size, INK, pos, turned),
            Label::Image(image) => self.image(image, at, pos, turned),
        }
    }

    /// Onto white.
    pub fn image(&mut self, image: &TextImage, at: (i32, i32), (h, v): (HPos, VPos), turned: bool) {
        let TextImage { width, height, .. } = *image;
        let along = match h {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let across = match v {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        for (x, y, [red, green, blue, opacity]) in image.pixels() {
            if opacity == 0 {
                continue;
            }
            let over_white = |value: u8| 255 - (u32::from(255 - value) * u32::from(opacity) / 255) as u8;
            let color = RGBColor(over_white(red), over_white(green), over_white(blue));
            let (x, y) = (along + x, across + y);
            // Read from below: the start of the text is at the bottom.
            let (x, y) = if turned { (y, -x) } else { (x, y) };
            let drawn = self.area.draw_pixel((at.0 + x, at.1 + y), &color);
            self.note(drawn.map_err(|error| error.to_string()));
        }
    }

    /// A pixel over what is there; `opacity` in 0 to 1.
    pub fn blend(&mut self, at: (i32, i32), color: RGBColor, opacity: f64) {
        let drawn = self.area.draw_pixel(at, &color.mix(opacity));
        self.note(drawn.map_err(|error| error.to_string()));
    }

    fn note(&mut self, drawn: Result<(), String>) {
        if let (Err(reason), None) = (drawn, &self.failed) {
            self.failed = Some(reason);
        }
    }
}
