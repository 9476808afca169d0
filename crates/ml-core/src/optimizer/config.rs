//! Which optimizer, with which settings; names, defaults and meanings are PyTorch's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::groups::{Grouping, ParamGroup};

/// How the weights are updated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent (`torch.optim.SGD`).
    Sgd(SgdConfig),
    /// Adam (Kingma and Ba 2015; `torch.optim.Adam`).
    Adam(AdamConfig),
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019; `torch.optim.AdamW`).
    Adamw(AdamwConfig),
}

/// Makes the settings of an optimizer: those of its own between the learning rate and what all have
/// in common.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
            pub param_groups: Vec<ParamGroup>,
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

        impl $name {
            fn grouping(&self) -> Grouping<'_> {
                Grouping {
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

settings! {
    /// Settings of `sgd`.
    SgdConfig {
        /// In [0, 1).
        momentum: f64 = 0.9,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// Dampening of the momentum, in [0, 1].
        dampening: f64 = 0.0,
        /// Nesterov momentum; needs a momentum and no dampening.
        nesterov: bool = false,
    }
}

settings! {
    /// Settings of `adam`.
    AdamConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// L2 penalty, not negative.
        weight_decay: f64 = 0.0,
        /// Divide by the largest mean square so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

settings! {
    /// Settings of `adamw`.
    AdamwConfig {
        /// Decay of the running mean and mean square of the gradient, each in [0, 1).
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator, positive.
        eps: f64 = 1e-8,
        /// Decoupled weight decay, not negative.
        weight_decay: f64 = 0.01,
        /// Divide by the largest mean square so far (Reddi et al. 2018).
        amsgrad: bool = false,
    }
}

impl Default for OptimizerConfig {
    fn default() -> OptimizerConfig {
        OptimizerConfig::Sgd(SgdConfig::default())
    }
}

impl OptimizerConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            OptimizerConfig::Sgd(config) => config.lr,
            OptimizerConfig::Adam(config) => config.lr,
            OptimizerConfig::Adamw(config) => config.lr,
        }
    }

    /// Which parameters learn how.
    pub(super) fn grouping(&self) -> Grouping<'_> {
        match self {
            OptimizerConfig::Sgd(config) => config.grouping(),
            OptimizerConfig::Adam(config) => config.grouping(),
            OptimizerConfig::Adamw(config) => config.grouping(),
        }
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Problems(Vec::new());
        match self {
            OptimizerConfig::Sgd(c) => {
                found.positive("lr", c.lr);
                found.within(
                    "momentum",
                    c.momentum,
                    (0.0..1.0).contains(&c.momentum),
                    "at least 0 and below 1",
                );
                found.not_negative("weight_decay", c.weight_decay);
                found.within("dampening", c.dampening, (0.0..=1.0).contains(&c.dampening), "in 0 to 1");
                if c.nesterov && (c.momentum == 0.0 || c.dampening != 0.0) {
                    found.add("nesterov", "needs a momentum above 0 and a dampening of 0".to_owned());
                }
            }
            OptimizerConfig::Adam(c) => found.adam(c.lr, c.betas, c.eps, c.weight_decay),
            OptimizerConfig::Adamw(c) => found.adam(c.lr, c.betas, c.eps, c.weight_decay),
        }
        found.0.extend(self.grouping().problems());
        found.0
    }
}

struct Problems(Vec<(String, String)>);

impl Problems {
    fn add(&mut self, key: &str, message: String) {
        self.0.push((key.to_owned(), message));
    }

    fn within(&mut self, key: &str, value: f64, right: bool, range: &str) {
        if !right {
            self.add(key, format!("must be {range}, got {value}"));
        }
    }

    fn positive(&mut self, key: &str, value: f64) {
        self.within(key, value, value.is_finite() && value > 0.0, "positive");
    }

    fn not_negative(&mut self, key: &str, value: f64) {
        self.within(key, value, value.is_finite() && value >= 0.0, "0 or more");
    }

    fn adam(&mut self, lr: f64, betas: [f64; 2], eps: f64, weight_decay: f64) {
        self.positive("lr", lr);
        for (index, beta) in betas.into_iter().enumerate() {
            self.within(
                &format!("betas[{index}]"),
                beta,
                (0.0..1.0).contains(&beta),
                "at least 0 and below 1",
            );
        }
        self.positive("eps", eps);
        self.not_negative("weight_decay", weight_decay);
    }
}
