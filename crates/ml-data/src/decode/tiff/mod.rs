//! The first image of a TIFF file, with offsets of 32 or (`BigTIFF`) 64 bits → RGB, 8 bits a channel,
//! as Pillow gives it.
//!
//! ```text
//! directory (tags) → layout (Header: what is where) → chunk (samples of a strip or tile) → color
//! ```
//!
//! The decompressors are the crates that the `tiff` crate uses, and libjpeg-turbo for JPEG. That
//! crate itself is not used: it gives neither palettes nor subsampled colours, knows one of the
//! codings of fax and no Zstandard in Rust, and rounds JPEG otherwise than Pillow.

mod chunk;
mod color;
mod directory;
mod fax;
mod layout;
mod samples;

use std::num::NonZeroUsize;

use self::chunk::{Compression, Shape};
pub(crate) use self::color::Color;
use self::color::Rows;
use super::oddity::Observer;
use super::{DecodeProblem, MAX_ALLOCATION};
use crate::geometry::Size;

const FORMAT: &str = "TIFF";

/// Whether `bytes` begin as a TIFF file does, of either size of offsets. Some writers have the
/// version's bytes in the wrong order; libtiff and Pillow put up with it.
pub(super) fn is_tiff(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 6] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"];
    STARTS.iter().any(|start| bytes.starts_with(start))
}

/// What the first directory says, checked.
pub(crate) struct Header {
    /// As stored, before the orientation.
    pub size: Size,
    /// Whether there are more images of full size.
    pub has_pages: bool,
    /// Bits of a sample.
    pub bits: u8,
    /// Samples of a pixel.
    samples: usize,
    pub color: Color,
    pub alpha: Alpha,
    compression: Compression,
    /// Shared by JPEG strips.
    jpeg_tables: std::ops::Range<usize>,
    /// Each sample of a pixel in strips or tiles of its own.
    is_planar: bool,
    has_predictor: bool,
    is_bit_reversed: bool,
    is_big_endian: bool,
    /// Of a tile; or the image's width and the rows of a strip.
    chunk: Size,
    is_tiled: bool,
    offsets: Vec<u64>,
    /// Bytes of each strip or tile; where absent, those that it needs, or the rest of the file.
    lengths: Option<Vec<u64>>,
}

/// What the first sample beyond the colours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpha {
    None,
    /// Colours are stored as they are, and alpha is dropped.
    Straight,
    /// Colours are stored multiplied with alpha, which is undone.
    Premultiplied,
}

impl Header {
    /// Reads and checks the first directory of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Header, DecodeProblem> {
        layout::read(bytes)
    }

    /// The pixels of `bytes`, of which this is the header: `[height, width, 3]`.
    pub(super) fn decode(&self, bytes: &[u8], observer: &mut Observer) -> Result<Vec<u8>, DecodeProblem> {
        let Size { height, width } = self.size;
        let length = width as usize * height as usize * 3;
        let mut rgb = Vec::new();
        rgb.try_reserve_exact(length).map_err(|_| DecodeProblem::TooMuchMemory { format: FORMAT })?;
        rgb.resize(length, 0);
        let planes = if self.is_planar { self.samples } else { 1 };
        let (across, down) = (width.div_ceil(self.chunk.width), height.div_ceil(self.chunk.height));
        let chunks_a_plane = across as usize * down as usize;
        let mut chunks = Vec::new();
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let (top, left) = (y * self.chunk.height, x * self.chunk.width);
            let rows = self.chunk.height.min(height - top);
            let columns = self.chunk.width.min(width - left) as usize;
            let shape = self.shape(rows)?;
            chunks.clear();
            for plane in 0..planes {
                let index = plane * chunks_a_plane + y as usize * across as usize + x as usize;
                chunks.push(self.chunk(bytes, index, shape)?);
            }
            let mut rows_of = Rows::new(self, &chunks, shape);
            for row in 0..rows {
                let start = ((top + row) as usize * width as usize + left as usize) * 3;
                rows_of.write(row as usize, &mut rgb[start..start + 3 * columns], observer);
            }
        }
        Ok(rgb)
    }

    /// Of a strip or tile of which `rows` rows are wanted: the last strip holds no more, a tile is
    /// always full.
    fn shape(&self, rows: u32) -> Result<Shape, DecodeProblem> {
        let rows = if self.is_tiled { self.chunk.height } else { rows };
        let samples = if self.is_planar { 1 } else { self.samples };
        let bytes = match &self.color {
            Color::YCbCr(ycc) if !self.is_planar => {
                ycc.blocks_across(self.chunk.width) as u64
                    * u64::from(rows.div_ceil(ycc.down))
                    * ycc.block_bytes() as u64
            }
            _ => u64::from(rows) * self.row_bytes(samples),
        };
        if bytes > MAX_ALLOCATION {
            return Err(DecodeProblem::TooMuchMemory { format: FORMAT });
        }
        Ok(Shape { width: self.chunk.width, rows, samples, bytes: bytes as usize })
    }

    fn row_bytes(&self, samples: usize) -> u64 {
        (u64::from(self.chunk.width) * samples as u64 * u64::from(self.bits)).div_ceil(8)
    }

    /// The samples of a strip or tile.
    fn chunk(&self, bytes: &[u8], index: usize, shape: Shape) -> Result<Vec<u8>, DecodeProblem> {
        let start = usize::try_from(self.offsets[index]).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).ok_or_else(cut_short)?;
        let needed = match &self.lengths {
            // Uncompressed data is as long as it has to be, whatever the tag says.
            _ if self.compression == Compression::None => shape.bytes,
            Some(lengths) => usize::try_from(lengths[index]).unwrap_or(usize::MAX),
            None => rest.len(),
        };
        let coded = rest.get(..needed).ok_or_else(cut_short)?;
        let coded = chunk::in_order(coded, self.is_bit_reversed);
        let tables = &bytes[self.jpeg_tables.clone()];
        let mut data = self.compression.decode(&coded, shape, tables)?;
        if let (true, Some(row)) =
            (self.has_predictor, NonZeroUsize::new(self.row_bytes(shape.samples) as usize))
        {
            chunk::add_up(&mut data, row.get(), shape.samples, self.bits, self.is_big_endian);
        }
        Ok(data)
    }
}

fn cut_short() -> DecodeProblem {
    DecodeProblem::CutShort { format: FORMAT }
}

fn damaged(reason: impl Into<String>) -> DecodeProblem {
    DecodeProblem::Damaged { format: FORMAT, reason: reason.into() }
}

fn unsupported(reason: impl Into<String>) -> DecodeProblem {
    DecodeProblem::Unsupported { format: FORMAT, reason: reason.into() }
}
