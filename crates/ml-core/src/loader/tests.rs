mod views;

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::distributed::{Share, SharedMemory};
use crate::loss::Targets;
use ml_data::dataset::{Sample, Split};
use ml_data::transform::TransformConfig;
use tch::Kind;

use super::*;

/// `count` images of different sizes and colours, in three classes.
fn images(folder: &Path, count: usize) -> Arc<Index> {
    let samples = (0..count).map(|number| {
        let (width, height) = (9 + number % 7, 8 + number % 5);
        let values = (0..width * height * 3).map(|i| (i * (number + 3) + 31 * number) as u8);
        let name = format!("{number:03}.ppm");
        let content = [format!("P6 {width} {height} 255\n").into_bytes(), values.collect()].concat();
        fs::write(folder.join(&name), content).unwrap();
        Sample { path: Path::new(&name).into(), class: number as u32 % 3 }
    });
    let samples = samples.collect();
    Arc::new(Index { root: folder.to_path_buf(), split: Split::Train, samples, label_sets: None })
}

fn pipeline(yaml: &str) -> Arc<Pipeline> {
    let config: TransformConfig = serde_yaml::from_str(yaml).unwrap();
    Arc::new(Pipeline::new(&config).unwrap())
}

const AUGMENTED: &str =
    "{random_resized_crop: [6, 5], random_horizontal_flip: true, color_jitter: {hue: 0.2}}";

fn options(num_workers: usize) -> LoaderOptions {
    LoaderOptions {
        order: Order::shuffled(11),
        seed: 5,
        ..LoaderOptions::sequential(4, num_workers, Device::Cpu)
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
    let index = images(folder.path(), 43);
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
    let index = images(folder.path(), 10);
    let pipeline = pipeline(AUGMENTED);
    let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options(2));
    let mut seen = Vec::new();
    for batch in loader.epoch(9, 0) {
        let batch = batch.unwrap();
        let count = batch.indices.len() as i64;
        assert_eq!(batch.images.size(), [count, 3, 6, 5]);
        assert_eq!((batch.images.kind(), batch.targets.kind()), (Kind::Float, Kind::Int64));
        for (row, &number) in batch.indices.iter().enumerate() {
            let sample = &index.samples[number];
            assert_eq!(batch.targets.int64_value(&[row as i64]), i64::from(sample.class));
            let mut rng = ml_data::rng::stream(5, ml_data::rng::Purpose::Augmentation, 9, number as u64);
            let pixels = ml_data::decode::decode(&index.root.join(&sample.path)).unwrap();
            let mut expected = vec![0.0; 3 * 6 * 5];
            pipeline.normalize_into(&pipeline.apply(pixels, &mut rng).unwrap(), &mut expected);
            let floats: Vec<f32> = Vec::try_from(batch.images.get(row as i64).flatten(0, -1)).unwrap();
            assert_eq!(floats, expected);
            seen.push(number);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn an_epoch_entered_in_the_middle_is_the_tail_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 22);
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
    let index = images(folder.path(), 22);
    let with = |options| Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options);
    let order = |batches: &[Content]| batches.iter().flat_map(|b| b.3.clone()).collect::<Vec<_>>();
    let loader = with(options(2));
    let (first, second) = (all(&loader, 0, 0), all(&loader, 1, 0));
    assert!(first == all(&loader, 0, 0), "an epoch repeats itself");
    assert_ne!(order(&first), order(&second));
    let other_order = LoaderOptions { order: Order::shuffled(12), ..options(2) };
    assert_ne!(order(&first), order(&all(&with(other_order), 0, 0)));
    // The same order with another augmentation: by epoch, and by seed.
    let sequential = LoaderOptions { order: Order::Sequential, ..options(2) };
    let (first, second) = (all(&with(sequential.clone()), 0, 0), all(&with(sequential.clone()), 1, 0));
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
        let index = images(folder.path(), count);
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
fn a_broken_image_ends_the_stream_at_its_batch_by_name_whatever_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 40);
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
    let index = images(folder.path(), 40);
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
    let index = images(folder.path(), 40);
    // Batches past those that may be under way cannot be decoded, and must not be touched.
    for number in 16..40 {
        fs::remove_file(folder.path().join(format!("{number:03}.ppm"))).unwrap();
    }
    let options = LoaderOptions { order: Order::Sequential, ..options(2) };
    let mut batches = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options).epoch(0, 0);
    assert!(batches.next().unwrap().is_ok());
    std::thread::sleep(Duration::from_millis(100));
    // Two batches ahead of the first are the second and the third; the files come back before the
    // fifth.
    let again = images(folder.path(), 40);
    assert_eq!(again.samples.len(), 40);
    assert_eq!(batches.map(|batch| batch.unwrap().indices.len()).sum::<usize>(), 36);
}

