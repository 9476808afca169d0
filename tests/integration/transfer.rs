//! Training that begins with weights: frozen layers, parameters that learn differently, dropout.

use crate::support::{fails, ok, read, train};
use crate::train::{digits, python};

#[test]
fn frozen_layers_stay_as_they_were_until_they_are_unfrozen_and_resuming_keeps_to_that() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let common = ["--data_dir", data.to_str().unwrap(), "--set", "model.freeze=until:features.2"];
    let run = |name: &str, more: &[&str]| {
        let args = [&common[..], &["--run_name", name], more].concat();
        ok(train(place.path(), &args));
        place.path().join("runs").join(name)
    };
    let frozen = run("frozen", &["--num_epochs", "2"]);
    let fresh = run(
        "fresh",
        &["--num_epochs", "1", "--set", "optimizer.lr=1e-30", "--set", "optimizer.weight_decay=0"],
    );
    // Features 0 and 1 are what the seed drew; features 2 and the head are not.
    let same = python("same_tensors.py", &[&frozen.join("last.pt"), &fresh.join("last.pt")]);
    let same: Vec<&str> = same.lines().collect();
    assert!(same.contains(&"features.0.conv.weight") && same.contains(&"features.1.bn.weight"), "{same:?}");
    assert!(
        !same.iter().any(|name| name.starts_with("features.2.conv") || name.starts_with("classifier")),
        "{same:?}"
    );
    let log = read(frozen.join("logs/train.log"));
    assert!(log.contains("model.freeze: until:features.2: "), "{log}");

    let thawed = ["--set", "model.unfreeze_epoch=1"];
    let whole = run("whole", &[&thawed[..], &["--num_epochs", "3"]].concat());
    let half = run("half", &[&thawed[..], &["--num_epochs", "1"]].concat());
    let resumed = ["--resume", half.to_str().unwrap(), "--num_epochs", "3"];
    ok(train(place.path(), &resumed));
    let hash = |run: &std::path::Path| python("state_hash.py", &[&run.join("last.pt")]);
    assert_eq!(hash(&whole), hash(&half));
    let same = python("same_tensors.py", &[&whole.join("last.pt"), &fresh.join("last.pt")]);
    assert!(!same.contains("features.0.conv.weight"), "{same}");
}

#[test]
fn groups_of_parameters_have_their_own_rates_and_resuming_keeps_them() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let common = [
        "--data_dir",
        data.to_str().unwrap(),
        "--set",
        "optimizer.param_groups=[{pattern: '^features.0', lr_scale: 0.0}]",
        "--set",
        "optimizer.layer_decay=0.5",
        "--set",
        "optimizer.bias_weight_decay=0.0",
    ];
    let run = |name: &str, more: &[&str]| {
        ok(train(place.path(), &[&common[..], &["--run_name", name], more].concat()));
        place.path().join("runs").join(name)
    };
    let whole = run("whole", &["--num_epochs", "2"]);
    let half = run("half", &["--num_epochs", "1"]);
    ok(train(place.path(), &["--resume", half.to_str().unwrap(), "--num_epochs", "2"]));
    let hash = |run: &std::path::Path| python("state_hash.py", &[&run.join("last.pt")]);
    assert_eq!(hash(&whole), hash(&half));
    let groups = python("param_groups.py", &[&whole.join("last.pt")]);
    assert!(groups.lines().count() >= 4, "{groups}");
    let first = groups.lines().find(|line| line.contains("features.0.conv.weight")).unwrap();
    assert!(first.starts_with("lr 0 "), "{groups}");
}

#[test]
fn what_cannot_be_frozen_grouped_or_dropped_is_a_config_error() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    for (setting, parts) in [
        (
            "model.freeze=all",
            &["model.freeze: must be like `none`, `backbone`, `until:layer4`, got `all`"][..],
        ),
        ("model.freeze=until:layer3", &["layer3", "features, classifier"]),
        ("model.freeze=until:features", &["nothing would be frozen"]),
        ("model.unfreeze_epoch=2", &["model.unfreeze_epoch", "nothing is frozen"]),
        ("model.dropout=1.0", &["model.dropout", "below 1"]),
        ("model.drop_path=0.1", &["model.drop_path", "tiny_net has none"]),
        ("model.in_channels=1", &["model.in_channels", "3"]),
        ("optimizer.layer_decay=0", &["optimizer.layer_decay", "above 0"]),
        (
            "optimizer.param_groups=[{pattern: '['}]",
            &["optimizer.param_groups[0].pattern", "regular expression"],
        ),
        ("optimizer.param_groups=[{pattern: 'layer9'}]", &["`layer9` matches no parameter", "features.0"]),
        ("optimizer.param_groups=[{pattern: a, lr: 1}]", &["lr", "unknown key"]),
    ] {
        fails(train(place.path(), &["--data_dir", data.to_str().unwrap(), "--set", setting]), 2, parts);
    }
}

