//! The reports of evaluations in a run's `report/` → the parts of the page that are about images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ml_core::metrics::intervals::{DEFAULT_LEVEL, clopper_pearson_upper};
use ml_core::run::{FEW_IMAGES, Summary};
use ml_data::dataset::{MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER, shell_quoted};

use super::data::{self, Evaluation, LabelIssue, PredictionRow};
use super::images::Thumbnails;
use super::part;
use crate::groups::{GroupResult, GroupedBy};
use crate::html::{
    Calibration, ClassRow, ClassTable, ConfusedPair, Confusion, Estimate, Example, Groups, Interval,
    LabelIssues, Mistakes, OutOfDistribution, Part, Reliability, ReliabilityBin, Report, Selective,
    Threshold, Thumbnail,
};

/// Splits in the order in which they say most about new images.
pub const SPLITS: [&str; 4] = ["test", "val", "all", "train"];
/// A threshold is shown for this share of errors, if it answers at least that share of images.
const SHOWN_ERROR: f64 = 0.02;
const SHOWN_COVERAGE: f64 = 0.05;
const PAIRS: usize = 12;
const EXAMPLES_A_PAIR: usize = 4;
const EXAMPLES: usize = 24;
/// Classes whose surest images are shown.
const EXEMPLAR_CLASSES: usize = 25;
const ISSUES: usize = 48;
const MATRIX_PAIRS: usize = 200;

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
        report.classes = Part::Present(classes(main, &summary.few_images));
        report.confusion = Part::Present(confusion(main));
        let folders = main.folders.iter().map(|found| (GroupedBy::Folder, found));
        let grouped = main.groups.iter().map(|found| (GroupedBy::Group, found)).chain(folders);
        if let Some((by, found)) = grouped.into_iter().next() {
            let row = |of: &GroupResult| {
                let [low, high] = of.interval;
                let interval = Some(Interval { low, high });
                (of.group.clone(), of.count, Estimate { value: of.accuracy(), interval })
            };
            let rows = found.iter().map(row).collect();
            report.groups = Part::Present(Groups { split: main.split.clone(), by, rows });
        }
        let mut thumbnails = Thumbnails::below(&main.root);
        match data::rows(&self.folder.join(format!("predictions_{}.csv", main.split))) {
            Ok(rows) => {
                report.confused_pairs = Part::Present(confused(main, &rows, &mut thumbnails));
                report.mistakes = Part::Present(mistakes(main, &rows, &mut thumbnails));
                if let Some(found) = &main.out_of_distribution {
                    let examples = unlike(&rows, &mut thumbnails);
                    let (split, accepted) = (main.split.clone(), found.accepted);
                    report.out_of_distribution =
                        Part::Present(OutOfDistribution { split, accepted, examples });
                }
            }
            Err(reason) => report.mistakes = Part::Missing(reason),
        }
        // Of images that nothing was fitted to, where there are any, and else of those it was.
        let earlier = || "An earlier version evaluated this run; ml-inference does it again.".to_owned();
        report.calibration = part(calibration(main).ok_or_else(earlier));
        report.selective = part(selective(main).ok_or_else(earlier));
        report.label_issues = part(self.label_issues(Path::new(&summary.data_dir)));
    }

    /// Of the split that was not trained with and has most to say about labels: validation and test
    /// images alike.
    fn label_issues(&self, data_dir: &Path) -> Result<LabelIssues, String> {
        let mut all = LabelIssues::default();
        let mut listed = Vec::new();
        for evaluation in self.found.iter().filter(|one| one.split != "train") {
            let Some(counts) = &evaluation.label_issues else { continue };
            let path = self.folder.join(format!("label_issues_{}.csv", evaluation.split));
            let rows: Vec<LabelIssue> = data::rows(&path)?;
            all.total += counts.count;
            all.examined += counts.examined;
            listed.extend(rows.into_iter().take(ISSUES).map(|row| (&evaluation.root, row)));
            if let Some(raw) = raw_folder(data_dir).filter(|_| counts.count > 0) {
                let (list, raw) = (shell_quoted(&path), shell_quoted(&raw));
                all.commands.push((
                    format!("split the images again without those of the {} split", evaluation.split),
                    format!("ml-split {raw} --force --exclude {list}"),
                ));
                all.commands.push((
                    "or make a tree of folders in which they have the suggested label".to_owned(),
                    format!("ml-split {raw} --layout folders --relabel {list}"),
                ));
            }
        }
        if all.examined == 0 {
            return Err("An earlier version evaluated this run; ml-inference does it again.".to_owned());
        }
        listed.sort_by(|(_, one), (_, other)| one.self_confidence.total_cmp(&other.self_confidence));
        listed.truncate(ISSUES);
        let issue = |(root, row): (&PathBuf, LabelIssue)| {
            let alt = format!("an image that is labelled {}", row.label);
            crate::html::LabelIssue {
                image: Thumbnails::below(root).get(&row.path, alt),
                given: row.label,
                suggested: row.suggested,
                self_confidence: row.self_confidence,
            }
        };
        all.issues = listed.into_iter().map(issue).collect();
        Ok(all)
    }
}

