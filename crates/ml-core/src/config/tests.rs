mod chaos;

use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::*;
use crate::network::ScriptFile;
use crate::weights::Origin;
use ml_data::setting::Auto;
use ml_data::transform::TransformConfig;

fn flag(path: &str, yaml: &str) -> Override {
    Override {
        path: path.to_owned(),
        value: serde_yaml::from_str(yaml).unwrap(),
        source: Source::Flag("--flag"),
        argument: None,
    }
}

/// Of texts that name no file of weights.
fn resolve(base: Option<(&str, Source)>, overrides: &[Override]) -> Result<Resolved, ConfigError> {
    super::resolve(base, overrides, &|path| panic!("{}: no file is to be opened", path.display()))
}

fn from_yaml(yaml: &str) -> Result<Resolved, ConfigError> {
    resolve(Some((yaml, Source::File("my.yaml".into()))), &[])
}

fn problems(result: Result<Resolved, ConfigError>) -> String {
    result.map(|resolved| resolved.config).unwrap_err().to_string()
}

#[test]
fn default_yaml_names_every_key_with_its_default() {
    let written: Value = serde_yaml::from_str(DEFAULT_YAML).unwrap();
    assert_eq!(written, serde_yaml::to_value(Config::default()).unwrap());
    assert_eq!(from_yaml(DEFAULT_YAML).unwrap().config, Config::default());
}

#[test]
fn every_preset_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        resolve(Some((&text, Source::File(path.clone()))), &[])
            .unwrap_or_else(|error| panic!("{path:?}: {error}"));
        found += 1;
    }
    assert!(found >= 2);
}

#[test]
fn a_flag_wins_over_set_over_file_over_default_and_the_source_is_known() {
    let overrides = [parse_set("training.batch_size=8").unwrap(), flag("optimizer.lr", "0.3")];
    let file = "{optimizer: {lr: 0.1, momentum: 0.5}, training: {batch_size: 4, num_epochs: 2}}";
    let resolved = resolve(Some((file, Source::File("my.yaml".into()))), &overrides).unwrap();
    assert_eq!(resolved.config.optimizer.lr(), 0.3);
    assert_eq!((resolved.config.training.batch_size, resolved.config.training.num_epochs), (8, 2));
    let shown = annotated(&resolved);
    for (key, source) in [
        ("lr:", "--flag"),
        ("momentum:", "my.yaml"),
        ("batch_size:", "--set"),
        ("num_epochs:", "my.yaml"),
        ("seed:", "default"),
    ] {
        let line = shown.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        assert!(line.ends_with(&format!("# {source}")), "{line}");
    }
    assert_eq!(from_yaml(&shown).unwrap().config, resolved.config);
}

