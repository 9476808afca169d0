//! Images → their classes or labels, as a table, CSV or JSON lines.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use ml_cli::console::tell;
use ml_cli::exit::usage;
use ml_cli::interrupt::Interrupt;
use ml_core::evaluation::{Answer, AnswerThreshold, ClassProbability};
use ml_core::inference::{LoadedModel, Outcome, PredictOptions};
use ml_core::run::{GroupKind, RunGroup};
use ml_data::csv_text::csv_row;
use ml_data::dataset::shell_quoted;
use ml_data::table::{Align, pad, printable, width};
use ml_report::predictions::{OOD_SCORE, top_k_columns, top_k_fields};
use serde::Serialize;

use crate::args::{Args, Format, OnError};
use crate::label_lines::{LabelLines, Ranked};
use crate::output::{Output, quietly};

/// Predicts `images` and prints a line for each. Those that cannot be read are reported on stderr.
pub fn run(
    args: &Args,
    model: &LoadedModel,
    images: &[PathBuf],
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    if args.max_error.is_some() && model.thresholds().is_some() {
        return usage(
            "--max_error: this model gives an image several labels, each from a threshold of its own on; --threshold P \
             sets one for all",
        );
    }
    let threshold = args.max_error.map(|max_error| threshold(model, max_error)).transpose()?;
    if let Some(AnswerThreshold { probability, coverage, error, error_bound }) = threshold
        && args.console.quiet == 0
    {
        tell(format_args!(
            "answers below a probability of {probability:.4} are {UNCERTAIN}; {:.1} % of the validation images were \
             answered, and {:.2} % of these answers were wrong (with 95 % confidence at most {:.2} %)",
            100.0 * coverage,
            100.0 * error,
            100.0 * error_bound,
        ));
    }
    let mut out = Output::open(args.output.as_deref())?;
    let sure = threshold.map(|threshold| threshold.probability);
    let form = Form { sure, ..Form::new(args, model, images) };
    let labels = model.thresholds().map(|_| LabelLines::new(args, model, images));
    let header = labels.as_ref().map_or_else(|| form.header(), LabelLines::header);
    if let Err(error) = header.map_or(Ok(()), |header| out.line(&header)) {
        return quietly(Err(error));
    }
    let options = options(args, model);
    let mut unreadable = 0;
    let mut fatal = None;
    let mut unwritten = Ok(());
    model.predict(images, options, |place, outcome| {
        match outcome {
            Outcome::Predicted(answer) => {
                let path = images[place].to_string_lossy();
                unwritten = out.line(&match &labels {
                    Some(labels) => labels.line(&path, &answer.top_k),
                    None => form.line(&path, &answer),
                });
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

/// How images are predicted. All classes are wanted where those from their thresholds on are
/// labels.
pub fn options(args: &Args, model: &LoadedModel) -> PredictOptions {
    PredictOptions {
        batch_size: args.batch_size.get(),
        num_workers: args.num_workers(),
        top_k: if model.thresholds().is_some() { model.classes().len() } else { args.top_k.get() },
    }
}

/// From which probability on an image gets an answer.
fn threshold(model: &LoadedModel, max_error: f64) -> anyhow::Result<AnswerThreshold> {
    let Some(calibration) = model.calibration() else {
        if let Some(group) = RunGroup::open(model.path())? {
            return usage(of_several(&group));
        }
        return usage(
            "--max_error: this model has no calibration; ml-train fits one to the validation images when a training ends, \
             where there are at least 50 of them",
        );
    };
    calibration.threshold(max_error).map_or_else(
        || {
            usage(format!(
                "--max_error {max_error}: however sure the model was, more of its answers on the validation images were \
                 wrong; give a larger share"
            ))
        },
        Ok,
    )
}

/// Why several runs together have no threshold, and what to do.
fn of_several(group: &RunGroup) -> String {
    let one = shell_quoted(&group.run_folders().into_iter().next().unwrap_or_default());
    let why = match group.kind() {
        GroupKind::Folds => "each of their validation images was trained with by the other runs",
        GroupKind::Seeds => "each run has one for its own probabilities, which are not those of the mean",
    };
    format!(
        "--max_error: several runs together have no threshold: {why}; give one of them, --checkpoint {one}"
    )
}

/// By how much a probability may differ from that of the same image at another time.
const ROUNDING: f32 = 1e-5;
/// The answer where the model is not sure enough.
const UNCERTAIN: &str = "uncertain";
/// What a table says of an image that is.
const UNLIKE: &str = "unlike anything seen in training";

/// How a prediction is written.
struct Form<'a> {
    /// Below this probability the answer is [`UNCERTAIN`].
    sure: Option<f32>,
    format: Format,
    classes: &'a [String],
    top_k: usize,
    /// Whether images unlike those of training are told.
    scores: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ood_score: Option<f32>,
}

impl<'a> Form<'a> {
    fn new(args: &Args, model: &'a LoadedModel, images: &[PathBuf]) -> Form<'a> {
        let classes = model.classes();
        let widest = |texts: &mut dyn Iterator<Item = String>, header: &str| {
            texts.map(|text| width(&printable(&text))).max().unwrap_or(0).max(header.len())
        };
        let format = args.format();
        let is_table = format == Format::Table;
        Form {
            sure: None,
            format,
            classes,
            top_k: args.top_k.get().min(classes.len()),
            scores: model.scores_out_of_distribution(),
            path_width: if is_table {
                widest(&mut images.iter().map(|path| path.to_string_lossy().into_owned()), "path")
            } else {
                0
            },
            class_width: widest(
                &mut classes.iter().cloned().chain(args.max_error.map(|_| UNCERTAIN.to_owned())),
                "class",
            ),
        }
    }

    fn header(&self) -> Option<String> {
        match self.format {
            Format::Jsonl => None,
            Format::Csv => {
                let columns = ["path", "class", "probability"].map(str::to_owned);
                let score = self.scores.then(|| OOD_SCORE.to_owned());
                Some(csv_row(columns.into_iter().chain(top_k_columns(self.top_k)).chain(score)))
            }
            Format::Table => {
                let next = if self.top_k > 1 { "next" } else { "" };
                Some(self.row("path", "class", "probability", next))
            }
        }
    }

    fn line(&self, path: &str, Answer { top_k, ood_score }: &Answer) -> String {
        let best = top_k[0];
        let is_unlike = ood_score.is_some_and(|score| score > 1.0);
        let name = |scored: &ClassProbability| self.classes[scored.class].as_str();
        // The threshold is the probability of an image that was answered, perhaps rounded otherwise.
        let is_sure = self.sure.is_none_or(|sure| best.probability >= sure - ROUNDING && !is_unlike);
        let answer = if is_sure { name(&best) } else { UNCERTAIN };
        match self.format {
            Format::Jsonl => {
                let top_k = top_k.iter().map(|s| Ranked { class: name(s), probability: s.probability });
                let (probability, top_k, ood_score) = (best.probability, top_k.collect(), *ood_score);
                let line = Line { path, class: answer, probability, top_k, ood_score };
                // Strings and numbers always have a form in JSON; a probability that is NaN is null
                // there.
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Csv => {
                let fields = [path, answer, &best.probability.to_string()].map(str::to_owned);
                let score = ood_score.map(|score| score.to_string());
                csv_row(fields.into_iter().chain(top_k_fields(self.classes, top_k)).chain(score))
            }
            Format::Table => {
                let next: Vec<String> = top_k[usize::from(is_sure)..]
                    .iter()
                    .map(|s| format!("{} {:.4}", printable(name(s)), s.probability))
                    .chain(is_unlike.then(|| UNLIKE.to_owned()))
                    .collect();
                let probability = format!("{:.4}", best.probability);
                self.row(&printable(path), &printable(answer), &probability, &next.join(", "))
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