/// What `ml-split` has split for a run; none where the splits are folders.
fn raw_folder(data_dir: &Path) -> Option<PathBuf> {
    let raw = data_dir.join(RAW_FOLDER);
    let is_split = data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).is_file();
    is_split.then(|| if raw.is_dir() { raw } else { data_dir.to_owned() })
}

fn classes(evaluation: &Evaluation, few: &BTreeMap<String, u64>) -> ClassTable {
    let rows = evaluation.classes.iter().map(|class| ClassRow {
        class: class.class.clone(),
        precision: class.precision,
        recall: class.recall,
        f1: class.f1_score,
        ap: class.average_precision,
        auc: class.roc_auc,
        support: class.support,
        train_images: few.get(&class.class).copied(),
    });
    ClassTable { split: evaluation.split.clone(), rows: rows.collect(), few_images: FEW_IMAGES as u64 }
}

fn confusion(evaluation: &Evaluation) -> Confusion {
    Confusion {
        split: evaluation.split.clone(),
        classes: evaluation.classes.iter().map(|class| class.class.clone()).collect(),
        counts: evaluation.confusion_matrix.iter().flatten().copied().collect(),
    }
}

/// The most confused pairs with some of their images.
fn confused(
    evaluation: &Evaluation,
    rows: &[PredictionRow],
    thumbnails: &mut Thumbnails,
) -> Vec<ConfusedPair> {
    let names: Vec<&str> = evaluation.classes.iter().map(|class| class.class.as_str()).collect();
    let mut pairs: Vec<(usize, usize, u64)> = Vec::new();
    for (truth, row) in evaluation.confusion_matrix.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|(guess, count)| *guess != truth && **count > 0);
        pairs.extend(wrong.map(|(guess, count)| (truth, guess, *count)));
        // Bounded also with thousands of classes.
        if pairs.len() > MATRIX_PAIRS * 2 {
            pairs.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
            pairs.truncate(MATRIX_PAIRS);
        }
    }
    pairs.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    pairs.truncate(PAIRS);
    let pair = |(truth, guess, count): (usize, usize, u64)| {
        let (true_class, predicted) = (names[truth], names[guess]);
        let mut of_pair: Vec<&PredictionRow> =
            rows.iter().filter(|row| row.label == true_class && row.prediction == predicted).collect();
        of_pair.sort_by(|one, other| other.probability.total_cmp(&one.probability));
        let examples = of_pair.iter().take(EXAMPLES_A_PAIR).map(|row| {
            let alt = format!("an image of {true_class} that was taken for {predicted}");
            thumbnails.get(&row.path, alt)
        });
        ConfusedPair {
            true_class: true_class.to_owned(),
            predicted: predicted.to_owned(),
            count,
            support: evaluation.classes[truth].support,
            examples: examples.collect(),
        }
    };
    pairs.into_iter().map(pair).collect()
}

