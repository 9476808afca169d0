//! Logits `[N, K]` + targets `[N]` → a scalar.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Device, Kind, Reduction, Tensor};

/// What is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum LossConfig {
    /// Cross entropy of the softmax of the logits, PyTorch's `CrossEntropyLoss`, mean over the
    /// batch.
    CrossEntropy(CrossEntropyConfig),
}

/// Cross entropy's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// In 0 to 1: this share of the target is spread evenly over all classes (Szegedy et al. 2016).
    pub label_smoothing: f64,
    /// `none`, `balanced` (total / (classes × images of the class), as in scikit-learn), or one
    /// number a class, in the order of the classes.
    pub class_weights: ClassWeights,
}

/// How much each class counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    None,
    /// Inverse to its share of the training split.
    Balanced,
    /// As given.
    Given(Vec<f64>),
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ClassWeights::None => serializer.serialize_str("none"),
            ClassWeights::Balanced => serializer.serialize_str("balanced"),
            ClassWeights::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WeightsVisitor;
        impl<'de> Visitor<'de> for WeightsVisitor {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("`none`, `balanced`, or a list of one number a class")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClassWeights, E> {
                match text {
                    "none" => Ok(ClassWeights::None),
                    "balanced" => Ok(ClassWeights::Balanced),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ClassWeights, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = items.next_element()? {
                    weights.push(weight);
                }
                Ok(ClassWeights::Given(weights))
            }
        }
        deserializer.deserialize_any(WeightsVisitor)
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "enum": ["none", "balanced"] },
            { "type": "array", "items": { "type": "number" } },
        ] })
    }
}

impl Default for LossConfig {
    fn default() -> LossConfig {
        LossConfig::CrossEntropy(CrossEntropyConfig::default())
    }
}

impl LossConfig {
    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let LossConfig::CrossEntropy(CrossEntropyConfig { label_smoothing, class_weights }) = self;
        let mut found = Vec::new();
        if !(0.0..=1.0).contains(label_smoothing) {
            found.push(("label_smoothing".to_owned(), format!("must be in 0 to 1, got {label_smoothing}")));
        }
        if let ClassWeights::Given(weights) = class_weights {
            let bad = weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0);
            if let Some(bad) = bad {
                found.push((
                    "class_weights".to_owned(),
                    format!("must be finite and not negative, got {bad}"),
                ));
            } else if !weights.iter().any(|weight| *weight > 0.0) {
                found.push(("class_weights".to_owned(), "at least one must be positive".to_owned()));
            }
        }
        found
    }

    /// How many class weights are given, if they are.
    pub fn num_class_weights(&self) -> Option<usize> {
        let LossConfig::CrossEntropy(config) = self;
        match &config.class_weights {
            ClassWeights::Given(weights) => Some(weights.len()),
            _ => None,
        }
    }
}

/// Total / (K × count) for each class; 0 for a class without images, which no target names.
fn balanced(class_counts: &[usize]) -> Vec<f64> {
    let total: usize = class_counts.iter().sum();
    let share = total as f64 / class_counts.len() as f64;
    class_counts.iter().map(|&count| if count == 0 { 0.0 } else { share / count as f64 }).collect()
}

/// A loss made ready.
#[derive(Debug)]
pub struct Loss {
    label_smoothing: f64,
    /// `[K]`, f32.
    class_weights: Option<Tensor>,
    /// The same numbers, where they can be read without waiting for the device.
    weights: Option<Vec<f64>>,
}

impl Loss {
    /// `class_counts`: training samples of each class, for `class_weights: balanced`.
    pub fn new(config: &LossConfig, class_counts: &[usize], device: Device) -> Loss {
        let LossConfig::CrossEntropy(config) = config;
        let weights = match &config.class_weights {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(balanced(class_counts)),
            ClassWeights::Given(weights) => Some(weights.clone()),
        };
        let class_weights = weights
            .as_ref()
            .map(|weights| Tensor::from_slice(weights).to_kind(Kind::Float).to_device(device));
        Loss { label_smoothing: config.label_smoothing, class_weights, weights }
    }

    /// What the mean over a batch of these `targets` (in `0..K`) is divided by: their number, or
    /// the sum of their classes' weights. The mean over several batches is the mean of their means
    /// with these as weights.
    pub fn divisor(&self, targets: &[i64]) -> f64 {
        match &self.weights {
            None => targets.len() as f64,
            Some(weights) => targets.iter().map(|&class| weights[class as usize]).sum(),
        }
    }

