//! The reports of evaluations in a run's `report/` → the parts of the page that are about images.

use std::path::{Path, PathBuf};

use ml_core::run::Summary;

use super::data::{self, Evaluation, PredictionRow};
use super::findings::{findings, label_issues};
use super::trust::{calibration, selective, threshold};
use super::{again, part};
use crate::html::{Findings, Part, Report};

/// Splits in the order in which they say most about new images.
pub const SPLITS: [&str; 4] = ["test", "val", "all", "train"];

/// What the reports of a run hold.
pub struct Evaluations {
    folder: PathBuf,
    /// In the order of [`SPLITS`].
    found: Vec<Evaluation>,
    /// Why there is none that can be read.
    problem: Option<String>,
}

impl Evaluations {
    /// Those in `folder`, as far as they can be read.
    pub fn read(folder: &Path) -> Evaluations {
        let (mut found, mut problem) = (Vec::new(), None);
        for split in SPLITS {
            let path = folder.join(format!("classification_report_{split}.json"));
            if path.exists() {
                match Evaluation::read(&path) {
                    Ok(evaluation) => found.push(evaluation),
                    Err(reason) => problem = Some(reason),
                }
            }
        }
        Evaluations { folder: folder.to_owned(), found, problem }
    }

    /// The one that counts.
    pub fn main(&self) -> Option<&Evaluation> {
        self.found.first()
    }

    /// That of a split.
    pub fn of_split(&self, split: &str) -> Option<&Evaluation> {
        self.found.iter().find(|one| one.split == split)
    }

    /// Fills the parts that are about images.
    pub fn fill(&self, report: &mut Report, summary: &Summary) {
        let none = || {
            self.problem.clone().unwrap_or_else(|| {
                "Nothing was evaluated: that happens when a training has ended, or by ml-inference."
                    .to_owned()
            })
        };
        let Some(main) = self.main() else {
            report.metrics = Part::Missing(none());
            return;
        };
        report.metrics = Part::Present(self.found.iter().map(Evaluation::metrics).collect());
        report.findings = self.findings(main, summary);
    }

    fn findings(&self, main: &Evaluation, summary: &Summary) -> Findings {
        let rows = predictions(&self.folder, main);
        let images = |place: usize, class: &str| {
            let known = summary.class_images.len() == main.classes.len();
            if known { Some(summary.class_images[place]) } else { summary.few_images.get(class).copied() }
        };
        let mut found = findings(main, &rows, images);
        if main.out_of_distribution.is_none() {
            let reason = summary.no_ood_scores.as_ref();
            found.out_of_distribution = Part::Missing(
                reason.map_or_else(again, |reason| format!("The run does not tell such images: {reason}.")),
            );
        }
        let not_calibrated =
            summary.not_calibrated.as_ref().map(|reason| format!("No temperature was fitted: {reason}."));
        // Of images that nothing was fitted to, where there are any, and else of those it was.
        found.calibration =
            part(calibration(main, not_calibrated.clone().unwrap_or_default()).ok_or_else(again));
        let threshold = match not_calibrated {
            Some(reason) => Err(reason),
            None => threshold(self.of_split("val"), main, rows.as_deref().unwrap_or_default()),
        };
        found.selective = part(selective(main, threshold).ok_or_else(again));
        // Of all splits that were not trained with: they say the same of labels.
        let held_out: Vec<&Evaluation> = self.found.iter().filter(|one| one.split != "train").collect();
        found.label_issues = part(label_issues(&held_out, &self.folder, Path::new(&summary.data_dir)));
        found
    }
}

/// The predictions that belong to an evaluation in `folder`.
pub fn predictions(folder: &Path, of: &Evaluation) -> Result<Vec<PredictionRow>, String> {
    data::rows(&folder.join(format!("predictions_{}.csv", of.split)))
}
