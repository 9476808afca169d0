//! Tensors of a file → a network's state, with what has to differ between the two.

use std::collections::{BTreeSet, HashMap, HashSet};

use tch::{Kind, Tensor};

use super::loaded::{Loaded, Part};
use super::names::Names;
use crate::network::is_auxiliary;

type State = Vec<(String, Tensor)>;

/// What profilers leave in every module: no part of a network.
const LEFT_BY_PROFILERS: [&str; 2] = ["total_ops", "total_params"];

/// Changes a state for images of another size; tells what it changed.
type Adapt<'a> = &'a dyn Fn(&mut [(String, Tensor)]) -> Vec<String>;

/// A network to be filled.
pub(super) struct Target<'a> {
    own: &'a State,
    pub(super) names: Names<'a>,
    /// Parameters with an output for each class.
    head: HashSet<&'a str>,
    /// Outermost modules that are nothing but the classifier, and all others.
    head_tops: HashSet<&'a str>,
    backbone_tops: HashSet<&'a str>,
    part: Part,
    adapt: Adapt<'a>,
}

/// What tensors of a file are to a network.
pub(super) struct Fit {
    /// By the network's names. If it is not complete, with what is not of the network.
    pub state: State,
    pub loaded: Loaded,
    /// Whether all that is not the classifier's is there and fits, and nothing in its modules is
    /// another network's.
    pub is_complete: bool,
    /// Tensors of the file that fit.
    pub matched: usize,
    /// Tensors of the network, without counts of batches and auxiliary classifiers.
    pub total: usize,
}

impl Fit {
    /// A line on where it was read and how much of it fits; nothing where there is nothing to say.
    pub(super) fn describe(&self) -> String {
        let Fit { loaded: Loaded { key, prefix, .. }, matched, total, .. } = self;
        if key.is_empty() && prefix.is_empty() && *matched == 0 {
            return String::new();
        }
        let key = if key.is_empty() { String::new() } else { format!(" under `{}`", key.escape_debug()) };
        let after =
            if prefix.is_empty() { String::new() } else { format!(" after `{}`", prefix.escape_debug()) };
        let names = if key.is_empty() && after.is_empty() { "" } else { ", of the names" };
        format!("\n  {matched} of {total} tensors fit{names}{key}{after}")
    }
}

