//! What is written, read back by TensorBoard itself and compared to PyTorch's writer.

use serde_json::{Value, json};
use test_support::python_json;

use super::projector::{Column, Embedding};
use super::*;
use ml_data::decode::Pixels;

/// Of either sign, from 1e-30 to 1e17, and 0.
fn values() -> Vec<f32> {
    let mut state = 7_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0
    };
    let wide = (0..5000).map(|_| (random() - 0.5) * 10_f32.powf(random() * 30.0 - 12.0));
    wide.chain([0.0, -0.0, 1e-30, -1e-30, 1.0, -1.0]).collect()
}

/// Scores on thresholds and between them, with whether the sample is of the class.
fn samples() -> Vec<(f32, bool)> {
    (0..=1000).map(|i| (i as f32 / 1000.0, i % 7 < 3)).chain([(1.0, true), (0.0, false)]).collect()
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn tensorboard_reads_back_scalars_images_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path(), 1_700_000_000.5).unwrap();
    writer.add_scalar("Loss/train", 0.5, 0, 1_700_000_001.25).unwrap();
    writer.add_scalar("Loss/train", 0.25, 7, 1_700_000_002.25).unwrap();
    writer.add_scalar("Größe", -1.0, 1 << 40, 1_700_000_003.0).unwrap();
    let pixels: Vec<u8> = (0..18).collect();
    writer.add_rgb("Samples", &pixels, [3, 2], 4, 1_700_000_004.0).unwrap();
    writer.add_text("Config", "lr: **0.1**", 0, 1_700_000_005.0).unwrap();
    writer.flush().unwrap();

    let found = python_json("tensorboard_read.py", &[folder.path()]);
    let scalars = json!({
        "Loss/train": [[0, 1_700_000_001.25, 0.5], [7, 1_700_000_002.25, 0.25]],
        "Größe": [[1_u64 << 40, 1_700_000_003.0, -1.0]],
    });
    assert_eq!(found["scalars"], scalars);
    assert_eq!(found["text"], json!({"Config": [[0, 1_700_000_005.0, "lr: **0.1**"]]}));
    assert_eq!(found["plugins"], json!({"Config": "text"}));
    let image = &found["images"]["Samples"][0];
    assert_eq!([&image[0], &image[2], &image[3]], [&json!(4), &json!(3), &json!(2)]);
    assert_eq!(::image::load_from_memory(&bytes_of(&image[4])).unwrap().to_rgb8().into_raw(), pixels);
}

#[test]
fn histograms_and_curves_are_those_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let (scores, positives): (Vec<f32>, Vec<bool>) = samples().into_iter().unzip();
    let given = json!({"values": values(), "scores": scores, "positives": positives});
    let file = folder.path().join("given.json");
    fs::write(&file, given.to_string()).unwrap();
    let expected = python_json("tensorboard_read.py", &[file.as_path(), Path::new("--expected")]);

    let mut writer = EventWriter::create(folder.path(), 1.0).unwrap();
    writer.add_histogram("Weights", &Histogram::of(values()), 3, 2.0).unwrap();
    writer.add_histogram("Weights/none", &Histogram::of([f32::NAN]), 3, 2.0).unwrap();
    writer.add_pr_curve("Curve/a", &PrCurve::of(samples()).unwrap(), 4, 5.0).unwrap();
    writer.flush().unwrap();
    let found = python_json("tensorboard_read.py", &[folder.path()]);

    assert_eq!(found["histograms"].as_object().unwrap().len(), 1);
    let written = &found["histograms"]["Weights"][0];
    assert_eq!([&written[0], &written[1]], [&json!(3), &json!(2.0)]);
    let [written, expected_histogram] = [&written[2], &expected["histogram"]];
    for key in ["min", "max", "num"] {
        assert_eq!(written[key], expected_histogram[key], "{key}");
    }
    for key in ["sum", "sum_squares"] {
        // PyTorch's are sums in f32.
        let [ours, theirs] = [written, expected_histogram].map(|histogram| histogram[key].as_f64().unwrap());
        assert!((ours - theirs).abs() <= 1e-4 * theirs.abs(), "{key}: {ours} and {theirs}");
    }
    assert_eq!(without_empty(written), without_empty(expected_histogram));
    assert_eq!(written["limits"][0], expected_histogram["limits"][0], "where the first bucket begins");

    let curve = &found["pr_curves"]["Curve/a"][0];
    assert_eq!(
        [&curve[0], &curve[1], &found["num_thresholds"]["Curve/a"]],
        [&json!(4), &json!(5.0), &json!(127)]
    );
    let rounded = |rows: &Value| -> Vec<f32> {
        rows.as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .map(|v| v.as_f64().unwrap() as f32)
            .collect()
    };
    assert_eq!(rounded(&curve[2]), rounded(&expected["pr_curve"]));
}

