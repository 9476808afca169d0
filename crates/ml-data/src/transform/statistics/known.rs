//! The statistics of a data folder's training images, computed once: they are kept in the folder's
//! hidden `.ml-cache`, and hold as long as no training image and nothing of the fixed geometry
//! changes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Options, StatisticsError, channel_statistics};
use crate::dataset::{Dataset, Split, hidden};
use crate::setting::Auto;
use crate::transform::{Normalize, TransformConfig};

/// Changes with what is computed.
const VERSION: &[u8] = b"statistics 1";

/// The statistics of a training split.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// One entry a channel, on the scale 0 to 1.
    pub normalize: Normalize,
    /// Images that were read.
    pub images: usize,
    /// Images that could not be read and were left out.
    pub skipped: usize,
    /// Whether an earlier start had computed them.
    pub was_kept: bool,
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Of the state of images and geometry that this is about.
    key: String,
    normalize: Normalize,
    #[serde(rename = "pictures")]
    images: usize,
    skipped: usize,
}

/// [`channel_statistics`] of the training images, or what an earlier call `kept` of them. With
/// `remember` they are kept for the next, if the data folder can be written to.
///
/// # Errors
/// As [`channel_statistics`].
pub fn training_statistics(
    dataset: &Dataset,
    config: &TransformConfig,
    options: &Options<'_>,
    remember: bool,
) -> Result<Known, StatisticsError> {
    let state = dataset
        .state_of(Split::Train, &options.stop)
        // A missing image is a state too, so nothing else ends it.
        .map_err(|_| StatisticsError::Stopped)?;
    let geometry = geometry(config);
    let fold = dataset.fold.map_or_else(String::new, |fold| format!("_fold_{fold}"));
    // Geometries have files of their own, so that trying one after the other does not compute each
    // anew.
    let name = format!("statistics{fold}_{}.json", &geometry[..8]);
    let key = format!("{geometry}-{state}");
    if let Some(known) = read(dataset, &name, &key, config, options.skip_unreadable) {
        return Ok(known);
    }
    let paths: Vec<_> =
        dataset.train.samples.iter().map(|sample| dataset.train.root.join(&sample.path)).collect();
    let found = channel_statistics(&paths, config, options)?;
    let (normalize, images, skipped) = (found.normalize, found.images, found.skipped.len());
    if remember {
        hidden::write(dataset, &name, &Kept { key, normalize: normalize.clone(), images, skipped });
    }
    Ok(Known { normalize, images, skipped, was_kept: false })
}

/// Hex SHA-256 over what else the statistics depend on.
fn geometry(config: &TransformConfig) -> String {
    let mut hash = Sha256::new();
    hash.update(VERSION);
    // A configuration always has a text.
    hash.update(serde_json::to_vec(&config.fixed_part()).unwrap_or_default());
    hex::encode(hash.finalize())
}

