//! A data set → what choices are made from: counts, sizes, colour, channels and bits of a sample of
//! training images.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use ml_data::dataset::{Dataset, Split, Task};
use ml_data::decode::{DecodeProblem, Depth, Encoded, MAX_CHANNELS, Pixels, read_into};
use ml_data::transform::crop_loss::CropLoss;
use ml_data::transform::{Channels, Size};

use super::StarterError;
use crate::trainer::Stop;

/// Images whose header is read at most, spread evenly over the training split.
const SAMPLE: usize = 400;
/// Pixels that are decoded at most to see whether there is colour.
const DECODED_PIXELS: u64 = 300_000_000;
/// Channels of a grey image differ by no more than this: JPEG rounds.
const GREY_SLACK: u8 = 2;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// As it was given.
    pub data_dir: String,
    /// That was opened, of a folder with folds.
    pub fold: Option<u32>,
    /// In order.
    pub classes: Vec<String>,
    /// How many labels an image has.
    pub task: Task,
    /// Images in train, val and test; 0 for an absent split.
    pub images: [usize; 3],
    /// Images of each class in train, val and test; zeros for an absent split. One with several labels
    /// counts for each.
    pub counts: [Vec<usize>; 3],
    /// Training images that were sampled.
    pub looked_at: usize,
    /// Those of them that cannot be read, and what is wrong with the first.
    pub unreadable: usize,
    /// See `unreadable`.
    pub first_unreadable: Option<String>,
    /// Of the sampled images, in pixels.
    pub height: Spread,
    /// Likewise.
    pub width: Spread,
    /// Of the shorter sides.
    pub shorter: Spread,
    /// Of the longer sides.
    pub longer: Spread,
    /// Those of which a center crop keeps little.
    pub crop_loss: CropLoss,
    /// Mean number of pixels of an image.
    pub mean_pixels: f64,
    /// Images that were decoded to see whether they have colour.
    pub decoded: usize,
    /// Whether none of them has.
    pub is_grey: bool,
    /// Channels and bits of all sampled images, where these are more than RGB bytes and are to be
    /// kept.
    pub deep: Option<(Channels, Depth)>,
}

/// The range of a measure, such as the height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub min: u32,
    /// The middle one, the lower of two.
    pub median: u32,
    /// The greatest.
    pub max: u32,
}

impl Spread {
    /// Of at least one value.
    fn of(values: impl Iterator<Item = u32>) -> Spread {
        let mut values: Vec<u32> = values.collect();
        values.sort_unstable();
        let at = |place: usize| values.get(place).copied().unwrap_or(1);
        let last = values.len().saturating_sub(1);
        Spread { min: at(0), median: at(last / 2), max: at(last) }
    }

    /// Whether all values are the same.
    pub fn is_single(self) -> bool {
        self.min == self.max
    }
}

impl Survey {
    /// Training images.
    pub fn train(&self) -> usize {
        self.images[0]
    }

    /// Whether all sampled images have one size.
    pub fn is_uniform(&self) -> bool {
        self.height.is_single() && self.width.is_single()
    }

    /// Of the training images: how many times as many the largest class has as the smallest.
    pub fn imbalance(&self) -> f64 {
        let [train, ..] = &self.counts;
        let (least, most) = (train.iter().min().copied(), train.iter().max().copied());
        most.unwrap_or(1) as f64 / least.unwrap_or(1).max(1) as f64
    }
}

