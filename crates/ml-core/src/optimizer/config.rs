//! Which optimizer, with which settings; names, defaults and meanings are PyTorch's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::groups::Grouping;
use super::settings::Problems;
use super::update::Update;
use super::{
    AdamConfig, AdamwConfig, AdanConfig, AdemamixConfig, LambConfig, LionConfig, MuonConfig, NadamConfig,
    RmspropConfig, RmspropTfConfig, SgdConfig,
};

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
    /// `RMSprop` (Tieleman and Hinton 2012; `torch.optim.RMSprop`).
    Rmsprop(RmspropConfig),
    /// `RMSprop` as in TensorFlow.
    RmspropTf(RmspropTfConfig),
    /// Adam with Nesterov momentum (Dozat 2016; `torch.optim.NAdam`).
    Nadam(NadamConfig),
    /// Adam whose step is proportional to the norm of each tensor (You et al. 2020).
    Lamb(LambConfig),
    /// The sign of a mean of gradients (Chen et al. 2023).
    Lion(LionConfig),
    /// Adaptive Nesterov momentum (Xie et al. 2022).
    Adan(AdanConfig),
    /// `AdamW` with a second, slower mean of the gradient (Pagliardini et al. 2024).
    Ademamix(AdemamixConfig),
    /// Orthogonalised momentum for matrices and convolutions, `AdamW` or SGD for all else (Jordan et
    /// al. 2024; `torch.optim.Muon`).
    Muon(MuonConfig),
}

impl Default for OptimizerConfig {
    fn default() -> OptimizerConfig {
        OptimizerConfig::Sgd(SgdConfig::default())
    }
}

impl OptimizerConfig {
    /// The settings with the update that they are of.
    pub(super) fn rule(&self) -> &dyn Update {
        match self {
            OptimizerConfig::Sgd(config) => config,
            OptimizerConfig::Adam(config) => config,
            OptimizerConfig::Adamw(config) => config,
            OptimizerConfig::Rmsprop(config) => config,
            OptimizerConfig::RmspropTf(config) => config,
            OptimizerConfig::Nadam(config) => config,
            OptimizerConfig::Lamb(config) => config,
            OptimizerConfig::Lion(config) => config,
            OptimizerConfig::Adan(config) => config,
            OptimizerConfig::Ademamix(config) => config,
            OptimizerConfig::Muon(config) => config,
        }
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        self.rule().lr()
    }

    /// Which parameters learn how.
    pub(super) fn grouping(&self) -> Grouping<'_> {
        self.rule().grouping()
    }

    /// (key relative to this struct, message) of everything out of range.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Problems::default();
        found.positive("lr", self.lr());
        self.rule().check(&mut found);
        found.0.extend(self.grouping().problems());
        found.0
    }
}
