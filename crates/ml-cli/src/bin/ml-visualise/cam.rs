//! A run and images → where the network looks.

use std::path::PathBuf;
use std::process::ExitCode;

use ml_cli::console::tell;
use ml_cli::exit::{UsageError, print, usage};
use ml_core::inference::LoadedModel;
use ml_core::run::Run;
use ml_report::cam;
use ml_report::write::{make_folder, replace};

use crate::args::CamArgs;
use crate::model;

/// Writes overlays of the given images, or of some of the run's, and prints where they are.
///
/// # Errors
/// The model cannot be read or explained, an image cannot be read, or a file cannot be written.
pub fn run(args: &CamArgs) -> anyhow::Result<ExitCode> {
    let model = model::open(&args.run, args.device)?;
    if args.images.is_empty() {
        let run = Run::open(&args.run).map_err(|error| UsageError(error.into()))?;
        return print(&cam::of_run(&run, &model)?.display().to_string());
    }
    let class = args.class.as_deref().map(|name| class_number(&model, name)).transpose()?;
    let found = model.explain(&args.images, cam::options(), class)?;
    make_folder(&args.output)?;
    let mut written = Vec::new();
    for (place, (path, explanations)) in args.images.iter().zip(&found.images).enumerate() {
        if explanations.is_empty() {
            tell(format_args!("warning: {}: cannot be read", path.display()));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for (rank, explanation) in explanations.iter().enumerate() {
            // With several labels an image, there may be several.
            let rank = if rank == 0 { String::new() } else { format!("_{}", rank + 1) };
            let file: PathBuf = args.output.join(format!("{stem}_{}{rank}.png", place + 1));
            replace(&file, &cam::png(explanation)?)?;
            let name = &model.classes()[explanation.class.class];
            written.push(format!("{}   {name} {:.4}", file.display(), explanation.class.probability));
        }
    }
    if written.is_empty() {
        anyhow::bail!("no image could be read");
    }
    print(&written.join("\n"))
}

fn class_number(model: &LoadedModel, name: &str) -> anyhow::Result<usize> {
    match model.classes().iter().position(|class| class == name) {
        Some(class) => Ok(class),
        None => usage(format!("--class {name}: the model has no such class")),
    }
}
