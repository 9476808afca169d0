//! A file's state → a network's, with what has to differ between the two.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use tch::{Kind, Tensor};

use super::{WeightsError, rename};
use crate::checkpoint::{Checkpoint, CheckpointError, is_checkpoint, model_state_from, not_finite, read};
use crate::network::{Network, NetworkError, is_auxiliary};
use torch_file::Value;

type State = Vec<(String, Tensor)>;

/// Which of a file's weights are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// Those before the classifier, which stays as it was initialised.
    Features,
}

/// What was done beside copying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Parameters of the classifier (and of auxiliary ones) that stay as they were initialised.
    pub fresh: Vec<String>,
    /// Classes of the file's classifier, where it was left out for their number.
    pub classes: Option<i64>,
    /// Auxiliary classifiers that the file lacks, which stay as they were initialised.
    pub absent: Vec<String>,
    /// Input channels of the file's first convolution, where they were added up to the network's
    /// one.
    pub summed_channels: Option<i64>,
    /// Whether they are the averaged weights of a run of ours that is judged by them.
    pub averaged: bool,
    /// What was made of the file's for images of another size, in words.
    pub adapted: Vec<String>,
}

/// Copies the weights of a file into `network`: those of a checkpoint of ours (the averaged ones,
/// if its run is judged by them), or a state dict of PyTorch's, bare or under `model`, `state_dict`
/// or `model_state_dict`, in any format that [`read`] reads.
///
/// Names are made torchvision's of today, other number formats become the network's, and counts of
/// batches that old files lack stay. A classifier of another number of classes stays as it was
/// initialised; the first convolution of a network for one channel takes the sum over the file's
/// channels. Anything else that differs is an error.
///
/// # Errors
/// The file cannot be read, contains NaN or Inf, or is of another network; nothing is
/// changed then.
pub fn load(network: &Network, path: &Path, part: Part) -> Result<Loaded, WeightsError> {
    let file = read(path)?;
    let (state, averaged) = state_in(&file).map_err(|error| error.in_file(path))?;
    let own = network.state_dict();
    let head: HashSet<&str> = network.head().collect();
    let (mut state, mut loaded) = fit(&own, &head, state, part);
    loaded.averaged = averaged;
    loaded.adapted = network.adapt_state(&mut state);
    if let Some(name) = not_finite(&state) {
        return Err(WeightsError::NotFinite { path: path.to_owned(), name: name.to_owned() });
    }
    network
        .load_state_dict(&state)
        .map_err(|source: NetworkError| WeightsError::Network { path: path.to_owned(), source })?;
    Ok(loaded)
}

/// The weights, and whether they are the averaged ones of a run of ours that is judged by them.
fn state_in(file: &Value) -> Result<(State, bool), CheckpointError> {
    // Of a newer program's file it is not known which weights are the ones to take.
    let checkpoint = if is_checkpoint(file)? { Checkpoint::from_value(file).ok() } else { None };
    let averaged = checkpoint.filter(Checkpoint::selects_by_ema);
    match averaged.and_then(|checkpoint| checkpoint.ema_state_dict) {
        Some(averaged) => Ok((averaged, true)),
        None => Ok((model_state_from(file)?, false)),
    }
}

/// `state` with the names, shapes and number formats of `own` where the two may differ.
pub(super) fn fit(own: &State, head: &HashSet<&str>, mut state: State, part: Part) -> (State, Loaded) {
    let known: HashMap<&str, &Tensor> = own.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    rename::rename(&mut state, |name| known.contains_key(name));
    let mut loaded = Loaded::default();
    if part == Part::Features {
        let tops: HashSet<&str> = head.iter().map(|name| top(name)).collect();
        state.retain(|(name, _)| !tops.contains(top(name)));
        let kept = own.iter().filter(|(name, _)| tops.contains(top(name)));
        loaded.fresh.extend(kept.clone().map(|(name, _)| name.clone()));
        state.extend(kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
    }
    match_auxiliary(own, &mut state, &mut loaded);
    let first_convolution = own.iter().find(|(_, tensor)| tensor.dim() == 4).map(|(name, _)| name.as_str());
    for (name, tensor) in &mut state {
        let Some(mine) = known.get(name.as_str()) else { continue };
        if is_same_kind_of_number(tensor.kind(), mine.kind()) {
            *tensor = tensor.to_kind(mine.kind());
        }
        if head.contains(name.as_str()) && differs_in(tensor, mine, 0) {
            loaded.classes = loaded.classes.or(Some(tensor.size()[0]));
            loaded.fresh.push(name.clone());
            *tensor = mine.shallow_clone();
        }
        if first_convolution == Some(name) && differs_in(tensor, mine, 1) && mine.size()[1] == 1 {
            loaded.summed_channels = Some(tensor.size()[1]);
            *tensor = tensor.sum_dim_intlist([1_i64].as_slice(), true, tensor.kind());
        }
    }
    let given: HashSet<String> = state.iter().map(|(name, _)| name.clone()).collect();
    // PyTorch counts batches since 0.4.1, and lets files from before begin at what the layer has.
    let uncounted = |name: &str| name.ends_with(".num_batches_tracked") && !given.contains(name);
    state.extend(
        own.iter()
            .filter(|(name, _)| uncounted(name))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone())),
    );
    (state, loaded)
}

/// Auxiliary classifiers that only one side has are left out, or left as they are.
fn match_auxiliary(own: &State, state: &mut State, loaded: &mut Loaded) {
    let tops = |state: &State| -> BTreeSet<String> {
        state.iter().map(|(name, _)| top(name)).filter(|top| is_auxiliary(top)).map(str::to_owned).collect()
    };
    let (ours, theirs) = (tops(own), tops(state));
    state.retain(|(name, _)| !theirs.contains(top(name)) || ours.contains(top(name)));
    loaded.absent = ours.difference(&theirs).cloned().collect();
    let kept = own.iter().filter(|(name, _)| loaded.absent.iter().any(|absent| absent == top(name)));
    state.extend(kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
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
