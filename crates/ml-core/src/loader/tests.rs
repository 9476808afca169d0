use std::fs;
use std::path::Path;
use std::time::Instant;

use ml_data::dataset::{Sample, Split};
use ml_data::transform::TransformConfig;

use super::*;

/// `count` pictures of different sizes and colours, in three classes.
fn pictures(folder: &Path, count: usize) -> Arc<Index> {
    let samples = (0..count).map(|number| {
        let (width, height) = (9 + number % 7, 8 + number % 5);
        let values = (0..width * height * 3).map(|i| (i * (number + 3) + 31 * number) as u8);
        let name = format!("{number:03}.ppm");
        let content = [format!("P6 {width} {height} 255\n").into_bytes(), values.collect()].concat();
        fs::write(folder.join(&name), content).unwrap();
        Sample { path: Path::new(&name).into(), class: number as u32 % 3 }
    });
    let samples = samples.collect();
    Arc::new(Index { root: folder.to_path_buf(), split: Split::Train, samples })
}

fn pipeline(yaml: &str) -> Arc<Pipeline> {
    let config: TransformConfig = serde_yaml::from_str(yaml).unwrap();
    Arc::new(Pipeline::new(&config).unwrap())
}

const AUGMENTED: &str =
    "{random_resized_crop: [6, 5], random_horizontal_flip: true, color_jitter: {hue: 0.2}}";

fn options(num_workers: usize) -> LoaderOptions {
    LoaderOptions {
        batch_size: 4,
        num_workers,
        order: Order::Shuffled { seed: 11 },
        seed: 5,
        drop_last: false,
    }
}

/// Everything in a batch, comparable to the bit.
type Content = (Vec<i64>, Vec<u32>, Vec<i64>, Vec<usize>);

fn content(batch: Batch) -> Content {
    let floats: Vec<f32> = Vec::try_from(batch.images.flatten(0, -1)).unwrap();
    let bits = floats.into_iter().map(f32::to_bits).collect();
    (batch.images.size(), bits, Vec::try_from(batch.targets).unwrap(), batch.indices)
}

fn all(loader: &Loader, epoch: u64, first: usize) -> Vec<Content> {
    loader.epoch(epoch, first).map(|batch| content(batch.unwrap())).collect()
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 43);
    for batch_size in [1, 4, 16, 100] {
        let with = |num_workers| {
            let options = LoaderOptions { batch_size, ..options(num_workers) };
            all(&Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options), 3, 0)
        };
        let reference = with(0);
        assert_eq!(reference.len(), 43_usize.div_ceil(batch_size));
        for num_workers in [1, 2, 7] {
            assert!(with(num_workers) == reference, "{num_workers} workers, batches of {batch_size}");
        }
    }
}

#[test]
fn a_batch_holds_its_samples_pixels_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 10);
    let pipeline = pipeline(AUGMENTED);
    let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options(2));
    let mut seen = Vec::new();
    for batch in loader.epoch(9, 0) {
        let batch = batch.unwrap();
        let count = batch.indices.len() as i64;
        assert_eq!(batch.images.size(), [count, 3, 6, 5]);
        assert_eq!((batch.images.kind(), batch.targets.kind()), (Kind::Float, Kind::Int64));
        for (row, &place) in batch.indices.iter().enumerate() {
            let sample = &index.samples[place];
            assert_eq!(batch.targets.int64_value(&[row as i64]), i64::from(sample.class));
            let mut rng = ml_data::rng::stream(5, ml_data::rng::Purpose::Augmentation, 9, place as u64);
            let pixels = ml_data::decode::decode(&index.root.join(&sample.path)).unwrap();
            let mut expected = vec![0.0; 3 * 6 * 5];
            pipeline.normalize_into(&pipeline.apply(pixels, &mut rng), &mut expected);
            let floats: Vec<f32> = Vec::try_from(batch.images.get(row as i64).flatten(0, -1)).unwrap();
            assert_eq!(floats, expected);
            seen.push(place);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn an_epoch_entered_in_the_middle_is_the_tail_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 22);
    for num_workers in [0, 3] {
        let loader = Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options(num_workers));
        let whole = all(&loader, 1, 0);
        assert_eq!(whole.len(), 6);
        for first in 1..=7 {
            assert!(all(&loader, 1, first) == whole[first.min(6)..], "from {first}");
        }
    }
}

#[test]
fn epochs_and_seeds_differ_in_order_and_augmentation() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 22);
    let with = |options| Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options);
    let order = |batches: &[Content]| batches.iter().flat_map(|b| b.3.clone()).collect::<Vec<_>>();
    let loader = with(options(2));
    let (first, second) = (all(&loader, 0, 0), all(&loader, 1, 0));
    assert!(first == all(&loader, 0, 0), "an epoch repeats itself");
    assert_ne!(order(&first), order(&second));
    let other_order = LoaderOptions { order: Order::Shuffled { seed: 12 }, ..options(2) };
    assert_ne!(order(&first), order(&all(&with(other_order), 0, 0)));
    // The same order with another augmentation: by epoch, and by seed.
    let sequential = LoaderOptions { order: Order::Sequential, ..options(2) };
    let (first, second) = (all(&with(sequential), 0, 0), all(&with(sequential), 1, 0));
    assert_eq!(order(&first), (0..22).collect::<Vec<_>>());
    assert_eq!(order(&first), order(&second));
    assert!(first != second);
    assert!(first != all(&with(LoaderOptions { seed: 6, ..sequential }), 0, 0));
}

