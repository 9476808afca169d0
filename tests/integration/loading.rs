//! How images come to the network: caches, sampling, mixing and unreadable images, through the real
//! program.

use std::fs;
use std::path::Path;

use crate::support::{fails, ok, read, start, train};
use crate::train::{digits, python};

/// The weights and the optimizer state of a run's end, as one hash.
fn hash(place: &Path, run: &str) -> String {
    python("state_hash.py", &[&place.join("runs").join(run).join("last.pt")])
}

#[test]
fn caches_and_workers_never_change_a_run() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 24);
    let run = |name: &str, extra: &[&str]| {
        let args = [&["--data_dir", data.to_str().unwrap(), "--run_name", name], extra].concat();
        ok(train(place.path(), &args));
        hash(place.path(), name)
    };
    let plain = run("plain", &["--num_workers", "0"]);
    for (name, extra) in [
        ("ram", vec!["--set", "data.cache=ram", "--num_workers", "2"]),
        ("disk", vec!["--set", "data.cache=disk", "--num_workers", "1"]),
        ("again", vec!["--set", "data.cache=disk", "--num_workers", "7"]),
        ("little", vec!["--set", "data.cache=ram", "--set", "data.cache_max_gb=0.00001"]),
    ] {
        assert_eq!(run(name, &extra), plain, "{name}");
    }
    // Hidden, so that it is no class; and the run's name is none of the cache's business.
    assert!(data.join(".ml-cache").read_dir().unwrap().count() > 0);
    let output = ok(train(
        place.path(),
        &["--data_dir", data.to_str().unwrap(), "--set", "data.cache=ram", "--num_epochs", "1"],
    ));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "runs/epochs_1");
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_that_names_the_setting() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 12);
    fs::write(place.path().join("file"), "").unwrap();
    let set = ["--set", "data.cache=disk", "--set", "data.cache_dir=file/below"];
    let args = [&["--data_dir", data.to_str().unwrap()], &set[..]].concat();
    fails(train(place.path(), &args), 1, &["file/below", "data.cache_dir"]);
}

#[test]
fn an_unreadable_image_is_skipped_with_one_warning_if_so_asked() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 24);
    let first = |split: &str| {
        let line = read(data.join(format!("splits/{split}.txt")));
        data.join(line.lines().next().unwrap())
    };
    let broken = [first("train"), first("val"), first("test")];
    for path in &broken {
        // As long as before, so that the data set has not changed in size.
        let length = fs::metadata(path).unwrap().len() as usize;
        fs::write(path, vec![b'x'; length]).unwrap();
    }
    let base = ["--data_dir", data.to_str().unwrap(), "--set", "data.on_leak=ignore"];
    let with = |extra: &[&str]| train(place.path(), &[&base[..], extra].concat());
    fails(with(&[]), 1, &["cannot use image", broken[0].to_str().unwrap(), "not an image"]);
    let skip = ["--set", "data.on_error=skip", "--num_epochs", "3"];
    let output = ok(with(&[&skip[..], &["--run_name", "two", "--num_workers", "2"]].concat()));
    let text = String::from_utf8_lossy(&output.stderr);
    for path in &broken {
        assert_eq!(text.matches(path.to_str().unwrap()).count(), 1, "once: {text}");
    }
    // The image left out does not count.
    let summary = read(place.path().join("runs/two/report/predictions_test.csv"));
    assert!(!summary.contains(broken[2].file_name().unwrap().to_str().unwrap()), "{summary}");
    ok(with(&[&skip[..], &["--run_name", "none", "--num_workers", "0"]].concat()));
    assert_eq!(hash(place.path(), "two"), hash(place.path(), "none"));
    let limit = [&skip[..], &["--set", "data.max_skipped=0"]].concat();
    fails(with(&limit), 1, &["data.max_skipped", "ml-split check"]);
}

