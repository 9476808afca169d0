//! Picture files → mean and standard deviation of each channel, for `normalize: auto`.
//!
//! Pictures are taken at the size of the pipeline's fixed geometry: after `resize` and `center_crop`, before
//! anything random. Each pixel of each picture counts once. Sums are whole numbers, so the result depends neither
//! on the number of threads nor on the order. [`training_statistics`] keeps what it finds in the data folder.

mod known;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::config::{Size, TransformConfig};
use super::normalize::{Channels, Normalize};
use super::{color, ops};
use crate::dataset::DatasetError;
use crate::decode::{self, DecodeError, Pixels};

pub use known::{Known, training_statistics};

/// How pictures are gone through.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Threads that decode; 0 is 1. Never changes the result.
    pub threads: usize,
    /// Leaves unreadable pictures out instead of failing.
    pub skip_unreadable: bool,
    /// Asked before each picture, from any thread; `true` ends the computation.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// One entry a channel, on the scale 0 to 1; the deviation is over all pixels (divided by their number).
    pub normalize: Normalize,
    /// Pictures that were read.
    pub pictures: usize,
    /// Pictures that could not be read and were left out, in the order given.
    pub skipped: Vec<PathBuf>,
}

/// Why there are no statistics.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// A picture cannot be read: the first of them in the order given.
    #[error("{0}")]
    Picture(#[from] DecodeError),
    /// A picture is missing or may not be looked up.
    #[error(transparent)]
    Dataset(DatasetError),
    /// The stop callback said so.
    #[error("stopped before the statistics of all pictures were known")]
    Stopped,
    /// Nothing to compute from.
    #[error("no picture could be read, so `normalize: auto` has nothing to compute from; check data_dir")]
    Empty,
    /// All pixels have the same value, by which nothing can be divided.
    #[error(
        "all pixels of all pictures have the same value in channel {channel}; write normalize: {{mean: […], std: […]}} instead of auto"
    )]
    Constant {
        /// Number of the channel, from 0.
        channel: usize,
    },
}

impl TransformConfig {
    /// What decides about the statistics: what is done to each picture before anything random, and its channels.
    fn fixed_part(&self) -> TransformConfig {
        let TransformConfig { resize, center_crop, interpolation, grayscale, channels, .. } = *self;
        TransformConfig {
            resize,
            center_crop,
            grayscale,
            channels,
            interpolation,
            ..TransformConfig::default()
        }
    }
}

/// Sums over pixels.
#[derive(Clone, Copy, Default)]
struct Sums {
    pixels: u128,
    /// Of the values, a channel.
    values: [u128; 3],
    /// Of their squares.
    squares: [u128; 3],
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.pixels += other.pixels;
        for c in 0..3 {
            self.values[c] += other.values[c];
            self.squares[c] += other.squares[c];
        }
    }

    /// Of one picture. Its squares stay below 2^44, as no picture has more than [`decode::MAX_PIXELS`].
    fn of(pixels: &Pixels) -> Sums {
        let (mut values, mut squares) = ([0_u64; 3], [0_u64; 3]);
        let (all, _) = pixels.data.as_chunks::<3>();
        for pixel in all {
            for c in 0..3 {
                values[c] += u64::from(pixel[c]);
                squares[c] += u64::from(pixel[c]) * u64::from(pixel[c]);
            }
        }
        Sums { pixels: all.len() as u128, values: values.map(u128::from), squares: squares.map(u128::from) }
    }

    fn normalize(&self, channels: Channels) -> Result<Normalize, StatisticsError> {
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for channel in 0..channels.count() {
            let (sum, squares) = (self.values[channel], self.squares[channel]);
            // n^2 times the variance.
            let spread = self.pixels * squares - sum * sum;
            if spread == 0 {
                return Err(StatisticsError::Constant { channel });
            }
            let count = self.pixels as f64;
            mean.push(sum as f64 / count / 255.0);
            std.push((spread as f64).sqrt() / count / 255.0);
        }
        Ok(Normalize { mean, std })
    }
}

/// The channel statistics of the pictures at `paths`, as `config` resizes and crops them, in its `channels`.
///
/// # Errors
/// A picture cannot be read (unless they are skipped), none can, all are of one colour, or `stop` said so.
pub fn channel_statistics(
    paths: &[PathBuf],
    config: &TransformConfig,
    options: &Options<'_>,
) -> Result<Statistics, StatisticsError> {
    let work = Work { paths, config, options, next: AtomicUsize::new(0), end: AtomicBool::new(false) };
    let result = Mutex::new(Found::default());
    thread::scope(|scope| {
        for _ in 1..options.threads.clamp(1, paths.len().max(1)) {
            scope.spawn(|| work.run(&result));
        }
        work.run(&result);
    });
    let mut found = result.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.unreadable.sort_by_key(|(place, _)| *place);
    if !options.skip_unreadable && !found.unreadable.is_empty() {
        return Err(found.unreadable.swap_remove(0).1.into());
    }
    if found.stopped {
        return Err(StatisticsError::Stopped);
    }
    if found.sums.pixels == 0 {
        return Err(StatisticsError::Empty);
    }
    let normalize = found.sums.normalize(config.channels)?;
    let pictures = paths.len() - found.unreadable.len();
    let skipped = found.unreadable.into_iter().map(|(_, error)| error.path).collect();
    Ok(Statistics { normalize, pictures, skipped })
}

/// What the threads share.
struct Work<'a> {
    paths: &'a [PathBuf],
    config: &'a TransformConfig,
    options: &'a Options<'a>,
    next: AtomicUsize,
    end: AtomicBool,
}

/// What the threads bring.
#[derive(Default)]
struct Found {
    sums: Sums,
    unreadable: Vec<(usize, DecodeError)>,
    stopped: bool,
}

impl Work<'_> {
    /// A thread's life.
    fn run(&self, result: &Mutex<Found>) {
        let mut own = Found::default();
        while !self.end.load(Ordering::Relaxed) {
            if (self.options.stop)() {
                own.stopped = true;
                self.end.store(true, Ordering::Relaxed);
                break;
            }
            // Taken in order, so that whatever stands before an unreadable picture is looked at too.
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = self.paths.get(place) else { break };
            match decode::decode(path) {
                Ok(pixels) => own.sums.add(&Sums::of(&self.prepared(pixels))),
                Err(error) => {
                    own.unreadable.push((place, error));
                    if !self.options.skip_unreadable {
                        self.end.store(true, Ordering::Relaxed);
                    }
                }
            }
        }
        let mut found = result.lock().unwrap_or_else(PoisonError::into_inner);
        found.sums.add(&own.sums);
        found.unreadable.append(&mut own.unreadable);
        found.stopped |= own.stopped;
    }

    /// The picture as the pipeline's fixed part leaves it; luma in all three channels if there is one.
    fn prepared(&self, mut pixels: Pixels) -> Pixels {
        let config = self.config;
        if let Some(resize) = config.resize {
            let size: Size = resize.target(Size::of(&pixels));
            pixels = ops::resize(pixels, size, config.interpolation);
        }
        if let Some(size) = config.center_crop {
            let (top, left) = ops::center(Size::of(&pixels), size);
            pixels = ops::crop(&pixels, top, left, size, 0);
        }
        if config.grayscale || config.channels == Channels::One {
            color::grayscale(&mut pixels);
        }
        pixels
    }
}
