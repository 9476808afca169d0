//! The labels of an image that may have several → a line of a table, of CSV or of JSON.

use std::path::PathBuf;

use ml_core::evaluation::ClassProbability;
use ml_core::inference::LoadedModel;
use ml_data::csv_text::csv_row;
use ml_data::table::{Align, pad, printable, width};
use ml_report::predictions::{top_k_columns, top_k_fields};
use serde::Serialize;

use crate::args::{Args, Format};

/// Between the labels of an image in CSV, as `ml-split` reads them.
const SEPARATOR: &str = "|";
/// The labels of an image without any, in a table.
const NONE: &str = "-";

/// How the predictions of a model with several labels an image are written.
pub struct LabelLines<'a> {
    model: &'a LoadedModel,
    format: Format,
    top_k: usize,
    /// Of the table's first column.
    path_width: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    labels: Vec<&'a str>,
    probabilities: Vec<f32>,
    top_k: Vec<Ranked<'a>>,
}

/// A class and its probability.
#[derive(Serialize)]
pub struct Ranked<'a> {
    pub class: &'a str,
    pub probability: f32,
}

impl<'a> LabelLines<'a> {
    pub fn new(args: &Args, model: &'a LoadedModel, images: &[PathBuf]) -> LabelLines<'a> {
        let format = args.format();
        let widest = |path: &PathBuf| width(&printable(&path.to_string_lossy()));
        LabelLines {
            model,
            format,
            top_k: args.top_k.get().min(model.classes().len()),
            path_width: match format {
                Format::Table => images.iter().map(widest).max().unwrap_or(0).max("path".len()),
                Format::Csv | Format::Jsonl => 0,
            },
        }
    }

    pub fn header(&self) -> Option<String> {
        match self.format {
            Format::Jsonl => None,
            Format::Csv => {
                let columns = ["path", "labels", "probabilities"].map(str::to_owned);
                Some(csv_row(columns.into_iter().chain(top_k_columns(self.top_k))))
            }
            Format::Table => Some(self.row("path", "labels")),
        }
    }

    /// `ranked`: all classes, the most probable first.
    pub fn line(&self, path: &str, ranked: &[ClassProbability]) -> String {
        let labels: Vec<ClassProbability> = self.model.labels(ranked).collect();
        let top_k = &ranked[..self.top_k.min(ranked.len())];
        match self.format {
            Format::Jsonl => {
                let ranked =
                    |one: &ClassProbability| Ranked { class: self.name(one), probability: one.probability };
                let line = Line {
                    path,
                    labels: labels.iter().map(|one| self.name(one)).collect(),
                    probabilities: labels.iter().map(|one| one.probability).collect(),
                    top_k: top_k.iter().map(ranked).collect(),
                };
                // Strings and numbers always have a form in JSON; a probability that is NaN is null
                // there.
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Csv => {
                let names: Vec<&str> = labels.iter().map(|one| self.name(one)).collect();
                let probabilities: Vec<String> =
                    labels.iter().map(|one| one.probability.to_string()).collect();
                let fields = [path.to_owned(), names.join(SEPARATOR), probabilities.join(SEPARATOR)];
                csv_row(fields.into_iter().chain(top_k_fields(self.model.classes(), top_k)))
            }
            Format::Table => {
                let is_other = |one: &&ClassProbability| !labels.iter().any(|label| label.class == one.class);
                let others = self.listed(top_k.iter().filter(is_other));
                let labels = self.listed(&labels);
                let labels = if labels.is_empty() { NONE } else { &labels };
                let next = if others.is_empty() { String::new() } else { format!("   (next {others})") };
                self.row(&printable(path), &format!("{labels}{next}"))
            }
        }
    }

    fn name(&self, of: &ClassProbability) -> &'a str {
        &self.model.classes()[of.class]
    }

    /// `cat 0.9812, dog 0.7000`
    fn listed<'c>(&self, classes: impl IntoIterator<Item = &'c ClassProbability>) -> String {
        let classes = classes.into_iter();
        let texts = classes.map(|one| format!("{} {:.4}", printable(self.name(one)), one.probability));
        texts.collect::<Vec<_>>().join(", ")
    }

    fn row(&self, path: &str, labels: &str) -> String {
        format!("{}   {labels}", pad(path, self.path_width, Align::Left))
    }
}