/// What was kept, if it is about `key` and can be used.
fn read(dataset: &Dataset, name: &str, key: &str, config: &TransformConfig, skip: bool) -> Option<Known> {
    let Kept { key: of, normalize, images, skipped } = hidden::read(dataset, name)?;
    // Where unreadable images are an error they are to be found again.
    if of != key || (skipped > 0 && !skip) {
        return None;
    }
    let used = TransformConfig { normalize: Some(Auto::Value(normalize.clone())), ..config.fixed_part() };
    let is_usable = !used.problems().iter().any(|(key, _)| key.starts_with("normalize"));
    is_usable.then_some(Known { normalize, images, skipped, was_kept: true })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::transform::statistics::Statistics;

    fn tree(folder: &Path) -> Dataset {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/digits/raw");
        for class in ["0", "1"] {
            let mut files: Vec<PathBuf> =
                fs::read_dir(from.join(class)).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            for (number, file) in files.iter().take(6).enumerate() {
                let to = folder.join(if number < 5 { "train" } else { "val" }).join(class);
                fs::create_dir_all(&to).unwrap();
                fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
            }
        }
        Dataset::open(folder, &crate::dataset::OpenOptions::default()).unwrap()
    }

    fn config(yaml: &str) -> TransformConfig {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn options(skip_unreadable: bool) -> Options<'static> {
        Options { threads: 2, skip_unreadable, stop: &|| false }
    }

    fn direct(dataset: &Dataset, config: &TransformConfig) -> Statistics {
        let paths: Vec<_> = dataset.train.samples.iter().map(|s| dataset.root.join(&s.path)).collect();
        channel_statistics(&paths, config, &options(true)).unwrap()
    }

    fn files(dataset: &Dataset) -> Vec<PathBuf> {
        let folder = dataset.root.join(".ml-cache");
        fs::read_dir(folder).map_or_else(|_| Vec::new(), |all| all.map(|file| file.unwrap().path()).collect())
    }

    #[test]
    fn what_was_computed_is_kept_to_the_bit_until_an_image_or_the_geometry_changes() {
        let place = tempfile::tempdir().unwrap();
        let dataset = tree(place.path());
        let small = config("{resize: [7, 7], random_crop: 5, normalize: auto}");
        let know =
            |config: &TransformConfig| training_statistics(&dataset, config, &options(false), true).unwrap();
        let first = know(&small);
        assert_eq!((&first.normalize, first.images), (&direct(&dataset, &small).normalize, 10));
        assert!(!first.was_kept);
        assert_eq!(know(&small), Known { was_kept: true, ..first.clone() });
        // What is random does not count, what is fixed does.
        assert!(know(&config("{resize: [7, 7], random_horizontal_flip: true, normalize: auto}")).was_kept);
        for other in ["resize: [8, 8]", "{resize: [7, 7], center_crop: 3}", "{resize: [7, 7], channels: 1}"] {
            let other = config(other);
            let known = know(&other);
            assert!(!known.was_kept && known.normalize != first.normalize, "{other:?}");
            assert!(know(&other).was_kept && know(&small).was_kept, "one does not push out the other");
        }
        // An image takes another's content, of another size or time.
        let samples = &dataset.train.samples;
        fs::copy(dataset.root.join(&samples[9].path), dataset.root.join(&samples[0].path)).unwrap();
        let after = know(&small);
        assert!(!after.was_kept);
        assert_eq!(after.normalize, direct(&dataset, &small).normalize);
        assert_ne!(after.normalize, first.normalize);
        // Validation images do not count.
        fs::write(dataset.root.join(&dataset.val.samples[0].path), "text").unwrap();
        assert!(know(&small).was_kept);
    }

    #[test]
    fn damaged_or_foreign_files_in_the_cache_count_for_nothing() {
        let place = tempfile::tempdir().unwrap();
        let dataset = tree(place.path());
        let config = config("resize: [7, 7]");
        let know = |remember| training_statistics(&dataset, &config, &options(false), remember).unwrap();
        let first = know(false);
        assert!(files(&dataset).is_empty(), "nothing is kept unless requested");
        know(true);
        let [path] = &files(&dataset)[..] else { panic!("one file") };
        let whole = fs::read_to_string(path).unwrap();
        let mean = format!("\"mean\":[{}", first.normalize.mean[0]);
        assert!(whole.contains(&mean), "{whole}");
        for damaged in [
            String::new(),
            "{}".to_owned(),
            whole[..whole.len() - 2].to_owned(),
            whole.replace(&mean, "\"mean\":[17"),
            whole.replace(&mean, "\"mean\":[null"),
            whole.replace("\"mean\":[", "\"mean\":[0.5,"),
            whole.replace("\"key\":\"", "\"key\":\"0"),
        ] {
            fs::write(path, &damaged).unwrap();
            let known = know(true);
            assert!(!known.was_kept && known.normalize == first.normalize, "{damaged}");
            assert_eq!(fs::read_to_string(path).unwrap(), whole, "it is put right");
        }
        fs::remove_dir_all(place.path().join(".ml-cache")).unwrap();
        fs::write(place.path().join(".ml-cache"), "a file where the folder should be").unwrap();
        assert_eq!(know(true), first);
    }

    #[test]
    fn unreadable_images_are_skipped_only_where_that_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let dataset = tree(place.path());
        let config = config("resize: [7, 7]");
        let bad = dataset.root.join(&dataset.train.samples[3].path);
        fs::write(&bad, "just text").unwrap();
        let know = |skip| training_statistics(&dataset, &config, &options(skip), true);
        let known = know(true).unwrap();
        assert_eq!((known.images, known.skipped), (9, 1));
        assert!(know(true).unwrap().was_kept);
        let error = know(false).unwrap_err().to_string();
        assert!(error.contains(bad.file_name().unwrap().to_str().unwrap()), "{error}");
        let stopped = Options { stop: &|| true, ..options(true) };
        assert!(matches!(
            training_statistics(&dataset, &config, &stopped, true),
            Err(StatisticsError::Stopped)
        ));
        fs::remove_file(&bad).unwrap();
        // A missing image is one that cannot be read.
        let known = know(true).unwrap();
        assert_eq!((known.images, known.skipped, known.was_kept), (9, 1, false));
        let error = know(false).unwrap_err().to_string();
        assert!(error.contains(bad.file_name().unwrap().to_str().unwrap()), "{error}");
    }
}
