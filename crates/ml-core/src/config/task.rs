//! What `data.task` decides, and what does not go with several labels an image.

use std::collections::BTreeMap;

use ml_data::dataset::Task;
use ml_data::violations::Violations;

use super::merge::is_under;
use super::{Config, Source};
use crate::loader::SamplingConfig;
use crate::loss::{BceConfig, LossConfig};
use crate::policy::Metric;

/// With several labels an image: decides on the loss, where `sources` says nothing of one, and on the
/// monitored metric.
pub(super) fn settle(config: &mut Config, sources: &mut BTreeMap<String, Source>) {
    if config.data.task == Task::SingleLabel {
        return;
    }
    if !sources.keys().any(|path| is_under(path, "loss") || is_under("loss", path)) {
        config.loss = LossConfig::Bce(BceConfig::default());
        sources.insert("loss".to_owned(), Source::Task);
    }
    let with_ema = config.training.ema.is_some();
    let monitor = &mut config.training.checkpoint.monitor;
    if *monitor == Metric::Auto {
        *monitor = if with_ema { Metric::EmaValMap } else { Metric::ValMap };
        sources.insert("training.checkpoint.monitor".to_owned(), Source::Task);
    }
}

impl Config {
    /// What the task and other settings contradict each other in.
    pub(super) fn check_task(&self, v: &mut Violations) {
        let monitor = self.training.checkpoint.monitor;
        let key = "training.checkpoint.monitor";
        if self.data.task == Task::SingleLabel {
            return v.check(key, !monitor.is_of_labels(), || {
                format!("{} is of several labels an image; set data.task to multi_label", monitor.name())
            });
        }
        v.check(key, monitor.is_of_labels() || monitor.is_of_any_task(), || {
            format!("{} is of one label an image, and data.task is multi_label; set val_map", monitor.name())
        });
        v.check("data.sampling.name", matches!(self.data.sampling, SamplingConfig::Shuffle(_)), || {
            "draws images by their class, and with data.task: multi_label an image has several; set shuffle"
                .to_owned()
        });
        v.check("loss.name", self.loss.takes_several_labels(), || {
            format!(
                "{} takes one label an image, and data.task is multi_label; set bce or asymmetric",
                self.loss.name()
            )
        });
        if let LossConfig::Bce(bce) = &self.loss {
            v.check("loss.label_smoothing", bce.label_smoothing == 0.0, || {
                "several labels an image (data.task: multi_label) are not smoothed; set 0".to_owned()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Resolved, Source, annotated, parse_set, resolve};
    use crate::loss::LossConfig;
    use crate::policy::Metric;

    fn resolved(sets: &[&str]) -> Result<Resolved, ConfigError> {
        let sets: Vec<_> =
            ["data.task=multi_label"].iter().chain(sets).map(|text| parse_set(text).unwrap()).collect();
        resolve(None, &sets, &|_| Ok(None))
    }

    #[test]
    fn several_labels_have_a_loss_and_a_metric_of_their_own_unless_they_are_set() {
        let plain = resolved(&[]).unwrap();
        assert!(matches!(plain.config.loss, LossConfig::Bce(_)), "{:?}", plain.config.loss);
        assert_eq!(plain.config.training.checkpoint.monitor, Metric::ValMap);
        assert!(plain.config.training.monitor().higher);
        let shown = annotated(&plain);
        assert!(shown.contains("# for data.task: multi_label"), "{shown}");
        let again = resolve(Some((&shown, Source::Run)), &[], &|_| Ok(None)).unwrap();
        assert_eq!(again.config, plain.config);

        let own = resolved(&["loss.name=asymmetric", "training.checkpoint.monitor=val_loss"]).unwrap();
        assert!(matches!(own.config.loss, LossConfig::Asymmetric(_)));
        assert_eq!(own.config.training.checkpoint.monitor, Metric::ValLoss);
        let ema = resolved(&["training.ema={decay: 0.9}"]).unwrap();
        assert_eq!(ema.config.training.checkpoint.monitor, Metric::EmaValMap);
    }

    #[test]
    fn what_takes_one_label_an_image_is_refused_by_key() {
        for (set, part) in [
            ("loss.name=cross_entropy", "loss.name: cross_entropy takes one label an image"),
            ("loss.name=focal", "loss.name: focal takes one label an image"),
            ("loss={name: bce, label_smoothing: 0.1}", "loss.label_smoothing"),
            ("data.sampling.name=balanced", "data.sampling.name: draws images by their class"),
            ("training.checkpoint.monitor=val_top5_accuracy", "training.checkpoint.monitor"),
            ("data.task=labels", "data.task"),
        ] {
            let error = resolved(&[set]).unwrap_err().to_string();
            assert!(error.contains(part), "{set}: {error}");
        }
        let sets = [parse_set("training.checkpoint.monitor=val_map").unwrap()];
        let error = resolve(None, &sets, &|_| Ok(None)).unwrap_err().to_string();
        assert!(error.contains("set data.task to multi_label"), "{error}");
    }
}
