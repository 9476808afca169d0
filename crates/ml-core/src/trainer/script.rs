//! `model.type: torchscript` → the bytes of its file, before a [`Trainer`](super::Trainer) is made.

use std::path::Path;

use super::TrainError;
use crate::config::Config;
use crate::network::ScriptFile;
use crate::run::script_copies;

/// The TorchScript file that `config` names, and the configuration with its content written down;
/// nothing where there is none. `state` is the run folder or the checkpoint to go on from: the copy
/// beside it comes before `model.path`.
///
/// # Errors
/// There is none with the content that the configuration has written down.
pub fn resolve_script(
    config: &Config,
    state: Option<&Path>,
) -> Result<Option<(Config, ScriptFile)>, TrainError> {
    let Some(model) = config.model.script() else { return Ok(None) };
    let mut places = state.map(script_copies).unwrap_or_default();
    places.push(model.path.clone());
    let file = ScriptFile::find(&places, model.sha256.as_deref())?;
    Ok(Some((config.with_script(&file), file)))
}
