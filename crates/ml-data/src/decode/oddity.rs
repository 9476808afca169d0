//! Images that decoding makes nearly black, or of one colour, because their content is where it is
//! not looked for.

use std::fmt;

use image::DynamicImage;

/// Why a sound image shows little or nothing once it is 8-bit RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// Its 16-bit channels use the lower bits only, of which the high byte keeps almost nothing.
    NarrowRange {
        /// Bits of the largest value, 1 to 12.
        bits: u32,
    },
    /// All pixels have one colour, and differ in alpha, which is dropped.
    OnlyAlpha,
}

impl fmt::Display for Oddity {
    /// What it is and what to do, without a subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::NarrowRange { bits } => write!(
                f,
                "only {bits} of 16 bits are used, so the image is nearly black; \
                 scale its values to the full range first"
            ),
            Oddity::OnlyAlpha => f.write_str(
                "all of its content is in the alpha channel, which is dropped; \
                 flatten it onto a background first",
            ),
        }
    }
}

/// Values of more bits than this are visible in the high byte.
const NARROW_BITS: u32 = 12;

/// What is seen of an image's samples on the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observer {
    /// All 16-bit samples of colour, joined by OR.
    joined: Option<u16>,
    first: Option<([u8; 3], u8)>,
    color_varies: bool,
    alpha_varies: bool,
}

impl Observer {
    /// 16-bit samples; `is_color` of a sample's number.
    pub fn see_16_bits(&mut self, samples: impl Iterator<Item = u16>, is_color: impl Fn(usize) -> bool) {
        // Most images use their high bits: little is looked at.
        if self.joined.is_some_and(|joined| joined >> NARROW_BITS != 0) {
            return;
        }
        let colors = samples.enumerate().filter(|(i, _)| is_color(*i)).map(|(_, value)| value);
        self.joined = Some(colors.fold(self.joined.unwrap_or(0), |joined, value| joined | value));
    }

    /// A pixel with alpha.
    pub fn see_alpha(&mut self, color: [u8; 3], alpha: u8) {
        if self.color_varies {
            return;
        }
        let (first_color, first_alpha) = *self.first.get_or_insert((color, alpha));
        self.color_varies = color != first_color;
        self.alpha_varies |= alpha != first_alpha;
    }

    /// A decoded image, not yet converted to 8-bit RGB. Others than those of 16 bits or with alpha
    /// cost nothing.
    pub fn see(&mut self, image: &DynamicImage) {
        match image {
            DynamicImage::ImageLumaA8(grey) => self.see_pixels(grey.as_raw(), 2, |value| value),
            DynamicImage::ImageRgba8(rgba) => self.see_pixels(rgba.as_raw(), 4, |value| value),
            DynamicImage::ImageLuma16(grey) => self.see_16_bits(grey.iter().copied(), |_| true),
            DynamicImage::ImageRgb16(rgb) => self.see_16_bits(rgb.iter().copied(), |_| true),
            DynamicImage::ImageLumaA16(grey) => {
                self.see_16_bits(grey.iter().copied(), |i| i % 2 == 0);
                self.see_pixels(grey.as_raw(), 2, |value| (value >> 8) as u8);
            }
            DynamicImage::ImageRgba16(rgba) => {
                self.see_16_bits(rgba.iter().copied(), |i| i % 4 != 3);
                self.see_pixels(rgba.as_raw(), 4, |value| (value >> 8) as u8);
            }
            _ => {}
        }
    }

    fn see_pixels<T: Copy>(&mut self, samples: &[T], channels: usize, to_u8: impl Fn(T) -> u8) {
        for pixel in samples.chunks_exact(channels) {
            if self.color_varies {
                return;
            }
            let color = if channels == 2 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
            self.see_alpha(color.map(&to_u8), to_u8(pixel[channels - 1]));
        }
    }

    /// What is odd about the image, all of which was seen.
    pub fn oddity(&self) -> Option<Oddity> {
        match self.joined {
            Some(joined @ 1..) if joined >> NARROW_BITS == 0 => {
                Some(Oddity::NarrowRange { bits: joined.ilog2() + 1 })
            }
            _ if self.first.is_some() && self.alpha_varies && !self.color_varies => Some(Oddity::OnlyAlpha),
            _ => None,
        }
    }
}
