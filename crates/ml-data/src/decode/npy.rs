//! NumPy's `.npy` files of images: `[H, W]` or `[H, W, C]`, u8 or u16, in C order.
//!
//! The format (NumPy enhancement proposal 1) is a magic string, a version, the length of a header,
//! the header, which is a Python dictionary of three entries, and the values.

use super::raster::{Depth, MAX_CHANNELS, Raster, Stored};
use super::{DecodeProblem, MAX_PIXELS, Observer, Pixels};
use crate::geometry::Size;

const FORMAT: &str = "NumPy";

const MAGIC: &[u8] = b"\x93NUMPY";

/// A longer header is of no image.
const MAX_HEADER: usize = 1 << 16;

/// Whether `bytes` begin as a `.npy` file does.
pub(super) fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// A file whose header has been read, and whose values are all there.
pub(super) struct Npy<'a> {
    pub size: Size,
    pub channels: usize,
    depth: Depth,
    is_big_endian: bool,
    values: &'a [u8],
}

impl<'a> Npy<'a> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// It is damaged, of a kind that is no image, or the values do not fill the shape.
    pub fn read(bytes: &'a [u8]) -> Result<Npy<'a>, DecodeProblem> {
        let (text, values) = split(bytes)?;
        let header = Dictionary::read(text).ok_or_else(|| damaged("its header is no Python dictionary"))?;
        let Dictionary { descr, is_fortran, shape } = header;
        let (depth, is_big_endian) = match descr.as_str() {
            "|u1" | "<u1" | ">u1" | "=u1" | "u1" => (Depth::Eight, false),
            "<u2" => (Depth::Sixteen, false),
            ">u2" => (Depth::Sixteen, true),
            other => {
                let other: String = other.chars().take(24).collect();
                return Err(unsupported(format!(
                    "its dtype is {}, and images are uint8 or uint16; scale the array to uint16 and save it again",
                    other.escape_debug()
                )));
            }
        };
        if is_fortran {
            return Err(unsupported("it is in Fortran order; save numpy.ascontiguousarray(array)"));
        }
        let (height, width, channels) = match shape[..] {
            [height, width] => (height, width, 1),
            [height, width, channels] => (height, width, channels),
            _ => {
                return Err(unsupported(format!(
                    "its shape {shape:?} is not that of an image, [height, width] or [height, width, channels]"
                )));
            }
        };
        if channels == 0 || height == 0 || width == 0 {
            return Err(damaged(format!("its shape {shape:?} has no values")));
        }
        if channels > MAX_CHANNELS as u64 {
            return Err(unsupported(format!(
                "its shape {shape:?} has {channels} channels, and at most {MAX_CHANNELS} are read; channels come last: \
                 save numpy.moveaxis(array, 0, -1) if they come first"
            )));
        }
        let side = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
        let size = Size { height: side(height), width: side(width) };
        if height.saturating_mul(width) > MAX_PIXELS {
            return Err(DecodeProblem::TooLarge { width: size.width, height: size.height });
        }
        let needed = height * width * channels * u64::from(depth.bits() / 8);
        match needed.cmp(&(values.len() as u64)) {
            std::cmp::Ordering::Greater => return Err(DecodeProblem::CutShort { format: FORMAT }),
            std::cmp::Ordering::Less => {
                let rest = values.len() as u64 - needed;
                return Err(damaged(format!("{rest} bytes follow the values that its shape announces")));
            }
            std::cmp::Ordering::Equal => {}
        }
        Ok(Npy { size, channels: channels as usize, depth, is_big_endian, values })
    }

    pub fn stored(&self) -> Stored {
        Stored { samples: self.channels, colors: self.channels, depth: self.depth }
    }

    /// All channels.
    pub fn raster(&self) -> Result<Raster, DecodeProblem> {
        let mut raster = Raster::zeros(self.size, self.channels, self.depth, FORMAT)?;
        let area = raster.area();
        for channel in 0..self.channels {
            let plane = &mut raster.data[channel * area..][..area];
            for (value, at) in plane.iter_mut().zip((channel..).step_by(self.channels)) {
                *value = f32::from(self.value(at));
            }
        }
        Ok(raster)
    }

    /// RGB bytes: one or two channels as grey (the first of them), of more the first three; of 16
    /// bits the high byte, as of other formats.
    pub fn decode(&self, observer: &mut Observer) -> Pixels {
        let area = self.size.height as usize * self.size.width as usize;
        let shown = if self.channels < 3 { [0; 3] } else { [0, 1, 2] };
        if self.depth == Depth::Sixteen {
            let values = (0..area * self.channels).map(|at| self.value(at));
            observer.see_16_bits(values, |at| at % self.channels < 3);
        }
        let byte = |at: usize| match self.depth {
            Depth::Eight => self.values[at],
            Depth::Sixteen => (self.value(at) >> 8) as u8,
        };
        let data = (0..area).flat_map(|pixel| shown.map(|channel| byte(pixel * self.channels + channel)));
        Pixels { width: self.size.width, height: self.size.height, data: data.collect() }
    }

    fn value(&self, at: usize) -> u16 {
        match (self.depth, self.is_big_endian) {
            (Depth::Eight, _) => self.values[at].into(),
            (Depth::Sixteen, false) => u16::from_le_bytes([self.values[2 * at], self.values[2 * at + 1]]),
            (Depth::Sixteen, true) => u16::from_be_bytes([self.values[2 * at], self.values[2 * at + 1]]),
        }
    }
}

