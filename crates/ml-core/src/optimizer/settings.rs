//! What the settings of all optimizers have in common, and how values out of range are collected.

/// Makes the settings of an optimizer: those of its own between the learning rate and what all have
/// in common.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Learning rate, positive.
            pub lr: f64,
            $($(#[$field_doc])* pub $field: $type,)*
            /// Weight decay of batch and layer norms; null is that of the others.
            pub norm_weight_decay: Option<f64>,
            /// Weight decay of biases; null is that of the others.
            pub bias_weight_decay: Option<f64>,
            /// Each block of layers learns at this share of the rate of the one behind it, above 0
            /// and at most 1 (the head learns at `lr`); null lets all learn alike.
            pub layer_decay: Option<f64>,
            /// Parameters that learn differently, by name; of several patterns that match, the
            /// first counts.
            pub param_groups: Vec<$crate::optimizer::ParamGroup>,
        }

        impl Default for $name {
            fn default() -> $name {
                $name {
                    lr: 0.001,
                    $($field: $default,)*
                    norm_weight_decay: None,
                    bias_weight_decay: None,
                    layer_decay: None,
                    param_groups: Vec::new(),
                }
            }
        }

        impl $crate::optimizer::settings::Common for $name {
            fn lr(&self) -> f64 {
                self.lr
            }

            fn grouping(&self) -> $crate::optimizer::groups::Grouping<'_> {
                $crate::optimizer::groups::Grouping {
                    weight_decay: self.weight_decay,
                    norm_weight_decay: self.norm_weight_decay,
                    bias_weight_decay: self.bias_weight_decay,
                    layer_decay: self.layer_decay,
                    param_groups: &self.param_groups,
                }
            }
        }
    };
}

pub(super) use settings;

use super::groups::Grouping;

/// What the settings of every optimizer have; [`settings!`] implements it.
pub(super) trait Common {
    /// The base learning rate.
    fn lr(&self) -> f64;

    /// Which parameters learn how.
    fn grouping(&self) -> Grouping<'_>;
}

/// (key relative to the optimizer's settings, message) of everything out of range.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<(String, String)>);

impl Problems {
    pub(super) fn add(&mut self, key: &str, message: String) {
        self.0.push((key.to_owned(), message));
    }

    fn check(&mut self, key: &str, value: f64, is_right: bool, range: &str) {
        if !is_right {
            self.add(key, format!("must be {range}, got {value}"));
        }
    }

    pub(super) fn positive(&mut self, key: &str, value: f64) {
        self.check(key, value, value.is_finite() && value > 0.0, "positive");
    }

    pub(super) fn not_negative(&mut self, key: &str, value: f64) {
        self.check(key, value, value.is_finite() && value >= 0.0, "0 or more");
    }

    /// At least 0 and below 1.
    pub(super) fn decay(&mut self, key: &str, value: f64) {
        self.check(key, value, (0.0..1.0).contains(&value), "at least 0 and below 1");
    }

    /// Each at least 0 and below 1.
    pub(super) fn decays(&mut self, key: &str, values: &[f64]) {
        for (index, value) in values.iter().enumerate() {
            self.decay(&format!("{key}[{index}]"), *value);
        }
    }

    /// 0 to 1, both included.
    pub(super) fn share(&mut self, key: &str, value: f64) {
        self.check(key, value, (0.0..=1.0).contains(&value), "in 0 to 1");
    }
}
