//! What the numeric tests of the losses share.

use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::{Loss, LossConfig, Targets};

/// Training images of each class in the reference programs.
pub(super) const CLASS_COUNTS: [usize; 3] = [6, 3, 1];

/// Compares the training loss and its gradient of each stored case with the stored ones, in each of
/// the precisions; the tolerance of a loss above 1 is relative to it.
pub(super) fn compare(stored: &str, precisions: &[(Kind, f64)]) {
    let cases: Vec<Value> = serde_json::from_str(stored).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let config: LossConfig = serde_json::from_value(case["config"].clone()).unwrap();
        assert!(config.problems().is_empty(), "{config:?}");
        let loss = Loss::new(&config, &CLASS_COUNTS, Device::Cpu);
        for &(kind, tolerance) in precisions {
            let logits = tensor(&case["logits"], kind).set_requires_grad(true);
            let targets = targets(&case, kind);
            let value = loss.forward_train(&logits, &targets).unwrap();
            let of_case = |got: &Tensor, key: &str| {
                let (got, expected) = (got.double_value(&[]), case[key].as_f64().unwrap());
                let is_near = (got - expected).abs() < tolerance * expected.abs().max(1.0);
                assert!(is_near, "{key} of {config:?}: {got}, {expected}");
            };
            of_case(&value.mean, "mean");
            if !case["plain"].is_null() {
                of_case(&loss.forward(&logits, &targets).unwrap().mean, "plain");
            }
            if let Targets::Classes(classes) = &targets {
                let classes = Vec::<i64>::try_from(classes).unwrap();
                let divisor = value.divisor.double_value(&[]);
                assert!((loss.divisor(&classes) - divisor).abs() < 1e-6, "on the device as on the host");
            }
            value.mean.backward();
            let expected = tensor(&case["grad"], Kind::Double);
            let difference = (logits.grad().to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
            assert!(difference < tolerance, "gradient of {config:?}: {difference}");
        }
    }
}

fn tensor(rows: &Value, kind: Kind) -> Tensor {
    let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
    Tensor::from_slice2(&rows).to_kind(kind)
}

fn targets(case: &Value, kind: Kind) -> Targets {
    if !case["classes"].is_null() {
        let classes: Vec<i64> = serde_json::from_value(case["classes"].clone()).unwrap();
        Targets::Classes(Tensor::from_slice(&classes))
    } else if case["multi_hot"].is_null() {
        Targets::Probabilities(tensor(&case["probabilities"], kind))
    } else {
        Targets::MultiHot(tensor(&case["multi_hot"], kind))
    }
}