/// `keeps_deep`: whether images of other than RGB bytes are to be kept as they are.
pub(super) fn survey(
    dataset: &Dataset,
    name: &str,
    keeps_deep: bool,
    stop: &Stop,
) -> Result<Survey, StarterError> {
    let mut seen = Seen { keeps_deep, ..Seen::default() };
    let samples = &dataset.train.samples;
    let count = samples.len().min(SAMPLE);
    // Any beginning of this order is spread over the whole, since decoding may end before the last.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by_key(|place| place.reverse_bits());
    let mut bytes = Vec::new();
    for place in order {
        if stop.load(Ordering::Relaxed) != 0 {
            return Err(StarterError::Stopped);
        }
        let path = dataset.train.root.join(&samples[place * samples.len() / count].path);
        let looked = read_into(&path, &mut bytes).and_then(|()| seen.look(&bytes));
        if let Err(problem) = looked {
            seen.unreadable += 1;
            seen.first_unreadable.get_or_insert_with(|| format!("{}: {problem}", path.display()));
        }
    }
    let side = |side: fn(&Size) -> u32| Spread::of(seen.sizes.iter().map(side));
    let survey = Survey {
        data_dir: name.to_owned(),
        fold: dataset.fold,
        classes: dataset.classes.clone(),
        task: dataset.task(),
        images: Split::ALL.map(|split| dataset.index(split).map_or(0, |index| index.samples.len())),
        counts: Split::ALL.map(|split| dataset.class_counts(split)),
        looked_at: count,
        unreadable: seen.unreadable,
        first_unreadable: seen.first_unreadable.clone(),
        height: side(|size| size.height),
        width: side(|size| size.width),
        shorter: side(|size| size.height.min(size.width)),
        longer: side(|size| size.height.max(size.width)),
        crop_loss: CropLoss::of(seen.sizes.iter().copied()),
        mean_pixels: seen.sizes.iter().map(|size| pixels_of(*size) as f64).sum::<f64>()
            / seen.sizes.len().max(1) as f64,
        decoded: seen.decoded,
        is_grey: seen.decoded > 0 && !seen.has_colour,
        deep: seen.deep().filter(|_| keeps_deep),
    };
    if seen.sizes.is_empty() {
        let first = survey.first_unreadable.clone().unwrap_or_default();
        return Err(super::unreadable(&survey, first));
    }
    Ok(survey)
}

/// Of the images so far.
#[derive(Default)]
struct Seen {
    sizes: Vec<Size>,
    unreadable: usize,
    first_unreadable: Option<String>,
    decoded: usize,
    decoded_pixels: u64,
    has_colour: bool,
    /// Numbers of channels.
    channels: BTreeSet<usize>,
    has_16_bits: bool,
    keeps_deep: bool,
}

impl Seen {
    fn look(&mut self, bytes: &[u8]) -> Result<(), DecodeProblem> {
        let image = Encoded::read(bytes)?;
        let size = image.size();
        let pixels = pixels_of(size);
        let (channels, depth) = image.channels();
        self.channels.insert(channels);
        self.has_16_bits |= depth == Depth::Sixteen;
        let is_rgb = matches!(channels, 1 | 3) || !self.keeps_deep;
        // One image with colour is enough to know.
        if is_rgb && !self.has_colour && self.decoded_pixels.saturating_add(pixels) <= DECODED_PIXELS {
            let decoded = image.decode()?;
            self.decoded += 1;
            self.decoded_pixels += pixels;
            self.has_colour = has_colour(&decoded);
        }
        self.sizes.push(size);
        Ok(())
    }

    /// Channels and bits, where all images have the same channels and more than RGB bytes.
    fn deep(&self) -> Option<(Channels, Depth)> {
        let mut numbers = self.channels.iter();
        let (&count, None) = (numbers.next()?, numbers.next()) else { return None };
        let channels = match count {
            1 => Channels::One,
            3 => Channels::Three,
            2 | 4..=MAX_CHANNELS => Channels::Many(count as u8),
            _ => return None,
        };
        let depth = if self.has_16_bits { Depth::Sixteen } else { Depth::Eight };
        (depth == Depth::Sixteen || matches!(channels, Channels::Many(_))).then_some((channels, depth))
    }
}

fn pixels_of(size: Size) -> u64 {
    u64::from(size.height) * u64::from(size.width)
}

fn has_colour(pixels: &Pixels) -> bool {
    let (all, _) = pixels.data.as_chunks::<3>();
    all.iter().any(|[r, g, b]| r.max(g).max(b) - r.min(g).min(b) > GREY_SLACK)
}
