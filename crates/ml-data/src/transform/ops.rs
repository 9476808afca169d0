//! Geometry without randomness: pixels and parameters → pixels, as torchvision does it to a PIL
//! image.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::interpolation::Interpolation;
use crate::decode::Pixels;
pub use crate::geometry::Area;
use crate::geometry::Size;

/// Resizes to `size`, with antialiasing (except nearest): Pillow's `Image.resize` to within
/// rounding.
pub fn resize(pixels: Pixels, size: Size, interpolation: Interpolation) -> Pixels {
    if Size::of(&pixels) == size {
        return pixels;
    }
    resized_crop(&pixels, Area::whole(Size::of(&pixels)), size, interpolation)
}

/// Cuts `area` out (it must lie within the image) and resizes it to `size`. Pixels outside `area`
/// have no influence, as after a crop.
pub fn resized_crop(pixels: &Pixels, area: Area, size: Size, interpolation: Interpolation) -> Pixels {
    if area.size == size {
        return crop(pixels, i64::from(area.top), i64::from(area.left), size, 0);
    }
    resampled(pixels, size, |source, out| {
        let Area { top, left, size: Size { height, width } } = area;
        let part = TypedCroppedImage::new(source, left, top, width, height).map_err(|e| e.to_string())?;
        let options = options(interpolation);
        let mut resizer = Resizer::new();
        // The library does columns first, which is faster; Pillow does rows first. Where a filter
        // overshoots, the cut to 0..=255 between the two makes the order visible.
        if !matches!(interpolation, Interpolation::Bicubic | Interpolation::Lanczos) {
            return resizer.resize_typed(&part, out, &options).map_err(|e| e.to_string());
        }
        let mut rows = TypedImage::<U8x3>::new(size.width, height);
        resizer.resize_typed(&part, &mut rows, &options).map_err(|e| e.to_string())?;
        resizer.resize_typed(&rows, out, &options).map_err(|e| e.to_string())
    })
}

/// A part of an image whose edges may lie between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// In pixels, from the upper edge.
    pub top: f64,
    /// In pixels, from the left edge.
    pub left: f64,
    /// In pixels, above 0.
    pub height: f64,
    /// In pixels, above 0.
    pub width: f64,
}

/// Resizes a window, which must lie within the image, to `size`, as the `box` of Pillow's
/// `Image.resize`: pixels just outside of it have some influence at its edges.
pub fn resized_window(pixels: &Pixels, window: Window, size: Size, interpolation: Interpolation) -> Pixels {
    let Window { top, left, height, width } = window;
    let options = options(interpolation).crop(left, top, width, height);
    resampled(pixels, size, |source, out| {
        Resizer::new().resize_typed(&source, out, &options).map_err(|e| e.to_string())
    })
}

/// An image of `size` that `resample` makes of `pixels`. Only the code for three bytes a pixel is
/// compiled: the library's untyped images would bring all its kinds.
fn resampled(
    pixels: &Pixels,
    size: Size,
    resample: impl FnOnce(TypedImageRef<U8x3>, &mut TypedImage<U8x3>) -> Result<(), String>,
) -> Pixels {
    let Size { height, width } = size;
    let mut data = vec![0; width as usize * height as usize * 3];
    let into = || {
        let source = TypedImageRef::from_buffer(pixels.width, pixels.height, &pixels.data)
            .map_err(|e| e.to_string())?;
        let mut out = TypedImage::from_buffer(width, height, &mut data).map_err(|e| e.to_string())?;
        resample(source, &mut out)
    };
    // Fails only for buffers of a wrong length or an area outside the image; black is then the
    // result.
    let resized = into();
    debug_assert!(resized.is_ok(), "{resized:?}");
    Pixels { width, height, data }
}

fn options(interpolation: Interpolation) -> ResizeOptions {
    ResizeOptions::new().resize_alg(algorithm(interpolation)).use_alpha(false)
}

fn algorithm(interpolation: Interpolation) -> ResizeAlg {
    match interpolation {
        Interpolation::Nearest => ResizeAlg::Nearest,
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        // Catmull-Rom is the cubic with a = -0.5, which Pillow calls bicubic.
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    }
}

/// Cuts `size` out at (`top`, `left`), which may lie outside the image: what is not there gets the
/// value `fill`.
pub fn crop(pixels: &Pixels, top: i64, left: i64, size: Size, fill: u8) -> Pixels {
    if (top, left) == (0, 0) && size == Size::of(pixels) {
        return pixels.clone();
    }
    let data = vec![fill; size.width as usize * 3 * size.height as usize];
    crop_onto(data, pixels, top, left, size)
}

/// Pads to `size`, which must not be smaller, on both sides alike: where an odd number of pixels is
/// missing, one more below or to the right.
pub fn pad(pixels: Pixels, size: Size, fill: [u8; 3]) -> Pixels {
    if size == Size::of(&pixels) {
        return pixels;
    }
    let data = fill.repeat(size.width as usize * size.height as usize);
    let (top, left) = center(Size::of(&pixels), size);
    crop_onto(data, &pixels, top, left, size)
}

/// [`crop`] onto `data`, `[H, W, 3]` of `size`.
fn crop_onto(mut data: Vec<u8>, pixels: &Pixels, top: i64, left: i64, size: Size) -> Pixels {
    let row_bytes = size.width as usize * 3;
    // Columns of the result that the image covers.
    let first = (-left).clamp(0, i64::from(size.width)) as usize;
    let last = (i64::from(pixels.width) - left).clamp(first as i64, i64::from(size.width)) as usize;
    if last > first {
        let source_column = (left + first as i64) as usize;
        let length = (last - first) * 3;
        for (row, out) in data.chunks_exact_mut(row_bytes).enumerate() {
            let source_row = top + row as i64;
            if (0..i64::from(pixels.height)).contains(&source_row) {
                let from = (source_row as usize * pixels.width as usize + source_column) * 3;
                out[first * 3..last * 3].copy_from_slice(&pixels.data[from..from + length]);
            }
        }
    }
    Pixels { width: size.width, height: size.height, data }
}

/// Where the middle of an image of size `of` starts, `(top, left)`: rounded half to even; outside,
/// so that what is missing is padded on both sides, where it is larger than the image.
pub fn center(of: Size, size: Size) -> (i64, i64) {
    // Padding is rounded down, as torchvision does.
    let start = |side: u32, crop: u32| {
        let (side, crop) = (i64::from(side), i64::from(crop));
        if crop > side { -((crop - side) / 2) } else { ((side - crop) as f64 / 2.0).round_ties_even() as i64 }
    };
    (start(of.height, size.height), start(of.width, size.width))
}

/// Mirrors left and right.
pub fn flip_horizontal(pixels: &mut Pixels) {
    let width = pixels.width as usize;
    for row in pixels.data.chunks_exact_mut(width * 3) {
        let (row, _) = row.as_chunks_mut::<3>();
        row.reverse();
    }
}

/// Mirrors top and bottom.
pub fn flip_vertical(pixels: &mut Pixels) {
    let row_bytes = pixels.width as usize * 3;
    let half = pixels.height as usize / 2 * row_bytes;
    let (upper, lower) = pixels.data.split_at_mut(half);
    for (a, b) in upper.chunks_exact_mut(row_bytes).zip(lower.rchunks_exact_mut(row_bytes)) {
        a.swap_with_slice(b);
    }
}