impl<'a> Target<'a> {
    pub(super) fn new(own: &'a State, head: HashSet<&'a str>, part: Part, adapt: Adapt<'a>) -> Target<'a> {
        let all: HashSet<&str> = own.iter().map(|(name, _)| top(name)).collect();
        let mut head_tops: HashSet<&str> = head.iter().map(|name| top(name)).collect();
        let mut backbone_tops: HashSet<&str> = all.difference(&head_tops).copied().collect();
        // In a network of one module the classifier has none of its own.
        if backbone_tops.is_empty() {
            head_tops.clear();
            backbone_tops = all;
        }
        Target { own, names: Names::of(own), head, head_tops, backbone_tops, part, adapt }
    }

    /// Names that a file must have to be of this network.
    pub(super) fn required(&self) -> usize {
        let is_required = |name: &str| {
            !is_count(name)
                && !is_auxiliary(name)
                && !self.head.contains(name)
                && !self.head_tops.contains(top(name))
        };
        self.own.iter().filter(|(name, _)| is_required(name)).count()
    }

    /// Those of `tensors` whose names begin with `prefix`, as the network's state.
    pub(super) fn fit(&self, tensors: &State, prefix: &str) -> Fit {
        let (mut state, foreign) = self.rename(tensors, prefix);
        let mut loaded = Loaded { prefix: prefix.to_owned(), ..Loaded::default() };
        if self.part == Part::Features {
            let tops: HashSet<&str> = self.head.iter().map(|name| top(name)).collect();
            state.retain(|(name, _)| !tops.contains(top(name)));
            let kept = self.own.iter().filter(|(name, _)| tops.contains(top(name)));
            loaded.fresh.extend(kept.clone().map(|(name, _)| name.clone()));
            state.extend(kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
        }
        match_auxiliary(self.own, &mut state, &mut loaded);
        let replaced = self.match_shapes(&mut state, &mut loaded);
        loaded.adapted.extend((self.adapt)(&mut state));
        let given: HashMap<&str, &Tensor> =
            state.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let counted = || self.own.iter().filter(|(name, _)| !is_count(name) && !is_auxiliary(name));
        let fits = |name: &str, own: &Tensor| {
            given.get(name).is_some_and(|tensor| tensor.size() == own.size() && tensor.kind() == own.kind())
        };
        let matched = counted().filter(|(name, own)| fits(name, own)).count();
        let matched = matched.saturating_sub(replaced);
        let missing: Vec<&(String, Tensor)> =
            self.own.iter().filter(|(name, _)| !given.contains_key(name.as_str())).collect();
        let is_misshapen =
            self.own.iter().any(|(name, own)| given.contains_key(name.as_str()) && !fits(name, own));
        let given_tops: HashSet<&str> = given.keys().map(|name| top(name)).collect();
        let is_head = |name: &str| {
            self.head.contains(name)
                || (self.head_tops.contains(top(name)) && !given_tops.contains(top(name)))
        };
        let has_missing = missing.iter().any(|(name, _)| !is_count(name) && !is_head(name));
        let has_backbone = given.keys().any(|name| self.backbone_tops.contains(top(name)));
        let is_complete =
            !has_missing && !is_misshapen && has_backbone && !foreign.iter().any(|one| one.is_fatal);
        // PyTorch counts batches since 0.4.1, and lets files from before begin at what the layer
        // has.
        let kept: State = missing
            .into_iter()
            .filter(|(name, _)| is_complete || is_count(name))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        if is_complete {
            loaded.fresh.extend(kept.iter().map(|(name, _)| name).filter(|name| !is_count(name)).cloned());
            loaded.extra = foreign.into_iter().map(|one| one.name).collect();
        } else {
            let shown = foreign.into_iter().filter(|one| one.is_fatal || has_missing);
            state.extend(shown.map(|one| (one.name, one.tensor)));
        }
        state.extend(kept);
        let total = counted().count();
        Fit { state, loaded, is_complete, matched, total }
    }

    /// The tensors that the network knows by its own names, and the others.
    fn rename(&self, tensors: &State, prefix: &str) -> (State, Vec<Foreign>) {
        let rest = |name: &'_ str| name.strip_prefix(prefix).map(str::to_owned);
        let mut taken: HashSet<String> = tensors
            .iter()
            .filter_map(|(name, _)| rest(name))
            .filter(|name| self.names.contains(name))
            .collect();
        let (mut state, mut foreign) = (State::new(), Vec::new());
        for (name, tensor) in tensors {
            let tensor = tensor.shallow_clone();
            let known = name.strip_prefix(prefix).and_then(|rest| Some((rest, self.names.find(rest)?.0)));
            match known {
                Some((rest, own)) if rest == own || taken.insert(own.to_owned()) => {
                    state.push((own.to_owned(), tensor));
                }
                _ if self.is_unused_auxiliary(name, prefix) => {}
                _ => foreign.push(Foreign {
                    is_fatal: self.is_fatal(name, prefix),
                    name: name.clone(),
                    tensor,
                }),
            }
        }
        (state, foreign)
    }

    /// Whether it is of an auxiliary classifier that this network is built without.
    fn is_unused_auxiliary(&self, name: &str, prefix: &str) -> bool {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| is_auxiliary(rest) && !self.own.iter().any(|(own, _)| top(own) == top(rest)))
    }

    /// Whether a name that is not known is in a module of the network, so that the file's is
    /// another one: a deeper one, as a rule.
    fn is_fatal(&self, name: &str, prefix: &str) -> bool {
        let is_left = name.rsplit('.').next().is_some_and(|last| LEFT_BY_PROFILERS.contains(&last));
        let inside = name.strip_prefix(prefix).is_some_and(|rest| self.backbone_tops.contains(top(rest)));
        inside && !is_left
    }

    /// Gives tensors the number formats of the network's, and the shapes where they may differ;
    /// tells how many parameters of the classifier it replaced.
    fn match_shapes(&self, state: &mut State, loaded: &mut Loaded) -> usize {
        let mut replaced = loaded.fresh.len();
        let first_convolution =
            self.own.iter().find(|(_, tensor)| tensor.dim() == 4).map(|(name, _)| name.as_str());
        for (name, tensor) in state {
            let Some((own, mine)) = self.names.find(name) else { continue };
            if is_same_kind_of_number(tensor.kind(), mine.kind()) {
                *tensor = tensor.to_kind(mine.kind());
            }
            if self.head.contains(own) && differs_in(tensor, mine, 0) {
                loaded.classes = loaded.classes.or(Some(tensor.size()[0]));
                loaded.fresh.push(name.clone());
                replaced += 1;
                *tensor = mine.shallow_clone();
            }
            if first_convolution == Some(own) && differs_in(tensor, mine, 1) && mine.size()[1] == 1 {
                loaded.summed_channels = Some(tensor.size()[1]);
                *tensor = tensor.sum_dim_intlist([1_i64].as_slice(), true, tensor.kind());
            } else if first_convolution == Some(own) && differs_in(tensor, mine, 1) && tensor.size()[1] == RGB
            {
                let channels = mine.size()[1];
                *tensor = repeated(tensor, channels);
                loaded.adapted.push(format!(
                    "the first convolution has {channels} channels instead of {RGB}: red, green and blue in turn, \
                     scaled by {RGB}/{channels}"
                ));
            }
        }
        replaced
    }
}

/// Channels of the images that published weights are of.
const RGB: i64 = 3;

/// A convolution's weight `[O, 3, h, w]` for images of another number of channels, `[O, C, h, w]`:
/// its channels in turn, scaled so that equal channels give the same sum.
fn repeated(weight: &Tensor, channels: i64) -> Tensor {
    let times = (channels + RGB - 1) / RGB;
    weight.repeat([1, times, 1, 1]).narrow(1, 0, channels) * (RGB as f64 / channels as f64)
}

/// A tensor that the network does not know.
struct Foreign {
    name: String,
    tensor: Tensor,
    /// Whether it tells that the file is of another network.
    is_fatal: bool,
}

/// Auxiliary classifiers that the file lacks are left as they are.
fn match_auxiliary(own: &State, state: &mut State, loaded: &mut Loaded) {
    let tops = |state: &State| -> BTreeSet<String> {
        state.iter().map(|(name, _)| top(name)).filter(|top| is_auxiliary(top)).map(str::to_owned).collect()
    };
    loaded.absent = tops(own).difference(&tops(state)).cloned().collect();
    let kept = own.iter().filter(|(name, _)| loaded.absent.iter().any(|absent| absent == top(name)));
    state.extend(kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
}

/// Whether it is a count of batches, of which nothing depends.
fn is_count(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

/// The outermost module of a dotted name.
fn top(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Whether two shapes differ in this dimension and no other.
fn differs_in(one: &Tensor, other: &Tensor, dim: usize) -> bool {
    let (one, other) = (one.size(), other.size());
    one.len() == other.len()
        && one.len() > dim
        && one.iter().zip(&other).enumerate().all(|(place, (a, b))| (a == b) == (place != dim))
}

/// Whether `copy_` makes one from the other without losing what kind of thing it is.
fn is_same_kind_of_number(one: Kind, other: Kind) -> bool {
    const FLOATS: [Kind; 4] = [Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double];
    const INTEGERS: [Kind; 5] = [Kind::Uint8, Kind::Int8, Kind::Int16, Kind::Int, Kind::Int64];
    [&FLOATS[..], &INTEGERS[..]].iter().any(|kinds| kinds.contains(&one) && kinds.contains(&other))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn first_convolutions_for_other_channels_are_timms() {
        let stored = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/planes.json"));
        let reference: serde_json::Value = serde_json::from_str(stored).unwrap();
        let weight = (Tensor::arange(24, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 3, 2, 2]);
        let cases = reference["adapted"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases.iter().filter(|case| case["channels"] != 1) {
            let channels = case["channels"].as_i64().unwrap();
            let ours = repeated(&weight, channels);
            assert_eq!(ours.size(), [2, channels, 2, 2]);
            let theirs: Vec<f64> =
                case["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
            let theirs = Tensor::from_slice(&theirs).view([2, channels, 2, 2]);
            // The reference has four decimals.
            let difference = (ours.to_kind(Kind::Double) - theirs).abs().max().double_value(&[]);
            assert!(difference < 6e-5, "{channels}: {difference}");
        }
    }
}
