//! What does not go with `training.jensen_shannon`, the consistency of several views of an image.

use ml_data::dataset::Task;
use ml_data::violations::Violations;

use super::{Config, TrainingConfig};
use crate::loss::{JensenShannonConfig, LossConfig};

const KEY: &str = "training.jensen_shannon";

impl TrainingConfig {
    /// Views of each training image.
    pub fn views(&self) -> usize {
        self.jensen_shannon.as_ref().map_or(1, |consistency| consistency.splits)
    }
}

impl Config {
    /// What other settings leave no views to compare, or nothing to compare them by.
    pub(super) fn check_jensen_shannon(&self, v: &mut Violations) {
        let (training, train) = (&self.training, &self.transforms.train);
        let Some(consistency) = &training.jensen_shannon else { return };
        v.section(KEY, JensenShannonConfig::problems(consistency));
        v.check(KEY, train.has_policy(), || {
            "compares views of each image that an augmentation policy makes, and transforms.train has none; set \
             transforms.train.augmix to true (or rand_augment, auto_augment, trivial_augment_wide), or null here"
                .to_owned()
        });
        v.check(KEY, !train.mixes(), || {
            "compares views of single images, and mixup and cutmix mix them; remove them from transforms.train, \
             or set null here"
                .to_owned()
        });
        v.check(KEY, self.data.task == Task::SingleLabel, || {
            "compares probabilities of one label per image, and data.task is multi_label; set null here"
                .to_owned()
        });
        let is_cross_entropy = matches!(self.loss, LossConfig::CrossEntropy(_));
        v.check(KEY, is_cross_entropy || self.data.task == Task::MultiLabel, || {
            format!(
                "is added to cross entropy, and loss.name is {}; set that to cross_entropy, or null here",
                self.loss.name()
            )
        });
        v.check(KEY, training.distillation.is_none(), || {
            "cannot go with training.distillation; set one of them to null".to_owned()
        });
        v.check("training.feature_cache", !training.feature_cache.is_explicit(), || {
            "keeps features in place of images, of which training.jensen_shannon needs several new views; set it \
             to auto or off"
                .to_owned()
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Resolved, parse_set, resolve};
    use crate::loss::JensenShannonConfig;

    fn resolved(sets: &[&str]) -> Result<Resolved, ConfigError> {
        let sets: Vec<_> = sets.iter().map(|text| parse_set(text).unwrap()).collect();
        resolve(None, &sets, &|_| Ok(None))
    }

    #[test]
    fn an_empty_mapping_is_timms_defaults_and_without_there_is_one_view() {
        let config =
            resolved(&["training.jensen_shannon={}", "transforms.train.augmix=true"]).unwrap().config;
        assert_eq!(config.training.jensen_shannon, Some(JensenShannonConfig { alpha: 12.0, splits: 3 }));
        assert_eq!((config.training.views(), resolved(&[]).unwrap().config.training.views()), (3, 1));
    }

    #[test]
    fn what_does_not_go_with_it_is_named() {
        let policy = "transforms.train.rand_augment=true";
        for (sets, part) in [
            (&["training.jensen_shannon={}"][..], "training.jensen_shannon: compares views of each image"),
            (&[policy, "training.jensen_shannon={splits: 1}"], "jensen_shannon.splits: must be in 2 to 8"),
            (
                &[policy, "training.jensen_shannon={alpha: -1}"],
                "jensen_shannon.alpha: must be positive, got -1",
            ),
            (
                &[policy, "training.jensen_shannon={}", "transforms.train.mixup=0.2"],
                "training.jensen_shannon: compares views of single images",
            ),
            (
                &[policy, "training.jensen_shannon={}", "data.task=multi_label"],
                "training.jensen_shannon: compares probabilities of one label",
            ),
            (
                &[policy, "training.jensen_shannon={}", "loss={name: focal}"],
                "training.jensen_shannon: is added to cross entropy, and loss.name is focal",
            ),
            (
                &[policy, "training.jensen_shannon={}", "training.distillation={teacher: runs/a}"],
                "training.jensen_shannon: cannot go with training.distillation",
            ),
            (
                &[
                    policy,
                    "training.jensen_shannon={}",
                    "model.freeze=backbone",
                    "training.feature_cache={views: 2}",
                ],
                "training.feature_cache: keeps features in place of images, of which training.jensen_shannon",
            ),
        ] {
            let text = resolved(sets).unwrap_err().to_string();
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
}
