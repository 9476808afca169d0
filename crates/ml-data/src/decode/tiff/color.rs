//! Samples → RGB, 8 bits a channel, as libtiff and Pillow convert them.

use super::chunk::Shape;
use super::{Alpha, Header};
use crate::decode::convert::cmyk_pixel;
use crate::decode::oddity::Observer;

/// What the samples of a pixel are.
pub(crate) enum Color {
    Grey { white_is_zero: bool },
    Rgb,
    Palette(Box<[[u8; 3]; 256]>),
    Cmyk,
    YCbCr(Box<YCbCr>),
}

impl Color {
    /// Samples of a pixel, without alpha and the like.
    pub fn channels(&self) -> usize {
        match self {
            Color::Grey { .. } | Color::Palette(_) => 1,
            Color::Rgb | Color::YCbCr(_) => 3,
            Color::Cmyk => 4,
        }
    }
}

/// Luminance and two differences of colour, which may be stored once for a block of pixels.
pub(crate) struct YCbCr {
    /// Pixels of a block in each direction: 1, 2 or 4.
    pub across: u32,
    pub down: u32,
    y: [i32; 256],
    red: [i32; 256],
    /// Of Cb and Cr, to be added and then shifted down.
    green: [[i32; 256]; 2],
    shift: u32,
    blue: [i32; 256],
}

impl YCbCr {
    /// With the constants of JFIF and its full range, in the fixed-point arithmetic of Pillow.
    pub fn jfif(across: u32, down: u32) -> YCbCr {
        // Truncated after adding a half, as Pillow's tables are.
        let scaled = |factor: f64| table(|v| (factor * 64.0 * f64::from(v - 128) + 0.5) as i32);
        YCbCr {
            across,
            down,
            y: table(|v| v),
            red: scaled(1.402).map(|v| v >> 6),
            green: [scaled(-0.34414), scaled(-0.71414)],
            shift: 6,
            blue: scaled(1.772).map(|v| v >> 6),
        }
    }

    /// With the constants and the range that the file gives (TIFF 6.0, section 21), in the
    /// fixed-point arithmetic of libtiff.
    pub fn with(across: u32, down: u32, luma: [f32; 3], range: [f32; 6]) -> YCbCr {
        const ONE: f32 = 65_536.0;
        let fixed = |factor: f32| (factor.clamp(0.0, 2.0) * ONE + 0.5) as i32;
        let [red, green, blue] = luma;
        let (red_factor, blue_factor) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        // A stored value on the scale from `low` (0) to `high` (`full`).
        let on_scale = |value: i32, low: f32, high: f32, full: f32| {
            let low = low.clamp(-1e6, 1e6);
            let span = if high == low { 1.0 } else { high - low };
            // Of a broken range no more than what can be multiplied.
            (((value - low as i32) as f32 * full) / span).clamp(-4096.0, 4096.0) as i32
        };
        let difference = |low: f32, high: f32| table(|v| on_scale(v - 128, low - 128.0, high - 128.0, 127.0));
        let (cb, cr) = (difference(range[2], range[3]), difference(range[4], range[5]));
        let (to_red, to_blue) = (fixed(red_factor), fixed(blue_factor));
        let (cb_to_green, cr_to_green) = (fixed(blue * blue_factor / green), fixed(red * red_factor / green));
        YCbCr {
            across,
            down,
            y: table(|v| on_scale(v, range[0], range[1], 255.0)),
            red: cr.map(|v| (to_red * v + 0x8000) >> 16),
            green: [cb.map(|v| 0x8000 - cb_to_green * v), cr.map(|v| -cr_to_green * v)],
            shift: 16,
            blue: cb.map(|v| (to_blue * v + 0x8000) >> 16),
        }
    }

    pub fn blocks_across(&self, width: u32) -> usize {
        width.div_ceil(self.across) as usize
    }

    pub fn block_bytes(&self) -> usize {
        (self.across * self.down) as usize + 2
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (self.y[usize::from(y)], usize::from(cb), usize::from(cr));
        let green = (self.green[0][cb] + self.green[1][cr]) >> self.shift;
        [y + self.red[cr], y + green, y + self.blue[cb]].map(|v| v.clamp(0, 255) as u8)
    }
}

fn table(value: impl Fn(i32) -> i32) -> [i32; 256] {
    std::array::from_fn(|i| value(i as i32))
}

