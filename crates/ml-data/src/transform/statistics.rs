//! Image files → mean and standard deviation of each channel, for `normalize: auto`.
//!
//! Images are taken at the size of the pipeline's fixed geometry: after `resize` and `center_crop`,
//! or `letterbox` without its padding, before anything random. Each pixel of each image counts
//! once. Sums are whole numbers, so the result depends neither on the number of threads nor on the
//! order. [`training_statistics`] keeps what it finds in the data folder.

mod known;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::Pipeline;
use super::config::{Size, TransformConfig};
use super::normalize::{Channels, Normalize};
use crate::decode::{self, DecodeError, Depth, Pixels, Raster};
use crate::pool;
use crate::rng::{Purpose, stream};

pub use known::{Known, training_statistics};

/// How images are gone through.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads that decode; 0 is 1. Never changes the result.
    pub threads: usize,
    /// Leaves unreadable images out instead of failing.
    pub skip_unreadable: bool,
    /// Asked before each image, from any thread; `true` ends the computation.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// One entry a channel, on the scale 0 to 1; the deviation is over all pixels (divided by their
    /// number).
    pub normalize: Normalize,
    /// Images that were read.
    pub images: usize,
    /// Images that could not be read and were left out, in the order given.
    pub skipped: Vec<PathBuf>,
}

/// Why there are no statistics.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// An image cannot be read: the first of them in the order given.
    #[error("{0}")]
    Image(#[from] DecodeError),
    /// The stop callback said so.
    #[error("stopped before the statistics of all images were known")]
    Stopped,
    /// Nothing to compute from.
    #[error("no image could be read, so `normalize: auto` has nothing to compute from; check data_dir")]
    Empty,
    /// All pixels have the same value, by which nothing can be divided.
    #[error(
        "all pixels of all images have the same value in channel {channel}; write normalize: {{mean: […], std: […]}} instead of auto"
    )]
    Constant {
        /// Number of the channel, from 0.
        channel: usize,
    },
}

impl TransformConfig {
    /// What decides about the statistics: what is done to each image before anything random, and
    /// its channels.
    fn fixed_part(&self) -> TransformConfig {
        let TransformConfig {
            resize, letterbox, center_crop, interpolation, grayscale, channels, bits, ..
        } = *self;
        TransformConfig {
            resize,
            letterbox,
            center_crop,
            grayscale,
            channels,
            bits,
            interpolation,
            ..TransformConfig::default()
        }
    }
}

/// Values of planes are counted in so many parts of 1, so that sums are whole numbers.
fn parts(depth: Depth) -> f32 {
    match depth {
        Depth::Eight => 256.0,
        Depth::Sixteen => 1.0,
    }
}

/// Sums over pixels.
#[derive(Clone, Default)]
struct Sums {
    pixels: u128,
    /// Of the values, a channel.
    values: Vec<u128>,
    /// Of their squares.
    squares: Vec<u128>,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.pixels += other.pixels;
        for (own, other) in [(&mut self.values, &other.values), (&mut self.squares, &other.squares)] {
            own.resize(other.len().max(own.len()), 0);
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
    }

    /// Of one image. Its squares stay below 2^44, as no image has more than [`decode::MAX_PIXELS`].
    fn of(pixels: &Pixels) -> Sums {
        let (mut values, mut squares) = ([0_u64; 3], [0_u64; 3]);
        let (all, _) = pixels.data.as_chunks::<3>();
        for pixel in all {
            for c in 0..3 {
                values[c] += u64::from(pixel[c]);
                squares[c] += u64::from(pixel[c]) * u64::from(pixel[c]);
            }
        }
        let wide = |sums: [u64; 3]| sums.map(u128::from).to_vec();
        Sums { pixels: all.len() as u128, values: wide(values), squares: wide(squares) }
    }

