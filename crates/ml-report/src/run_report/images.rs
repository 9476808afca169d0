//! Image files → thumbnails.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use ml_data::decode::Pixels;

use crate::html::{MAX_THUMBNAIL_BYTES, Thumbnail};
use crate::pictures;

/// Of the longer side, in pixels.
const SIDE: u32 = 176;
/// Of the JPEG, 1 to 100.
const QUALITY: u8 = 82;

/// Makes thumbnails, each file's once.
pub struct Thumbnails {
    root: PathBuf,
    made: HashMap<String, Vec<u8>>,
    bytes: Vec<u8>,
}

impl Thumbnails {
    /// Of images below `root`.
    pub fn below(root: &Path) -> Thumbnails {
        Thumbnails { root: root.to_owned(), made: HashMap::new(), bytes: Vec::new() }
    }

    /// The image at `path`; without a picture if it can no longer be read.
    pub fn get(&mut self, path: &str, alt: String) -> Thumbnail {
        let jpeg = match self.made.get(path) {
            Some(jpeg) => jpeg.clone(),
            None => {
                let file = self.root.join(path);
                let pixels = pictures::read(&file, &mut self.bytes);
                let jpeg = pixels.and_then(|pixels| thumbnail(&pixels)).unwrap_or_default();
                self.made.insert(path.to_owned(), jpeg.clone());
                jpeg
            }
        };
        Thumbnail { jpeg, alt, caption: path.to_owned() }
    }
}

/// A JPEG whose sides are at most [`SIDE`]; none if it comes out larger than a page takes.
pub(super) fn thumbnail(pixels: &Pixels) -> Option<Vec<u8>> {
    let Pixels { width, height, .. } = *pixels;
    let image = RgbImage::from_raw(width, height, pixels.data.clone())?;
    let scale = f64::from(SIDE) / f64::from(width.max(height));
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let image =
        if scale < 1.0 { resize(&image, side(width), side(height), FilterType::Triangle) } else { image };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&image).ok()?;
    (jpeg.len() <= MAX_THUMBNAIL_BYTES).then_some(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_are_made_small_and_small_ones_stay() {
        for (width, height, expected) in [(400, 200, (176, 88)), (20, 30, (20, 30)), (3000, 1, (176, 1))] {
            let data = (0..width * height * 3).map(|value| (value % 251) as u8).collect();
            let jpeg = thumbnail(&Pixels { width, height, data }).unwrap();
            let image = image::load_from_memory(&jpeg).unwrap();
            assert_eq!((image.width(), image.height()), expected);
        }
    }

    #[test]
    fn a_file_that_is_gone_has_no_picture_but_its_name() {
        let mut thumbnails = Thumbnails::below(Path::new("/nowhere"));
        let found = thumbnails.get("a/b.png", "an image of a".to_owned());
        assert!(found.jpeg.is_empty());
        assert_eq!(found.caption, "a/b.png");
    }
}
