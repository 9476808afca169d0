//! What a run's events hold after it went back, or ended, read back by TensorBoard itself.

use ml_core::config::Config;
use ml_core::run::Run;
use ml_core::trainer::{EmaMetrics, LabelFigures};
use ml_data::dataset::Split;
use serde_json::{Value, json};
use test_support::python_json;

use super::*;
use crate::label_report::tests::Made;

/// The events of a run that starts with `history`, is told what `tell` says, and is let go.
fn events(history: &[EpochMetrics], tell: impl FnOnce(&mut BoardReporter)) -> Value {
    let place = tempfile::tempdir().unwrap();
    let run = Run::claim(place.path(), "run").unwrap();
    let config = Config::default();
    let index =
        Index { root: place.path().to_owned(), split: Split::Train, samples: Vec::new(), label_sets: None };
    let (train, val) = (&index, &index);
    let start = RunStart { run: &run, config: &config, train, val, history, step: 0 };
    let mut reporter = BoardReporter::start(&start, 10.0).unwrap();
    tell(&mut reporter);
    drop(reporter);
    python_json("tensorboard_read.py", &[&run.tensorboard_dir()])
}

fn epoch(epoch: u64) -> EpochMetrics {
    EpochMetrics {
        epoch,
        step: 10 * epoch,
        lr: 0.1,
        train_loss: 1.0,
        train_accuracy: 0.5,
        val_loss: 2.0,
        val_accuracy: 0.25,
        val_top5_accuracy: 1.0,
        labels: None,
        ema: None,
        wall_time: 20.0,
    }
}

#[test]
fn with_several_labels_the_curves_are_of_map_and_f1() {
    let figures = LabelFigures {
        map: 0.75,
        micro_f1: 0.5,
        macro_f1: 0.25,
        sample_f1: 0.125,
        hamming_loss: 0.0625,
        subset_accuracy: 0.5,
    };
    let of_labels = EpochMetrics {
        labels: Some(figures),
        ema: Some(EmaMetrics { val_loss: 1.5, val_accuracy: 0.0, val_map: Some(0.875) }),
        ..epoch(1)
    };
    let place = tempfile::tempdir().unwrap();
    let made = Made::new(place.path());
    let path = place.path().join("0.png");
    image::RgbImage::from_pixel(4, 4, image::Rgb([9, 9, 9])).save(path).unwrap();
    let found = events(&[of_labels], |reporter| reporter.labels(&made.report(), 1, 30.0).unwrap());
    let scalars = &found["scalars"];
    assert_eq!(scalars["mAP/val"], json!([[1, 20.0, 0.75]]));
    assert_eq!(scalars["mAP/val_ema"], json!([[1, 20.0, 0.875]]));
    assert_eq!(scalars["F1/val_macro"], json!([[1, 20.0, 0.25]]));
    assert_eq!(scalars["Subset_Accuracy/train"], json!([[1, 20.0, 0.5]]));
    assert_eq!((&scalars["Accuracy/val"], &scalars["Accuracy/val_ema"]), (&Value::Null, &Value::Null));
    assert_eq!(scalars["Final/val/subset_accuracy"], json!([[1, 30.0, 0.25]]));
    let text = found["text"]["Predicted_Labels/val"][0][2].as_str().unwrap();
    assert!(text.contains("| 0.png | cat, dog | cat, dog | right |"), "{text}");
}

#[test]
fn a_run_that_went_back_keeps_its_settings() {
    let found = events(&[epoch(1), epoch(2)], |reporter| reporter.rolled_back(&[epoch(1)]).unwrap());
    assert_eq!(found["scalars"]["Loss/val"], json!([[1, 20.0, 2.0]]));
    let start = &found["hparams"]["_hparams_/session_start_info"]["sessionStartInfo"];
    assert_eq!(
        [&start["hparams"]["model.architecture"], &start["startTimeSecs"]],
        [&json!("resnet18"), &json!(10.0)]
    );
    let text = found["text"]["Configuration"][0][2].as_str().unwrap();
    assert!(text.contains("architecture: resnet18"), "{text}");
}

#[test]
fn the_average_of_the_last_epochs_is_a_point_at_the_last() {
    let average = SwaSummary {
        n_averaged: 2,
        val_loss: 0.5,
        val_accuracy: 0.75,
        val_top5_accuracy: 1.0,
        val_map: None,
        is_best: true,
    };
    let found = events(&[epoch(1), epoch(2)], |reporter| reporter.averaged(2, &average).unwrap());
    let point = |tag: &str| (found["scalars"][tag][0][0].clone(), found["scalars"][tag][0][2].clone());
    assert_eq!(point("Loss/val_swa"), (json!(2), json!(0.5)));
    assert_eq!(point("Accuracy/val_swa"), (json!(2), json!(0.75)));
    let text = found["text"]["Averaged_Weights"][0][2].as_str().unwrap();
    assert!(text.contains("best.pt` is the average of the weights of 2 epochs"), "{text}");
}

#[test]
fn the_table_of_runs_says_once_how_a_run_ended() {
    let tag = "_hparams_/session_end_info";
    let ended = |status| {
        let found = events(&[], |reporter| reporter.run_ended(status).unwrap());
        let end = &found["hparams"][tag]["sessionEndInfo"]["status"];
        (end.as_str().map(str::to_owned), found["hparams_counts"][tag].as_u64())
    };
    let success = (Some("STATUS_SUCCESS".to_owned()), Some(1));
    assert_eq!([ended(Status::Completed), ended(Status::EarlyStopped)], [success.clone(), success]);
    assert_eq!(ended(Status::Failed), (Some("STATUS_FAILURE".to_owned()), Some(1)));
    // It can be resumed.
    assert_eq!(ended(Status::Interrupted), (None, None));
}
