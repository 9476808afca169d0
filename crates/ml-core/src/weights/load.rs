//! A file → the weights in it that fit a network → the network's state.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tch::{Device, Tensor};

use super::WeightsError;
use super::candidates::{Candidate, candidates, outline};
use super::choose::choose;
use super::fit::Target;
use super::loaded::{Loaded, Part};
use crate::checkpoint::{is_checkpoint, not_finite, read};
use crate::network::{Architecture, Network, NetworkError};
use torch_file::{Value, ValueError};

/// Copies the weights of a file into `network`: those of a checkpoint of ours (the averaged ones,
/// if its run is judged by them), or the tensors by name that another program saved, under any key
/// or as a whole pickled module, in any format that [`read`] reads. Of several that fit, those
/// under `model_state_dict`, `state_dict` or `model` are taken; `key` names others, as dotted keys
/// or as what names begin with.
///
/// Names are made torchvision's of today, without what stands before them in the file; other number
/// formats become the network's, and counts of batches that old files lack stay. A classifier that
/// is missing or of another number of classes stays as it was initialised; the first convolution of
/// a network for one channel takes the sum over the file's channels. Tensors of other modules than
/// the network's are left out. Anything else that differs is an error.
///
/// # Errors
/// The file cannot be read, contains NaN or Inf, holds no weights or those of another network, or
/// several that fit as well as one another; nothing is changed then.
pub fn load(network: &Network, path: &Path, key: Option<&str>, part: Part) -> Result<Loaded, WeightsError> {
    WeightsFile::open(path, key)?.load(network, part)
}

/// A file that has been read, for one network or several.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    all: Vec<Candidate>,
    /// Which of them are meant.
    key: Option<String>,
    is_ours: bool,
    averaged: bool,
}

impl WeightsFile {
    /// Reads it; `key` is as in [`load`].
    ///
    /// # Errors
    /// The file cannot be read, or holds no weights.
    pub fn open(path: &Path, key: Option<&str>) -> Result<WeightsFile, WeightsError> {
        let file = read(path)?;
        let is_ours = is_checkpoint(&file).map_err(|error| error.in_file(path))?;
        let all = candidates(&file);
        if all.is_empty() {
            return Err(without_weights(path, &file));
        }
        let averaged = is_ours && key.is_none() && is_judged_by_ema(&file);
        let key = if averaged { Some(EMA) } else { key };
        Ok(WeightsFile { path: path.to_owned(), all, key: key.map(str::to_owned), is_ours, averaged })
    }

    /// As [`load`].
    ///
    /// # Errors
    /// It contains NaN or Inf, holds the weights of another network, or several that fit as well as
    /// one another; nothing is changed then.
    pub fn load(&self, network: &Network, part: Part) -> Result<Loaded, WeightsError> {
        let path = &self.path;
        let own = network.state_dict();
        let adapt = |state: &mut [(String, Tensor)]| network.adapt_state(state);
        let target = Target::new(&own, network.head().collect::<HashSet<_>>(), part, &adapt);
        let (fit, candidate) = choose(&target, &self.all, self.key.as_deref(), path)?;
        check_tensors(&target, candidate, &fit.loaded.prefix, path)?;
        if let Some(name) = not_finite(&fit.state) {
            return Err(WeightsError::NotFinite { path: path.clone(), name: name.to_owned() });
        }
        let refused =
            |source: NetworkError| WeightsError::Network { path: path.clone(), read: fit.describe(), source };
        network.load_state_dict(&fit.state).map_err(refused)?;
        // What else is in a checkpoint of ours is known.
        let others = if self.is_ours { Vec::new() } else { fit.loaded.others };
        Ok(Loaded { others, averaged: self.averaged, ..fit.loaded })
    }

    /// The networks that its weights fit, whatever the number of classes, in the registry's order.
    pub fn fitting(&self) -> Vec<Architecture> {
        let fits = |architecture: &Architecture| {
            let network = Network::uninitialised(*architecture, PLENTY, Device::Cpu);
            let own = network.state_dict();
            let keep = |_: &mut [(String, Tensor)]| Vec::new();
            let head = network.head().collect::<HashSet<_>>();
            let target = Target::new(&own, head, Part::Whole, &keep);
            let chosen = choose(&target, &self.all, self.key.as_deref(), &self.path);
            chosen.is_ok_and(|(fit, _)| fit.is_complete)
        };
        Architecture::ALL.iter().copied().filter(fits).collect()
    }
}

/// Classes of a network that is only compared with.
const PLENTY: i64 = 1000;

/// The key of a run's averaged weights.
const EMA: &str = "ema_state_dict";

/// Whether a checkpoint of ours has averaged weights and its run is judged by them.
fn is_judged_by_ema(file: &Value) -> bool {
    let monitor = file.get("best").and_then(|best| best.get("monitor"));
    let monitor = monitor.and_then(|monitor| monitor.as_str());
    monitor.is_ok_and(|monitor| monitor.starts_with("ema_")) && file.get(EMA).is_ok()
}

fn without_weights(path: &Path, file: &Value) -> WeightsError {
    let path = path.to_owned();
    match file {
        Value::Opaque(object) => WeightsError::WholeModule { path, class: object.class.clone() },
        other => WeightsError::NoWeights { path, found: outline(other) },
    }
}

/// That nothing else stands where the network has a tensor.
fn check_tensors(
    target: &Target<'_>,
    candidate: &Candidate,
    prefix: &str,
    path: &Path,
) -> Result<(), WeightsError> {
    let is_known =
        |name: &str| name.strip_prefix(prefix).is_some_and(|rest| target.names.find(rest).is_some());
    match candidate.others.iter().find(|(name, _)| is_known(name)) {
        None => Ok(()),
        Some((name, found)) => {
            let key = if candidate.key.is_empty() { String::new() } else { format!("{}.", candidate.key) };
            let name = format!("{key}{name}").escape_debug().to_string();
            let source = ValueError { path: name, expected: "a tensor".to_owned(), found: found.clone() };
            Err(WeightsError::Content { path: path.to_owned(), source })
        }
    }
}