/// The rows of a strip or tile, of one chunk or one a plane.
pub(super) struct Rows<'a> {
    header: &'a Header,
    chunks: &'a [Vec<u8>],
    shape: Shape,
    /// A row's samples in 8 bits (of a palette, its indices), those of a pixel side by side.
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub fn new(header: &'a Header, chunks: &'a [Vec<u8>], shape: Shape) -> Rows<'a> {
        Rows { header, chunks, shape, row: Vec::new() }
    }

    /// Row `row` as RGB.
    pub fn write(&mut self, row: usize, out: &mut [u8], observer: &mut Observer) {
        let header = self.header;
        let columns = out.len() / 3;
        if let (Color::YCbCr(ycc), false) = (&header.color, header.is_planar) {
            return subsampled_row(ycc, &self.chunks[0], self.shape.width, row, out);
        }
        let samples = self.chunks.len() * self.shape.samples;
        let row_bytes = header.row_bytes(self.shape.samples) as usize;
        if matches!(header.color, Color::Rgb) && header.bits == 8 && self.shape.samples == 3 {
            // As most files store them.
            return out.copy_from_slice(&self.chunks[0][row * row_bytes..][..3 * columns]);
        }
        self.row.resize(columns * samples, 0);
        for (plane, chunk) in self.chunks.iter().enumerate() {
            let stored = &chunk[row * row_bytes..(row + 1) * row_bytes];
            let depth = Depth {
                bits: header.bits,
                is_big_endian: header.is_big_endian,
                is_index: matches!(header.color, Color::Palette(_)),
            };
            // Of a plane, every `samples`th value; otherwise all.
            let targets = self.row[plane..].iter_mut().step_by(self.chunks.len());
            depth.to_bytes(stored, targets);
            if header.bits == 16 {
                // Alpha says nothing about the range of colours.
                let is_color = |i: usize| (plane + i * self.chunks.len()) % samples < header.color.channels();
                observer.see_16_bits(
                    words(stored, header.is_big_endian).take(columns * self.shape.samples),
                    is_color,
                );
            }
        }
        self.convert(samples, out, observer);
    }

    fn convert(&self, samples: usize, out: &mut [u8], observer: &mut Observer) {
        let (pixels, _) = out.as_chunks_mut::<3>();
        let colors = self.header.color.channels();
        for (pixel, stored) in pixels.iter_mut().zip(self.row.chunks_exact(samples)) {
            *pixel = match &self.header.color {
                Color::Grey { white_is_zero } => [if *white_is_zero { !stored[0] } else { stored[0] }; 3],
                Color::Palette(palette) => palette[usize::from(stored[0])],
                Color::YCbCr(ycc) => ycc.rgb(stored[0], stored[1], stored[2]),
                Color::Rgb => [stored[0], stored[1], stored[2]],
                Color::Cmyk => cmyk_pixel(std::array::from_fn(|i| !stored[i])),
            };
            match self.header.alpha {
                Alpha::None => {}
                Alpha::Straight => observer.see_alpha(*pixel, stored[colors]),
                Alpha::Premultiplied => {
                    *pixel = pixel.map(|value| divided(value, stored[colors]));
                    observer.see_alpha(*pixel, stored[colors]);
                }
            }
        }
    }
}

/// `value` as it was before it was multiplied with alpha; 0 where nothing is left of it.
fn divided(value: u8, alpha: u8) -> u8 {
    match alpha {
        0 => 0,
        alpha => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
    }
}

/// A row whose differences of colour are stored once a block: first the block's luminances, by row,
/// then Cb and Cr.
fn subsampled_row(ycc: &YCbCr, chunk: &[u8], width: u32, row: usize, out: &mut [u8]) {
    let (across, down) = (ycc.across as usize, ycc.down as usize);
    let size = ycc.block_bytes();
    let blocks = &chunk[row / down * ycc.blocks_across(width) * size..];
    let (pixels, _) = out.as_chunks_mut::<3>();
    for (pixels, block) in pixels.chunks_mut(across).zip(blocks.chunks_exact(size)) {
        let luminances = &block[row % down * across..];
        for (pixel, y) in pixels.iter_mut().zip(luminances) {
            *pixel = ycc.rgb(*y, block[size - 2], block[size - 1]);
        }
    }
}

/// How samples are stored.
struct Depth {
    bits: u8,
    is_big_endian: bool,
    /// Not to be scaled.
    is_index: bool,
}

impl Depth {
    /// Samples of `stored` in 8 bits: the high bits of more, fewer scaled to the full range.
    fn to_bytes<'t>(&self, stored: &[u8], targets: impl Iterator<Item = &'t mut u8>) {
        let bits = u32::from(self.bits);
        match bits {
            8 => targets.zip(stored).for_each(|(to, from)| *to = *from),
            16 => {
                let high = usize::from(!self.is_big_endian);
                targets.zip(stored[high..].iter().step_by(2)).for_each(|(to, from)| *to = *from);
            }
            _ => {
                let most = (1_u32 << bits) - 1;
                let mut window = 0_u32;
                let mut held = 0;
                let mut bytes = stored.iter();
                for to in targets {
                    while held < bits {
                        window = window << 8 | u32::from(bytes.next().copied().unwrap_or(0));
                        held += 8;
                    }
                    held -= bits;
                    let value = window >> held & most;
                    *to = match bits {
                        _ if self.is_index => value,
                        9.. => value >> (bits - 8),
                        _ => value * 255 / most,
                    } as u8;
                }
            }
        }
    }
}

fn words(stored: &[u8], is_big_endian: bool) -> impl Iterator<Item = u16> {
    let (words, _) = stored.as_chunks::<2>();
    words
        .iter()
        .map(move |word| if is_big_endian { u16::from_be_bytes(*word) } else { u16::from_le_bytes(*word) })
}
