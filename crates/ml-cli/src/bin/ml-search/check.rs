//! Whether the configuration takes what a search gives it: every key and value, before the first
//! trial.

use std::path::Path;

use anyhow::anyhow;
use ml_cli::exit::UsageError;
use ml_core::config::{self, Config, ConfigError, Override, Problem, Resolved, Source};
use ml_core::weights::Origin;
use ml_search::{Domain, Parameters, Settings};

/// The configuration of the first trial that can be thought of, with every key at its first value.
///
/// # Errors
/// Anything is wrong with the configuration, or with a value of a key: all of it, by key.
pub fn check(settings: &Settings, path: &Path, text: &str) -> anyhow::Result<Config> {
    let source = Source::File(path.to_owned());
    let resolve = |parameters: &Parameters| -> anyhow::Result<Resolved> {
        let overrides = parameters.iter().map(over).collect::<Result<Vec<_>, _>>()?;
        let resolved = config::resolve(Some((text, source.clone())), &overrides, &Origin::read);
        resolved.map_err(anyhow::Error::new)
    };
    config::resolve(Some((text, source.clone())), &[], &Origin::read).map_err(usage)?;
    let mut problems: Vec<(String, String)> = Vec::new();
    let mut note = |key: String, text: String| {
        if !problems.iter().any(|(of, known)| *of == key && *known == text) {
            problems.push((key, text));
        }
    };
    let first: Parameters =
        settings.space.iter().map(|(name, domain)| (name.clone(), domain.probes().remove(0))).collect();
    let mut valid = None;
    for (place, (name, domain)) in settings.space.iter().enumerate() {
        for value in domain.probes() {
            let mut parameters = first.clone();
            parameters[place].1 = value.clone();
            match resolve(&parameters) {
                Ok(resolved) => valid = valid.or(Some(resolved.config)),
                Err(error) => reasons(&error).into_iter().for_each(|reason| match owner(settings, &reason) {
                    Some(owner) => note(format!("space.{owner}"), reason),
                    None => note(format!("space.{name}"), format!("with {value}: {reason}")),
                }),
            }
        }
    }
    for (key, message) in beside(settings, valid.as_ref()) {
        note(key.to_owned(), message);
    }
    match valid {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            let lines: String = problems.iter().map(|(key, text)| format!("\n  {key}: {text}")).collect();
            Err(usage(anyhow!(
                "the configuration does not take what is searched:{lines}\nKeys that belong to one choice only are \
                 searched as a whole, as in optimizer: {{choice: [{{name: sgd, momentum: 0.9}}, {{name: adamw}}]}}"
            )))
        }
    }
}

/// The searched key that a problem of the configuration is about.
fn owner<'a>(settings: &'a Settings, reason: &str) -> Option<&'a String> {
    let mut names = settings.space.iter().map(|(name, _)| name);
    names
        .find(|name| reason.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with([':', '.', '['])))
}

/// Settings of the search that the configuration contradicts.
fn beside(settings: &Settings, config: Option<&Config>) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let is_searched = |key: &str| settings.space.iter().any(|(name, _)| name == key);
    if is_searched("training.device") && !settings.devices.is_empty() {
        problems.push(("devices", "training.device is searched; leave one of them out".to_owned()));
    }
    if let Some((name, _)) = settings.space.iter().find(|(name, domain)| {
        name == "training.num_epochs" && !matches!(domain, Domain::Int { .. } | Domain::Choice(_))
    }) {
        problems.push(("space", format!("{name}: must be whole numbers; use int or choice")));
    }
    let needs_ema = settings.metric.name().starts_with("ema_");
    if let Some(config) = config
        && needs_ema
        && config.training.ema.is_none()
    {
        problems.push((
            "metric",
            format!(
                "{} is known with training.ema only; set it in the configuration",
                settings.metric.name()
            ),
        ));
    }
    problems
}

/// One value as `--set` gives it.
fn over((name, value): &(String, serde_json::Value)) -> anyhow::Result<Override> {
    let value = serde_yaml::to_value(value)?;
    Ok(Override { path: name.clone(), value, source: Source::Set, argument: None })
}

fn reasons(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<ConfigError>() {
        Some(ConfigError::Invalid(problems)) => {
            let shown = |Problem { path, message, .. }: &Problem| match path.as_str() {
                "" => message.clone(),
                path => format!("{path}: {message}"),
            };
            problems.iter().map(shown).collect()
        }
        _ => vec![error.to_string()],
    }
}

/// What is wrong is the caller's mistake: exit code 2.
pub fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(UsageError(error.into()))
}
