//! Several views of each image.

use ml_data::decode;
use ml_data::rng::{Purpose, stream};

use super::*;

const POLICY: &str = "random_resized_crop: [6, 5], random_horizontal_flip: true, trivial_augment_wide: true, \
                      normalize: {mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.2]}";

fn three(num_workers: usize) -> LoaderOptions {
    LoaderOptions { views: 3, ..options(num_workers) }
}

#[test]
fn views_are_the_same_for_any_number_of_workers_and_from_any_batch_on() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 22);
    let pipeline = pipeline(&format!("{{{POLICY}, random_erasing: {{p: 0.7, value: random}}}}"));
    let with = |options| Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options);
    let whole = all(&with(three(0)), 3, 0);
    assert_eq!((whole.len(), &whole[0].0[..]), (6, &[12, 3, 6, 5][..]));
    assert_eq!((&whole[5].0[..], whole[5].2.len()), (&[6, 3, 6, 5][..], 2));
    for num_workers in [0, 1, 3] {
        let loader = with(three(num_workers));
        for first in 0..=6 {
            assert!(all(&loader, 3, first) == whole[first..], "{num_workers} workers, from {first}");
        }
    }
    assert!(all(&with(three(2)), 4, 0) != whole);
    // Each of two processes makes its half.
    let half = |rank| LoaderOptions { share: Some(Share::of_pass(rank, 2)), ..three(2) };
    assert!([0, 1].map(|rank| all(&with(half(rank)), 3, 0)).concat() == whole);
}

#[test]
fn the_clean_views_come_first_and_each_other_view_is_augmented_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 10);
    let pipeline = pipeline(&format!("{{{POLICY}}}"));
    let base = Arc::new(pipeline.before_views());
    let plain = Loader::new(Arc::clone(&index), Arc::clone(&base), options(0));
    let loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), three(2));
    let mut differing = 0;
    for (batch, clean) in loader.epoch(9, 0).on_device().zip(plain.epoch(9, 0).on_device()) {
        let (batch, clean) = (batch.unwrap(), clean.unwrap());
        let count = batch.indices.len();
        assert_eq!((&batch.indices, batch.images.size()[0]), (&clean.indices, 3 * count as i64));
        assert!(batch.targets.equal(&clean.targets));
        assert!(batch.images.narrow(0, 0, count as i64).equal(&clean.images));
        for (row, &number) in batch.indices.iter().enumerate() {
            let number = number as u64;
            let pixels = decode::decode(&index.root.join(&index.samples[number as usize].path)).unwrap();
            let first = base.apply(pixels, &mut stream(5, Purpose::Augmentation, 9, number)).unwrap();
            for view in 1..3 {
                let mut rng = stream(5, Purpose::Augmentation, 9, number | (view as u64) << 32);
                let mut expected = vec![0.0; 3 * 6 * 5];
                pipeline.normalize_into(&pipeline.augmented_view(first.clone(), &mut rng), &mut expected);
                let image = batch.images.get((view * count + row) as i64);
                assert_eq!(Vec::<f32>::try_from(image.flatten(0, -1)).unwrap(), expected);
                differing += usize::from(!image.equal(&clean.images.get(row as i64)));
            }
        }
    }
    assert!(differing > 10, "{differing} of 20 views are changed");
}

#[test]
fn views_that_are_sent_as_bytes_are_those_that_the_cpu_normalises() {
    let folder = tempfile::tempdir().unwrap();
    let index = images(folder.path(), 21);
    fs::write(folder.path().join("004.ppm"), "not an image").unwrap();
    for erasing in ["{p: 0.7, value: random}", "{p: 0.7, value: [1, 2, 3]}"] {
        let pipeline = pipeline(&format!("{{{POLICY}, random_erasing: {erasing}}}"));
        for unreadable in [Unreadable::LeaveOut { limit: 5 }, Unreadable::Replace { limit: 5 }] {
            let loader = || {
                let options = LoaderOptions { unreadable, ..three(2) };
                Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options)
            };
            let mut sent = loader().sending_bytes().epoch(2, 0).on_device();
            for wanted in loader().epoch(2, 0).on_device() {
                let (got, wanted) = (sent.next().unwrap().unwrap(), wanted.unwrap());
                assert_eq!(got.indices, wanted.indices);
                assert!(got.targets.equal(&wanted.targets));
                let difference = (&got.images - &wanted.images).abs().max().double_value(&[]);
                // Two roundings of f32; values are below 5.
                assert!(difference < 2e-6, "{erasing}, {unreadable:?}: {difference}");
            }
            assert!(sent.next().is_none());
        }
    }
}
