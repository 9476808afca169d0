//! JPEG by libjpeg-turbo, as Pillow decodes it (the accurate integer DCT, smooth upsampling), in a
//! safe surface of two calls: [`Header::read`] and [`Header::decode`]. With `torch-ext` the only
//! unsafe code of the project.
//!
//! Beside the whole image it decodes a part of it (the pixels are those of the whole, to the bit),
//! or the image scaled down by 2, 4 or 8 in the transform domain, which costs a fraction of
//! decoding it in full.

use std::ffi::{CStr, c_char, c_int, c_long};

// Links the library that the shim calls.
use turbojpeg_sys as _;

/// Progressive files of more scans are refused: each is a pass over the whole image, and a file of
/// a few kilobytes can hold thousands. Encoders make ten or so.
pub const MAX_SCANS: i32 = 100;

/// Columns and rows around a part that are decoded with it: smooth upsampling looks at neighbours.
const MARGIN: u32 = 2;

/// Why a file is not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It breaks the format's rules; the library's words.
    #[error("{0}")]
    Damaged(String),
    /// It ends too early.
    #[error("it ends too early")]
    CutShort,
    /// It is of a kind that the library does not read.
    #[error("{0}")]
    Unsupported(String),
    /// It needs more memory than allowed.
    #[error("it needs more memory than allowed")]
    Memory,
    /// It has more than [`MAX_SCANS`] scans.
    #[error("{0}")]
    TooManyScans(String),
}

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Four channels of ink; otherwise decoding gives red, green, blue.
    pub is_cmyk: bool,
    /// Coded without the cosine transform (ITU-T T.81, annex H): decoded only as a whole and
    /// unscaled.
    pub is_lossless: bool,
    is_progressive: bool,
    unit_width: u32,
}

/// What to decode of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, scaled down by this divisor: 1, 2, 4 or 8.
    Scaled(u32),
    /// At least this part of it, unscaled.
    Part {
        /// First column.
        left: u32,
        /// First row.
        top: u32,
        /// Columns, at least 1; the part lies within the image.
        width: u32,
        /// Rows, at least 1.
        height: u32,
    },
}

/// Decoded pixels of a part of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Column of the (scaled) image at which the pixels begin.
    pub left: u32,
    /// Row of the (scaled) image at which the pixels begin.
    pub top: u32,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// `[height, width, channels]`, interleaved: 3 channels, or 4 of ink as stored.
    pub data: Vec<u8>,
}

#[repr(C)]
#[derive(Default)]
struct RawHeader {
    width: u32,
    height: u32,
    unit_width: u32,
    is_cmyk: u8,
    is_lossless: u8,
    is_progressive: u8,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Region {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

unsafe extern "C" {
    fn jx_read_header(data: *const u8, length: usize, header: *mut RawHeader, message: *mut c_char) -> c_int;
    fn jx_decode(
        data: *const u8,
        length: usize,
        eighths: u32,
        region: *const Region,
        is_cmyk: c_int,
        max_scans: c_int,
        max_memory: c_long,
        out: *mut u8,
        out_length: usize,
        message: *mut c_char,
    ) -> c_int;
}

/// libjpeg's `JMSG_LENGTH_MAX`.
const MESSAGE_BYTES: usize = 200;

impl Header {
    /// Reads the header of a JPEG file in memory.
    ///
    /// # Errors
    /// It is damaged, cut short, or of a kind that is not read.
    pub fn read(bytes: &[u8]) -> Result<Header, Error> {
        let mut raw = RawHeader::default();
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: the pointers are to live buffers of the lengths that the shim is told or knows.
        let status =
            unsafe { jx_read_header(bytes.as_ptr(), bytes.len(), &raw mut raw, message.as_mut_ptr()) };
        check(status, &message)?;
        let RawHeader { width, height, unit_width, is_cmyk, is_lossless, is_progressive } = raw;
        let (is_cmyk, is_lossless, is_progressive) = (is_cmyk != 0, is_lossless != 0, is_progressive != 0);
        Ok(Header { width, height, is_cmyk, is_lossless, is_progressive, unit_width })
    }

    /// Decodes `wanted` of `bytes`, of which this is the header, with at most `max_memory` bytes
    /// beside the pixels. What lies below the wanted rows is not looked at.
    ///
    /// # Errors
    /// As [`Header::read`]; or `wanted` does not lie within the image, or is a part or a scale of a
    /// lossless one.
    pub fn decode(&self, bytes: &[u8], wanted: Wanted, max_memory: usize) -> Result<Decoded, Error> {
        let (eighths, region) = self.region(wanted)?;
        let channels = if self.is_cmyk { 4 } else { 3 };
        let length = (region.width as usize)
            .checked_mul(region.height as usize)
            .and_then(|pixels| pixels.checked_mul(channels))
            .ok_or(Error::Memory)?;
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Error::Memory)?;
        data.resize(length, 0);
        let mut message = [0; MESSAGE_BYTES];
        // SAFETY: as above; the shim checks the image's size against `length` before it writes.
        let status = unsafe {
            jx_decode(
                bytes.as_ptr(),
                bytes.len(),
                eighths,
                &raw const region,
                c_int::from(self.is_cmyk),
                MAX_SCANS,
                c_long::try_from(max_memory).unwrap_or(c_long::MAX),
                data.as_mut_ptr(),
                length,
                message.as_mut_ptr(),
            )
        };
        check(status, &message)?;
        let Region { x, y, width, height } = region;
        Ok(Decoded { left: x, top: y, width, height, data })
    }

    /// The scale in eighths, and what is decoded of the image at that scale.
    fn region(&self, wanted: Wanted) -> Result<(u32, Region), Error> {
        match wanted {
            Wanted::Scaled(divisor @ (1 | 2 | 4 | 8)) => {
                let (width, height) = (self.width.div_ceil(divisor), self.height.div_ceil(divisor));
                Ok((8 / divisor, Region { x: 0, y: 0, width, height }))
            }
            Wanted::Part { left, top, width, height }
                if width > 0
                    && height > 0
                    && left.checked_add(width).is_some_and(|right| right <= self.width)
                    && top.checked_add(height).is_some_and(|bottom| bottom <= self.height) =>
            {
                let unit = self.unit_width.max(1);
                let y = top.saturating_sub(MARGIN);
                // Where a progressive file leaves coefficients unknown, the library smooths blocks
                // by their neighbours, but not across the edge of a crop.
                let (x, right) = if self.is_progressive {
                    (0, self.width)
                } else {
                    let right = (left + width).saturating_add(MARGIN).min(self.width);
                    (left.saturating_sub(MARGIN) / unit * unit, right)
                };
                let bottom = (top + height).saturating_add(MARGIN).min(self.height);
                Ok((8, Region { x, y, width: right - x, height: bottom - y }))
            }
            _ => {
                Err(Error::Unsupported(format!("{wanted:?} is no part of {} x {}", self.width, self.height)))
            }
        }
    }
}

fn check(status: c_int, message: &[c_char; MESSAGE_BYTES]) -> Result<(), Error> {
    let text = || {
        let bytes = message.map(|byte| byte.to_ne_bytes()[0]);
        let text = CStr::from_bytes_until_nul(&bytes).map(CStr::to_string_lossy);
        text.map_or_else(|_| "no reason given".to_owned(), std::borrow::Cow::into_owned)
    };
    match status {
        0 => Ok(()),
        2 => Err(Error::CutShort),
        3 => Err(Error::Unsupported(text())),
        4 => Err(Error::Memory),
        5 => Err(Error::TooManyScans(text())),
        _ => Err(Error::Damaged(text())),
    }
}
