//! Which optimizer, with which settings; names, defaults and meanings are PyTorch's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// Settings of `sgd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// Learning rate, positive.
    pub lr: f64,
    /// In [0, 1).
    pub momentum: f64,
    /// L2 penalty, not negative.
    pub weight_decay: f64,
    /// Dampening of the momentum, in [0, 1].
    pub dampening: f64,
    /// Nesterov momentum; needs a momentum and no dampening.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    fn default() -> SgdConfig {
        SgdConfig { lr: 0.001, momentum: 0.9, weight_decay: 0.0, dampening: 0.0, nesterov: false }
    }
}

macro_rules! adam_struct {
    ($(#[$doc:meta])* $name:ident, $decay_doc:literal, $weight_decay:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Learning rate, positive.
            pub lr: f64,
            /// Decay of the running mean and mean square of the gradient, each in [0, 1).
            pub betas: [f64; 2],
            /// Added to the denominator, positive.
            pub eps: f64,
            #[doc = $decay_doc]
            pub weight_decay: f64,
            /// Divide by the largest mean square so far (Reddi et al. 2018).
            pub amsgrad: bool,
        }

        impl Default for $name {
            fn default() -> $name {
                $name { lr: 0.001, betas: [0.9, 0.999], eps: 1e-8, weight_decay: $weight_decay, amsgrad: false }
            }
        }
    };
}

adam_struct! {
    /// Settings of `adam`.
    AdamConfig, "L2 penalty, not negative.", 0.0
}

adam_struct! {
    /// Settings of `adamw`.
    AdamwConfig, "Decoupled weight decay, not negative.", 0.01
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