/// Limits and counts of the buckets that hold something.
fn without_empty(histogram: &Value) -> Vec<(f64, f64)> {
    let numbers = |key: &str| -> Vec<f64> {
        histogram[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let buckets = numbers("limits").into_iter().zip(numbers("counts"));
    buckets.filter(|&(_, count)| count > 0.0).collect()
}

#[test]
fn hparams_are_the_messages_of_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path(), 1.0).unwrap();
    writer.add_experiment(&columns(), &["Loss/val"], 2.0).unwrap();
    writer.add_session_start(&hparams(0.1), 3.0).unwrap();
    writer.add_session_end(SessionStatus::Failure, 4.0).unwrap();
    writer.flush().unwrap();
    let found = python_json("tensorboard_read.py", &[folder.path()]);
    let [number, text] = ["DATA_TYPE_FLOAT64", "DATA_TYPE_STRING"];
    assert_eq!(
        found["hparams"]["_hparams_/experiment"]["experiment"],
        json!({
            "timeCreatedSecs": 2.0,
            "hparamInfos": [
                {"name": "lr", "type": number, "domainInterval": {"minValue": 0.01, "maxValue": 1.0}},
                {"name": "optimizer", "type": text, "domainDiscrete": ["sgd", "adam\n"]},
                {"name": "ema", "type": "DATA_TYPE_BOOL", "domainDiscrete": [false, true]},
                {"name": "size", "type": number, "domainDiscrete": [32.0, 64.0]},
                {"name": "clip", "type": number},
                {"name": "network", "type": text},
            ],
            "metricInfos": [{"name": {"tag": "Loss/val"}}],
        })
    );
    assert_eq!(
        found["hparams"]["_hparams_/session_start_info"]["sessionStartInfo"],
        json!({
            "hparams": {"lr": 0.1, "optimizer": "adam\n", "ema": true, "clip": "inf"},
            "startTimeSecs": 3.0,
        })
    );
    let end = json!({"status": "STATUS_FAILURE", "endTimeSecs": 4.0});
    assert_eq!(found["hparams"]["_hparams_/session_end_info"]["sessionEndInfo"], end);
}

fn columns() -> Vec<HparamInfo> {
    let texts = vec!["sgd".to_owned(), "adam\n".to_owned()];
    let columns = [
        ("lr", HparamDomain::NumberIn(0.01, 1.0)),
        ("optimizer", HparamDomain::TextOf(texts)),
        ("ema", HparamDomain::Bool),
        ("size", HparamDomain::NumberOf(vec![32.0, 64.0])),
        ("clip", HparamDomain::Number),
        ("network", HparamDomain::Text),
    ];
    columns.map(|(name, domain)| HparamInfo { name: name.into(), domain }).into()
}

fn hparams(lr: f64) -> Vec<(String, HparamValue)> {
    let values = [
        ("lr", HparamValue::Number(lr)),
        ("optimizer", HparamValue::Text("adam\n".into())),
        ("ema", HparamValue::Bool(true)),
        ("clip", HparamValue::Number(f64::INFINITY)),
    ];
    values.map(|(name, value)| (name.into(), value)).into()
}