/// The surest mistakes, the images whose two best classes are closest, and of each class the images
/// that are surest to be of it.
fn mistakes(evaluation: &Evaluation, rows: &[PredictionRow], thumbnails: &mut Thumbnails) -> Mistakes {
    let mut surest: Vec<&PredictionRow> = rows.iter().collect();
    surest.sort_by(|one, other| other.probability.total_cmp(&one.probability));
    let mut uncertain: Vec<(f64, &PredictionRow)> =
        rows.iter().filter_map(|row| Some((row.margin?, row))).collect();
    uncertain.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let worst = surest.iter().filter(|row| !row.correct).take(EXAMPLES);
    let worst = worst.map(|row| example(row, thumbnails)).collect();
    let uncertain = uncertain.into_iter().take(EXAMPLES).map(|(_, row)| example(row, thumbnails)).collect();
    let mut exemplars: Vec<(String, Vec<Thumbnail>)> = Vec::new();
    for class in evaluation.classes.iter().take(EXEMPLAR_CLASSES) {
        let of_class = surest.iter().filter(|row| row.correct && row.label == class.class);
        let images: Vec<Thumbnail> = of_class
            .take(EXAMPLES_A_PAIR)
            .map(|row| thumbnails.get(&row.path, format!("an image of {}", row.label)))
            .collect();
        if !images.is_empty() {
            exemplars.push((class.class.clone(), images));
        }
    }
    Mistakes { split: evaluation.split.clone(), worst, uncertain, exemplars }
}

/// The images that are least like those of training.
fn unlike(rows: &[PredictionRow], thumbnails: &mut Thumbnails) -> Vec<Example> {
    let mut unlike: Vec<(f64, &PredictionRow)> =
        rows.iter().filter_map(|row| Some((row.ood_score.filter(|score| *score > 1.0)?, row))).collect();
    unlike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    unlike.into_iter().take(EXAMPLES).map(|(_, row)| example(row, thumbnails)).collect()
}

fn example(row: &PredictionRow, thumbnails: &mut Thumbnails) -> Example {
    Example {
        image: thumbnails.get(&row.path, format!("an image of {}", row.label)),
        label: row.label.clone(),
        prediction: row.prediction.clone(),
        probability: row.probability,
    }
}

fn calibration(evaluation: &Evaluation) -> Option<Calibration> {
    let found = evaluation.calibration.as_ref()?;
    let is_scaled = found.temperature != 1.0;
    Some(Calibration {
        split: evaluation.split.clone(),
        before: reliability(&found.uncalibrated),
        after: is_scaled.then(|| reliability(&found.calibrated)),
        temperature: is_scaled.then_some(found.temperature),
    })
}

fn reliability(found: &data::Reliability) -> Reliability {
    let bins = found.bins.iter().filter_map(|bin| {
        Some(ReliabilityBin { confidence: bin.confidence?, accuracy: bin.accuracy?, count: bin.count })
    });
    Reliability { bins: bins.collect(), ece: found.ece.unwrap_or(f64::NAN) }
}

fn selective(evaluation: &Evaluation) -> Option<Selective> {
    let found = evaluation.risk_coverage.as_ref()?;
    let mut threshold = None;
    for &(at, coverage, risk) in &found.points {
        let is_shown = risk <= SHOWN_ERROR && coverage >= SHOWN_COVERAGE;
        if let Some(confidence) = at.filter(|_| is_shown) {
            let answered = (coverage * evaluation.num_samples as f64).round();
            let wrong = (risk * answered).round().min(answered);
            let bound =
                (answered > 0.0).then(|| clopper_pearson_upper(wrong as u64, answered as u64, DEFAULT_LEVEL));
            threshold = Some(Threshold { confidence, coverage, risk, bound, level: DEFAULT_LEVEL });
        }
    }
    Some(Selective {
        split: evaluation.split.clone(),
        points: found.points.iter().map(|(_, coverage, risk)| (*coverage, *risk)).collect(),
        threshold,
        aurc: found.aurc,
    })
}