#[test]
fn all_problems_are_listed_at_once_by_path_with_suggestions() {
    let text = problems(from_yaml(
        "{optimizer: {learning_rate: 0.1}, trainig: {}, model: {architecture: resnet81}, \
         training: {batch_size: 0, num_epochs: many}, loss: {name: crossentropy}}",
    ));
    for part in [
        "my.yaml:1: optimizer.learning_rate: unknown key; did you mean `lr`?",
        "trainig: unknown key; did you mean `training`?",
        "model.architecture: unknown name `resnet81`; did you mean `resnet18`?",
        "training.batch_size: must be at least 1, got 0",
        "training.num_epochs: must be a whole number, got `many`",
        "loss.name: unknown name `crossentropy`; did you mean `cross_entropy`?",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn a_name_that_begins_several_suggests_them() {
    for (given, expected) in [
        ("resnet", "did you mean `resnet9`, `resnet18` or `resnet34`?"),
        ("resnext50", "did you mean `resnext50_32x4d`?"),
        ("wide_resnet50", "did you mean `wide_resnet50_2`?"),
        ("simplecnn", "did you mean `simple_cnn`?"),
        ("xyz", "`xyz`"),
    ] {
        let text = problems(from_yaml(&format!("model: {{architecture: {given}}}")));
        assert!(text.contains(expected) && text.contains("--list_architectures"), "{text}");
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn values_out_of_range_are_named_by_path() {
    for (yaml, part) in [
        ("optimizer: {lr: -1}", "optimizer.lr: must be positive, got -1"),
        ("optimizer: {lr: .nan}", "optimizer.lr: must be positive, got NaN"),
        ("optimizer: {lr: fast}", "optimizer.lr: must be a number, got `fast`"),
        ("optimizer: [1]", "optimizer: must be keys and values"),
        ("loss: {label_smoothing: 2}", "loss.label_smoothing"),
        ("loss: {class_weights: some}", "loss.class_weights"),
        (
            "loss: {class_weights: {effective_numbr: 0.9}}",
            "loss.class_weights.effective_numbr: unknown key; did you mean `effective_number`?",
        ),
        ("loss: {class_weights: {effective_number: 1}}", "loss.class_weights: effective_number must be"),
        ("loss: {logit_adjustment: -1}", "loss.logit_adjustment: must be "),
        (
            "loss: {logit_adjustment: 1}\ndata: {sampling: {name: balanced}}",
            "loss.logit_adjustment: is for batches with the class shares of the training split",
        ),
        (
            "loss: {name: bce, label_smoothing: 0.1, target_threshold: 0.2}",
            "loss.label_smoothing: must be 0 with target_threshold",
        ),
        ("loss: {name: asymmetric, clip: 1}", "loss.clip: must be at least 0 and below 1, got 1"),
        ("scheduler: {name: cosine, step_size: 3}", "scheduler.step_size: unknown key"),
        ("scheduler: {name: plateau, interval: step}", "scheduler.interval: must be `epoch` with plateau"),
        ("scheduler: {name: cosine_restarts, t_0: 0}", "scheduler.t_0: must be at least 1, got 0"),
        (
            "scheduler: {name: sequence, schedules: [{schedule: {name: wsd, decay_fraction: 2}}]}",
            "scheduler.schedules[0].schedule.decay_fraction: must be in 0 to 1, got 2",
        ),
        ("training: {device: gpu}", "training.device"),
        ("model: {num_classes: 0}", "model.num_classes"),
        ("model: {type: torchscript}", "model.path: is missing; name the file that torch.jit.script"),
        ("model: {type: torchscript, path: a.pt, sha256: 12}", "model.sha256: must be text or null"),
        ("model: {type: torchscript, path: a.pt, sha256: abc}", "model.sha256: must be null or the 64"),
        ("model: {type: torchscript, path: a.pt, num_classes: 0}", "model.num_classes"),
        ("model: {type: torchscript, path: a.pt, weights: b.pt}", "model.weights: unknown key"),
        (
            "model: {type: torch_script}",
            "model.type: unknown name `torch_script`; did you mean `torchscript`?",
        ),
        ("transforms: {train: {resize: 0}}", "transforms.train.resize"),
        ("transforms: {val: {resize: [32, 32, 3]}}", "transforms.val.resize"),
        (
            "transforms: {train: {random_rotate: 5}}",
            "transforms.train.random_rotate: unknown key; did you mean `random_rotation`?",
        ),
        (
            "transforms: {train: {rand_augment: {magnitud: 5}}}",
            "train.rand_augment.magnitud: unknown key; did you mean `magnitude`?",
        ),
        ("transforms: {train: {auto_augment: cifar}}", "transforms.train.auto_augment"),
        ("transforms: {train: {auto_augment: {policy: cifar}}}", "did you mean `cifar10`?"),
        ("transforms: {train: {trivial_augment_wide: yes please}}", "true or false, or keys and values"),
        ("transforms: {train: {gaussian_blur: {sigma: 1}}}", "missing field `kernel_size`"),
        ("transforms: {train: {normalize: automatic}}", "`auto`"),
        ("transforms: {train: {resize: [64, 64], channels: 0}}", "transforms.train.channels"),
        ("transforms: {train: {resize: [64, 64], channels: 65}}", "transforms.train.channels"),
        ("transforms: {train: {resize: [64, 64], bits: 12}}", "transforms.train.bits"),
        (
            "transforms: {train: {resize: [64, 64], bits: 16}}",
            "transforms.val.bits: must be that of transforms.train, 16, got 8",
        ),
        (
            "transforms: {train: {resize: [64, 64], bits: 16, random_grayscale: 0.5}}",
            "transforms.train.random_grayscale: is for RGB images of 8 bits",
        ),
        (
            "transforms: {train: {resize: [64, 64], channels: 4, normalize: {mean: [0.5], std: [0.5]}}}",
            "transforms.train.normalize.mean: has 1 entries, but `channels` is 4",
        ),
        (
            "{data: {cache: ram}, transforms: {train: {resize: [64, 64], bits: 16}}}",
            "data.cache: keeps RGB images of 8 bits",
        ),
        (
            "transforms: {train: {resize: [64, 64], channels: 1}}",
            "transforms.val.channels: must be that of transforms.train, 1, got 3",
        ),
        (
            "transforms: {val: {resize: [64, 64], mixup: 0.2}}",
            "transforms.val.mixup: is for training only; write transforms.train.mixup",
        ),
        (
            "transforms: {test: {resize: [64, 64], cutmix: {alpha: 1}}}",
            "transforms.test.cutmix: is for training only",
        ),
        (
            "transforms: {train: {resize: [64, 64], mixup: {alpha: 0}}}",
            "transforms.train.mixup.alpha: must be above 0",
        ),
        ("model: {architecture: simple_cnn}\ntransforms: {train: {resize: [4, 4]}}", "needs at least 8x8"),
        (
            "model: {architecture: vit_b_16}\ntransforms: {train: {resize: [100, 100]}}",
            "transforms.train: gives images of 100x100 (height x width); \
             vit_b_16 needs height and width to be equal and multiples of 16, such as 96x96",
        ),
        (
            "model: {architecture: vit_b_16}\ntransforms: {train: {resize: [224, 224]}, val: {center_crop: [256, 256]}}",
            "transforms.test: gives images of 256x256 (height x width); \
             vit_b_16 takes one size, and transforms.train gives 224x224",
        ),
        (
            "model: {architecture: maxvit_t}\ntransforms: {train: {resize: [224, 230]}}",
            "maxvit_t needs height and width to be multiples of 224, such as 224x224",
        ),
        (
            "training: {feature_cache: {view: 3}}",
            "training.feature_cache.view: unknown key; did you mean `views`?",
        ),
        ("training: {feature_cache: sometimes}", "training.feature_cache: must be "),
        (
            "model: {freeze: backbone}\ntraining: {feature_cache: {views: 0}}",
            "training.feature_cache.views: must be ",
        ),
        (
            "model: {freeze: backbone}\ntraining: {feature_cache: {max_gb: -1}}",
            "training.feature_cache.max_gb: must be null or from 0 up, got -1",
        ),
        ("training: {feature_cache: on}", "training.feature_cache: no layer is frozen"),
        (
            "model: {freeze: backbone, unfreeze_epoch: 0}\ntraining: {feature_cache: {views: 3}}",
            "training.feature_cache: no layer is frozen",
        ),
        (
            "model: {freeze: backbone}\ntraining: {feature_cache: on}",
            "training.feature_cache: transforms.train is random (random_horizontal_flip)",
        ),
        (
            "model: {freeze: backbone}\ntraining: {feature_cache: {views: 3}}\n\
             transforms: {train: {resize: [224, 224], mixup: 0.2}}",
            "training.feature_cache: mixup and cutmix",
        ),
        (
            "model: {type: torchscript, path: a.pt}\ntraining: {feature_cache: on}",
            "training.feature_cache: a TorchScript module",
        ),
        ("seed: -1", "seed: must be at least 0"),
        ("seed: 1.5", "seed: must be a whole number"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "not valid YAML"),
    ] {
        let text = problems(from_yaml(yaml));
        assert!(text.contains(part), "{yaml}: `{part}` is not in:\n{text}");
    }
}

#[test]
fn another_choice_drops_the_keys_it_does_not_have_and_keeps_those_given() {
    let file = "optimizer: {name: sgd, lr: 0.2, momentum: 0.5, weight_decay: 0.3}";
    let overrides = [parse_set("optimizer.name=adamw").unwrap()];
    let resolved = resolve(Some((file, Source::File("my.yaml".into()))), &overrides).unwrap();
    let expected: crate::optimizer::OptimizerConfig =
        serde_yaml::from_str("{name: adamw, lr: 0.2, weight_decay: 0.3}").unwrap();
    assert_eq!(resolved.config.optimizer, expected);
    let by_default = resolve(None, &overrides).unwrap().config.optimizer;
    assert_eq!(by_default, serde_yaml::from_str("{name: adamw}").unwrap(), "SGD's defaults are not AdamW's");
}

#[test]
fn a_torchscript_file_takes_the_place_of_an_architecture_and_a_run_keeps_its_content() {
    let mut resolved = resolve(
        Some(("model: {architecture: resnet50, num_classes: 7}", Source::File("my.yaml".into()))),
        &[parse_set("model.type=torchscript").unwrap(), parse_set("model.path=nets/a.pt").unwrap()],
    )
    .unwrap();
    let model = resolved.config.model.script().unwrap();
    assert_eq!((model.path.to_str(), model.num_classes), (Some("nets/a.pt"), Auto::Value(7)));
    let file = ScriptFile::new(Path::new("nets/a.pt"), b"a program".to_vec());
    let run = resolved.config.with_script(&file);
    resolved.keep_script(&run);
    assert_eq!(resolved.config, run);
    assert!(annotated(&resolved).contains(file.sha256()));
    let stored = serde_json::to_value(&run).unwrap();
    assert_eq!(ModelConfig::of_checkpoint(&stored).unwrap(), run.model);
    let old = serde_json::json!({"model": {"architecture": "tiny_net"}});
    assert_eq!(ModelConfig::of_checkpoint(&old).unwrap().identity(), "tiny_net");
}

#[test]
fn a_pipeline_in_a_file_replaces_the_default_and_test_follows_val() {
    let resolved = from_yaml("transforms: {train: {resize: [32, 32]}, val: {resize: [40, 40]}}").unwrap();
    let config = &resolved.config;
    assert_eq!(config.transforms.train, serde_yaml::from_str("{resize: [32, 32]}").unwrap());
    assert_eq!(config.transforms.test, config.transforms.val);
    assert!(resolved.warnings().iter().any(|warning| warning.contains("32x32")), "{:?}", resolved.warnings());
    let own = from_yaml("transforms: {train: {resize: [32, 32], normalize: auto}}").unwrap();
    assert!(own.warnings().iter().any(|warning| warning.contains("transforms.val.normalize")));
    let one_key =
        resolve(None, &[parse_set("transforms.train.random_horizontal_flip=false").unwrap()]).unwrap();
    assert!(one_key.config.transforms.train.resize.is_some(), "--set changes one key of the default");
}

#[test]
fn a_set_without_a_value_says_how_to_write_it() {
    for bad in ["optimizer.lr", "=3", "a..b=1", "x=[1"] {
        assert!(parse_set(bad).unwrap_err().to_string().contains("--set"), "{bad}");
    }
}

#[test]
fn the_schema_lets_an_editor_check_a_file() {
    let schema = schema();
    assert_eq!(schema["properties"]["seed"]["type"], "integer");
    let optimizers = schema["properties"]["optimizer"]["oneOf"].as_array().unwrap();
    assert_eq!(optimizers.len(), 11);
    assert!(optimizers.iter().all(|choice| choice["properties"]["lr"].is_object()), "{optimizers:?}");
    assert!(!schema.to_string().contains("$ref"));
}

#[test]
fn two_configurations_differ_in_the_paths_that_were_changed() {
    let base = from_yaml("{}").unwrap().config;
    let changed = resolve(
        None,
        &[
            flag("optimizer.lr", "0.5"),
            flag("training.ema", "{decay: 0.9}"),
            parse_set("scheduler.name=constant").unwrap(),
        ],
    )
    .unwrap()
    .config;
    assert!(differences(&base, &base).is_empty());
    assert_eq!(
        differences(&base, &changed),
        ["optimizer.lr", "scheduler.name", "scheduler.step_size", "scheduler.gamma", "training.ema"]
    );
    assert!(changed.training.ema.as_ref().is_some_and(|ema| ema.decay == 0.9 && ema.warmup_steps == 0));
}

#[test]
fn training_policies_out_of_range_are_named() {
    let text = problems(from_yaml(
        "training: {gradient_accumulation_steps: 0, max_grad_norm: -1, ema: {decay: 1}, early_stopping: {patience: 0}, \
         checkpoint: {every_steps: 0, monitor: ema_val_loss}, divergence: {action: rollback, lr_factor: 2}}",
    ));
    for part in [
        "training.gradient_accumulation_steps: must be at least 1",
        "training.early_stopping.patience: must be at least 1",
        "training.checkpoint.every_steps: must be at least 1",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = problems(from_yaml(
        "{seed: 18446744073709551615, data: {num_workers: 100000}, \
         training: {max_grad_norm: -1, ema: {decay: 1}, divergence: {action: rollback, lr_factor: 2}}}",
    ));
    for part in [
        "seed: must be at most 9223372036854775807",
        "data.num_workers: must be `auto` or at most 1024",
        "training.max_grad_norm: must be null or positive",
        "training.ema.decay",
        "training.divergence.lr_factor",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = problems(from_yaml(
        "training: {tensorboard: {scalars_every_seconds: -1, histograms_every_steps: often, histograms: 5}}",
    ));
    for part in [
        "training.tensorboard.scalars_every_seconds: must be at least 0",
        "training.tensorboard.histograms_every_steps: must be `auto`, or a whole number",
        "training.tensorboard.histograms: unknown key; did you mean `histograms_every_steps`?",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = problems(from_yaml("training: {max_grad_norm: 1, max_grad_value: -1, agc: {eps: 0}}"));
    for part in [
        "training.max_grad_value: must be null or positive, got -1",
        "training.max_grad_norm: set only one of max_grad_norm, max_grad_value and agc",
        "training.agc.eps: must be positive, got 0",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(from_yaml("training: {agc: {clip_factor: 0.02}}").is_ok());
    let text = problems(from_yaml(
        "training: {num_epochs: 4, swa: {start_epoch: 4}, checkpoint: {monitor: train_loss}}",
    ));
    for part in [
        "training.swa.start_epoch: must be below training.num_epochs, 4, got 4",
        "training.checkpoint.monitor: train_loss is not known of the average",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = problems(from_yaml("training: {swa: {start: 1.0}}"));
    assert!(text.contains("training.swa.start: must be at least 0 and below 1, got 1"), "{text}");
    assert!(from_yaml("training: {swa: {}}").is_ok());
    let text = problems(from_yaml(
        "{model: {freeze: backbone}, training: {feature_cache: {views: 2}, distillation: {temperature: 0}}}",
    ));
    for part in [
        "training.distillation.teacher: is missing",
        "training.distillation.temperature: must be positive, got 0",
        "training.feature_cache: keeps features in place of images",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = problems(from_yaml("training: {distillation: {teacher: runs/a, weight: 1.5}}"));
    assert!(text.contains("training.distillation.weight: must be in 0 to 1, got 1.5"), "{text}");
    assert!(from_yaml("training: {distillation: {teacher: runs/a}}").is_ok());
    let features = "training: {distillation: {teacher: runs/a, features: 3000}}";
    assert!(from_yaml(features).is_ok());
    let text = problems(from_yaml(&format!("model: {{freeze: backbone}}\n{features}")));
    assert!(text.contains("training.distillation.features: trains nothing"), "{text}");
    let text = problems(from_yaml(&format!("model: {{type: torchscript, path: a.pt}}\n{features}")));
    assert!(
        text.contains("training.distillation.features: a TorchScript module has no embeddings"),
        "{text}"
    );
    let text = problems(from_yaml("training: {checkpoint: {monitor: ema_val_loss}}"));
    assert!(text.contains("training.checkpoint.monitor: ema_val_loss needs EMA weights"), "{text}");
}

#[test]
fn transforms_that_are_not_given_are_those_of_the_named_weights() {
    let weights = || flag("model.weights", "ResNet50_Weights.DEFAULT");
    let resnet50 = || flag("model.architecture", "resnet50");
    let resolved = resolve(None, &[weights(), resnet50()]).unwrap();
    let config = &resolved.config;
    assert_eq!(
        config.model.base().unwrap().weights.as_deref(),
        Some("IMAGENET1K_V2"),
        "DEFAULT is written as what it is"
    );
    let eval: TransformConfig = serde_yaml::from_str(
        "{resize: 232, center_crop: 224, normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}",
    )
    .unwrap();
    assert_eq!((&config.transforms.val, &config.transforms.test), (&eval, &eval));
    let train = TransformConfig { resize: None, center_crop: None, ..eval.clone() };
    let crop: TransformConfig =
        serde_yaml::from_str("{random_resized_crop: 224, random_horizontal_flip: true}").unwrap();
    let train = TransformConfig {
        random_resized_crop: crop.random_resized_crop,
        random_horizontal_flip: crop.random_horizontal_flip,
        ..train
    };
    assert_eq!(config.transforms.train, train);
    assert!(resolved.warnings().is_empty(), "{:?}", resolved.warnings());
    let shown = annotated(&resolved);
    let line = |key: &str| shown.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
    assert!(line("center_crop: [224, 224]").ends_with("# from the weights"), "{shown}");
    // Written down and read again, as a run's configuration is, it is the same.
    assert_eq!(resolve(Some((&shown, Source::Run)), &[]).unwrap().config, *config);

    // What is given stays as it is given; one key changes one key.
    let file = "{model: {architecture: resnet50, weights: DEFAULT}, transforms: {train: {resize: [64, 64]}}}";
    let resize = parse_set("transforms.val.resize=240").unwrap();
    let resolved = resolve(Some((file, Source::File("my.yaml".into()))), &[resize]).unwrap();
    let transforms = &resolved.config.transforms;
    assert_eq!(transforms.train, serde_yaml::from_str("{resize: [64, 64]}").unwrap());
    let val = TransformConfig { resize: Some(ml_data::transform::Resize::ShorterSide(240)), ..eval };
    assert_eq!((&transforms.val, &transforms.test), (&val, &val));
    let shown = annotated(&resolved);
    assert!(
        shown
            .lines()
            .any(|line| line.contains("center_crop: [224, 224]") && line.ends_with("# from the weights")),
        "{shown}"
    );
    assert!(shown.lines().any(|line| line.contains("resize: 240") && line.ends_with("# --set")), "{shown}");
    let warnings = resolved.warnings();
    assert!(
        warnings.iter().any(|warning| warning.contains("ResNet50_Weights.IMAGENET1K_V2")),
        "{warnings:?}"
    );

    // A file of another program brings none.
    let by_file = super::resolve(None, &[flag("model.weights", "net.pt")], &|_| Ok(None)).unwrap().config;
    assert_eq!(by_file.transforms, Config::default().transforms);
}

#[test]
fn unknown_weights_are_a_problem_unless_a_run_goes_on() {
    let text = problems(from_yaml("model: {architecture: resnet50, weights: IMAGENET1K_V9}"));
    assert!(text.contains("model.weights: `IMAGENET1K_V9` is neither a file nor"), "{text}");
    assert!(text.contains("(IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT); did you mean"), "{text}");
    let text = problems(from_yaml("model: {weights: 3}"));
    assert!(text.contains("model.weights: must be text or null, got 3"), "{text}");
    assert!(resolve(Some(("model: {weights: a file that was moved}", Source::Run)), &[]).is_ok());
}

/// A checkpoint of a run with this configuration.
fn checkpoint_of(config: &Config, path: &Path) -> torch_file::Value {
    let mut checkpoint = crate::testing::checkpoint(1, 0.0);
    checkpoint.config = serde_json::to_value(config).unwrap();
    let value = checkpoint.into_value().unwrap();
    crate::checkpoint::write(path, &value).unwrap();
    value
}

#[test]
fn transforms_that_are_not_given_are_those_of_the_run_whose_weights_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let file = "{model: {architecture: googlenet}, transforms: {train: {resize: [64, 64]}, val: {resize: [72, 72]}}}";
    let run = from_yaml(file).unwrap().config;
    checkpoint_of(&run, &path);

    let asked = std::cell::RefCell::new(Vec::<PathBuf>::new());
    let read = |path: &Path| {
        asked.borrow_mut().push(path.to_owned());
        Origin::read(path)
    };
    let weights = || flag("model.weights", path.to_str().unwrap());
    let resolved =
        super::resolve(None, &[weights(), flag("model.architecture", "googlenet")], &read).unwrap();
    assert_eq!(resolved.config.transforms, run.transforms);
    assert!(annotated(&resolved).contains("# from the weights"));
    let given = "transforms: {train: {resize: [96, 96], normalize: {mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}}}";
    let resolved = super::resolve(Some((given, Source::Set)), &[weights()], &read).unwrap();
    assert_eq!(resolved.config.transforms.val, run.transforms.val);
    let warnings = resolved.warnings().join("\n");
    assert!(warnings.contains("transforms.train.normalize is not what the weights"), "{warnings}");
    assert_eq!(*asked.borrow(), [path.clone(), path.clone()], "each is read once");
    // Where a file is not there, that is told of where its weights are loaded.
    std::fs::remove_file(&path).unwrap();
    let resolved = super::resolve(None, &[weights()], &read).unwrap();
    assert_eq!(resolved.config.transforms, Config::default().transforms);
}

#[test]
fn a_file_of_weights_that_cannot_be_read_is_a_problem_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let value = checkpoint_of(&Config::default(), &path);
    let resolved = || {
        let weights = flag("model.weights", path.to_str().unwrap());
        super::resolve(None, &[weights, flag("optimizer.lr", "fast")], &Origin::read)
    };
    let has = |parts: &[&str]| {
        let text = problems(resolved());
        for part in
            parts.iter().chain(&["--flag: model.weights: ", "best.pt", "--flag: optimizer.lr: must be"])
        {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    };
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    has(&["is cut short", "copy it again"]);
    std::fs::write(&path, "some text").unwrap();
    has(&["is not a checkpoint"]);
    let torch_file::Value::Dict(mut entries) = value else { panic!("it is a dict") };
    let mut set = |key: &str, value: torch_file::Value| {
        entries.retain(|(known, _)| *known != key.into());
        entries.push((key.into(), value));
        crate::checkpoint::write(
            &path,
            &torch_file::Value::Dict(
                entries.iter().map(|(key, value)| (key.clone(), value.shallow_clone())).collect(),
            ),
        )
        .unwrap();
    };
    set("config", torch_file::Value::dict([("transforms", torch_file::Value::Int(3))]));
    has(&["`config.transforms` cannot be used"]);
    set("format_version", torch_file::Value::Int(2));
    has(&["`format_version` is 2, and this program reads up to 1: update it"]);
    // A run that is resumed has its weights.
    let run = format!("model: {{weights: '{}'}}", path.display());
    assert!(resolve(Some((&run, Source::Run)), &[]).is_ok());
}

#[test]
fn what_a_network_does_with_its_input_is_what_its_weights_want() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let resolved = |architecture: &str, weights: &str, more: &[Override]| {
        let flags = [flag("model.architecture", architecture), flag("model.weights", weights)];
        super::resolve(None, &[&flags, more].concat(), &Origin::read).map(|resolved| resolved.config.model)
    };
    let decided = |architecture: &str, weights: &str, more: &[Override]| {
        resolved(architecture, weights, more).unwrap().base().unwrap().transform_input
    };
    let switch = |text: &str| [flag("model.transform_input", text)];
    assert_eq!(decided("googlenet", "null", &[]), Some(false));
    assert_eq!(decided("inception_v3", "DEFAULT", &[]), Some(true));
    assert_eq!(decided("inception_v3", "DEFAULT", &switch("false")), Some(false));
    assert_eq!(decided("resnet18", "DEFAULT", &[]), None);
    let text = resolved("resnet18", "null", &switch("true")).unwrap_err().to_string();
    assert!(text.contains("model.transform_input: must be null or false: resnet18"), "{text}");

    // From run to run it goes on.
    let model = resolved("googlenet", "DEFAULT", &[]).unwrap();
    checkpoint_of(&Config { model, ..Config::default() }, &path);
    assert_eq!(decided("googlenet", path.to_str().unwrap(), &[]), Some(true));
}

#[test]
fn every_problem_names_its_place() {
    let file = "# mine\nseed: -1\noptimizer:\n  name: sgd\n  learning_rate: 0.1\n  lr: fast\n\nloss:\n  \
                label_smoothing: 2\ntransforms:\n  train:\n    resize: [4, x]\n";
    let at = |text: &str, argument| Override { argument: Some(argument), ..parse_set(text).unwrap() };
    let overrides = [
        at("training.batch_size=0", 4),
        at("training.batch_size=0.5", 6),
        at("model={architecture: tinynet}", 8),
        flag("optimizer.momentum", "high"),
        parse_set("no.such=1").unwrap(),
    ];
    let text = problems(resolve(Some((file, Source::File("my.yaml".into()))), &overrides));
    for line in [
        "my.yaml:2: seed: must be at least 0, got -1",
        "my.yaml:5: optimizer.learning_rate: unknown key; did you mean `lr`?",
        "my.yaml:6: optimizer.lr: must be a number, got `fast`",
        "my.yaml:12: transforms.train.resize",
        "--set (argument 6): training.batch_size: must be a whole number, got 0.5",
        "--set (argument 8): model.architecture: unknown name `tinynet`; did you mean `tiny_net`?",
        "--flag: optimizer.momentum: must be a number, got `high`",
        "--set: no: unknown key; known are",
    ] {
        assert!(
            text.lines().any(|given| given.starts_with(&format!("  {line}"))),
            "`{line}` is not in:\n{text}"
        );
    }
    // What is out of range shows once the types are right.
    let file = "loss:\n  label_smoothing: 2\ntransforms:\n  train: {resize: [64, 64]}\n  val:\n    resize: [64, 64]\n    \
                channels: 1\n";
    let text = problems(resolve(Some((file, Source::File("my.yaml".into()))), &[at("optimizer.lr=-1", 3)]));
    for line in [
        "my.yaml:2: loss.label_smoothing: ",
        "--set (argument 3): optimizer.lr: must be positive, got -1",
        "my.yaml:7: transforms.val.channels: ",
        // It follows val, where the mistake is to be corrected.
        "my.yaml:7: transforms.test.channels: ",
    ] {
        assert!(
            text.lines().any(|given| given.starts_with(&format!("  {line}"))),
            "`{line}` is not in:\n{text}"
        );
    }
}

#[test]
fn keys_given_twice_tabs_and_broken_texts_name_their_line() {
    for (yaml, expected) in [
        (
            "optimizer:\n  lr: 0.1\n  momentum: 0\n  lr: 0.2\n",
            "my.yaml:4: optimizer.lr: is given twice, first in line 2; give it once",
        ),
        (
            "optimizer:\n\tlr: 0.1\n",
            "my.yaml:2: not valid YAML: the line is indented with a tab; YAML allows only spaces",
        ),
        (
            "optimizer:\n  lr: 0.1\n\t  momentum: 0\n",
            "my.yaml:3: not valid YAML: the line is indented with a tab; YAML allows only spaces",
        ),
        ("seed: 1\nloss: [1\n", "my.yaml:"),
        ("seed: 1\nseed 2\n", "my.yaml:3: not valid YAML: "),
        ("seed: *nothing", "my.yaml:1: not valid YAML: unknown anchor"),
    ] {
        let text = problems(from_yaml(yaml));
        assert!(text.contains(expected), "{yaml}: `{expected}` is not in:\n{text}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let config = from_yaml("\u{feff}seed: 1\r\ntraining:\r\n  num_epochs: 5\r\n").unwrap().config;
    assert_eq!((config.seed, config.training.num_epochs), (1, 5));
    let text = problems(from_yaml("\u{feff}seed: 1\r\ntraining:\r\n  num_epoch: 5\r\n"));
    assert!(
        text.contains("my.yaml:3: training.num_epoch: unknown key; did you mean `num_epochs`?"),
        "{text}"
    );
}

#[test]
fn anchors_and_merges_bring_their_values() {
    let yaml = "transforms:\n  train: &size\n    resize: [32, 32]\n    channels: 1\n  val: *size\n  test:\n    \
                <<: *size\n    random_vertical_flip: true\n";
    let transforms = from_yaml(yaml).unwrap().config.transforms;
    assert_eq!(transforms.val, transforms.train);
    assert_eq!(transforms.test.resize, transforms.train.resize);
    assert_eq!(transforms.test.random_vertical_flip.0, 0.5);
    let text = problems(from_yaml(&yaml.replace("channels: 1", "chanels: 1")));
    assert!(
        text.contains("my.yaml:4: transforms.val.chanels: unknown key; did you mean `channels`?"),
        "{text}"
    );
}

#[test]
fn lists_of_anchors_and_merges_within_merges_bring_their_values_and_lines() {
    let yaml = "transforms:\n  train: &size\n    resize: [32, 32]\n    channels: 1\n  val: &flip\n    <<: *size\n    \
                random_vertical_flip: true\n  test:\n    <<: [*flip, {resize: [8, 8], random_horizontal_flip: true}]\n    \
                channels: 1\n";
    let transforms = from_yaml(yaml).unwrap().config.transforms;
    assert_eq!(transforms.test.resize, transforms.train.resize);
    assert_eq!(transforms.test.random_vertical_flip.0, 0.5);
    assert_eq!(transforms.test.random_horizontal_flip.0, 0.5);
    let text = problems(from_yaml(&yaml.replace("random_vertical_flip", "random_vertical_flop")));
    for line in
        ["my.yaml:7: transforms.val.random_vertical_flop", "my.yaml:7: transforms.test.random_vertical_flop"]
    {
        assert!(text.contains(line), "{text}");
    }
    for bad in ["*size, 1", "1", "[*size, [*size]]"] {
        let yaml = format!("seed: &size 1\ntransforms:\n  val:\n    <<: [{bad}]\n");
        let text = problems(from_yaml(&yaml));
        assert!(text.contains("my.yaml:4: not valid YAML: `<<` takes a mapping"), "{text}");
    }
}

#[test]
fn lone_carriage_returns_end_lines_too() {
    let text = problems(from_yaml("seed: 1\rtraining:\r  num_epoch: 5\r"));
    assert!(text.contains("my.yaml:3: training.num_epoch: unknown key"), "{text}");
}

#[test]
fn the_home_folder_stands_for_a_tilde_in_paths_from_files_and_flags() {
    fn given(text: &str) -> (&str, Source) {
        (text, Source::File("my.yaml".into()))
    }
    let read = |path: &Path| panic!("{}: no file is to be opened", path.display());
    let home = Some(Path::new("/home/u"));
    let file = "data: {data_dir: ~/pics, cache_dir: \"~\"}\nmodel: {weights: ~/net.safetensors}\n";
    let nothing = |_: &Path| Ok(None);
    let Config { data, model, .. } = resolve_at(home, Some(given(file)), &[], &nothing).unwrap().config;
    assert_eq!((data.data_dir, data.cache_dir), ("/home/u/pics".into(), Some("/home/u".into())));
    let ModelConfig::Base(BaseModel { weights, .. }) = model else { panic!("another model") };
    assert_eq!(weights.as_deref(), Some("/home/u/net.safetensors"));
    let overrides = [parse_set("data.data_dir=~/x").unwrap(), flag("data.cache_dir", "./~/y")];
    let data = resolve_at(home, None, &overrides, &read).unwrap().config.data;
    assert_eq!((data.data_dir, data.cache_dir), ("/home/u/x".into(), Some("./~/y".into())));
    let teacher = parse_set("training.distillation.teacher=~/runs/a").unwrap();
    let distillation = resolve_at(home, None, &[teacher], &read).unwrap().config.training.distillation;
    assert_eq!(distillation.unwrap().teacher, Path::new("/home/u/runs/a"));
    // A run has written its paths down.
    let run = resolve_at(home, Some(("data: {data_dir: ~/x}", Source::Run)), &[], &read);
    assert_eq!(run.unwrap().config.data.data_dir, Path::new("~/x"));
    for (home, path, expected) in [
        (None, "~/x", "my.yaml:2: data.data_dir: `~` stands for the home folder, but HOME is not set"),
        (home, "~ann/x", "my.yaml:2: data.data_dir: `~ann` would be the home folder of another user"),
    ] {
        let file = format!("data:\n  data_dir: {path}\n");
        let text = problems(resolve_at(home, Some(given(&file)), &[], &read));
        assert!(text.contains(expected), "{text}");
    }
    let text = problems(resolve_at(home, Some(given("model: {weights: $NET}")), &[], &nothing));
    assert!(text.contains("`$NET` is not replaced by the variable's value"), "{text}");
}

#[test]
fn a_configuration_is_shown_with_names_that_every_reader_takes_for_names() {
    let resolved =
        resolve(None, &[flag("data.data_dir", "\"no\""), flag("optimizer.lr", "0.00001")]).unwrap();
    let shown = annotated(&resolved);
    assert!(shown.contains("data_dir: 'no'") && shown.contains("lr: 1.0e-5"), "{shown}");
    assert_eq!(from_yaml(&shown).unwrap().config, resolved.config);
}
