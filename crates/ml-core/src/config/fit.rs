//! `transforms.fit` → the transforms of all splits.

use ml_data::transform::{Fit, TransformConfig};
use ml_data::violations::Violations;

use super::TransformsConfig;

impl TransformsConfig {
    /// Why `fit` cannot be done, by YAML path; `is_given` says what the user wrote.
    pub(super) fn fit_violations(&self, fit: Fit, is_given: impl Fn(&str) -> bool) -> Violations {
        let mut v = Violations::default();
        v.section("transforms.fit", fit.problems());
        let TransformsConfig { train, val, test, fit: _ } = self;
        for (split, transform) in [("train", train), ("val", val), ("test", test)] {
            let section = format!("transforms.{split}");
            v.section(&section, transform.fit_problems(fit, |key| is_given(&format!("{section}.{key}"))));
        }
        v
    }

    /// Does what `fit` says; the YAML paths that it changed.
    pub(super) fn apply_fit(&mut self, fit: Fit) -> Vec<String> {
        let TransformsConfig { train, val, test, fit: done } = self;
        *done = None;
        let mut changed = Vec::new();
        for (split, transform) in [("train", train), ("val", val), ("test", test)] {
            let fitted = transform.fitted(fit);
            let before = std::mem::replace(transform, fitted);
            let keys = differing_steps(&before, transform).into_iter();
            changed.extend(keys.map(|key| format!("transforms.{split}.{key}")));
        }
        changed
    }
}

/// The keys of the steps that `fit` may change and that differ.
fn differing_steps(one: &TransformConfig, other: &TransformConfig) -> Vec<&'static str> {
    let steps = [
        ("resize", one.resize != other.resize),
        ("letterbox", one.letterbox != other.letterbox),
        ("center_crop", one.center_crop != other.center_crop),
        ("random_resized_crop", one.random_resized_crop != other.random_resized_crop),
    ];
    steps.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigError, Override, Resolved, Source, annotated, parse_set, resolve};

    fn set(text: &str) -> Override {
        parse_set(text).unwrap()
    }

    fn from_yaml(yaml: &str, sets: &[&str]) -> Result<Resolved, ConfigError> {
        let overrides: Vec<Override> = sets.iter().map(|text| set(text)).collect();
        resolve(Some((yaml, Source::File("my.yaml".into()))), &overrides, &|_| Ok(None))
    }

    /// The steps of train, val and test that differ from none, as YAML.
    fn steps(resolved: &Resolved) -> [String; 3] {
        let transforms = &resolved.config.transforms;
        [&transforms.train, &transforms.val, &transforms.test].map(|transform| {
            let tree = serde_json::to_value(transform).unwrap();
            let keys = ["resize", "letterbox", "center_crop", "random_crop", "random_resized_crop"];
            let given = keys.iter().filter(|key| !tree[**key].is_null());
            given.map(|key| format!("{key} {}", tree[*key])).collect::<Vec<_>>().join(", ")
        })
    }

    #[test]
    fn one_setting_holds_for_all_splits_and_is_written_down_as_steps() {
        let resolved = from_yaml("{}", &["transforms.fit={mode: pad, fill: [124, 116, 104]}"]).unwrap();
        let letterbox = r#"letterbox {"size":[224,224],"fill":[124,116,104]}"#;
        assert_eq!(steps(&resolved), [letterbox; 3]);
        assert!(resolved.config.transforms.fit.is_none() && resolved.warnings().is_empty());
        let shown = annotated(&resolved);
        let sizes = || shown.lines().filter(|line| line.trim_start().starts_with("size: [224, 224]"));
        assert!(sizes().count() == 3 && sizes().all(|line| line.ends_with("# --set")), "{shown}");
        assert!(
            shown.lines().any(|line| line.contains("fit: null") && line.ends_with("# default")),
            "{shown}"
        );
        assert_eq!(resolve(Some((&shown, Source::Run)), &[], &|_| Ok(None)).unwrap().config, resolved.config);
        // Nothing is changed where it is not given.
        assert_eq!(steps(&from_yaml("{}", &[]).unwrap()), ["resize [224,224]"; 3]);
    }

    #[test]
    fn default_crops_of_weights_make_way_and_given_ones_are_refused() {
        let weights = "{model: {architecture: resnet50, weights: DEFAULT}}";
        let padded = from_yaml(weights, &["transforms.fit=pad"]).unwrap();
        assert_eq!(steps(&padded), [r#"letterbox {"size":[224,224],"fill":0}"#; 3]);
        assert!(padded.config.transforms.train.random_horizontal_flip.0 > 0.0);
        let cropped = from_yaml(weights, &["transforms.fit=crop"]).unwrap();
        assert_eq!(steps(&cropped), steps(&from_yaml(weights, &[]).unwrap()));

        let own = "transforms:\n  fit: pad\n  train:\n    random_resized_crop: 64\n  val:\n    resize: 72\n    center_crop: 64\n";
        let error = from_yaml(own, &[]).unwrap_err().to_string();
        for part in ["my.yaml:4", "transforms.train.random_resized_crop", "`resize: [64, 64]`"] {
            assert!(error.contains(part), "{error}");
        }
        let fixed = from_yaml(&own.replace("random_resized_crop: 64", "resize: [64, 64]"), &[]).unwrap();
        assert_eq!(steps(&fixed), [r#"letterbox {"size":[64,64],"fill":0}"#; 3]);
        let part = ["transforms.fit=squash", "transforms.train.random_resized_crop.scale=[0.5, 1.0]"];
        let error = from_yaml(weights, &part).unwrap_err().to_string();
        assert!(error.contains("transforms.train.random_resized_crop"), "{error}");
    }

    #[test]
    fn what_a_run_wrote_down_may_be_fitted_anew() {
        let run = annotated(&from_yaml("{}", &["transforms.fit=pad"]).unwrap());
        let again =
            resolve(Some((&run, Source::Run)), &[set("transforms.fit=squash")], &|_| Ok(None)).unwrap();
        assert_eq!(steps(&again), ["resize [224,224]"; 3]);
    }

    #[test]
    fn wrong_fits_are_refused_by_key() {
        for (setting, parts) in [
            (
                "transforms.fit=stretch",
                &["transforms.fit: must be `crop` or `pad` or `squash`", "`stretch`"][..],
            ),
            ("transforms.fit={mode: pad, fill: 300}", &["transforms.fit"]),
            ("transforms.fit={mode: squash, fill: 3}", &["transforms.fit.fill", "is for `pad`"]),
            ("transforms.fit={mode: pad, colour: 3}", &["transforms.fit.colour: unknown key"]),
            ("transforms.val.letterbox=64", &["transforms.val.resize: contradicts `letterbox`"]),
        ] {
            let error = from_yaml("{}", &[setting]).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }

    #[test]
    fn splits_that_are_padded_unlike_each_other_are_warned_of() {
        let one = "{transforms: {train: {resize: [64, 64]}, val: {letterbox: 64}}}";
        let warnings = from_yaml(one, &[]).unwrap().warnings();
        assert!(
            warnings.iter().any(|warning| warning.contains("transforms.val has a letterbox")),
            "{warnings:?}"
        );
    }
}
