//! What an epoch consists of: which sample stands where, and how it is made. Shared by all threads,
//! changed by none.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ml_data::dataset::Index;
use ml_data::decode::{self, DecodeError, DecodeProblem, Encoded, Oddity, Pixels};
use ml_data::guard;
use ml_data::rng::{self, Purpose};
use ml_data::transform::{Erasure, Fill, Mix, Pipeline, Size};
use rand_chacha::ChaCha8Rng;

use super::memory::Layout;
use super::order::Entry;
use super::{Cache, Loader, LoaderError, Unreadable};

/// Of a class, this many images in a row may be unreadable before [`Unreadable::Replace`] gives up.
const MAX_TRIES: usize = 100;

/// One epoch.
pub(super) struct Plan {
    index: Arc<Index>,
    pipeline: Arc<Pipeline>,
    /// What makes the part that all views of a sample have in common, where there are several.
    base: Option<Pipeline>,
    cache: Option<Arc<Cache>>,
    /// By position in what is made; none where position and index are equal.
    entries: Option<Vec<Entry>>,
    batch_size: usize,
    /// That are made.
    num_samples: usize,
    /// Where this process makes only its share.
    whole: Option<Whole>,
    layout: Layout,
    seed: u64,
    epoch: u64,
    unreadable: Unreadable,
    num_classes: usize,
}

/// The epoch that a process makes its share of.
struct Whole {
    entries: Option<Vec<Entry>>,
    num_samples: usize,
    /// In the epoch, of the batches that are made.
    numbers: Vec<usize>,
}

impl Whole {
    /// Positions in the epoch of the samples of a batch.
    fn samples_of(&self, number: usize, batch_size: usize) -> Range<usize> {
        let first = number.saturating_mul(batch_size).min(self.num_samples);
        first..(first + batch_size).min(self.num_samples)
    }
}

/// What is to be known of a sample beside its pixels.
#[derive(Debug)]
pub(super) enum Remark {
    /// The image of this index cannot be read; it was replaced or left out.
    Bad(usize, DecodeError),
    /// It cannot be made, and was left out, which the batch is to tell.
    Untold(LoaderError),
    /// The image of this index comes out black, or of one colour.
    Odd(usize, Oddity),
    /// To be overwritten in this view once the sample is normalised, on its device, with this noise
    /// `[C, h, w]` if it is with noise, as the bytes of f32.
    Erase(usize, Erasure, Vec<u8>),
}

/// What is still to be erased of a sample, by view, and what is odd about its image.
type Made = (Vec<(usize, Erasure)>, Option<Oddity>);

impl Plan {
    /// Of images of `size` (height, width). Also returns the number of the batch to begin with, which
    /// is batch `first` of the epoch or, where this process makes its share only, the first of that
    /// behind it.
    pub(super) fn new(loader: &Loader, size: (u32, u32), epoch: u64, first: usize) -> (Plan, usize) {
        let Loader { index, pipeline, cache, options, destination, .. } = loader;
        let mut num_samples = loader.num_samples();
        let mut entries = options.order.entries(&index.samples, epoch);
        let (mut whole, mut begin) = (None, first);
        if let Some(share) = options.share {
            let numbers = share.batches(first, loader.num_batches());
            let all = Whole { entries, num_samples, numbers };
            let of = |number: &usize| all.samples_of(*number, options.batch_size);
            let own: Vec<Entry> =
                all.numbers.iter().flat_map(of).map(|at| entry(all.entries.as_deref(), at)).collect();
            (num_samples, entries, begin) = (own.len(), Some(own), 0);
            whole = Some(all);
        }
        let plan = Plan {
            entries,
            whole,
            index: Arc::clone(index),
            pipeline: Arc::clone(pipeline),
            base: (options.views > 1).then(|| pipeline.before_views()),
            cache: cache.clone(),
            batch_size: options.batch_size,
            num_samples,
            layout: Layout {
                // No batch has more samples than the epoch.
                samples: options.batch_size.min(num_samples),
                views: options.views,
                channels: pipeline.channels(),
                size,
                is_remote: destination.is_remote(),
                is_pinned: destination.is_pinned(),
            },
            seed: options.seed,
            epoch,
            unreadable: options.unreadable,
            num_classes: options.num_classes,
        };
        (plan, begin)
    }

    /// What a batch's memory holds.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The images.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// What is done about images that cannot be read.
    pub(super) fn unreadable(&self) -> Unreadable {
        self.unreadable
    }

    pub(super) fn num_samples(&self) -> usize {
        self.num_samples
    }

    pub(super) fn batch_size(&self) -> usize {
        self.batch_size
    }

    pub(super) fn num_batches(&self) -> usize {
        self.num_samples.div_ceil(self.batch_size)
    }

    /// Bytes of a sample in a batch.
    pub(super) fn sample_bytes(&self) -> usize {
        self.layout.sample_bytes()
    }

    /// Positions in the epoch of the samples of batch `number`.
    pub(super) fn samples_of(&self, number: usize) -> Range<usize> {
        let first = number * self.batch_size;
        first..(first + self.batch_size).min(self.num_samples)
    }

