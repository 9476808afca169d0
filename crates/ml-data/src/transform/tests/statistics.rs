//! Channel statistics against numpy's.

use super::*;
use crate::transform::statistics::{Options, StatisticsError, channel_statistics};

const NEVER: Options<'static> = Options { threads: 1, skip_unreadable: false, stop: &|| false };

fn path_of(name: &str) -> PathBuf {
    tests_folder().join("data/images").join(name)
}

#[test]
fn channel_statistics_are_numpys() {
    let reference = reference("channel_statistics");
    let names: Vec<String> = serde_json::from_value(reference["files"].clone()).unwrap();
    let paths: Vec<PathBuf> = names.iter().map(|name| path_of(name)).collect();
    for case in reference["cases"].as_array().unwrap() {
        let yaml = case["transform"].as_str().unwrap();
        let found = channel_statistics(&paths, &parse(yaml), &NEVER).unwrap();
        assert_eq!((found.images, found.skipped.len()), (names.len(), 0));
        let expected: Normalize =
            serde_json::from_value(serde_json::json!({ "mean": case["mean"], "std": case["std"] })).unwrap();
        // Without resizing the sums are exact; resizing differs by single steps of 1/255.
        let tolerance = if yaml.contains("resize") { 1e-3 } else { 1e-12 };
        let pairs = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{yaml}");
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < tolerance, "{yaml}: {a}, {b}");
            }
        };
        pairs(&found.normalize.mean, &expected.mean);
        pairs(&found.normalize.std, &expected.std);
    }
}

#[test]
fn channel_statistics_depend_neither_on_threads_nor_on_order() {
    let mut paths: Vec<PathBuf> = ["rgb.png", "image.png", "lossy.webp", "digit.png"].map(path_of).to_vec();
    let config = parse("{resize: [20, 20]}");
    let first = channel_statistics(&paths, &config, &NEVER).unwrap();
    paths.reverse();
    for threads in [0, 2, 9] {
        assert_eq!(channel_statistics(&paths, &config, &Options { threads, ..NEVER }).unwrap(), first);
    }
}

#[test]
fn what_cannot_be_computed_says_why() {
    let config = parse("{resize: [20, 20]}");
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.ppm");
    fs::write(&flat, b"P6 2 1 255\n\x01\x02\x03\x01\x02\x04").unwrap();
    let paths = vec![path_of("rgb.png"), path_of("missing_a.png"), flat.clone(), path_of("missing_b.png")];
    for threads in [1, 4] {
        let error = channel_statistics(&paths, &config, &Options { threads, ..NEVER }).unwrap_err();
        assert!(error.to_string().contains("missing_a.png"), "{error}");
    }
    let skipping = Options { skip_unreadable: true, threads: 3, ..NEVER };
    let found = channel_statistics(&paths, &config, &skipping).unwrap();
    assert_eq!((found.images, found.skipped.as_slice()), (2, &[paths[1].clone(), paths[3].clone()][..]));
    let only = |path: &PathBuf| channel_statistics(std::slice::from_ref(path), &parse("{}"), &skipping);
    assert!(matches!(only(&flat), Err(StatisticsError::Constant { channel: 0 })));
    assert!(matches!(only(&paths[1]), Err(StatisticsError::Empty)));
    assert!(matches!(channel_statistics(&[], &config, &NEVER), Err(StatisticsError::Empty)));
    let stopped = channel_statistics(&paths, &config, &Options { stop: &|| true, ..NEVER });
    assert!(matches!(stopped, Err(StatisticsError::Stopped)));
}
