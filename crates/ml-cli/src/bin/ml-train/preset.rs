//! `--preset` and `--list_presets`: a configuration beneath the file and the flags.

use std::process::ExitCode;

use anyhow::anyhow;
use ml_cli::exit;
use ml_core::config::{self, Config, ConfigError, Override, Resolved, Source};
use ml_core::distributed::Environment;
use ml_core::job::{self, JobError};
use ml_core::run::{self, Note};
use ml_core::starter::{Chosen, Given, Preset};
use ml_core::trainer::Stop;
use ml_core::weights::Origin;
use ml_data::table::{Align, table};

use crate::args::Args;
use crate::resolve::{config_text, usage};

/// What stands for no preset.
const NONE: &str = "none";

/// Settings that leave everything else to be chosen: with these alone, `auto` is meant.
const LEFT: [&str; 8] = [
    "seed",
    "data.data_dir",
    "data.fold",
    "data.num_workers",
    "training.max_time",
    "training.device",
    "training.threads",
    "training.precision",
];

/// A configuration, and why what a preset chose is as it is.
pub struct Settings {
    pub resolved: Resolved,
    pub notes: Vec<Note>,
}

/// Prints the presets.
pub fn list() -> anyhow::Result<ExitCode> {
    let rows: Vec<[String; 2]> =
        Preset::all().into_iter().map(|(name, what)| [name.to_owned(), what.to_owned()]).collect();
    exit::print(table(&rows, [Align::Left, Align::Left]).trim_end())
}

/// The preset that the command line asks for, or means.
///
/// # Errors
/// There is no such preset, or it is for a run that has its settings.
pub fn wanted(args: &Args, overrides: &[Override]) -> anyhow::Result<Option<Preset>> {
    match args.preset.as_deref() {
        Some(_) if args.resume.is_some() => Err(usage(anyhow!(
            "--preset: chooses the settings of a new run, and --resume continues one with its own; leave one of them out"
        ))),
        Some(NONE) => Ok(None),
        Some(name) => Preset::from_name(name).map(Some).map_err(|error| usage(anyhow!("--preset: {error}"))),
        None => Ok(means_auto(args, overrides).then_some(Preset::AUTO)),
    }
}

/// Whether a data folder is given, and nothing that says how to train on it.
fn means_auto(args: &Args, overrides: &[Override]) -> bool {
    let has_data = overrides.iter().any(|given| given.path == "data.data_dir");
    let is_left = overrides.iter().all(|given| LEFT.contains(&given.path.as_str()));
    let is_new = args.config.is_none() && args.resume.is_none() && args.measures().is_none();
    is_new && has_data && is_left && !args.summary && args.plot_schedule.is_none()
}

/// The configuration of a new run.
///
/// # Errors
/// It is wrong, or the images cannot be looked at.
pub fn settings(args: &Args, overrides: &[Override], stop: &Stop) -> anyhow::Result<Settings> {
    let preset = wanted(args, overrides)?;
    let text = config_text(args)?;
    let base = || text.as_deref().zip(args.config.clone().map(Source::File));
    let over =
        |preset: Option<(&str, Source)>| config::resolve_over(preset, base(), overrides, &Origin::read);
    let plain = |preset: Option<(&str, Source)>| -> anyhow::Result<Settings> {
        Ok(Settings { resolved: over(preset).map_err(usage)?, notes: Vec::new() })
    };
    let (name, level) = match preset {
        None => return plain(None),
        Some(preset @ Preset::Named(_, text)) => {
            let settings = plain(Some((text, preset.source())))?;
            tracing::info!("preset {}; docs/recipes.md says what it is", preset.name());
            return Ok(settings);
        }
        Some(Preset::Chosen(name, level)) => (name, level),
    };
    let own = over(None).map_err(usage)?;
    if !own.sources.contains_key("data.data_dir") {
        return Err(usage(anyhow!(
            "--preset {name}: chooses settings for images; give their folder, with --data_dir"
        )));
    }
    let source = || Source::Preset(name.to_owned());
    let resolve = |text: &str| -> Result<Config, ConfigError> {
        over(Some((text, source()))).map(|resolved| resolved.config)
    };
    let processes = Environment::of_process().map_err(usage)?.map_or(1, |environment| environment.world_size);
    let chosen = job::choose_preset(&own.config, &Given::of(&own), level, processes, &resolve, stop);
    let chosen = match chosen {
        // The training says what is wrong with the folder.
        Err(JobError::Data(_)) if args.preset.is_none() => return plain(None),
        Err(error) if error.is_usage() => return Err(usage(error)),
        chosen => chosen?,
    };
    let resolved = over(Some((&chosen.text, source()))).map_err(usage)?;
    if args.preset.is_none() {
        tracing::info!(
            "no configuration is given, so --preset {name} chooses; --preset {NONE} takes the defaults"
        );
    }
    let notes = told(name, &chosen, &resolved);
    Ok(Settings { resolved, notes })
}

/// Says what was chosen and why, but for what is set otherwise; the same as notes.
fn told(name: &str, chosen: &Chosen, resolved: &Resolved) -> Vec<Note> {
    let is_chosen = |path: &str| {
        let below = format!("{path}.");
        let preset = Source::Preset(name.to_owned());
        resolved
            .sources
            .iter()
            .any(|(known, source)| *source == preset && (known == path || known.starts_with(&below)))
    };
    let whole = format!("Chosen by --preset {name}. {}", chosen.length);
    tracing::info!("preset {name}: {}", chosen.length);
    let mut notes = vec![Note { path: String::new(), text: whole }];
    for reason in chosen.reasons.iter().filter(|reason| is_chosen(&reason.path)) {
        let value = if reason.value.is_empty() { String::new() } else { format!(" {}", reason.value) };
        tracing::info!("preset {name}: {}:{value} ({})", reason.path, reason.why);
        notes.push(Note { path: reason.path.clone(), text: reason.why.clone() });
    }
    notes
}

/// The name of a run: its preset, if one was given, and what was overridden.
pub fn run_name(args: &Args, overrides: &[Override]) -> String {
    let (name, preset) = (run::run_name(overrides), args.preset.as_deref().filter(|name| *name != NONE));
    match preset {
        None if means_auto(args, overrides) => {
            if name == "base" {
                "auto".to_owned()
            } else {
                format!("auto_{name}")
            }
        }
        None => name,
        Some(preset) if name == "base" => preset.to_owned(),
        Some(preset) => format!("{preset}_{name}"),
    }
}
