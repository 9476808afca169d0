//! Every image file → its facts, in threads: decoded once, hashed, measured.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use image::ImageFormat;
use sha2::{Digest, Sha256};

use super::finding::Kind;
use super::header::{self, Mode};
use super::listing::Listing;
use super::look::Look;
use super::{CheckError, Progress};
use crate::decode::{self, DecodeProblem, Encoded, Format, Oddity};
use crate::guard;
use crate::pool;

/// Images of more pixels are decoded one at a time: 16 threads with 100 megapixels each would fill
/// memory.
const LARGE: u64 = 1 << 25;

/// What is known of one file.
#[derive(Debug)]
pub(super) struct Facts {
    /// Size of the file, if it could be read.
    pub bytes: u64,
    /// SHA-256 of the file; absent if it could not be read or is empty.
    pub content: Option<[u8; 32]>,
    /// What is to be seen, or why nothing is.
    pub seen: Result<Seen, (Kind, String)>,
}

/// What is known of an image that can be decoded.
#[derive(Debug)]
pub(super) struct Seen {
    pub width: u32,
    pub height: u32,
    pub format: Format,
    /// What the suffix stands for, if that is another format.
    pub suffix_of: Option<Format>,
    pub mode: Option<Mode>,
    pub oriented: bool,
    pub animated: bool,
    /// The first half of the SHA-256 of size and pixels.
    pub pixels: [u8; 16],
    /// The one colour of all pixels.
    pub one_color: Option<[u8; 3]>,
    /// Why it shows little or nothing.
    pub oddity: Option<Oddity>,
    /// Absent for images of one colour, which look like each other and nothing else.
    pub look: Option<Box<Look>>,
}

/// Facts of all files, in their order.
pub(super) fn examine_all(
    listing: &Listing,
    threads: Option<NonZeroUsize>,
    progress: &mut dyn FnMut(Progress),
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Facts>, CheckError> {
    let total = listing.files.len();
    let mut facts: Vec<Option<Facts>> = (0..total).map(|_| None).collect();
    let large = Mutex::new(());
    let work = |i: usize| examine(&listing.root.join(&listing.files[i].path), &large);
    let (mut done, mut unusable) = (0, 0);
    pool::run(total, pool::threads(threads, total), work, stop, |i, found| {
        done += 1;
        unusable += usize::from(found.seen.is_err());
        facts[i] = Some(found);
        progress(Progress { done, total, unusable });
    });
    // All are there unless `stop` ended it.
    facts.into_iter().collect::<Option<Vec<Facts>>>().ok_or(CheckError::Interrupted)
}

fn examine(path: &Path, large: &Mutex<()>) -> Facts {
    let mut bytes = Vec::new();
    if let Err(problem) = decode::read_into(path, &mut bytes) {
        return Facts { bytes: 0, content: None, seen: Err(classified(&problem)) };
    }
    let content = (!bytes.is_empty()).then(|| Sha256::digest(&bytes).into());
    Facts {
        bytes: bytes.len() as u64,
        content,
        seen: see(path, &bytes, large).map_err(|problem| classified(&problem)),
    }
}

fn see(path: &Path, bytes: &[u8], large: &Mutex<()>) -> Result<Seen, DecodeProblem> {
    let format = decode::recognize(bytes);
    let header = format.and_then(|format| {
        let Format::Image(format) = format else { return None };
        // As in decoding, a decoder's bug must cost one image, not the run.
        guard::caught(|_| true, || header::read(format, bytes)).ok().flatten()
    });
    let encoded = Encoded::read(bytes)?;
    let (of, oriented) = (encoded.size(), encoded.is_turned());
    let is_large = u64::from(of.width) * u64::from(of.height) > LARGE;
    let _alone = is_large.then(|| large.lock().unwrap_or_else(PoisonError::into_inner));
    let oddity = Cell::new(None);
    let pixels = encoded.noting(&oddity).decode()?;
    let (first, rest) = pixels.data.split_at(3.min(pixels.data.len()));
    let is_flat = rest.chunks_exact(3).all(|pixel| pixel == first);
    let one_color = is_flat.then(|| std::array::from_fn(|i| first[i]));
    let mut hash = Sha256::new();
    hash.update([pixels.width.to_le_bytes(), pixels.height.to_le_bytes()].concat());
    hash.update(&pixels.data);
    let digest: [u8; 32] = hash.finalize().into();
    // Decoding succeeded, so the format was recognised.
    let format = format.unwrap_or(Format::Image(ImageFormat::Png));
    Ok(Seen {
        width: pixels.width,
        height: pixels.height,
        format,
        suffix_of: suffix_format(path).filter(|suffix| *suffix != format),
        mode: header.map(|header| header.mode),
        oriented,
        animated: header.is_some_and(|header| header.animated),
        pixels: std::array::from_fn(|i| digest[i]),
        one_color,
        oddity: oddity.get(),
        look: one_color.is_none().then(|| Box::new(Look::of(pixels))),
    })
}

/// The format that a file's suffix stands for.
fn suffix_format(path: &Path) -> Option<Format> {
    let suffix = path.extension()?;
    if suffix.eq_ignore_ascii_case("npy") {
        return Some(Format::Npy);
    }
    ImageFormat::from_extension(suffix).map(Format::Image)
}

fn classified(problem: &DecodeProblem) -> (Kind, String) {
    let kind = match problem {
        DecodeProblem::Read(_) | DecodeProblem::NotAFile { .. } => Kind::Unreadable,
        DecodeProblem::Empty => Kind::EmptyFile,
        DecodeProblem::NotAnImage { .. } | DecodeProblem::UnknownFormat { .. } => Kind::NotAnImage,
        DecodeProblem::CutShort { .. } => Kind::Truncated,
        DecodeProblem::Damaged { .. } | DecodeProblem::Crashed { .. } => Kind::Damaged,
        DecodeProblem::Unsupported { .. }
        | DecodeProblem::UnsupportedFormat { .. }
        | DecodeProblem::UnsupportedArray { .. }
        | DecodeProblem::Channels { .. }
        | DecodeProblem::Depth { .. } => Kind::Unsupported,
        DecodeProblem::TooLarge { .. }
        | DecodeProblem::ResizedTooLarge { .. }
        | DecodeProblem::TooMuchMemory { .. }
        | DecodeProblem::FileTooLarge { .. } => Kind::TooLarge,
    };
    (kind, problem.to_string())
}