#[test]
fn frozen_layers_are_computed_once_and_the_run_is_the_same_to_the_bit() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let common = [
        "--data_dir",
        data.to_str().unwrap(),
        "--set",
        "model.freeze=backbone",
        "--set",
        "transforms.train.random_crop=null",
        "--set",
        "transforms.train.resize=[16, 16]",
        "--set",
        "training.ema={decay: 0.9}",
        "--batch_size",
        "8",
    ];
    let run = |name: &str, more: &[&str]| {
        ok(train(place.path(), &[&common[..], &["--run_name", name], more].concat()));
        place.path().join("runs").join(name)
    };
    let auto = run("auto", &["--num_epochs", "4"]);
    let off = run("off", &["--num_epochs", "4", "--set", "training.feature_cache=off"]);
    let half = run("half", &["--num_epochs", "2"]);
    ok(train(place.path(), &["--resume", half.to_str().unwrap(), "--num_epochs", "4"]));
    let hash = |run: &std::path::Path| python("state_hash.py", &[&run.join("last.pt")]);
    assert_eq!(hash(&auto), hash(&off));
    assert_eq!(hash(&auto), hash(&half));
    let log = read(auto.join("logs/train.log"));
    assert!(log.contains("frozen layers are computed once, and kept in memory"), "{log}");
    assert!(log.contains("64 features an image for training, 64 features an image for validation"), "{log}");
    assert!(!read(off.join("logs/train.log")).contains("feature_cache"), "{log}");
}

#[test]
fn views_are_another_recipe_and_say_so_and_resume_exactly() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 30);
    let cache = place.path().join("cache");
    let set = format!("data.cache_dir={}", cache.display());
    let common = [
        "--data_dir",
        data.to_str().unwrap(),
        "--set",
        "model.freeze=backbone",
        "--set",
        "training.feature_cache={views: 2, in: disk}",
        "--set",
        &set,
    ];
    let run = |name: &str, epochs: &str| {
        ok(train(place.path(), &[&common[..], &["--run_name", name, "--num_epochs", epochs]].concat()));
        place.path().join("runs").join(name)
    };
    let whole = run("whole", "5");
    let log = read(whole.join("logs/train.log"));
    assert!(log.contains("2 augmented views") && log.contains("another recipe"), "{log}");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 3, "two views, and the validation images");
    let half = run("half", "3");
    std::fs::remove_dir_all(&cache).unwrap();
    ok(train(place.path(), &["--resume", half.to_str().unwrap(), "--num_epochs", "5"]));
    let hash = |run: &std::path::Path| python("state_hash.py", &[&run.join("last.pt")]);
    assert_eq!(hash(&whole), hash(&half));
}

#[test]
fn a_feature_cache_that_cannot_be_is_a_config_error() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 20);
    let frozen = "model.freeze=backbone";
    for (settings, parts) in [
        (&["training.feature_cache=on"][..], &["training.feature_cache: no layer is frozen"][..]),
        (&[frozen, "training.feature_cache=on"], &["training.feature_cache: ", "random_crop", "views"]),
        (&[frozen, "training.feature_cache={views: 0}"], &["training.feature_cache.views: must be"]),
        (
            &[frozen, "training.feature_cache={views: 2, max_gb: 0.000001}"],
            &["training.feature_cache.max_gb: ", "KB"],
        ),
        (
            &[frozen, "transforms.train.mixup=0.2", "training.feature_cache={views: 2}"],
            &["training.feature_cache: mixup"],
        ),
    ] {
        let sets = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["--data_dir", data.to_str().unwrap()].into_iter().chain(sets).collect();
        fails(train(place.path(), &args), 2, parts);
    }
}
