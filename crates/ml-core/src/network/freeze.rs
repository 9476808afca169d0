//! Which layers keep the weights they begin with.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use tch::Tensor;

use super::{Module, Network};

/// Which layers keep the weights they begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Freeze {
    /// `none`: all are trained.
    #[default]
    None,
    /// `backbone`: all but the layers that have an output for each class.
    Backbone,
    /// `until:<name>`: all in front of the layer or parameter of this name, which is trained
    /// itself.
    Until(String),
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Freeze, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Freeze::None),
            None if text == "backbone" => Ok(Freeze::Backbone),
            Some(("until", name)) if !name.is_empty() => Ok(Freeze::Until(name.to_owned())),
            _ => Err(format!("freeze must be `none`, `backbone` or `until:<name of a layer>`, got `{text}`")),
        }
    }
}

impl TryFrom<String> for Freeze {
    type Error = String;

    fn try_from(text: String) -> Result<Freeze, String> {
        text.parse()
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Freeze::None => f.write_str("none"),
            Freeze::Backbone => f.write_str("backbone"),
            Freeze::Until(name) => write!(f, "until:{name}"),
        }
    }
}

impl From<Freeze> for String {
    fn from(freeze: Freeze) -> String {
        freeze.to_string()
    }
}

impl JsonSchema for Freeze {
    fn schema_name() -> Cow<'static, str> {
        "Freeze".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(none|backbone|until:.+)$",
            "examples": ["none", "backbone", "until:layer4"],
        })
    }
}

/// Nothing can be frozen as requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// The network does not say which layer is its head.
    #[error(
        "model.freeze: backbone: it is not known which layer of this network is its head; use `until:<name>`"
    )]
    NoHead,
    /// No layer of this name.
    #[error("model.freeze: until:{name}: the network has no layer of this name; its layers are {}", .known.join(", "))]
    Unknown {
        /// As given.
        name: String,
        /// The outermost layers.
        known: Vec<String>,
    },
    /// Nothing is in front of it.
    #[error(
        "model.freeze: until:{name}: is the network's beginning, so nothing would be frozen; write `none`"
    )]
    Nothing {
        /// As given.
        name: String,
    },
}

impl Network {
    /// Sets `requires_grad` of all parameters: off for those that `freeze` means, else on. A batch
    /// norm whose weight is frozen keeps its running statistics and uses them. Returns how many
    /// elements are frozen.
    ///
    /// # Errors
    /// There is no such layer; nothing is changed then.
    pub fn freeze(&self, freeze: &Freeze) -> Result<usize, FreezeError> {
        // Whether the layer, or the head, has been seen; in the order of PyTorch's `parameters()`.
        let mut found = *freeze == Freeze::None;
        let mut parameters: Vec<(Tensor, bool)> = Vec::new();
        self.root().visit(&mut |module| {
            let is_it = |known: &str| matches!(freeze, Freeze::Until(name) if name == known);
            found |= is_it(module.name());
            for (name, tensor) in module.parameters() {
                let is_head = *freeze == Freeze::Backbone && module.is_head();
                found |= is_it(name) || is_head;
                let is_frozen = if *freeze == Freeze::Backbone { !is_head } else { !found };
                parameters.push((tensor.shallow_clone(), is_frozen));
            }
        });
        match freeze {
            Freeze::Backbone if !found => return Err(FreezeError::NoHead),
            Freeze::Until(name) if !found => {
                return Err(FreezeError::Unknown { name: name.clone(), known: self.outermost() });
            }
            Freeze::Until(name) if !parameters.iter().any(|(_, is_frozen)| *is_frozen) => {
                return Err(FreezeError::Nothing { name: name.clone() });
            }
            _ => {}
        }
        for (tensor, is_frozen) in &parameters {
            let _ = tensor.set_requires_grad(!is_frozen);
        }
        Ok(parameters.iter().filter(|(_, is_frozen)| *is_frozen).map(|(tensor, _)| tensor.numel()).sum())
    }

    /// Names of the outermost parameters and layers.
    fn outermost(&self) -> Vec<String> {
        let parameters = self.root().parameters().map(|(name, _)| name);
        parameters.chain(self.root().children().map(Module::name)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Architecture;
    use crate::network::tests::compare::digest;
    use crate::network::tests::image;
    use tch::{Device, Kind};

    fn trainable(network: &Network) -> Vec<String> {
        let parameters = network.parameters().into_iter();
        parameters.filter(|(_, tensor)| tensor.requires_grad()).map(|(name, _)| name).collect()
    }

    #[test]
    fn frozen_layers_get_no_gradient_and_their_norms_keep_their_statistics() {
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let all = trainable(&network);
        assert!(network.freeze(&Freeze::Backbone).unwrap() > 20_000);
        assert_eq!(trainable(&network), ["classifier.weight", "classifier.bias"]);
        let statistics = |network: &Network| -> Vec<[f64; 3]> {
            network.buffers().iter().map(|(_, tensor)| digest(tensor)).collect()
        };
        let before = statistics(&network);
        network.forward_t(&image(2, 16), true).square().sum(Kind::Float).backward();
        assert_eq!(statistics(&network), before);
        for (name, tensor) in network.parameters() {
            assert_eq!(tensor.grad().defined(), name.starts_with("classifier."), "{name}");
        }
        network.freeze(&"until:features.1".parse().unwrap()).unwrap();
        assert_eq!(trainable(&network), all[3..]);
        let _ = network.forward_t(&image(2, 16), true);
        assert!(statistics(&network) != before);
        assert_eq!(network.freeze(&Freeze::None).unwrap(), 0);
        assert_eq!(trainable(&network), all);
    }

    #[test]
    fn what_cannot_be_frozen_is_an_error_that_names_the_layers() {
        let network = Network::new(Architecture::TinyNet, 3, 1, Device::Cpu);
        let error = network.freeze(&Freeze::Until("layer3".into())).unwrap_err().to_string();
        assert!(error.contains("features, classifier"), "{error}");
        assert!(network.freeze(&Freeze::Until("features".into())).is_err());
        assert_eq!(trainable(&network).len(), network.parameters().len());
        for text in ["all", "until:", "until", ""] {
            assert!(text.parse::<Freeze>().is_err(), "{text}");
        }
        for text in ["none", "backbone", "until:layer3.0"] {
            assert_eq!(text.parse::<Freeze>().unwrap().to_string(), text);
        }
    }
}
