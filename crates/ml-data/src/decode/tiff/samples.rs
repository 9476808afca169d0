//! The samples of a TIFF file as they are stored, without conversion to RGB: any number of channels
//! in a page, or a page a channel, as microscopes write them.

use super::super::raster::{Depth, MAX_CHANNELS, Raster, Stored};
use super::{Alpha, Color, FORMAT, Header, layout, unsupported};
use crate::decode::DecodeProblem;
use crate::geometry::Size;

impl Header {
    /// Channels and bits; `None` where they have to be converted to RGB first.
    pub(in crate::decode) fn stored(&self) -> Result<Option<Stored>, DecodeProblem> {
        if matches!(self.color, Color::Palette(_) | Color::YCbCr(_)) {
            return Ok(None);
        }
        let depth = match self.bits {
            8 => Depth::Eight,
            16 => Depth::Sixteen,
            bits => {
                return Err(unsupported(format!("{bits}-bit channels, which are read as 8-bit RGB only")));
            }
        };
        let colors = if self.alpha == Alpha::None { self.samples } else { self.color.channels() };
        Ok(Some(Stored { samples: self.samples, colors, depth }))
    }

    /// The first `channels` samples of each pixel of `bytes`, of which this is the header.
    pub(in crate::decode) fn raster(
        &self,
        bytes: &[u8],
        channels: usize,
        depth: Depth,
    ) -> Result<Raster, DecodeProblem> {
        let mut raster = Raster::zeros(self.size, channels, depth, FORMAT)?;
        self.write_samples(bytes, channels, &mut raster.data)?;
        Ok(raster)
    }

    /// A page a channel, if the file has so many of one channel, alike in size and bits.
    pub(in crate::decode) fn raster_of_pages(
        &self,
        bytes: &[u8],
        channels: usize,
    ) -> Result<Option<Raster>, DecodeProblem> {
        if self.samples != 1 || !self.has_pages || channels < 2 {
            return Ok(None);
        }
        let Some(stored) = self.stored()? else { return Ok(None) };
        let pages = layout::pages(bytes, MAX_CHANNELS + 1)?;
        if pages.len() != channels {
            return Err(DecodeProblem::Channels { found: pages.len(), wanted: channels });
        }
        if pages.iter().any(|page| page.size != self.size || page.samples != 1 || page.bits != self.bits) {
            return Err(unsupported("its pages differ in size, channels or bits, so they are no channels"));
        }
        let mut raster = Raster::zeros(self.size, channels, stored.depth, FORMAT)?;
        let area = raster.area();
        for (page, plane) in pages.iter().zip(raster.data.chunks_exact_mut(area)) {
            page.write_samples(bytes, 1, plane)?;
        }
        Ok(Some(raster))
    }

    /// Writes `[channels, H, W]`.
    fn write_samples(&self, bytes: &[u8], channels: usize, out: &mut [f32]) -> Result<(), DecodeProblem> {
        let Size { height, width } = self.size;
        let planes = if self.is_planar { self.samples } else { 1 };
        let (across, down) = (width.div_ceil(self.chunk.width), height.div_ceil(self.chunk.height));
        let chunks_a_plane = across as usize * down as usize;
        let area = height as usize * width as usize;
        let is_inverted = matches!(self.color, Color::Grey { white_is_zero: true });
        let top_value = if self.bits == 16 { 65_535 } else { 255 };
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let (top, left) = (y * self.chunk.height, x * self.chunk.width);
            let rows = self.chunk.height.min(height - top) as usize;
            let columns = self.chunk.width.min(width - left) as usize;
            let shape = self.shape(rows as u32)?;
            let row_bytes = self.row_bytes(shape.samples) as usize;
            for plane in 0..planes.min(channels) {
                let index = plane * chunks_a_plane + y as usize * across as usize + x as usize;
                let chunk = self.chunk(bytes, index, shape)?;
                for row in 0..rows {
                    let stored = &chunk[row * row_bytes..][..row_bytes];
                    let start = (top as usize + row) * width as usize + left as usize;
                    for at in 0..columns * shape.samples {
                        let channel = if self.is_planar { plane } else { at % shape.samples };
                        if channel >= channels {
                            continue;
                        }
                        let value = self.sample(stored, at);
                        let value = if is_inverted { top_value - value } else { value };
                        out[channel * area + start + at / shape.samples] = f32::from(value);
                    }
                }
            }
        }
        Ok(())
    }

    fn sample(&self, stored: &[u8], at: usize) -> u16 {
        match (self.bits, self.is_big_endian) {
            (16, true) => u16::from_be_bytes([stored[2 * at], stored[2 * at + 1]]),
            (16, false) => u16::from_le_bytes([stored[2 * at], stored[2 * at + 1]]),
            _ => stored[at].into(),
        }
    }
}