#[test]
fn waiting_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 12);
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
    let index = images(folder.path(), 3);
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
    let index =
        Arc::new(Index { root: folder.path().to_path_buf(), split: Split::Train, samples, label_sets: None });
    for num_workers in [0, 2] {
        let options = LoaderOptions { batch_size: usize::MAX, ..options(num_workers) };
        // 100,000 images of 3 GiB: more than an address space holds.
        let loader = Loader::new(Arc::clone(&index), pipeline("resize: [16384, 16384]"), options);
        let mut batches = loader.epoch(0, 0);
        let message = batches.next().unwrap().unwrap_err().to_string();
        assert!(message.contains("training.batch_size"), "{message}");
        assert!(batches.next().is_none());
    }
}

/// JPEGs of every chroma subsampling, 333 x 251: see tests/reference/reduced.py.
fn jpegs() -> Arc<Index> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/reduced");
    let names = ["420.jpg", "422.jpg", "444.jpg", "progressive.jpg", "restart.jpg"];
    let samples = names.iter().zip([0, 1, 0, 1, 0]);
    let samples = samples.map(|(name, class)| Sample { path: Path::new(name).into(), class }).collect();
    Arc::new(Index { root, split: Split::Train, samples, label_sets: None })
}

#[test]
fn batches_are_the_same_with_any_cache_any_workers_and_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in [
        "{random_resized_crop: 32, random_horizontal_flip: true}",
        "{random_resized_crop: {size: 24, scale: [0.6, 1]}, color_jitter: {hue: 0.2}}",
        "{resize: [40, 50], random_crop: {size: 32, padding: 4}}",
        "{resize: 36, center_crop: 32, decoding: reduced}",
    ]
    .into_iter()
    .enumerate()
    {
        let (index, pipeline) = (jpegs(), pipeline(text));
        let order = Order::Drawn { sampling: serde_yaml::from_str("name: balanced").unwrap(), seed: 1 };
        let loader = |num_workers| {
            let options = LoaderOptions { batch_size: 2, order: order.clone(), ..options(num_workers) };
            Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options)
        };
        let reference: Vec<_> = (0..3).map(|epoch| all(&loader(0), epoch, 0)).collect();
        for num_workers in [0, 1, 2, 7] {
            // Enough for all, for about two of the whole images, and for none.
            for bytes in [1 << 30, 600_000, 0] {
                let disk = folder.path().join(format!("{number} {num_workers} {bytes}"));
                let caches = || {
                    let budget = || Budget::new(bytes);
                    [
                        Cache::ram(index.samples.len(), budget()),
                        Cache::disk(&disk, &pipeline, budget()).unwrap(),
                    ]
                };
                // The second time, the file on disk is there from before.
                for cache in caches().into_iter().chain(caches()) {
                    let loader = loader(num_workers).with_cache(Some(Arc::new(cache)));
                    for (epoch, expected) in reference.iter().enumerate() {
                        assert!(all(&loader, epoch as u64, 0) == *expected, "{text} {num_workers} {bytes}");
                        assert!(
                            all(&loader, epoch as u64, 1) == expected[1..],
                            "{text}, from the second batch"
                        );
                    }
                }
            }
        }
    }
}

