use serde_json::json;
use tch::{Kind, Tensor};

use super::*;
use crate::checkpoint::Checkpoint;
use crate::dataset::Task;
use crate::device::PrecisionChoice;
use crate::evaluation::ClassProbability;
use crate::network::{Architecture, Input, Network};
use crate::run::StoredModelError;
use crate::testing::checkpoint;

#[test]
fn a_folder_without_a_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = checkpoint_file(dir.path()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("best.pt"), "{error}");
    std::fs::write(dir.path().join("best.pt"), "").unwrap();
    assert_eq!(checkpoint_file(dir.path()).unwrap(), dir.path().join("best.pt"));
    assert_eq!(run_folder(&dir.path().join("best.pt")), None);
    std::fs::write(dir.path().join("config.yaml"), "").unwrap();
    assert_eq!(run_folder(&dir.path().join("best.pt")), Some(dir.path()));
}

/// A checkpoint of an untrained network that gives an image any of three labels.
fn of_labels(thresholds: Option<Vec<f32>>) -> Checkpoint {
    let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
    let normalize = json!({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]});
    Checkpoint {
        model_state_dict: network.state_dict(),
        config: json!({"model": {"architecture": "tiny_net"}}),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        eval_transform: json!({"resize": [16, 16], "normalize": normalize}),
        task: Task::MultiLabel,
        thresholds,
        ..checkpoint(1, 0.0)
    }
}

fn opened(checkpoint: Checkpoint) -> Result<LoadedModel, InferenceError> {
    let (path, precision) = (Path::new("best.pt"), PrecisionChoice::Auto);
    LoadedModel::of_checkpoint(checkpoint, path, Device::Cpu, precision, UseEma::Auto)
}

#[test]
fn thresholds_are_those_of_the_checkpoint_or_one_half() {
    let values = |model: &LoadedModel| model.thresholds().map(|thresholds| thresholds.values().to_vec());
    let of = |thresholds| opened(of_labels(thresholds)).unwrap();
    assert_eq!(values(&of(Some(vec![0.25, 0.5, 1.0]))), Some(vec![0.25, 0.5, 1.0]));
    let model = of(None);
    assert_eq!(values(&model), Some(vec![0.5; 3]));
    assert_eq!(values(&model.with_threshold(0.75).unwrap()), Some(vec![0.75; 3]));
    let single = Checkpoint { task: Task::SingleLabel, ..of_labels(None) };
    let single = opened(single).unwrap();
    assert_eq!(values(&single), None);
    assert!(single.with_threshold(0.5).is_err_and(|error| error.is_usage()));
}

#[test]
fn thresholds_that_cannot_be_used_are_named() {
    for (thresholds, part) in [
        (vec![0.5; 2], "has 2 values, and there are 3 classes"),
        (vec![0.5, 1.5, 0.5], "class 1 must be in 0..=1, got 1.5"),
        (vec![0.5, 0.5, f32::NAN], "class 2 must be in 0..=1, got NaN"),
    ] {
        let error = opened(of_labels(Some(thresholds))).unwrap_err();
        assert!(
            matches!(error, InferenceError::Model(StoredModelError::Content { key: "thresholds", .. })),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn labels_are_the_sigmoids_from_their_thresholds_on() {
    let model = opened(of_labels(None)).unwrap();
    let images =
        Tensor::linspace(-1.0, 1.0, 2 * 3 * 16 * 16, (Kind::Float, Device::Cpu)).view([2, 3, 16, 16]);
    let logits = model.network.logits(Input::Images(&images), &model.compute).unwrap();
    let logits = Vec::<f32>::try_from(logits.flatten(0, -1)).unwrap();
    let found = model.evaluator().predict(model.network.as_ref(), &images, 3).unwrap();
    for (answer, logits) in found.iter().zip(logits.chunks_exact(3)) {
        assert_eq!(answer.top_k.len(), 3);
        assert!(answer.top_k.is_sorted_by(|one, two| one.probability >= two.probability));
        for one in &answer.top_k {
            let expected = 1.0 / (1.0 + (-f64::from(logits[one.class])).exp());
            assert!((f64::from(one.probability) - expected).abs() < 1e-7, "{one:?} {logits:?}");
        }
    }
    let given = [(2, 0.9), (0, 0.6), (1, 0.55)];
    let given = given.map(|(class, probability)| ClassProbability { class, probability });
    let model = opened(of_labels(Some(vec![0.7, 0.55, 0.5]))).unwrap();
    let labels: Vec<usize> = model.labels(&given).map(|one| one.class).collect();
    assert_eq!(labels, [2, 1]);
    let model = model.with_threshold(0.95).unwrap();
    assert_eq!(model.labels(&given).count(), 0);
}
