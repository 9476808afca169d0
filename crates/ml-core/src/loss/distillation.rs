//! Knowledge distillation: the loss of a student that follows a teacher's logits.
//!
//! Soft (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015), with
//! temperature T, teacher logits t and student logits s:
//! `T² · Σ_k p_k (log p_k − log q_k)`, `p = softmax(t / T)`, `q = softmax(s / T)`, mean over the
//! batch: `F.kl_div` with `reduction="batchmean"`. T² keeps the gradients' size independent of T.
//! With several labels per image p and q are the sigmoid of each logit, and the divergence of the
//! two outcomes is averaged over images and classes.
//!
//! Hard (Touvron et al., "Training data-efficient image transformers", 2021, section 4): the cross
//! entropy of the teacher's decision, `argmax t`; with several labels, those with t > 0.
//!
//! Features (Tung and Mori, "Similarity-preserving knowledge distillation", 2019, equations 1 to 4):
//! which images of a batch resemble each other. Of the embeddings Q `[N, D]` of either network, G is
//! `Q Qᵀ` with rows of length 1, and the loss `‖G_teacher − G_student‖² / N²`. The two need not be of
//! one width, and nothing more is trained.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use super::Targets;

/// What a row of similarities is divided by at least, as in `F.normalize`.
const MIN_LENGTH: f64 = 1e-12;

/// A teacher, and how much of the loss follows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistillationConfig {
    /// The teacher: a run folder (its `best.pt`), a checkpoint of `ml-train`, or a TorchScript file.
    pub teacher: PathBuf,
    /// SHA-256 that the teacher's file must have, in hexadecimal digits; null takes any file, and a
    /// run writes its own down.
    pub sha256: Option<String>,
    /// Above 0: what logits of both are divided by before the softmax.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: f64,
    /// In 0 to 1: the share of the training loss that follows the teacher; the labels have the rest.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub weight: f64,
    /// Takes the teacher's decision as a label in place of its probabilities; `temperature` does not
    /// count then.
    pub hard: bool,
    /// From 0 up: what the loss on the embeddings is multiplied by before it is added; 0 leaves it
    /// out. The paper takes 3000.
    #[schemars(extend("minimum" = 0))]
    pub features: f64,
}

impl Default for DistillationConfig {
    fn default() -> DistillationConfig {
        DistillationConfig {
            teacher: PathBuf::new(),
            sha256: None,
            temperature: 4.0,
            weight: 0.5,
            hard: false,
            features: 0.0,
        }
    }
}