#[test]
fn the_last_batch_is_short_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for (count, batch_size, drop_last, sizes) in [
        (10, 4, false, vec![4, 4, 2]),
        (10, 4, true, vec![4, 4]),
        (8, 4, true, vec![4, 4]),
        (3, 8, false, vec![3]),
        (3, 8, true, vec![]),
        (0, 8, false, vec![]),
    ] {
        let index = pictures(folder.path(), count);
        for num_workers in [0, 2] {
            let options = LoaderOptions { batch_size, drop_last, ..options(num_workers) };
            let loader = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options);
            assert_eq!(loader.num_batches(), sizes.len());
            assert_eq!(loader.num_samples(), sizes.iter().sum::<usize>());
            let mut batches = loader.epoch(0, 0);
            let found: Vec<usize> = batches.by_ref().map(|batch| batch.unwrap().indices.len()).collect();
            assert_eq!(found, sizes);
            assert!(batches.next().is_none());
        }
    }
}

#[test]
fn a_broken_picture_ends_the_stream_at_its_batch_by_name_whatever_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 40);
    // Two in one batch: the first in order is reported.
    for number in [22, 21, 35] {
        fs::write(folder.path().join(format!("{number:03}.ppm")), "P6 9 9 255\ncut").unwrap();
    }
    for num_workers in [0, 1, 2, 7] {
        let options = LoaderOptions { order: Order::Sequential, ..options(num_workers) };
        let mut batches = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options).epoch(0, 0);
        for number in 0..5 {
            assert_eq!(batches.next().unwrap().unwrap().indices[0], number * 4);
        }
        let error = batches.next().unwrap().unwrap_err();
        assert!(matches!(error, LoaderError::Decode(_)));
        let message = error.to_string();
        assert!(message.contains(folder.path().join("021.ppm").to_str().unwrap()), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert!(batches.next().is_none());
    }
}

#[test]
fn a_dropped_stream_leaves_no_thread_behind() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 40);
    let pipeline = pipeline("resize: [64, 64]");
    let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options(5));
    // Each thread holds the plan, and with it the pipeline.
    let owners = Arc::strong_count(&pipeline);
    for taken in [0, 1, 3, 10] {
        let mut batches = loader.epoch(0, 0);
        assert!(Arc::strong_count(&pipeline) > owners);
        assert_eq!(batches.by_ref().take(taken).flatten().count(), taken);
        let started = Instant::now();
        drop(batches);
        assert_eq!(Arc::strong_count(&pipeline), owners, "after {taken} batches");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    // A stream that has come to its end has none either, even before it is dropped.
    let mut batches = loader.epoch(0, 0);
    assert_eq!(batches.by_ref().count(), 10);
    assert_eq!(Arc::strong_count(&pipeline), owners);
}

#[test]
fn workers_run_only_a_few_batches_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 40);
    // Batches past those that may be under way cannot be decoded, and must not be touched.
    for number in 16..40 {
        fs::remove_file(folder.path().join(format!("{number:03}.ppm"))).unwrap();
    }
    let options = LoaderOptions { order: Order::Sequential, ..options(2) };
    let mut batches = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options).epoch(0, 0);
    assert!(batches.next().unwrap().is_ok());
    std::thread::sleep(Duration::from_millis(100));
    // Two batches ahead of the first are the second and the third; the files come back before the fifth.
    let again = pictures(folder.path(), 40);
    assert_eq!(again.samples.len(), 40);
    assert_eq!(batches.map(|batch| batch.unwrap().indices.len()).sum::<usize>(), 36);
}

#[test]
fn waiting_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 12);
    for num_workers in [0, 2] {
        let loader = Loader::new(Arc::clone(&index), pipeline("resize: [300, 300]"), options(num_workers));
        let mut batches = loader.epoch(0, 0);
        assert_eq!(batches.waited(), Duration::ZERO);
        let started = Instant::now();
        assert_eq!(batches.by_ref().flatten().count(), 3);
        assert!(batches.waited() > Duration::ZERO && batches.waited() <= started.elapsed());
    }
}

#[test]
fn transforms_without_a_common_size_are_an_error_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let index = pictures(folder.path(), 3);
    let mut batches = Loader::new(index, pipeline("resize: 32"), options(2)).epoch(0, 0);
    assert_eq!(batches.size_hint(), (1, Some(1)));
    let message = batches.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("`resize: [height, width]`"), "{message}");
    assert!(batches.next().is_none());
}

#[test]
fn a_batch_that_no_memory_can_hold_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new("same.ppm");
    fs::write(folder.path().join(path), "P6 1 1 255\nabc").unwrap();
    let samples = vec![Sample { path: path.into(), class: 0 }; 100_000];
    let index = Arc::new(Index { root: folder.path().to_path_buf(), split: Split::Train, samples });
    for num_workers in [0, 2] {
        let options = LoaderOptions { batch_size: usize::MAX, ..options(num_workers) };
        // 100,000 pictures of 3 GiB: more than an address space holds.
        let loader = Loader::new(Arc::clone(&index), pipeline("resize: [16384, 16384]"), options);
        let mut batches = loader.epoch(0, 0);
        let message = batches.next().unwrap().unwrap_err().to_string();
        assert!(message.contains("training.batch_size"), "{message}");
        assert!(batches.next().is_none());
    }
}
