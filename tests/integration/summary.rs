//! `ml-train --summary`, `--list_architectures` and `--plot_schedule`: results on stdout, and no run.

use std::process::Command;

use crate::support::{fails, ok, start, train};
use crate::train::digits;

fn stdout(command: Command) -> String {
    String::from_utf8(ok(command).stdout).unwrap()
}

#[test]
fn a_summary_shows_layers_totals_and_memory_without_images() {
    let place = tempfile::tempdir().unwrap();
    let text = stdout(train(place.path(), &["--summary", "--set", "model.num_classes=10"]));
    for part in
        ["tiny_net, images of 3 x 16 x 16, 10 classes", "features.0.conv   conv2d", "[1, 10]", "24,346"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    let json = stdout(train(place.path(), &["--summary", "--json", "--set", "model.num_classes=10"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["trainable_parameters"], 24346);
    assert_eq!(json["layers"][0]["name"], "features.0.conv");
    assert_eq!(json["memory"]["batch_size"], 32);
    let parts = ["model.num_classes is auto", "no data set", "--set model.num_classes=10"];
    fails(train(place.path(), &["--summary"]), 2, &parts);

    let data = digits(place.path(), 3, 10);
    let text = stdout(train(place.path(), &["--summary", "--data_dir", data.to_str().unwrap()]));
    assert!(text.contains("3 classes"), "{text}");
    assert!(!place.path().join("runs").exists(), "nothing was written");
}

#[test]
fn the_list_of_networks_has_what_architecture_takes_and_a_misspelt_one_gets_the_nearest() {
    let place = tempfile::tempdir().unwrap();
    let mut command = start(env!("CARGO_BIN_EXE_ml-train"));
    command.current_dir(place.path()).args(["--list_architectures", "--json"]);
    let json: Vec<serde_json::Value> = serde_json::from_str(&stdout(command)).unwrap();
    assert!(json.iter().any(|row| row["name"] == "tiny_net" && row["parameters"].as_u64() > Some(20_000)));
    let parts = ["did you mean `resnet18`", "--list_architectures` shows all"];
    fails(train(place.path(), &["--architecture", "resnet81"]), 2, &parts);
}

#[test]
fn a_schedule_is_drawn_without_training_and_plateau_says_what_is_not_known() {
    let place = tempfile::tempdir().unwrap();
    let data = digits(place.path(), 3, 10);
    let plot = |args: &[&str]| {
        let own = ["--data_dir", data.to_str().unwrap(), "--plot_schedule"];
        train(place.path(), &[&own[..], args].concat())
    };
    let is_png = |name: &str| std::fs::read(place.path().join(name)).unwrap().starts_with(b"\x89PNG");
    assert_eq!(stdout(plot(&[])), "schedule.png\n");
    assert!(is_png("schedule.png"));
    assert_eq!(stdout(plot(&["lr.png", "--set", "scheduler={name: wsd, interval: step}"])), "lr.png\n");
    assert!(is_png("lr.png"));
    let output = ok(plot(&["--set", "scheduler.name=plateau"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("without drops"), "{said}");
    let refused = ["scheduler.interval", "once an epoch"];
    fails(plot(&["--set", "scheduler={name: plateau, interval: step}"]), 2, &refused);
    assert!(!place.path().join("runs").exists(), "nothing was trained");
    fails(train(place.path(), &["--plot_schedule"]), 2, &["--plot_schedule", "Give --data_dir"]);
}
