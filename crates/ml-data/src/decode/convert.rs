//! What a decoder gives (grey, alpha, 16 bits) → 8-bit RGB.

use image::{DynamicImage, ImageBuffer, ImageFormat, RgbImage};

use super::error::{self, DecodeProblem};

/// Drops alpha, repeats grey, keeps the high byte of 16 bits.
pub(super) fn to_rgb8(format: ImageFormat, image: DynamicImage) -> Result<RgbImage, DecodeProblem> {
    let (width, height) = (image.width(), image.height());
    let data = match image {
        DynamicImage::ImageRgb8(rgb) => return Ok(rgb),
        DynamicImage::ImageLuma8(grey) => repeat(grey.as_raw(), 1, |v| v),
        DynamicImage::ImageLumaA8(grey) => repeat(grey.as_raw(), 2, |v| v),
        DynamicImage::ImageRgba8(rgba) => first_three(rgba.as_raw(), 4, |v| v),
        DynamicImage::ImageLuma16(grey) => repeat(grey.as_raw(), 1, high_byte),
        DynamicImage::ImageLumaA16(grey) => repeat(grey.as_raw(), 2, high_byte),
        DynamicImage::ImageRgb16(rgb) => first_three(rgb.as_raw(), 3, high_byte),
        DynamicImage::ImageRgba16(rgba) => first_three(rgba.as_raw(), 4, high_byte),
        _ => {
            return Err(DecodeProblem::Unsupported {
                format: error::name(format),
                reason: "its pixels are floating-point numbers".to_owned(),
            });
        }
    };
    // The buffers above are `width * height` pixels long by construction.
    ImageBuffer::from_raw(width, height, data).ok_or_else(|| DecodeProblem::Damaged {
        format: error::name(format),
        reason: "its pixels do not fill its size".into(),
    })
}

/// Ink as JPEG files hold it (inverted: 255 is none, Adobe's convention, which Pillow assumes of
/// all files), 4 bytes a pixel → RGB, 3 bytes a pixel: `(255 - ink) * (255 - black) / 255`,
/// rounded.
pub(super) fn cmyk_to_rgb(inverted: &[u8]) -> Vec<u8> {
    let (all, _) = inverted.as_chunks::<4>();
    all.iter().flat_map(|pixel| cmyk_pixel(*pixel)).collect()
}

/// As [`cmyk_to_rgb`], of one pixel.
pub(super) fn cmyk_pixel([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| scaled(ink, k))
}

/// `a * b / 255`, rounded.
fn scaled(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

fn repeat<T: Copy>(samples: &[T], channels: usize, to_u8: impl Fn(T) -> u8) -> Vec<u8> {
    samples.chunks_exact(channels).flat_map(|pixel| [to_u8(pixel[0]); 3]).collect()
}

fn first_three<T: Copy>(samples: &[T], channels: usize, to_u8: impl Fn(T) -> u8) -> Vec<u8> {
    samples.chunks_exact(channels).flat_map(|p| [to_u8(p[0]), to_u8(p[1]), to_u8(p[2])]).collect()
}