    /// `logits` `[N, K]` f32 and `targets` → a scalar. Targets are classes, `[N]` i64 in `0..K`
    /// (the mean over the batch is weighted by their weights; without any weight in it, it is 0,
    /// where PyTorch divides by zero), or probabilities, `[N, K]` f32 (each term is weighted, and
    /// the sum divided by N).
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Tensor {
        let reduced = |reduction| {
            let weights = self.class_weights.as_ref();
            logits.cross_entropy_loss(targets, weights, reduction, -100, self.label_smoothing)
        };
        match &self.class_weights {
            Some(weights) if self.has_zero_weight() && targets.dim() == 1 => {
                let divisor = weights.index_select(0, targets).sum(Kind::Float);
                let is_none = divisor.eq(0.0);
                let mean = reduced(Reduction::Sum) / (divisor + is_none.to_kind(Kind::Float));
                mean.masked_fill(&is_none, 0.0)
            }
            _ => reduced(Reduction::Mean),
        }
    }

    fn has_zero_weight(&self) -> bool {
        self.weights.as_ref().is_some_and(|weights| weights.contains(&0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The program: tests/reference/loss.py.
    fn loss(config: CrossEntropyConfig) -> f64 {
        let logits = Tensor::from_slice(&[2.0f32, -1.0, 0.5, 0.0, 3.0, -2.0]).view([2, 3]);
        let targets = Tensor::from_slice(&[0i64, 2]);
        let loss = Loss::new(&LossConfig::CrossEntropy(config), &[6, 3, 1], Device::Cpu);
        loss.forward(&logits, &targets).double_value(&[])
    }

    #[test]
    fn cross_entropy_equals_pytorchs() {
        let reference: serde_json::Value = serde_json::from_str(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/reference/loss.json"
        )))
        .unwrap();
        let plain = CrossEntropyConfig::default();
        let smooth = CrossEntropyConfig { label_smoothing: 0.1, ..plain.clone() };
        let balanced = CrossEntropyConfig { class_weights: ClassWeights::Balanced, ..smooth.clone() };
        let given =
            CrossEntropyConfig { class_weights: ClassWeights::Given(vec![0.5, 1.0, 2.0]), ..plain.clone() };
        for (name, config) in [("plain", plain), ("smooth", smooth), ("balanced", balanced), ("given", given)]
        {
            let expected = reference[name].as_f64().unwrap();
            let got = loss(config);
            // The same kernel in the same library: float32's last bit.
            assert!((got - expected).abs() < 1e-6, "{name}: {got} and {expected}");
        }
    }

    #[test]
    fn batch_means_weighted_by_their_divisors_make_the_mean_over_all() {
        let config = LossConfig::CrossEntropy(CrossEntropyConfig {
            label_smoothing: 0.1,
            class_weights: ClassWeights::Given(vec![0.5, 1.0, 2.0]),
        });
        let loss = Loss::new(&config, &[6, 3, 1], Device::Cpu);
        let logits = Tensor::from_slice(&[2.0f32, -1.0, 0.5, 0.0, 3.0, -2.0, 1.0, 0.2, 0.1]).view([3, 3]);
        let classes = [0i64, 2, 1];
        let targets = Tensor::from_slice(&classes);
        let mean = |first: i64, count: i64| {
            loss.forward(&logits.narrow(0, first, count), &targets.narrow(0, first, count)).double_value(&[])
        };
        let parts = [(0, 1), (1, 2)].map(|(first, count): (usize, usize)| {
            (mean(first as i64, count as i64), loss.divisor(&classes[first..first + count]))
        });
        let total: f64 = parts.iter().map(|(_, divisor)| divisor).sum();
        let together: f64 = parts.iter().map(|(mean, divisor)| mean * divisor / total).sum();
        assert!((together - mean(0, 3)).abs() < 1e-6, "{together}");
    }

    #[test]
    fn classes_of_weight_zero_do_not_count_and_a_batch_of_them_has_loss_zero() {
        let weights = |zero: f64| {
            let config = CrossEntropyConfig {
                label_smoothing: 0.1,
                class_weights: ClassWeights::Given(vec![0.5, zero, 2.0]),
            };
            Loss::new(&LossConfig::CrossEntropy(config), &[6, 3, 1], Device::Cpu)
        };
        let logits =
            Tensor::from_slice(&[2.0f32, -1.0, 0.5, 0.0, 3.0, -2.0]).view([2, 3]).set_requires_grad(true);
        let mean = |loss: &Loss, classes: [i64; 2]| loss.forward(&logits, &Tensor::from_slice(&classes));
        let tiny = weights(1e-30);
        for classes in [[0, 1], [0, 2]] {
            let (zero, tiny) = (mean(&weights(0.0), classes), mean(&tiny, classes));
            assert!((zero.double_value(&[]) - tiny.double_value(&[])).abs() < 1e-6, "{classes:?}");
        }
        let none = mean(&weights(0.0), [1, 1]);
        assert_eq!(none.double_value(&[]), 0.0);
        none.backward();
        assert_eq!(logits.grad().abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn weights_and_smoothing_out_of_range_are_named() {
        let bad = LossConfig::CrossEntropy(CrossEntropyConfig {
            label_smoothing: f64::NAN,
            class_weights: ClassWeights::Given(vec![1.0, -1.0]),
        });
        let keys: Vec<String> = bad.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["label_smoothing", "class_weights"]);
    }
}