#[test]
fn balanced_sampling_mixing_and_one_channel_train_and_resume_exactly() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 24);
    let config = "{model: {architecture: tiny_net}, optimizer: {name: adamw, lr: 0.01}, training: {batch_size: 8, \
                  gradient_accumulation_steps: 2}, data: {sampling: {name: balanced}, drop_last: true}, loss: \
                  {label_smoothing: 0.1, class_weights: balanced}, transforms: {train: {random_resized_crop: 16, \
                  trivial_augment_wide: true, channels: 1, random_erasing: 0.5, mixup: 0.2, cutmix: 1.0}, val: \
                  {resize: [16, 16], channels: 1}}}";
    fs::write(place.path().join("mixed.yaml"), config).unwrap();
    let run = |extra: &[&str]| {
        let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
        command.current_dir(place.path()).args(["--device", "cpu", "--config", "mixed.yaml"]);
        command.arg("--data_dir").arg(&data).args(extra);
        ok(command);
    };
    run(&["--run_name", "once", "--num_epochs", "4", "--num_workers", "0"]);
    run(&["--run_name", "twice", "--num_epochs", "2", "--num_workers", "3", "--set", "data.cache=ram"]);
    ok(train(place.path(), &["--resume", "runs/twice", "--num_epochs", "4"]));
    assert_eq!(hash(place.path(), "once"), hash(place.path(), "twice"));
    let mut inference = start(env!("CARGO_BIN_EXE_ml-inference"));
    inference.current_dir(place.path()).args(["--checkpoint", "runs/once"]);
    inference.args(["--split", "test", "--device", "cpu"]);
    ok(inference);
}

#[test]
fn wrong_requests_about_loading_are_refused_before_anything_begins() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 12);
    let with = |sets: &[&str]| {
        let mut args = vec!["--data_dir", data.to_str().unwrap()];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        train(place.path(), &args)
    };
    for (sets, parts) in [
        (vec!["data.cache=memory"], vec!["data.cache", "ram"]),
        (vec!["data.cache_max_gb=-1"], vec!["data.cache_max_gb"]),
        (vec!["data.sampling.name=balance"], vec!["data.sampling", "balanced"]),
        (
            vec!["data.sampling={name: weighted, class_weights: [1, 2, 3]}"],
            vec!["data.sampling.class_weights", "3 numbers", "2 classes"],
        ),
        (vec!["data.sampling.repeats=0"], vec!["data.sampling.repeats", "1 to 64"]),
        (vec!["data.drop_last=true", "training.batch_size=500"], vec!["data.drop_last", "500"]),
        (vec!["transforms.val.mixup=0.2"], vec!["transforms.val.mixup", "training only"]),
        (vec!["transforms.train.channels=1"], vec!["transforms.val.channels"]),
    ] {
        fails(with(&sets), 2, &parts);
    }
    assert!(!place.path().join("runs").exists());
}

#[test]
fn how_images_are_loaded_may_change_when_a_run_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 12);
    ok(train(
        place.path(),
        &["--data_dir", data.to_str().unwrap(), "--num_epochs", "1", "--run_name", "run"],
    ));
    let changed = [
        "data.cache=disk",
        "data.cache_dir=elsewhere",
        "data.cache_max_gb=0.5",
        "data.on_error=skip",
        "data.max_skipped=3",
    ];
    let sets: Vec<&str> = changed.iter().flat_map(|set| ["--set", set]).collect();
    ok(train(place.path(), &[&["--resume", "runs/run", "--num_epochs", "2"], &sets[..]].concat()));
    assert!(place.path().join("elsewhere").read_dir().unwrap().count() > 0);
}

#[test]
fn where_decoded_images_are_kept_does_not_make_another_run_of_it() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 2, 12);
    let with = |folder: &str| {
        let folder = format!("data.cache_dir={folder}");
        let args = ["--data_dir", data.to_str().unwrap(), "--resume", "auto", "--set", "data.cache=disk"];
        ok(train(place.path(), &[&args[..], &["--set", &folder]].concat()));
    };
    with("first");
    // As if it had been killed just before its end.
    let run = place.path().join("runs").read_dir().unwrap().next().unwrap().unwrap().path();
    let summary = read(run.join("summary.yaml"));
    fs::write(run.join("summary.yaml"), summary.replace("status: completed", "status: running")).unwrap();
    with("second");
    assert_eq!(place.path().join("runs").read_dir().unwrap().count(), 1);
    assert!(read(run.join("summary.yaml")).contains("status: completed"));
}
