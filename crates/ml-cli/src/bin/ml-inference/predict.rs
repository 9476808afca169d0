//! Images → their classes, as a table, CSV or JSON lines.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use ml_cli::console::tell;
use ml_cli::interrupt::Interrupt;
use ml_core::evaluation::ClassProbability;
use ml_core::inference::{LoadedModel, Outcome, PredictOptions};
use ml_data::csv_text::csv_row;
use ml_data::table::{Align, pad, printable, width};
use ml_report::predictions::{top_k_columns, top_k_fields};
use serde::Serialize;

use crate::args::{Args, Format, OnError};
use crate::output::{Output, quietly};

/// Predicts `images` and prints a line for each. Those that cannot be read are reported on stderr.
pub fn run(
    args: &Args,
    model: &LoadedModel,
    images: &[PathBuf],
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let mut out = Output::open(args.output.as_deref())?;
    let form = Form::new(args, model.classes(), images);
    if let Err(error) = form.header().map_or(Ok(()), |header| out.line(&header)) {
        return quietly(Err(error));
    }
    let options = PredictOptions {
        batch_size: args.batch_size.get(),
        num_workers: args.num_workers(),
        top_k: args.top_k.get(),
    };
    let mut unreadable = 0;
    let mut fatal = None;
    let mut unwritten = Ok(());
    model.predict(images, options, |place, outcome| {
        match outcome {
            Outcome::Predicted(top_k) => {
                unwritten = out.line(&form.line(&images[place].to_string_lossy(), &top_k));
                if unwritten.is_ok() && (place + 1) % options.batch_size == 0 {
                    unwritten = out.flush();
                }
            }
            Outcome::Unreadable(error) => {
                let error = printable(&error.to_string());
                match args.on_error {
                    OnError::Skip => tell(format_args!("warning: {error}")),
                    OnError::Fail => fatal = Some(error),
                }
                unreadable += 1;
            }
        }
        if unwritten.is_err() || fatal.is_some() {
            return ControlFlow::Break(());
        }
        interrupt.flow()
    })?;
    if let Some(code) = interrupt.exit_code() {
        tell("interrupted");
        return Ok(code);
    }
    if unwritten.is_err() {
        return quietly(unwritten);
    }
    if let Some(error) = fatal {
        bail!("{error}; --on_error skip leaves such images out");
    }
    let finished = out.finish();
    if unreadable > 0 {
        finished?;
        if unreadable == images.len() {
            bail!("no image could be read");
        }
        bail!("{unreadable} of {} images could not be read; the others are done", images.len());
    }
    quietly(finished)
}

/// How a prediction is written.
struct Form<'a> {
    format: Format,
    classes: &'a [String],
    top_k: usize,
    /// Columns of the table.
    path_width: usize,
    class_width: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    class: &'a str,
    probability: f32,
    top_k: Vec<Ranked<'a>>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    class: &'a str,
    probability: f32,
}

impl<'a> Form<'a> {
    fn new(args: &Args, classes: &'a [String], images: &[PathBuf]) -> Form<'a> {
        let widest = |texts: &mut dyn Iterator<Item = String>, header: &str| {
            texts.map(|text| width(&printable(&text))).max().unwrap_or(0).max(header.len())
        };
        let format = args.format();
        let is_table = format == Format::Table;
        Form {
            format,
            classes,
            top_k: args.top_k.get().min(classes.len()),
            path_width: if is_table {
                widest(&mut images.iter().map(|path| path.to_string_lossy().into_owned()), "path")
            } else {
                0
            },
            class_width: widest(&mut classes.iter().cloned(), "class"),
        }
    }

    fn header(&self) -> Option<String> {
        match self.format {
            Format::Jsonl => None,
            Format::Csv => {
                let columns = ["path", "class", "probability"].map(str::to_owned);
                Some(csv_row(columns.into_iter().chain(top_k_columns(self.top_k))))
            }
            Format::Table => {
                let next = if self.top_k > 1 { "next" } else { "" };
                Some(self.row("path", "class", "probability", next))
            }
        }
    }

    fn line(&self, path: &str, top_k: &[ClassProbability]) -> String {
        let best = top_k[0];
        let name = |scored: &ClassProbability| self.classes[scored.class].as_str();
        match self.format {
            Format::Jsonl => {
                let top_k = top_k.iter().map(|s| Ranked { class: name(s), probability: s.probability });
                let line =
                    Line { path, class: name(&best), probability: best.probability, top_k: top_k.collect() };
                // Strings and numbers always have a form in JSON; a probability that is NaN is null
                // there.
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Csv => {
                let fields = [path, name(&best), &best.probability.to_string()].map(str::to_owned);
                csv_row(fields.into_iter().chain(top_k_fields(self.classes, top_k)))
            }
            Format::Table => {
                let next: Vec<String> = top_k[1..]
                    .iter()
                    .map(|s| format!("{} {:.4}", printable(name(s)), s.probability))
                    .collect();
                let probability = format!("{:.4}", best.probability);
                self.row(&printable(path), &printable(name(&best)), &probability, &next.join(", "))
            }
        }
    }

    fn row(&self, path: &str, class: &str, probability: &str, next: &str) -> String {
        let line = format!(
            "{}   {}   {}   {next}",
            pad(path, self.path_width, Align::Left),
            pad(class, self.class_width, Align::Left),
            pad(probability, "probability".len(), Align::Right),
        );
        line.trim_end().to_owned()
    }
}
