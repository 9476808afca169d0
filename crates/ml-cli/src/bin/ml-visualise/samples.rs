//! A configuration → a sheet of images as training sees them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use ml_cli::exit::{UsageError, print, usage};
use ml_core::config::{self, Config, Source};
use ml_core::dataset::Dataset;
use ml_core::run::Run;
use ml_core::weights::Origin;
use ml_data::transform::Pipeline;
use ml_report::samples::{Sheet, sheet};

use crate::args::SamplesArgs;

/// Writes the sheet and prints where it is.
///
/// # Errors
/// The configuration or its images cannot be read, or the file cannot be written.
pub fn run(args: &SamplesArgs) -> anyhow::Result<ExitCode> {
    let (mut config, default) = configuration(&args.of)?;
    if let Some(folder) = &args.data_dir {
        config.data.data_dir.clone_from(folder);
    }
    let options = config.data.open_options(config.seed);
    let dataset = Dataset::open(&config.data.data_dir, &options).map_err(|error| UsageError(error.into()))?;
    let pipeline = |which: &str, transform| {
        Pipeline::new(transform).with_context(|| {
            format!("transforms.{which}: `normalize: auto` is known of a run; leave it out to see the images")
        })
    };
    let sheet = sheet(&Sheet {
        index: &dataset.train,
        plain: &pipeline("val", &config.transforms.val)?,
        augmented: &pipeline("train", &config.transforms.train)?,
        seed: config.seed,
        images: args.images.get(),
        epochs: args.epochs.get(),
    })?;
    let path = args.output.clone().unwrap_or(default);
    ml_report::write::replace(&path, &sheet)?;
    print(&path.display().to_string())
}

/// The configuration of a run or in a file, and where its sheet goes.
fn configuration(of: &Path) -> anyhow::Result<(Config, PathBuf)> {
    let (text, source, default) = if of.is_dir() {
        let run = Run::open(of).map_err(|error| UsageError(error.into()))?;
        ml_report::write::make_folder(&run.report_dir())?;
        (run.read_config()?, Source::Run, run.report_dir().join("samples.png"))
    } else {
        let text = match ml_data::files::read_text(of) {
            Ok(text) => text,
            Err(error) => return usage(format!("{}: {error}", of.display())),
        };
        (text, Source::File(of.to_owned()), PathBuf::from("samples.png"))
    };
    let resolved = config::resolve(Some((&text, source)), &[], &Origin::read);
    Ok((resolved.map_err(|error| UsageError(error.into()))?.config, default))
}
