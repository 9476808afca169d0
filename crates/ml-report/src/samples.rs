//! Images and their transforms → a sheet that shows what training sees.

use ml_data::dataset::Index;
use ml_data::decode::{self, DecodeError, Pixels};
use ml_data::rng::{Purpose, stream};
use ml_data::transform::Pipeline;

use crate::pictures::encode_png;

/// Of the sheet's sides, in pixels.
const MAX_SIDE: usize = 16_384;

/// What a sheet shows: a row for each image, first as validation would see it, then as training does
/// in each epoch. What mixes several images (mixup, cutmix) and random erasing come later, in
/// batches, and are not shown.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    /// The training split.
    pub index: &'a Index,
    /// The transforms of validation.
    pub plain: &'a Pipeline,
    /// The transforms of training.
    pub augmented: &'a Pipeline,
    /// Of the run: the augmentations are those that it draws.
    pub seed: u64,
    /// Rows at most; evenly from the whole split.
    pub images: usize,
    /// Columns after the first.
    pub epochs: usize,
}

/// A sheet could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The transforms of training leave images at different sizes.
    #[error("the transforms leave images at different sizes; set `resize: [height, width]` or a crop")]
    NoCommonSize,
    /// There are too many images for a PNG that programs can show.
    #[error("a sheet of {width} x {height} pixels is too large; show fewer images or epochs")]
    TooLarge {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
    /// An image cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It cannot be encoded.
    #[error("the sheet cannot be encoded: {0}")]
    Encode(String),
}

/// The sheet as a PNG.
///
/// # Errors
/// See [`SheetError`].
pub fn sheet(of: &Sheet<'_>) -> Result<Vec<u8>, SheetError> {
    let Sheet { index, plain, augmented, seed, images, epochs } = *of;
    let sizes = augmented.output_size().zip(plain.output_size());
    let Some((cell, (plain_height, plain_width))) = sizes else { return Err(SheetError::NoCommonSize) };
    let (height, width) = (cell.0.max(plain_height), cell.1.max(plain_width));
    let rows = images.min(index.samples.len());
    let (full_width, full_height) = ((epochs + 1) * width as usize, rows * height as usize);
    if full_width.max(full_height) > MAX_SIDE {
        return Err(SheetError::TooLarge { width: full_width, height: full_height });
    }
    let mut bytes = Vec::new();
    let mut tiles = Vec::with_capacity(rows * (epochs + 1));
    for row in 0..rows {
        let place = row * index.samples.len() / rows;
        let path = index.root.join(&index.samples[place].path);
        for column in 0..=epochs {
            let pipeline = if column == 0 { plain } else { augmented };
            let epoch = column.saturating_sub(1) as u64;
            let mut rng = stream(seed, Purpose::Augmentation, epoch, place as u64);
            tiles.push(decode::read(&path, &mut bytes, |encoded| pipeline.load(encoded, &mut rng))?);
        }
    }
    let sheet = tile(&tiles, [width, height], epochs as u32 + 1);
    encode_png(&sheet.data, sheet.width, sheet.height).map_err(|error| SheetError::Encode(error.to_string()))
}

/// Images side by side, `columns` in a row, each in a cell of this `[width, height]`, at its top
/// left. What does not fit is cut off.
pub fn tile(tiles: &[Pixels], [width, height]: [u32; 2], columns: u32) -> Pixels {
    let rows = (tiles.len() as u32).div_ceil(columns).max(1);
    let mut sheet = Pixels {
        width: width * columns,
        height: height * rows,
        data: vec![0; (width * columns) as usize * (height * rows) as usize * 3],
    };
    for (place, tile) in (0u32..).zip(tiles) {
        let (left, top) = (place % columns * width, place / columns * height);
        let lines = tile.data.chunks_exact((tile.width as usize * 3).max(1)).take(height as usize);
        for (row, line) in (0u32..).zip(lines) {
            let line = &line[..line.len().min(width as usize * 3)];
            let start = ((top + row) as usize * sheet.width as usize + left as usize) * 3;
            sheet.data[start..start + line.len()].copy_from_slice(line);
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_of_other_sizes_stay_in_their_cells() {
        let of =
            |value, width, height| Pixels { width, height, data: vec![value; (width * height * 3) as usize] };
        let sheet = tile(&[of(1, 2, 2), of(2, 1, 1), of(3, 3, 3)], [2, 2], 2);
        assert_eq!((sheet.width, sheet.height), (4, 4));
        let red: Vec<u8> = sheet.data.iter().step_by(3).copied().collect();
        assert_eq!(red, [1, 1, 2, 0, 1, 1, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0]);
    }
}