/// What sets this is `cache: disk` with the default transforms, which resize both splits alike.
#[test]
fn splits_that_are_prepared_alike_share_a_disk_cache_and_both_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("cache");
    let splits = [("train", "{resize: [4, 4], random_horizontal_flip: true}"), ("val", "{resize: [4, 4]}")];
    let splits = splits.map(|(name, transform)| {
        let data = folder.path().join(name);
        fs::create_dir(&data).unwrap();
        (images(&data, 6), pipeline(transform))
    });
    let run = |epochs: u64| {
        let mut caches = Caches::new(CacheKind::Disk, place.clone(), Some(Budget::new(1 << 20)));
        let loaders = splits.clone().map(|(index, pipeline)| {
            let cache = caches.for_preparation(&index, &pipeline).unwrap();
            Loader::new(index, pipeline, options(2)).with_cache(cache)
        });
        let epochs = (0..epochs).map(|epoch| loaders.each_ref().map(|loader| all(loader, epoch, 0)));
        epochs.collect::<Vec<_>>()
    };
    let first = run(1);
    // With the same size and time of change, images are taken from the cache: none is decoded.
    for (index, _) in &splits {
        for sample in &index.samples {
            let path = index.root.join(&sample.path);
            let status = fs::metadata(&path).unwrap();
            fs::write(&path, vec![b'x'; status.len() as usize]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(status.modified().unwrap()).unwrap();
        }
    }
    let second = run(2);
    assert!(second[0] == first[0]);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
}

/// As of two processes: each has the file open for itself.
#[test]
fn what_one_process_adds_to_a_cache_is_there_for_another_that_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), folder.path().join("cache"));
    fs::create_dir(&data).unwrap();
    let index = images(&data, 8);
    let pipeline = pipeline("{resize: [4, 4]}");
    let memory = folder.path().join("memory");
    let in_memory = || {
        let options = fs::File::options().read(true).write(true).create(true).truncate(false).open(&memory);
        let memory = SharedMemory { file: options.unwrap(), is_first: true };
        let caches = Caches::new(CacheKind::Ram, place.clone(), Some(Budget::new(1 << 20)));
        caches.in_shared_memory(memory).unwrap().for_preparation(&index, &pipeline).unwrap().unwrap()
    };
    let on_disk = || Arc::new(Cache::disk(&place, &pipeline, Budget::new(1 << 20)).unwrap());
    for [one, other] in [[on_disk(), on_disk()], [in_memory(), in_memory()]] {
        let plain = |share| {
            let options = LoaderOptions { share, ..options(0) };
            Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options)
        };
        let loader = |cache: &Arc<Cache>, share| plain(share).with_cache(Some(Arc::clone(cache)));
        let expected = all(&plain(None), 0, 0);
        // Each adds its half.
        let shares = [0, 1].map(|rank| Some(Share::of_pass(rank, 2)));
        let halves = [loader(&one, shares[0]), loader(&other, shares[1])].map(|loader| all(&loader, 0, 0));
        assert!(halves.concat() == expected);
        // Without the images, each has all.
        for sample in &index.samples {
            let path = index.root.join(&sample.path);
            let status = fs::metadata(&path).unwrap();
            fs::write(&path, vec![b'x'; status.len() as usize]).unwrap();
            fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(status.modified().unwrap())
                .unwrap();
        }
        for cache in [&one, &other] {
            assert!(all(&loader(cache, None), 0, 0) == expected);
        }
        images(&data, 8);
    }
}

#[test]
fn a_disk_cache_serves_later_runs_and_notices_changed_images_and_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (data, place) = (folder.path().join("data"), folder.path().join("cache"));
    fs::create_dir(&data).unwrap();
    let index = images(&data, 8);
    let pipeline = pipeline("{resize: [4, 4]}");
    let batches = || {
        let cache = Cache::disk(&place, &pipeline, Budget::new(1 << 20)).unwrap();
        let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options(0))
            .with_cache(Some(Arc::new(cache)));
        loader.epoch(0, 0).map(|batch| batch.map(content)).collect::<Result<Vec<_>, _>>()
    };
    let first = batches().unwrap();
    let file = fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    // Images with the same size and time of change are taken from the cache, whatever is in the
    // files now.
    let scribble = |text: &str| {
        for sample in &index.samples {
            let path = index.root.join(&sample.path);
            let (time, length) =
                (fs::metadata(&path).unwrap().modified().unwrap(), fs::metadata(&path).unwrap().len());
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(length as usize, b'x');
            fs::write(&path, bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        }
    };
    scribble("not an image");
    assert!(batches().unwrap() == first);
    // A cut file, a flipped bit, another program's file: decoded anew, which shows that nothing is
    // there.
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &whole[..100], &flipped, &b"something else entirely"[..], &[]]
    {
        fs::write(&file, damaged).unwrap();
        assert!(matches!(batches(), Err(LoaderError::Decode(_))), "{} bytes", damaged.len());
    }
    images(&data, 8);
    assert!(batches().unwrap() == first, "the damaged cache is repaired");
    // A file that cannot be made.
    let error = Cache::disk(&file.join("below"), &pipeline, Budget::new(0)).err().unwrap().to_string();
    assert!(error.contains("data.cache_dir"), "{error}");
}

