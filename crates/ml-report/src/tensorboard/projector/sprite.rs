//! Thumbnails of one size → one PNG in which the projector finds them: a square of rows and
//! columns, row by row, black where there are none left.

use image::imageops::{replace, thumbnail};
use image::{ImageBuffer, Rgb, RgbImage};
use ml_data::decode::Pixels;

use super::ProjectorError;
use crate::pictures::encode_png;

/// The longest side that the projector takes, in pixels.
const MAX_SIDE: u32 = 8192;

/// The image of all thumbnails.
pub(super) struct Sprite {
    /// The file.
    pub png: Vec<u8>,
    /// Width and height of a thumbnail in it, in pixels.
    pub tile: [u32; 2],
}

impl Sprite {
    /// Of at most [`super::MAX_POINTS`] thumbnails, made smaller where there are too many for their
    /// size; none if there are none.
    pub fn of(thumbnails: &[Pixels]) -> Result<Option<Sprite>, ProjectorError> {
        let Some(&Pixels { width, height, .. }) = thumbnails.first() else { return Ok(None) };
        let columns = (thumbnails.len() as f64).sqrt().ceil() as u32;
        let tile = fitting([width, height], MAX_SIDE / columns);
        let mut sheet = RgbImage::new(columns * tile[0], columns * tile[1]);
        for (index, pixels) in thumbnails.iter().enumerate() {
            let data = pixels.data.as_slice();
            let image = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(width, height, data)
                .filter(|_| width > 0 && height > 0 && [pixels.width, pixels.height] == [width, height])
                .ok_or(ProjectorError::Thumbnail { index, width, height })?;
            let [row, column] = [index as u32 / columns, index as u32 % columns];
            let (left, top) = (i64::from(column * tile[0]), i64::from(row * tile[1]));
            if tile == [width, height] {
                replace(&mut sheet, &image, left, top);
            } else {
                replace(&mut sheet, &thumbnail(&image, tile[0], tile[1]), left, top);
            }
        }
        Ok(Some(Sprite { png: encode_png(&sheet, sheet.width(), sheet.height())?, tile }))
    }
}

/// The size itself if its longer side is at most `side`; otherwise one of (nearly) its shape that
/// is.
fn fitting([width, height]: [u32; 2], side: u32) -> [u32; 2] {
    let longer = width.max(height);
    if longer <= side {
        return [width, height];
    }
    let scale = f64::from(side) / f64::from(longer);
    [width, height].map(|length| ((f64::from(length) * scale).round() as u32).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_fill_a_square_row_by_row() {
        let thumbnails: Vec<Pixels> =
            (1..=5).map(|value| Pixels { width: 2, height: 1, data: vec![value; 6] }).collect();
        let sprite = Sprite::of(&thumbnails).unwrap().unwrap();
        assert_eq!(sprite.tile, [2, 1]);
        let sheet = image::load_from_memory(&sprite.png).unwrap().to_rgb8();
        assert_eq!(sheet.dimensions(), (6, 3));
        let reds: Vec<u8> = sheet.pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Sprite::of(&[]).unwrap().is_none());
    }

    #[test]
    fn thumbnails_are_made_smaller_until_all_fit() {
        let thumbnail = Pixels { width: 100, height: 50, data: vec![7; 15_000] };
        let sprite = Sprite::of(&vec![thumbnail; 10_000]).unwrap().unwrap();
        assert_eq!(sprite.tile, [81, 41]);
        let sheet = image::load_from_memory(&sprite.png).unwrap();
        assert_eq!([sheet.width(), sheet.height()], [8100, 4100]);
        assert_eq!(fitting([3000, 2], 25), [25, 1]);
    }

    #[test]
    fn a_thumbnail_of_another_size_is_named() {
        let first = Pixels { width: 2, height: 1, data: vec![0; 6] };
        for other in
            [Pixels { width: 1, height: 2, data: vec![0; 6] }, Pixels { data: vec![0; 5], ..first.clone() }]
        {
            let error = Sprite::of(&[first.clone(), other]).err().unwrap().to_string();
            assert!(error.contains("thumbnail 1 is not 2x1"), "{error}");
        }
        let none = Pixels { width: 0, height: 0, data: Vec::new() };
        assert!(Sprite::of(&[none]).is_err());
    }
}
