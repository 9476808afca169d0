//! Parameters that learn differently from the others: by what they are, how deep they lie, or by
//! name.

use std::collections::{BTreeMap, HashSet};

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::network::blocks;

/// Parameters that learn differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamGroup {
    /// A regular expression that is looked for in names such as `layer4.0.conv1.weight`; `^` and
    /// `$` tie it to the ends.
    pub pattern: String,
    /// Multiplies the learning rate, 0 or more.
    #[serde(default = "one")]
    pub lr_scale: f64,
    /// Weight decay; null is that which these parameters have anyway.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// What an optimizer's settings say of groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grouping<'a> {
    pub weight_decay: f64,
    pub norm_weight_decay: Option<f64>,
    pub bias_weight_decay: Option<f64>,
    pub layer_decay: Option<f64>,
    pub param_groups: &'a [ParamGroup],
}

/// How the parameters of a group learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Group {
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    pub weight_decay: f64,
    /// They are updated by the optimizer's auxiliary one.
    pub is_auxiliary: bool,
}

/// A pattern matches no parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "optimizer.param_groups[{index}].pattern: `{pattern}` matches no parameter that an earlier pattern has left; names \
     are like {examples}"
)]
pub struct GroupError {
    /// Its place in the list.
    pub index: usize,
    /// The pattern.
    pub pattern: String,
    /// Some names.
    pub examples: String,
}

impl Grouping<'_> {
    /// (key relative to the optimizer's settings, message) of everything out of range.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut check = |key: String, value: Option<f64>| {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                found.push((key, format!("must be 0 or more, got {value}")));
            }
        };
        check("norm_weight_decay".to_owned(), self.norm_weight_decay);
        check("bias_weight_decay".to_owned(), self.bias_weight_decay);
        for (index, group) in self.param_groups.iter().enumerate() {
            check(format!("param_groups[{index}].lr_scale"), Some(group.lr_scale));
            check(format!("param_groups[{index}].weight_decay"), group.weight_decay);
        }
        if let Some(decay) = self.layer_decay.filter(|decay| !(*decay > 0.0 && *decay <= 1.0)) {
            found.push(("layer_decay".to_owned(), format!("must be above 0 and at most 1, got {decay}")));
        }
        for (index, group) in self.param_groups.iter().enumerate() {
            if let Err(error) = Regex::new(&group.pattern) {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let message = format!("`{}` is no regular expression: {reason}", group.pattern);
                found.push((format!("param_groups[{index}].pattern"), message));
            }
        }
        found
    }

    /// The group of each parameter.
    ///
    /// # Errors
    /// A pattern matches none.
    pub(super) fn assign(&self, parameters: &[(String, Tensor)]) -> Result<Vec<Group>, GroupError> {
        let patterns: Vec<Option<Regex>> =
            self.param_groups.iter().map(|group| Regex::new(&group.pattern).ok()).collect();
        let mut unused: BTreeMap<usize, &ParamGroup> = self.param_groups.iter().enumerate().collect();
        let norms = norms(parameters);
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let (depths, blocks) = blocks(&names);
        let groups = parameters
            .iter()
            .zip(depths)
            .map(|((name, _), depth)| {
                let (module, leaf) = name.rsplit_once('.').unwrap_or(("", name));
                let of_kind = match leaf {
                    "bias" if self.bias_weight_decay.is_some() => self.bias_weight_decay,
                    _ if norms.contains(module) => self.norm_weight_decay,
                    _ => None,
                };
                let decay = self.layer_decay.unwrap_or(1.0).powi((blocks - 1 - depth) as i32);
                let matches =
                    |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(name));
                let special = patterns.iter().position(matches).map(|index| {
                    unused.remove(&index);
                    &self.param_groups[index]
                });
                Group {
                    lr_scale: decay * special.map_or(1.0, |group| group.lr_scale),
                    weight_decay: special
                        .and_then(|group| group.weight_decay)
                        .or(of_kind)
                        .unwrap_or(self.weight_decay),
                    is_auxiliary: false,
                }
            })
            .collect();
        match unused.first_key_value() {
            None => Ok(groups),
            Some((&index, group)) => {
                let names = names.into_iter();
                let examples: Vec<&str> = names.step_by((parameters.len() / 3).max(1)).take(3).collect();
                let pattern = group.pattern.clone();
                Err(GroupError { index, pattern, examples: examples.join(", ") })
            }
        }
    }
}

/// Modules that normalise: those with a weight of one dimension.
fn norms(parameters: &[(String, Tensor)]) -> HashSet<&str> {
    let weights = parameters.iter().filter(|(_, tensor)| tensor.dim() == 1);
    weights.filter_map(|(name, _)| name.strip_suffix(".weight")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn norms_biases_patterns_and_depth_decide_how_a_parameter_learns() {
        let tensor = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let parameters = vec![
            ("conv1.weight".to_owned(), tensor(&[4, 3, 3, 3])),
            ("bn1.weight".to_owned(), tensor(&[4])),
            ("bn1.bias".to_owned(), tensor(&[4])),
            ("layer1.0.conv1.weight".to_owned(), tensor(&[4, 4, 3, 3])),
            ("fc.weight".to_owned(), tensor(&[2, 4])),
            ("fc.bias".to_owned(), tensor(&[2])),
        ];
        let param_groups = [ParamGroup { pattern: "^fc".into(), lr_scale: 10.0, weight_decay: None }];
        let grouping = Grouping {
            weight_decay: 0.1,
            norm_weight_decay: Some(0.0),
            bias_weight_decay: None,
            layer_decay: Some(0.5),
            param_groups: &param_groups,
        };
        let group = |lr_scale, weight_decay| Group { lr_scale, weight_decay, is_auxiliary: false };
        let expected = [
            group(0.25, 0.1),
            group(0.25, 0.0),
            group(0.25, 0.0),
            group(0.5, 0.1),
            group(10.0, 0.1),
            group(10.0, 0.1),
        ];
        assert_eq!(grouping.assign(&parameters).unwrap(), expected);
        // As torchvision's references: a bias that has a decay of its own has it in a norm, too.
        let grouping = Grouping { bias_weight_decay: Some(0.3), ..grouping };
        let decays: Vec<f64> =
            grouping.assign(&parameters).unwrap().iter().map(|group| group.weight_decay).collect();
        assert_eq!(decays, [0.1, 0.0, 0.3, 0.1, 0.1, 0.3]);
        let unknown = [ParamGroup { pattern: "head".into(), lr_scale: 1.0, weight_decay: None }];
        let error = Grouping { param_groups: &unknown, ..grouping }.assign(&parameters).unwrap_err();
        assert!(error.to_string().contains("`head` matches no parameter"), "{error}");
        assert!(error.to_string().contains("conv1.weight"), "{error}");
    }
}