    /// Of one image, in [`parts`].
    fn of_raster(raster: &Raster) -> Sums {
        let parts = parts(raster.depth);
        let mut sums = Sums { pixels: raster.area() as u128, ..Sums::default() };
        for plane in raster.data.chunks_exact(raster.area().max(1)) {
            let (mut all, mut squares) = (0_u128, 0_u128);
            for value in plane {
                let value = (value * parts).round() as u128;
                all += value;
                squares += value * value;
            }
            sums.values.push(all);
            sums.squares.push(squares);
        }
        sums
    }

    /// `full` is the value that counts as 1.
    fn normalize(&self, channels: Channels, full: f64) -> Result<Normalize, StatisticsError> {
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for channel in 0..channels.count() {
            let (sum, squares) = (self.values[channel], self.squares[channel]);
            // n^2 times the variance.
            let spread = self.pixels * squares - sum * sum;
            if spread == 0 {
                return Err(StatisticsError::Constant { channel });
            }
            let count = self.pixels as f64;
            mean.push(sum as f64 / count / full);
            std.push((spread as f64).sqrt() / count / full);
        }
        Ok(Normalize { mean, std })
    }
}

/// The channel statistics of the images at `paths`, as `config` resizes and crops them, in its
/// `channels`.
///
/// # Errors
/// An image cannot be read (unless they are skipped), none can, all are of one colour, or `stop`
/// said so.
pub fn channel_statistics(
    paths: &[PathBuf],
    config: &TransformConfig,
    options: &Options<'_>,
) -> Result<Statistics, StatisticsError> {
    let failed = AtomicBool::new(false);
    let pipeline = Pipeline::without_normalizing(&TransformConfig {
        // Luma in all three channels, if that is all there is of an image.
        grayscale: config.grayscale || config.channels == Channels::One,
        ..config.fixed_part()
    });
    let sums_of = |path: &Path| -> Result<Sums, DecodeError> {
        if config.is_deep() {
            let raster = decode::read(path, &mut Vec::new(), |encoded| pipeline.fixed_raster(encoded))?;
            return Ok(Sums::of_raster(&raster));
        }
        let decoded = decode::read(path, &mut Vec::new(), |encoded| {
            encoded.check_rgb()?;
            encoded.decode()
        });
        let pixels = decoded?;
        let of = Size::of(&pixels);
        // Nothing of the fixed part is drawn.
        let pixels = pipeline.apply(pixels, &mut stream(0, Purpose::Augmentation, 0, 0));
        let pixels = pixels.map_err(|problem| DecodeError { path: path.to_owned(), problem })?;
        Ok(Sums::of(&match config.letterbox {
            Some(letterbox) => letterbox.unpad(&pixels, of),
            None => pixels,
        }))
    };
    let work = |place: usize| {
        sums_of(&paths[place]).inspect_err(|_| {
            if !options.skip_unreadable {
                failed.store(true, Ordering::Relaxed);
            }
        })
    };
    let (mut sums, mut unreadable) = (Sums::default(), Vec::new());
    let threads = options.threads.clamp(1, paths.len().max(1));
    let stop = || failed.load(Ordering::Relaxed) || (options.stop)();
    let is_whole = pool::run(paths.len(), threads, work, &stop, |place, found| match found {
        Ok(found) => sums.add(&found),
        Err(error) => unreadable.push((place, error)),
    });
    // Numbers are taken in order, so whatever stands before an unreadable image was looked at too.
    unreadable.sort_by_key(|(place, _)| *place);
    if !options.skip_unreadable && !unreadable.is_empty() {
        return Err(unreadable.swap_remove(0).1.into());
    }
    if !is_whole {
        return Err(StatisticsError::Stopped);
    }
    if sums.pixels == 0 {
        return Err(StatisticsError::Empty);
    }
    let full = if config.is_deep() { f64::from(config.bits.max() * parts(config.bits)) } else { 255.0 };
    let normalize = sums.normalize(config.channels, full)?;
    let images = paths.len() - unreadable.len();
    let skipped = unreadable.into_iter().map(|(_, error)| error.path).collect();
    Ok(Statistics { normalize, images, skipped })
}