/// The header's text and what follows it.
fn split(bytes: &[u8]) -> Result<(&str, &[u8]), DecodeProblem> {
    let cut_short = || DecodeProblem::CutShort { format: FORMAT };
    let (&[major, _], rest) =
        bytes.get(MAGIC.len()..).unwrap_or_default().split_first_chunk::<2>().ok_or_else(cut_short)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut_short)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut_short)?;
            (usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX), rest)
        }
        other => return Err(unsupported(format!("its format version is {other}"))),
    };
    if length > MAX_HEADER {
        return Err(damaged(format!("its header announces {length} bytes")));
    }
    let (text, values) = rest.split_at_checked(length).ok_or_else(cut_short)?;
    let text = std::str::from_utf8(text).map_err(|_| damaged("its header is no text"))?;
    Ok((text, values))
}

/// The header.
struct Dictionary {
    descr: String,
    is_fortran: bool,
    shape: Vec<u64>,
}

impl Dictionary {
    /// `{'descr': '<u2', 'fortran_order': False, 'shape': (3, 4), }`, the keys in any order.
    fn read(text: &str) -> Option<Dictionary> {
        let mut rest = Rest(text.trim());
        rest.take('{')?;
        let (mut descr, mut is_fortran, mut shape) = (None, None, None);
        while rest.take('}').is_none() {
            let key = rest.quoted()?;
            rest.take(':')?;
            match key {
                "descr" => descr = Some(rest.quoted_or_list()?),
                "fortran_order" => is_fortran = Some(rest.truth()?),
                "shape" => shape = Some(rest.tuple()?),
                _ => return None,
            }
            if rest.take(',').is_none() {
                rest.take('}')?;
                break;
            }
        }
        rest.0.is_empty().then_some(())?;
        Some(Dictionary { descr: descr?, is_fortran: is_fortran?, shape: shape? })
    }
}