#[test]
fn unreadable_images_are_replaced_by_others_of_their_class_the_same_for_any_workers() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 40);
    let bad = [3, 6, 22, 39];
    for number in bad {
        fs::write(folder.path().join(format!("{number:03}.ppm")), "P6 9 9 255\ncut").unwrap();
    }
    let with = |num_workers, limit| {
        let options = LoaderOptions { unreadable: Unreadable::Replace { limit }, ..options(num_workers) };
        Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options)
    };
    let reference = all(&with(0, 4), 0, 0);
    assert_eq!(reference.len(), 10);
    for (_, _, targets, indices) in &reference {
        assert_eq!(targets.len(), 4);
        assert!(targets.iter().zip(indices).all(|(class, number)| *class == *number as i64 % 3));
    }
    for num_workers in [1, 2, 7] {
        assert!(all(&with(num_workers, 4), 0, 0) == reference, "{num_workers} workers");
    }
    for num_workers in [0, 2] {
        // The fourth is one too many; a second epoch does not count them again.
        let loader = with(num_workers, 3);
        let error = loader.epoch(0, 0).find_map(Result::err).unwrap();
        assert!(error.to_string().contains("data.max_skipped"), "{error}");
        let loader = with(num_workers, 4);
        assert!((0..3).all(|epoch| loader.epoch(epoch, 0).all(|batch| batch.is_ok())));
    }
    // A class without a readable image.
    for number in (0..40).filter(|number| number % 3 == 1) {
        fs::remove_file(folder.path().join(format!("{number:03}.ppm"))).unwrap();
    }
    let error = with(2, 100).epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(error.contains("13 images of its class (number 1)"), "{error}");
}

#[test]
fn unreadable_images_are_left_out_of_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 11);
    for number in [2, 4, 5, 6, 7] {
        fs::write(folder.path().join(format!("{number:03}.ppm")), "P6 9 9 255\ncut").unwrap();
    }
    for num_workers in [0, 1, 2, 7] {
        let options = LoaderOptions {
            order: Order::Sequential,
            unreadable: Unreadable::LeaveOut { limit: 5 },
            ..options(num_workers)
        };
        let loader = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options);
        let found = all(&loader, 0, 0);
        let indices: Vec<_> = found.iter().map(|batch| batch.3.clone()).collect();
        // A batch of which nothing is left does not come.
        assert_eq!(indices, [vec![0, 1, 3], vec![8, 9, 10]]);
        assert_eq!(found[0].2, [0, 1, 0]);
        assert_eq!(found[0].0, [3, 3, 4, 4]);
    }
}

#[test]
fn memory_of_batches_serves_again_once_they_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 40);
    for num_workers in [0, 2] {
        let loader = Loader::new(Arc::clone(&index), pipeline("resize: [4, 4]"), options(num_workers));
        let dropped: std::collections::BTreeSet<_> =
            loader.epoch(0, 0).map(|batch| batch.unwrap().images.data_ptr() as usize).collect();
        // One with the consumer and two under way.
        assert!(dropped.len() <= 3, "{dropped:?}");
        // Those that are kept have memory of their own, and are not written into.
        let kept: Vec<Batch> = loader.epoch(0, 0).map(Result::unwrap).collect();
        let places: std::collections::BTreeSet<_> =
            kept.iter().map(|batch| batch.images.data_ptr() as usize).collect();
        assert_eq!(places.len(), 10);
        assert!(kept.into_iter().map(content).collect::<Vec<_>>() == all(&loader, 0, 0));
    }
}

