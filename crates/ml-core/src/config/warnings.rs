//! What looks like an oversight in a configuration but may be meant.

use ml_data::transform::{Size, TransformConfig};

use super::TransformsConfig;
use super::layers::Resolved;

impl Resolved {
    /// What looks like an oversight but may be meant; one line each.
    pub fn warnings(&self) -> Vec<String> {
        let TransformsConfig { train, val, test, fit: _ } = &self.config.transforms;
        let mut warnings = Vec::new();
        if train.output_size() != val.output_size() {
            warnings.push(format!(
                "transforms: training images are {}, validation images {}; give transforms.val if this is not meant",
                size(train),
                size(val)
            ));
        }
        let training = &self.config.training;
        if training.whole_epochs().is_none() && self.config.scheduler.moves_once_an_epoch() {
            warnings.push(
                "scheduler.interval: the learning rate changes between epochs only, though training.max_steps or \
                 training.max_time may end within one; set scheduler.interval to step to have it follow to the end"
                    .to_owned(),
            );
        }
        if val.output_size() != test.output_size() {
            warnings.push(format!(
                "transforms: validation images are {}, test images {}; give transforms.test if this is not meant",
                size(val),
                size(test)
            ));
        }
        for (split, transform) in [("val", val), ("test", test)] {
            if transform.letterbox.is_some() != train.letterbox.is_some() {
                warnings.push(format!(
                    "transforms: only one of transforms.train and transforms.{split} has a letterbox; give both alike, or transforms.fit, if this is not meant"
                ));
            }
            if transform.normalize != train.normalize {
                warnings.push(format!(
                    "transforms: transforms.{split}.normalize is not that of the training images; give both alike if this is not meant"
                ));
            }
        }
        if let Some((choice, origin)) = &self.origin
            && train.channels == origin.train.channels
            && train.normalize != origin.train.normalize
        {
            warnings.push(format!(
                "transforms: transforms.train.normalize is not what the weights {choice} were trained with; leave `transforms` out, or give {}",
                serde_json::to_string(&origin.train.normalize).unwrap_or_default()
            ));
        }
        warnings
    }
}

fn size(transform: &TransformConfig) -> String {
    transform
        .output_size()
        .map_or_else(|| "of varying size".to_owned(), |Size { height, width }| format!("{height}x{width}"))
}