    /// The sample at `position` in the epoch.
    fn entry(&self, position: usize) -> Entry {
        entry(self.entries.as_deref(), position)
    }

    /// Index of the sample at `position` in the epoch.
    pub(super) fn index_of(&self, position: usize) -> usize {
        self.entry(position).index as usize
    }

    /// Classes of the samples of batch `number`.
    pub(super) fn classes_of(&self, number: usize) -> Vec<i64> {
        let indices = self.samples_of(number).map(|position| self.index_of(position));
        indices.map(|index| i64::from(self.index.samples[index].class)).collect()
    }

    /// The labels of these samples, `[N, K]` row by row, 0 or 1, and that shape, where a sample may
    /// have several.
    pub(super) fn labels_of(&self, samples: &[usize]) -> Option<(Vec<f32>, [i64; 2])> {
        let sets = self.index.label_sets.as_ref()?;
        let num_classes = self.num_classes;
        let mut values = vec![0.0; samples.len() * num_classes];
        for (row, &sample) in samples.iter().enumerate() {
            for &label in sets.of(sample).iter().filter(|&&label| (label as usize) < num_classes) {
                values[row * num_classes + label as usize] = 1.0;
            }
        }
        Some((values, [samples.len() as i64, num_classes as i64]))
    }

    /// Classes of the samples in each of these batches of the epoch, whosever share they are.
    pub(super) fn targets_of(&self, batches: Range<usize>) -> Vec<Vec<i64>> {
        let of_whole = |whole: &Whole, number| {
            let entries = whole.samples_of(number, self.batch_size);
            let index = |at| entry(whole.entries.as_deref(), at).index as usize;
            entries.map(|at| i64::from(self.index.samples[index(at)].class)).collect()
        };
        let of = |number| match &self.whole {
            Some(whole) => of_whole(whole, number),
            None => self.classes_of(number),
        };
        batches.map(of).collect()
    }

    /// Decodes and transforms the sample at `position` into `slot`, which is
    /// [`sample_bytes`](Plan::sample_bytes) long. The slot of an image that is left out is zeros.
    pub(super) fn make_sample(&self, position: usize, slot: &mut [u8]) -> Result<Vec<Remark>, LoaderError> {
        let Entry { index, repeat } = self.entry(position);
        let mut bad = Vec::new();
        for candidate in self.candidates(index as usize).take(MAX_TRIES) {
            let stream = candidate as u64 | u64::from(repeat) << 40;
            match (self.make(candidate, stream, slot), self.unreadable) {
                (Ok((erasures, oddity)), _) => {
                    let bad = bad.into_iter().map(|(index, error)| Remark::Bad(index, error));
                    let odd = oddity.map(|oddity| Remark::Odd(candidate, oddity));
                    let erasures = erasures.into_iter().map(|(view, erasure)| {
                        let is_noise = matches!(erasure.fill, Fill::Noise { .. });
                        let values = is_noise.then(|| erasure.values(self.layout.channels));
                        let noise = values.into_iter().flatten().flat_map(f32::to_ne_bytes).collect();
                        Remark::Erase(view, erasure, noise)
                    });
                    return Ok(bad.chain(odd).chain(erasures).collect());
                }
                (Err(LoaderError::Decode(error)), Unreadable::LeaveOut { .. }) => {
                    slot.fill(0);
                    return Ok(vec![Remark::Bad(candidate, error)]);
                }
                (Err(error @ (LoaderError::Decode(_) | LoaderError::Transform { .. })), Unreadable::Tell) => {
                    slot.fill(0);
                    return Ok(vec![Remark::Untold(error)]);
                }
                (Err(LoaderError::Decode(error)), Unreadable::Replace { .. }) => bad.push((candidate, error)),
                (Err(error), _) => return Err(error),
            }
        }
        // The class has no readable image here.
        let (index, error) = bad.swap_remove(0);
        Err(LoaderError::NoReplacement {
            tries: bad.len() + 1,
            class: self.index.samples[index].class,
            error,
        })
    }

    /// `index`, and then the others of its class, or with just its labels, in the index's order,
    /// round and round.
    fn candidates(&self, index: usize) -> impl Iterator<Item = usize> {
        let samples = &self.index.samples;
        let labels = self.index.labels(index);
        let others = (index + 1..samples.len()).chain(0..index);
        std::iter::once(index).chain(others.filter(move |other| self.index.labels(*other) == labels))
    }

