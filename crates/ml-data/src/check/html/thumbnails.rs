//! Images → small JPEGs in the page.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use crate::check::report::Report;
use crate::decode;
use crate::pool;
use crate::transform::ops::resize;
use crate::transform::{Interpolation, Size};

/// Longer side in pixels.
const SIDE: u32 = 160;
/// Images smaller than this are enlarged on the page, without smoothing.
const SMALL: u32 = 64;
const QUALITY: u8 = 72;
/// Images of more pixels are decoded one at a time.
const LARGE: u64 = 1 << 24;

/// `<img>` elements by number of the image.
pub(super) type Thumbnails = HashMap<u32, String>;

/// Reads `wanted` again; what cannot be read any more is left out.
pub(super) fn make(report: &Report, wanted: &BTreeSet<u32>) -> Thumbnails {
    let wanted: Vec<u32> = wanted.iter().copied().collect();
    let large = Mutex::new(());
    let work = |i: usize| {
        let file = &report.files[wanted[i] as usize];
        let (width, height) = file.size?;
        let is_large = u64::from(width) * u64::from(height) > LARGE;
        let _alone = is_large.then(|| large.lock().unwrap_or_else(PoisonError::into_inner));
        draw(&report.base.join(&file.path))
    };
    let mut thumbnails = Thumbnails::new();
    pool::run(wanted.len(), pool::threads(None, wanted.len()), work, &|| false, |i, image| {
        thumbnails.extend(image.map(|image| (wanted[i], image)));
    });
    thumbnails
}

fn draw(path: &std::path::Path) -> Option<String> {
    let pixels = decode::decode(path).ok()?;
    let longer = pixels.width.max(pixels.height);
    let scaled = |side: u32| ((u64::from(side) * u64::from(SIDE) / u64::from(longer)) as u32).max(1);
    let class = if longer < SMALL { " class=\"px\"" } else { "" };
    let small = if longer > SIDE {
        let size = Size { height: scaled(pixels.height), width: scaled(pixels.width) };
        resize(pixels, size, Interpolation::Bilinear)
    } else {
        pixels
    };
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    encoder.encode(&small.data, small.width, small.height, ExtendedColorType::Rgb8).ok()?;
    Some(format!("<img{class} alt=\"\" src=\"data:image/jpeg;base64,{}\">", BASE64_STANDARD.encode(&jpeg)))
}
