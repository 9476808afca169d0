//! `normalize: auto`: a configuration with it → one with numbers.

use ml_data::transform::{Normalize, TransformConfig};

use super::{Config, Resolved, Source, TransformsConfig};
use ml_data::setting::Auto;

impl Config {
    /// Whether a split has `normalize: auto`. Nothing can be trained with it: see
    /// [`Config::with_statistics`].
    pub fn needs_statistics(&self) -> bool {
        let TransformsConfig { train, val, test, fit: _ } = &self.transforms;
        [train, val, test].into_iter().any(TransformConfig::needs_statistics)
    }

    /// This configuration with every `normalize: auto` replaced by `statistics`, those of the
    /// training images.
    #[must_use]
    pub fn with_statistics(&self, statistics: &Normalize) -> Config {
        let mut resolved = self.clone();
        let TransformsConfig { train, val, test, fit: _ } = &mut resolved.transforms;
        for transform in [train, val, test] {
            *transform = transform.with_statistics(statistics.clone());
        }
        resolved
    }
}

impl Resolved {
    /// Where this says `normalize: auto` and `run`, which is resumed, has numbers: takes these.
    /// They are what the run has trained with, whatever the images are now. ImageNet's are no data
    /// set's own, and so never taken.
    pub(super) fn keep_statistics(&mut self, run: &Config) {
        let TransformsConfig { train, val, test, fit: _ } = &mut self.config.transforms;
        let TransformsConfig { train: run_train, val: run_val, test: run_test, fit: _ } = &run.transforms;
        for (split, transform, run) in
            [("train", train, run_train), ("val", val, run_val), ("test", test, run_test)]
        {
            if let Some(Auto::Value(numbers)) = &run.normalize
                && *numbers != Normalize::imagenet()
                && transform.needs_statistics()
            {
                *transform = transform.with_statistics(numbers.clone());
                self.sources.insert(format!("transforms.{split}.normalize"), Source::Run);
            }
        }
    }
}