#[test]
fn erased_and_mixed_batches_are_a_function_of_epoch_and_batch() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 21);
    let pipeline = pipeline(
        "{resize: [8, 6], random_erasing: {p: 1.0, value: random}, mixup: 0.4, cutmix: 1.0, \
         normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}",
    );
    let epoch = |num_workers, epoch, first| -> Vec<(Vec<f64>, Vec<f64>, Vec<i64>)> {
        let options = LoaderOptions { num_classes: 3, ..options(num_workers) };
        let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options);
        let batches = loader.epoch(epoch, first).on_device().map(Result::unwrap);
        let floats = |tensor: &Tensor| Vec::try_from(tensor.flatten(0, -1).to_kind(Kind::Double)).unwrap();
        batches
            .map(|inputs| {
                let Targets::Probabilities(soft) = Targets::of(&inputs) else { panic!("mixed images") };
                assert_eq!(soft.size(), [inputs.indices.len() as i64, 3]);
                (floats(&inputs.images), floats(&soft), Vec::try_from(&inputs.targets).unwrap())
            })
            .collect()
    };
    let reference = epoch(0, 4, 0);
    assert_eq!(reference.len(), 6);
    for num_workers in [1, 2, 7] {
        assert!(epoch(num_workers, 4, 0) == reference, "{num_workers} workers");
        assert!(epoch(num_workers, 4, 2) == reference[2..], "{num_workers} workers, from the third batch");
    }
    assert!(epoch(0, 5, 0) != reference);
    let mut mixed = 0;
    for (_, soft, targets) in &reference {
        for (row, target) in soft.chunks_exact(3).zip(targets) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{row:?}");
            assert!(row[*target as usize] >= 0.5, "{row:?}: {target}");
            mixed += usize::from(row.iter().all(|share| *share < 1.0));
        }
    }
    assert!(mixed > 5, "{mixed}");
}

#[test]
fn erasing_happens_after_normalising_and_only_in_its_rectangle() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 8);
    let with = |erasing: &str| {
        let text = format!(
            "{{resize: [12, 10], normalize: {{mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}, random_erasing: {erasing}}}"
        );
        let loader = Loader::new(Arc::clone(&index), pipeline(&text), options(2));
        let images: Vec<Tensor> =
            loader.epoch(0, 0).on_device().map(|batch| batch.unwrap().images.copy()).collect();
        Tensor::cat(&images, 0)
    };
    let (plain, erased) = (with("null"), with("{p: 1.0, value: 7.5}"));
    let changed = plain.ne_tensor(&erased);
    let values = erased.masked_select(&changed);
    assert_eq!(values.eq(7.5).all().int64_value(&[]), 1);
    // Between 2 and 33 % of each image.
    let share = changed.to_kind(Kind::Float).mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
    let shares: Vec<f32> = Vec::try_from(share).unwrap();
    assert!(shares.iter().all(|share| (0.005..0.4).contains(share)), "{shares:?}");
}

#[test]
fn images_of_one_channel_come_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 5);
    let pipeline = pipeline("{resize: [4, 6], channels: 1, normalize: {mean: [0.5], std: [0.25]}}");
    let loader = Loader::new(Arc::clone(&index), pipeline, options(2));
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();
    assert_eq!(batch.images.size(), [4, 1, 4, 6]);
}

/// What crosses to a GPU, sent to the CPU: one piece of memory, bytes, noise of the workers.
#[test]
fn batches_that_are_sent_as_bytes_are_those_that_the_cpu_normalises() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 21);
    fs::write(folder.path().join("004.ppm"), "not an image").unwrap();
    for more in [
        "",
        ", random_erasing: {p: 1.0, value: random}",
        ", random_erasing: {p: 0.7, value: [1, 2, 3]}, mixup: 0.4",
        ", random_erasing: {p: 0.7, value: random}, cutmix: 1.0",
    ] {
        let text = format!(
            "{{resize: [8, 6], random_horizontal_flip: true, normalize: {{mean: [0.5, 0.4, 0.3], \
             std: [0.2, 0.3, 0.2]}}{more}}}"
        );
        let pipeline = pipeline(&text);
        for (num_workers, on_error) in [(0, false), (1, true), (3, false), (3, true)] {
            let unreadable =
                if on_error { Unreadable::LeaveOut { limit: 5 } } else { Unreadable::Replace { limit: 5 } };
            let loader = || {
                let options = LoaderOptions { num_classes: 3, unreadable, ..options(num_workers) };
                Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options)
            };
            let plain: Vec<DeviceBatch> = loader().epoch(2, 1).on_device().map(Result::unwrap).collect();
            let all = loader().num_batches();
            let mut targets = loader().epoch(2, 1).targets_of(1..all).into_iter();
            let mut sent = loader().sending_bytes().epoch(2, 1).on_device();
            assert_eq!(sent.size_hint(), (1, Some(5)));
            for wanted in &plain {
                let number = all - targets.len();
                let next = [targets.next().unwrap()];
                assert_eq!(sent.targets_of(number..number + 1), next, "whether or not one is ahead");
                let got = sent.next().unwrap().unwrap();
                assert_eq!(got.indices, wanted.indices);
                assert!(got.targets.equal(&wanted.targets));
                match (&got.soft_targets, &wanted.soft_targets) {
                    (None, None) => {}
                    (Some(got), Some(wanted)) => assert!(got.equal(wanted)),
                    _ => panic!("{more}: soft targets on one side"),
                }
                let difference = (&got.images - &wanted.images).abs().max().double_value(&[]);
                // Two roundings of f32; values are below 5.
                assert!(difference < 2e-6, "{more}, {num_workers} workers: {difference}");
                // Later than the next one would be sent.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            assert!(sent.next().is_none());
        }
    }
}