    /// Makes the sample of this index with the random stream numbered `stream`; what is
    /// still to be erased, and what is odd about the image.
    fn make(&self, index: usize, stream: u64, slot: &mut [u8]) -> Result<Made, LoaderError> {
        let mut rng = rng::stream(self.seed, Purpose::Augmentation, self.epoch, stream);
        let path = || self.index.root.join(&self.index.samples[index].path);
        // A panic must not leave the consumer waiting for this sample for ever.
        catch_unwind(AssertUnwindSafe(|| {
            let noted = Cell::new(None);
            if self.pipeline.is_deep() {
                self.make_deep(&path(), slot, &mut rng)?;
                return Ok((Vec::new(), None));
            }
            let pipeline = self.base.as_ref().unwrap_or(&self.pipeline);
            let pixels = match &self.cache {
                None => with_file(&path(), |encoded| pipeline.load(encoded.noting(&noted), &mut rng))?,
                Some(cache) => {
                    let prepared = match cache.get(&self.index, index) {
                        Some(prepared) => prepared,
                        None => {
                            let prepared =
                                with_file(&path(), |encoded| pipeline.prepare(encoded.noting(&noted)))?;
                            let prepared = Arc::new(prepared);
                            cache.put(&self.index, index, &prepared);
                            prepared
                        }
                    };
                    pipeline.finish(&prepared, &mut rng)
                }
            };
            if self.base.is_some() {
                return Ok((self.write_views(&pixels, stream, slot), noted.get()));
            }
            let erasure = self.pipeline.draw_erasure(&mut rng, Size::of(&pixels));
            let left = self.write(&pixels, erasure, slot);
            Ok((left.into_iter().map(|erasure| (0, erasure)).collect(), noted.get()))
        }))
        .unwrap_or_else(|panic| {
            let reason = guard::message(panic.as_ref()).lines().next().unwrap_or_default().to_owned();
            Err(LoaderError::Transform { path: path(), reason })
        })
    }

    /// Writes an image into its place; what is still to be erased of it.
    fn write(&self, pixels: &Pixels, erasure: Option<Erasure>, slot: &mut [u8]) -> Option<Erasure> {
        if self.layout.is_remote {
            self.pipeline.bytes_into(pixels, slot);
            return erasure;
        }
        self.pipeline.normalize_into_bytes(pixels, slot);
        if let Some(erasure) = erasure {
            erasure.apply_to_bytes(slot, self.pipeline.channels(), Size::of(pixels));
        }
        None
    }

    /// Writes all views of a sample, the clean one first; what is still to be erased of which. `base` is
    /// what they have in common, and `stream` the number of the random stream that it was made with.
    fn write_views(&self, base: &Pixels, stream: u64, slot: &mut [u8]) -> Vec<(usize, Erasure)> {
        let mut left = Vec::new();
        for (view, slot) in slot.chunks_exact_mut(self.layout.image_bytes()).enumerate() {
            if view == 0 {
                self.write(&self.pipeline.clean_view(base.clone()), None, slot);
                continue;
            }
            // Between the index, of 32 bits, and the repeat, from bit 40 on.
            let number = stream | (view as u64) << 32;
            let mut rng = rng::stream(self.seed, Purpose::Augmentation, self.epoch, number);
            let pixels = self.pipeline.augmented_view(base.clone(), &mut rng);
            let erasure = self.pipeline.draw_erasure(&mut rng, Size::of(&pixels));
            left.extend(self.write(&pixels, erasure, slot).map(|erasure| (view, erasure)));
        }
        left
    }

    /// As [`Plan::make`], of an image that is more than RGB bytes.
    fn make_deep(&self, path: &Path, slot: &mut [u8], rng: &mut ChaCha8Rng) -> Result<(), LoaderError> {
        let raster = with_file(path, |encoded| self.pipeline.load_raster(encoded, rng))?;
        self.pipeline.normalize_raster_into_bytes(&raster, slot);
        if let Some(erasure) = self.pipeline.draw_erasure(rng, raster.size) {
            erasure.apply_to_bytes(slot, self.pipeline.channels(), raster.size);
        }
        Ok(())
    }

    /// What mixup or cutmix does to batch `number`, of which `samples` samples are left.
    pub(super) fn mix(&self, number: usize, samples: usize) -> Option<Mix> {
        // By its place in the epoch, whosever share it is.
        let number = self.whole.as_ref().map_or(number, |whole| whole.numbers[number]);
        let mut rng = rng::stream(self.seed, Purpose::Mix, self.epoch, number as u64);
        self.pipeline.draw_mix(
            &mut rng,
            samples,
            Size { height: self.layout.size.0, width: self.layout.size.1 },
        )
    }
}

/// The sample at `position`, where `entries` say which is where.
fn entry(entries: Option<&[Entry]>, position: usize) -> Entry {
    entries.map_or(Entry { index: position as u32, repeat: 0 }, |entries| entries[position])
}

thread_local! {
    /// The last file's bytes, whose memory serves the next.
    static FILE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Files up to this size leave their memory to the next.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// Reads an image file and hands it on.
fn with_file<T>(
    path: &Path,
    use_it: impl FnOnce(Encoded<'_>) -> Result<T, DecodeProblem>,
) -> Result<T, LoaderError> {
    FILE.with_borrow_mut(|bytes| {
        let result = decode::read(path, bytes, use_it);
        if bytes.capacity() > MAX_KEPT_BYTES {
            *bytes = Vec::new();
        }
        Ok(result?)
    })
}
