//! Flags and files → the configuration.

use ml_cli::exit::UsageError;
use ml_core::config::{self, ConfigError, Override, Resolved, Source};
use ml_core::weights::Origin;

use crate::args::Args;

/// The text of `--config`.
///
/// # Errors
/// The file cannot be read.
pub fn config_text(args: &Args) -> anyhow::Result<Option<String>> {
    let Some(path) = &args.config else { return Ok(None) };
    let text = ml_data::files::read_text(path);
    let cannot_read = |source| usage(ConfigError::Read { path: path.clone(), source });
    text.map(Some).map_err(cannot_read)
}

/// The configuration of a new run, without what a preset would choose.
///
/// # Errors
/// It is wrong.
pub fn resolve(args: &Args, overrides: &[Override]) -> anyhow::Result<Resolved> {
    resolve_text(config_text(args)?.as_deref(), args, overrides).map_err(usage)
}

/// The configuration from the text of `--config`, if that was given.
///
/// # Errors
/// It is wrong.
pub fn resolve_text(
    text: Option<&str>,
    args: &Args,
    overrides: &[Override],
) -> Result<Resolved, ConfigError> {
    let base = text.zip(args.config.clone().map(Source::File));
    config::resolve(base, overrides, &Origin::read)
}

/// A configuration that is wrong is the caller's mistake: exit code 2.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(UsageError(error.into()))
}
