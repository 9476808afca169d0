//! What `model.weights` decides beside the weights: transforms that are not given, and what the
//! network does with its input.

use super::{BaseModel, ModelConfig, TransformsConfig};
use crate::weights::{Choice, Origin};

impl From<&Origin> for TransformsConfig {
    fn from(Origin { train, val, test, .. }: &Origin) -> TransformsConfig {
        TransformsConfig { train: train.clone(), val: val.clone(), test: test.clone(), fit: None }
    }
}

impl BaseModel {
    /// Whether the network changes its input: see [`crate::network::NetworkSpec::transform_input`].
    /// Where neither the configuration nor a run says so, published weights decide.
    pub fn transforms_input(&self) -> bool {
        let is_published = || matches!(self.choice(), Ok(Some(Choice::Published(_))));
        self.architecture.has_input_transform() && self.transform_input.unwrap_or_else(is_published)
    }
}

impl ModelConfig {
    /// Writes down what `model.weights` decides: which weights `DEFAULT` is, so that it means the
    /// same in every later version, and what the network does with its input.
    pub(super) fn settle_weights(&mut self, origin: Option<&Origin>) {
        let ModelConfig::Base(base) = self else { return };
        if base.architecture.has_input_transform() {
            let wanted = || origin.is_some_and(|origin| origin.transform_input);
            base.transform_input = Some(base.transform_input.unwrap_or_else(wanted));
        }
        if let Ok(Some(Choice::Published(published))) = base.choice() {
            base.weights = Some(published.member.to_owned());
        }
    }
}