impl DistillationConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |key: &str, message: String| found.push((key.to_owned(), message));
        if self.teacher.as_os_str().is_empty() {
            add("teacher", "is missing; name a run folder, a checkpoint or a TorchScript file".to_owned());
        }
        let is_hash = |text: &String| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        if let Some(given) = self.sha256.as_ref().filter(|given| !is_hash(given)) {
            add("sha256", format!("must be null or the 64 hexadecimal digits of a SHA-256, got `{given}`"));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            add("temperature", format!("must be positive, got {}", self.temperature));
        }
        if !(0.0..=1.0).contains(&self.weight) {
            add("weight", format!("must be in 0 to 1, got {}", self.weight));
        }
        if !(self.features.is_finite() && self.features >= 0.0) {
            add("features", format!("must be at least 0, got {}", self.features));
        }
        found
    }

    /// The mean over the batch, a scalar, of student logits `[N, K]` and teacher logits `[N, K]`,
    /// which need no gradient. Of `targets` only their kind counts.
    pub fn forward(&self, logits: &Tensor, teacher: &Tensor, targets: &Targets) -> Tensor {
        match (targets, self.hard) {
            (Targets::MultiHot(_), false) => self.soft_sigmoid(logits, teacher),
            (Targets::MultiHot(_), true) => {
                let labels = teacher.gt(0.0).to_kind(logits.kind());
                logits.binary_cross_entropy_with_logits::<Tensor>(&labels, None, None, Reduction::Mean)
            }
            (_, false) => self.soft_softmax(logits, teacher),
            (_, true) => {
                let labels = teacher.argmax(1, false);
                logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0)
            }
        }
    }

    /// The loss, a scalar, on the embeddings `[N, D]` of the student and `[N, D']` of the teacher, which
    /// need no gradient; of either, maps `[N, C, H, W]` are taken as rows. `features` is not in it.
    pub fn of_features(student: &Tensor, teacher: &Tensor) -> Tensor {
        let similarities = |embedding: &Tensor| {
            let rows = embedding.flatten(1, -1);
            let similarities = rows.matmul(&rows.tr());
            let lengths = similarities.norm_scalaropt_dim(2.0, [1].as_slice(), true);
            similarities / lengths.clamp_min(MIN_LENGTH)
        };
        (similarities(student) - similarities(teacher)).square().mean(None::<Kind>)
    }

    fn soft_softmax(&self, logits: &Tensor, teacher: &Tensor) -> Tensor {
        let temperature = self.temperature;
        let student = (logits / temperature).log_softmax(-1, None::<Kind>);
        let teacher = (teacher / temperature).log_softmax(-1, None::<Kind>);
        let sum = student.kl_div(&teacher, Reduction::Sum, true);
        sum * (temperature * temperature / logits.size()[0].max(1) as f64)
    }

    fn soft_sigmoid(&self, logits: &Tensor, teacher: &Tensor) -> Tensor {
        let temperature = self.temperature;
        let (student, teacher) = (logits / temperature, teacher / temperature);
        let present = student.log_sigmoid().kl_div(&teacher.log_sigmoid(), Reduction::Mean, true);
        let absent = student.neg().log_sigmoid().kl_div(&teacher.neg().log_sigmoid(), Reduction::Mean, true);
        (present + absent) * (temperature * temperature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn tensor(rows: &Value, kind: Kind) -> Tensor {
        let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
        Tensor::from_slice2(&rows).to_kind(kind)
    }

    // The program: tests/reference/distillation.py.
    #[test]
    fn value_and_gradient_equal_pytorchs() {
        let stored =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/distillation.json"));
        let cases: Vec<Value> = serde_json::from_str(stored).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let config = DistillationConfig {
                temperature: case["temperature"].as_f64().unwrap(),
                hard: case["hard"].as_bool().unwrap(),
                ..DistillationConfig::default()
            };
            // float32 has 24 bits; T² of up to 64 takes some of them.
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 2e-5)] {
                let logits = tensor(&case["logits"], kind).set_requires_grad(true);
                let teacher = tensor(&case["teacher"], kind);
                let targets = if case["multi_label"].as_bool().unwrap() {
                    Targets::MultiHot(teacher.zeros_like())
                } else {
                    Targets::Classes(Tensor::zeros([logits.size()[0]], (Kind::Int64, tch::Device::Cpu)))
                };
                let mean = config.forward(&logits, &teacher, &targets);
                let (got, expected) = (mean.double_value(&[]), case["mean"].as_f64().unwrap());
                let is_near = (got - expected).abs() < tolerance * expected.abs().max(1.0);
                assert!(is_near, "{config:?} {kind:?}: {got} and {expected}");
                mean.backward();
                let expected = tensor(&case["grad"], Kind::Double);
                let apart = (logits.grad().to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
                assert!(apart < tolerance, "gradient of {config:?} {kind:?}: {apart}");
            }
        }
    }

    // The program: tests/reference/similarity_preserving.py.
    #[test]
    fn similarities_of_embeddings_equal_the_papers() {
        let stored = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/similarity_preserving.json"
        ));
        let cases: Vec<Value> = serde_json::from_str(stored).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
                let student = tensor(&case["student"], kind).set_requires_grad(true);
                let loss = DistillationConfig::of_features(&student, &tensor(&case["teacher"], kind));
                let apart = (loss.double_value(&[]) - case["loss"].as_f64().unwrap()).abs();
                assert!(apart < tolerance, "{kind:?}: {apart}");
                loss.backward();
                let expected = tensor(&case["grad"], Kind::Double);
                let apart = (student.grad().to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
                assert!(apart < tolerance, "gradient, {kind:?}: {apart}");
            }
        }
    }

    #[test]
    fn embeddings_may_be_zeros_and_maps() {
        let student = Tensor::zeros([3, 2, 2, 2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let teacher = Tensor::from_slice2(&[[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]]);
        let loss = DistillationConfig::of_features(&student, &teacher);
        loss.backward();
        assert!(loss.double_value(&[]) > 0.0);
        assert!(bool::try_from(student.grad().isfinite().all()).unwrap());
    }

    #[test]
    fn a_student_that_agrees_has_no_loss_and_no_gradient() {
        let teacher = Tensor::from_slice2(&[[2.0, -1.0, 40.0], [0.0, 3.0, -50.0]]);
        let logits = teacher.copy().set_requires_grad(true);
        let targets = Targets::Classes(Tensor::from_slice(&[0i64, 1]));
        let mean = DistillationConfig::default().forward(&logits, &teacher, &targets);
        assert!(mean.double_value(&[]).abs() < 1e-12);
        mean.backward();
        assert!(logits.grad().abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = DistillationConfig {
            sha256: Some("abc".to_owned()),
            temperature: 0.0,
            weight: f64::NAN,
            features: -1.0,
            ..DistillationConfig::default()
        };
        let keys: Vec<String> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["teacher", "sha256", "temperature", "weight", "features"]);
        let fine = DistillationConfig { teacher: "runs/a".into(), ..DistillationConfig::default() };
        assert!(fine.problems().is_empty());
    }
}