#[test]
fn a_server_shows_runs_histograms_curves_and_embeddings() {
    let root = tempfile::tempdir().unwrap();
    for (run, lr) in [("a", 0.1), ("b", 0.2)] {
        let mut writer = EventWriter::create(&root.path().join(run), 1.0).unwrap();
        if run == "a" {
            writer.add_experiment(&columns(), &["Loss/val"], 2.0).unwrap();
        }
        writer.add_session_start(&hparams(lr), 3.0).unwrap();
        writer.add_scalar("Loss/val", 10.0 * lr, 1, 3.5).unwrap();
        writer.add_histogram("Weights", &Histogram::of([-f32::MAX, 1.0, 2.0]), 3, 3.5).unwrap();
        writer.add_pr_curve("Curve/a", &PrCurve::of(samples()).unwrap(), 4, 3.5).unwrap();
        writer.add_session_end(SessionStatus::Success, 4.0).unwrap();
    }
    let names = ["cat".to_owned(), String::new(), "tab\tand\nline".to_owned()];
    let paths = ["a/1.png".to_owned(), "ü.png".to_owned(), "c".to_owned()];
    let vectors = [0.1, -2.0, 3e-20, f32::MAX, 0.0, 1.0];
    let thumbnails = vec![Pixels { width: 2, height: 2, data: vec![9; 12] }; 3];
    let all = [Column { name: "label", values: &names }, Column { name: "path", values: &paths }];
    let mut embedding =
        Embedding { name: "val", vectors: &vectors, dimensions: 2, columns: &all, thumbnails: &thumbnails };
    assert_eq!(projector::write(&root.path().join("a"), &embedding).unwrap(), Some([2, 2]));
    embedding = Embedding { name: "test", columns: &all[..1], thumbnails: &[], ..embedding };
    assert_eq!(projector::write(&root.path().join("a"), &embedding).unwrap(), None);

    let served = python_json("tensorboard_read.py", &[root.path(), Path::new("--served")]);
    let groups = served["session_groups"].as_array().unwrap();
    let shown: Vec<Value> = groups
        .iter()
        .map(|group| json!([group["name"], group["hparams"], group["metricValues"][0]["value"]]))
        .collect();
    let own = |lr: f64| json!({"lr": lr, "optimizer": "adam\n", "ema": true, "clip": "inf"});
    assert_eq!(shown, [json!(["a", own(0.1), 1.0]), json!(["b", own(0.2), 2.0])]);
    assert_eq!(groups[0]["sessions"][0]["status"], "STATUS_SUCCESS");
    assert_eq!(served["experiment"]["hparamInfos"].as_array().unwrap().len(), 6);

    let histogram = &served["histograms"]["b"]["Weights"][0];
    assert_eq!([&histogram[0], &histogram[1]], [&json!(3.5), &json!(3)]);
    let buckets = histogram[2].as_array().unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket[2].as_f64().unwrap()).sum::<f64>(), 3.0);
    assert_eq!(
        [&buckets[0][0], &buckets[buckets.len() - 1][1]].map(|v| v.as_f64().unwrap() as f32),
        [-f32::MAX, 2.0]
    );
    let curve = &served["pr_curves"]["b"]["Curve/a"]["b"][0];
    assert_eq!([&curve["step"], &curve["true_positives"][0]], [&json!(4), &json!(430)]);
    assert_eq!(curve["thresholds"].as_array().unwrap().len(), THRESHOLDS);

    let embeddings = served["projector"]["a"]["embeddings"].as_array().unwrap();
    let [val, test] = embeddings.as_slice() else { panic!("{embeddings:?}") };
    assert_eq!([&val["tensorName"], &val["tensorShape"]], [&json!("val"), &json!([3, 2])]);
    let raw: Vec<u8> = vectors.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!([bytes_of(&val["tensorBytes"]), bytes_of(&test["tensorBytes"])], [raw.clone(), raw]);
    assert_eq!(val["metadata"], "label\tpath\ncat\ta/1.png\n(empty)\tü.png\ntab\\tand\\nline\tc\n");
    assert_eq!(test["metadata"], "cat\n(empty)\ntab\\tand\\nline\n");
    assert_eq!(val["sprite"]["singleImageDim"], json!([2, 2]));
    assert_eq!(::image::load_from_memory(&bytes_of(&val["spriteBytes"])).unwrap().width(), 4);
}

#[test]
fn replacing_leaves_one_file_of_events_and_all_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let first = EventWriter::create(folder.path(), 5.0).unwrap();
    let second = EventWriter::create(folder.path(), 5.0).unwrap();
    assert_ne!(first.path(), second.path(), "two of the same second do not collide");
    let third = EventWriter::replace(folder.path(), 5.0).unwrap();
    assert!(!first.path().exists() && !second.path().exists() && third.path().exists());
    assert!(folder.path().join("notes.txt").exists());
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let full = PathBuf::from("/dev/full");
    let file = OpenOptions::new().write(true).open(&full).unwrap();
    let Err(error) = EventWriter::start(file, full, 0.0) else { panic!("it is full") };
    assert!(matches!(error, EventError::DiskFull { .. }));
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let Err(error) = EventWriter::create(&file.join("tensorboard"), 0.0) else {
        panic!("a file is in the way")
    };
    assert!(error.to_string().contains("file/tensorboard"), "{error}");
}

#[test]
fn after_a_restart_steps_that_are_done_again_are_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = EventWriter::create(folder.path(), 10.0).unwrap();
    for step in 1..=10_u32 {
        before.add_scalar("Loss/train", f64::from(step), u64::from(step), 10.0).unwrap();
    }
    before.flush().unwrap();
    let mut after = EventWriter::create(folder.path(), 20.0).unwrap();
    after.add_restart(5, 20.0).unwrap();
    for step in 6..=7 {
        after.add_scalar("Loss/train", 100.0, step, 20.0).unwrap();
    }
    after.flush().unwrap();
    let found = python_json("tensorboard_read.py", &[folder.path()]);
    let steps: Vec<u64> = found["scalars"]["Loss/train"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point[0].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7]);
}
