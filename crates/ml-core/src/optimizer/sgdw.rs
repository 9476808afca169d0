//! SGD with decoupled weight decay (SGDW; Loshchilov and Hutter 2019) for the parameters that another
//! optimizer leaves: θ ← (1 − lr · `weight_decay`) θ, then a step of `torch.optim.SGD`.
//!
//! The weight decay of a configuration is then the same for both.

use tch::Tensor;
use torch_file::Value;

use super::SgdConfig;
use super::groups::Grouping;
use super::settings::{Common, Problems};
use super::update::{Batch, Update};

/// The settings of SGD, whose weight decay is not an L2 penalty.
#[derive(Debug)]
pub(super) struct Sgdw(pub SgdConfig);

impl Common for Sgdw {
    fn lr(&self) -> f64 {
        self.0.lr()
    }

    fn grouping(&self) -> Grouping<'_> {
        self.0.grouping()
    }
}

impl Update for Sgdw {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn check(&self, found: &mut Problems) {
        self.0.check(found);
    }

    fn hyperparameters(&self, weight_decay: f64) -> Vec<(&'static str, Value)> {
        self.0.hyperparameters(weight_decay)
    }

    fn state_keys(&self) -> Vec<&'static str> {
        self.0.state_keys()
    }

    fn other_keys(&self) -> &'static [&'static str] {
        self.0.other_keys()
    }

    fn counts_steps(&self) -> bool {
        self.0.counts_steps()
    }

    fn has_fused(&self) -> bool {
        self.0.has_fused()
    }

    fn step(&self, batch: &Batch, found_inf: Option<&Tensor>) -> Result<(), torch_ext::Error> {
        batch.update_unless(found_inf, || {
            batch.decay_weights()?;
            self.0.update(batch, 0.0, None)
        })
    }
}