/// What is left of the header.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// A character, with the space after it.
    fn take(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?.trim_start();
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.0.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest.trim_start();
        Some(text)
    }

    /// A dtype; that of a record is a list, which is named by its beginning.
    fn quoted_or_list(&mut self) -> Option<String> {
        if !self.0.starts_with('[') {
            return self.quoted().map(str::to_owned);
        }
        let (list, rest) = self.0.split_once(']')?;
        self.0 = rest.trim_start();
        Some(format!("{list}]"))
    }

    fn truth(&mut self) -> Option<bool> {
        let is_true = self.0.starts_with("True");
        self.0 = self.0.strip_prefix(if is_true { "True" } else { "False" })?.trim_start();
        Some(is_true)
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        self.take('(')?;
        let (numbers, rest) = self.0.split_once(')')?;
        self.0 = rest.trim_start();
        let numbers = numbers.trim().trim_end_matches(',');
        if numbers.is_empty() {
            return Some(Vec::new());
        }
        // Python 2 marks long numbers.
        numbers.split(',').map(|number| number.trim().trim_end_matches('L').parse().ok()).collect()
    }
}

fn damaged(reason: impl Into<String>) -> DecodeProblem {
    DecodeProblem::Damaged { format: FORMAT, reason: reason.into() }
}

fn unsupported(reason: impl Into<String>) -> DecodeProblem {
    DecodeProblem::UnsupportedArray { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), values].concat()
    }

    fn header(descr: &str, is_fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {is_fortran}, 'shape': {shape}, }}   \n")
    }

    fn refusal(header: &str, values: usize) -> String {
        Npy::read(&file(header, &vec![0; values])).err().unwrap().to_string()
    }

    #[test]
    fn values_come_as_planes_in_either_byte_order() {
        for (descr, values) in [("<u2", [1, 0, 2, 1, 3, 0, 4, 0]), (">u2", [0, 1, 1, 2, 0, 3, 0, 4])] {
            let bytes = file(&header(descr, "False", "(1, 2, 2)"), &values);
            let npy = Npy::read(&bytes).unwrap();
            assert_eq!(npy.stored(), Stored { samples: 2, colors: 2, depth: Depth::Sixteen });
            assert_eq!(npy.raster().unwrap().data, [1.0, 3.0, 258.0, 4.0]);
        }
        let bytes = file(&header("|u1", "False", "(2, 1)"), &[7, 9]);
        let npy = Npy::read(&bytes).unwrap();
        assert_eq!(npy.decode(&mut Observer::default()).data, [7, 7, 7, 9, 9, 9]);
        let bytes = file(r#"{"shape": (1, 2L), "fortran_order": False, "descr": "|u1"}"#, &[7, 9]);
        assert_eq!(Npy::read(&bytes).unwrap().raster().unwrap().data, [7.0, 9.0]);
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        for (descr, is_fortran, shape, values, part) in [
            ("<f4", "False", "(2, 2)", 16, "its dtype is <f4"),
            ("<i2", "False", "(2, 2)", 8, "its dtype is <i2"),
            ("|O", "False", "(2, 2)", 8, "its dtype is |O"),
            ("<u2", "True", "(2, 2)", 8, "Fortran order"),
            ("|u1", "False", "(4,)", 4, "is not that of an image"),
            ("|u1", "False", "()", 1, "is not that of an image"),
            ("|u1", "False", "(3, 100, 100)", 30_000, "moveaxis"),
            ("|u1", "False", "(0, 4)", 0, "has no values"),
            ("|u1", "False", "(2, 3)", 5, "cut short"),
            ("|u1", "False", "(2, 3)", 7, "1 bytes follow"),
            ("|u1", "False", "(4294967296, 4294967296)", 7, "at most 178956970 pixels"),
            ("|u1", "False", "(-2, 3)", 6, "no Python dictionary"),
            ("|u1", "maybe", "(2, 3)", 6, "no Python dictionary"),
        ] {
            let message = refusal(&header(descr, is_fortran, shape), values);
            assert!(message.contains(part), "{descr} {is_fortran} {shape}: {message}");
        }
        assert!(
            refusal("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1,), }", 2)
                .contains("dtype")
        );
    }

    #[test]
    fn no_beginning_of_a_file_panics() {
        let whole = file(&header("<u2", "False", "(2, 2, 2)"), &[0; 16]);
        for length in MAGIC.len()..whole.len() {
            assert!(Npy::read(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, b'(', b'\'', b'9', 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = Npy::read(&changed);
            }
        }
    }
}