#[test]
fn an_error_comes_in_its_turn_though_batches_are_sent_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 12);
    fs::write(folder.path().join("009.ppm"), "not an image").unwrap();
    let options = LoaderOptions { order: Order::Sequential, ..options(2) };
    let loader = Loader::new(index, pipeline("{resize: [4, 4]}"), options).sending_bytes();
    let mut batches = loader.epoch(0, 0).on_device();
    for _ in 0..2 {
        assert_eq!(batches.next().unwrap().unwrap().indices.len(), 4);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let Some(Err(LoaderError::Decode(error))) = batches.next() else { panic!("the third has a bad image") };
    assert!(error.to_string().contains("009.ppm"), "{error}");
    assert!(batches.next().is_none());
}

#[test]
fn labels_of_several_classes_come_with_their_images_and_are_mixed_like_them() {
    let folder = tempfile::tempdir().unwrap();
    let plain = images(folder.path(), 13);
    let sets =
        (0..13u32).map(|sample| (0..3).filter(|class| (sample >> class) & 1 == 1).collect::<Vec<u32>>());
    let sets: ml_data::dataset::LabelSets = sets.collect();
    let index = Arc::new(Index { label_sets: Some(Arc::new(sets)), ..(*plain).clone() });
    let hot = |sample: usize| [0, 1, 2].map(|class| if (sample >> class) & 1 == 1 { 1.0f32 } else { 0.0 });
    let rows = |labels: &Tensor| Vec::<f32>::try_from(labels.flatten(0, -1)).unwrap();
    for num_workers in [0, 2] {
        for bytes in [false, true] {
            let options = LoaderOptions { num_classes: 3, ..options(num_workers) };
            let loader = Loader::new(Arc::clone(&index), pipeline(AUGMENTED), options);
            let loader = if bytes { loader.sending_bytes() } else { loader };
            let composed = loader.composition(1, 0).unwrap();
            for (batch, samples) in loader.epoch(1, 0).on_device().zip(composed) {
                let batch = batch.unwrap();
                let expected: Vec<f32> = batch.indices.iter().flat_map(|&sample| hot(sample)).collect();
                let Targets::MultiHot(labels) = Targets::of(&batch) else { panic!("several labels") };
                assert_eq!(labels.size(), [batch.indices.len() as i64, 3]);
                assert_eq!(rows(&labels), expected);
                assert_eq!((samples.indices, rows(&samples.labels.unwrap())), (batch.indices, expected));
            }
        }
    }
    let mixing =
        pipeline("{resize: [8, 6], mixup: 0.4, normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2]}}");
    let options = LoaderOptions { num_classes: 3, ..options(2) };
    let mut mixed = 0;
    for batch in Loader::new(index, mixing, options).epoch(1, 0).on_device() {
        let batch = batch.unwrap();
        assert!(batch.soft_targets.is_none());
        let labels = rows(&batch.labels.unwrap());
        assert!(labels.iter().all(|label| (0.0..=1.0).contains(label)), "{labels:?}");
        mixed += labels.iter().filter(|label| **label > 0.0 && **label < 1.0).count();
    }
    assert!(mixed > 5, "{mixed}");
}
