//! One evaluation and its tables → what a page shows of its images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ml_core::run::FEW_IMAGES;
use ml_data::dataset::{MANIFEST_FILE, RAW_FOLDER, SPLITS_FOLDER, shell_quoted};

use super::again;
use super::data::{self, ClassFigures, Evaluation, LabelIssue, PredictionRow};
use super::images::Thumbnails;
use crate::groups::{GroupResult, GroupedBy};
use crate::html::{
    ClassRow, ClassTable, ConfusedPair, Confusion, Estimate, Example, Findings, Groups, Interval,
    LabelIssues, Mistakes, OutOfDistribution, Part, Thumbnail,
};

const PAIRS: usize = 12;
const EXAMPLES_A_PAIR: usize = 4;
const EXAMPLES: usize = 24;
/// Classes whose surest images are shown.
const EXEMPLAR_CLASSES: usize = 25;
const ISSUES: usize = 48;
const MATRIX_PAIRS: usize = 200;

/// Metrics of the classes, confusions, mistakes, groups and images unlike those of training. Of a
/// class by number and name, `train_images` says how many training images it has.
pub fn findings(
    of: &Evaluation,
    rows: &Result<Vec<PredictionRow>, String>,
    train_images: impl Fn(usize, &str) -> Option<u64>,
) -> Findings {
    let mut thumbnails = Thumbnails::below(&of.root);
    let known = rows.as_deref().unwrap_or_default();
    let mistakes = match rows {
        Ok(rows) => Part::Present(mistakes(of, rows, &mut thumbnails)),
        Err(reason) => Part::Missing(reason.clone()),
    };
    let out_of_distribution = of.out_of_distribution.as_ref().map(|found| OutOfDistribution {
        split: of.shown_split(),
        accepted: found.accepted,
        examples: unlike(known, &mut thumbnails),
    });
    Findings {
        classes: Part::Present(classes(of, train_images)),
        groups: groups(of).map_or(Part::Omitted, Part::Present),
        confusion: Part::Present(confusion(of)),
        confused_pairs: Part::Present(confused(of, known, &mut thumbnails)),
        mistakes,
        out_of_distribution: out_of_distribution.map_or(Part::Omitted, Part::Present),
        ..Findings::default()
    }
}

/// Images whose labels are likely wrong in `evaluations`, whose tables lie in `folder`.
///
/// # Errors
/// A table cannot be read, or an earlier version evaluated; says so in a sentence.
pub fn label_issues(
    evaluations: &[&Evaluation],
    folder: &Path,
    data_dir: &Path,
) -> Result<LabelIssues, String> {
    let mut all = LabelIssues::default();
    let mut listed = Vec::new();
    for evaluation in evaluations {
        let Some(counts) = &evaluation.label_issues else { continue };
        let path = folder.join(format!("label_issues_{}.csv", evaluation.split));
        let rows: Vec<LabelIssue> = data::rows(&path)?;
        all.total += counts.count;
        all.examined += counts.examined;
        listed.extend(rows.into_iter().take(ISSUES).map(|row| (&evaluation.root, row)));
        if counts.count > 0 {
            all.commands.extend(commands(&path, &evaluation.shown_split(), data_dir));
        }
    }
    if all.examined == 0 {
        return Err(again());
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

/// What to do with the labels of a list; nothing where `ml-split` has not split the images.
fn commands(list: &Path, split: &str, data_dir: &Path) -> Vec<(String, String)> {
    let Some(raw) = raw_folder(data_dir) else { return Vec::new() };
    let (list, raw) = (shell_quoted(list), shell_quoted(&raw));
    vec![
        (
            format!("split the images again without those of the {split} split"),
            format!("ml-split {raw} --force --exclude {list}"),
        ),
        (
            "or make a tree of folders in which they have the suggested label".to_owned(),
            format!("ml-split {raw} --layout folders --relabel {list}"),
        ),
    ]
}

/// What `ml-split` has split for a run; none where the splits are folders.
fn raw_folder(data_dir: &Path) -> Option<PathBuf> {
    let raw = data_dir.join(RAW_FOLDER);
    let is_split = data_dir.join(SPLITS_FOLDER).join(MANIFEST_FILE).is_file();
    is_split.then(|| if raw.is_dir() { raw } else { data_dir.to_owned() })
}

fn classes(evaluation: &Evaluation, train_images: impl Fn(usize, &str) -> Option<u64>) -> ClassTable {
    let rows = evaluation.classes.iter().enumerate().map(|(place, class)| ClassRow {
        class: class.class.clone(),
        precision: class.precision,
        recall: class.recall,
        f1: class.f1_score,
        ap: class.average_precision,
        auc: class.roc_auc,
        threshold: None,
        support: class.support,
        train_images: train_images(place, &class.class),
    });
    ClassTable { split: evaluation.shown_split(), rows: rows.collect(), few_images: FEW_IMAGES as u64 }
}

/// By group, and without groups by folder.
fn groups(evaluation: &Evaluation) -> Option<Groups> {
    let by_folder = evaluation.folders.as_ref().map(|found| (GroupedBy::Folder, found));
    let (by, found) = evaluation.groups.as_ref().map(|found| (GroupedBy::Group, found)).or(by_folder)?;
    let row = |of: &GroupResult| {
        let [low, high] = of.interval;
        let interval = Some(Interval { low, high });
        (of.group.clone(), of.count, Estimate { value: of.accuracy(), interval })
    };
    Some(Groups { split: evaluation.shown_split(), by, rows: found.iter().map(row).collect() })
}

fn confusion(evaluation: &Evaluation) -> Confusion {
    Confusion {
        split: evaluation.shown_split(),
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
        of_pair.sort_by(|one, other| other.certainty().total_cmp(&one.certainty()));
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

/// The surest mistakes, the images whose two best classes are closest, and typical images of the
/// classes.
fn mistakes(evaluation: &Evaluation, rows: &[PredictionRow], thumbnails: &mut Thumbnails) -> Mistakes {
    let mut surest: Vec<&PredictionRow> = rows.iter().collect();
    surest.sort_by(|one, other| other.certainty().total_cmp(&one.certainty()));
    let margin = |row: &PredictionRow| row.margin.filter(|margin| !margin.is_nan());
    let mut uncertain: Vec<(f64, &PredictionRow)> =
        rows.iter().filter_map(|row| Some((margin(row)?, row))).collect();
    uncertain.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let worst = surest.iter().filter(|row| !row.correct).take(EXAMPLES);
    Mistakes {
        split: evaluation.shown_split(),
        worst: worst.map(|row| example(row, thumbnails)).collect(),
        uncertain: uncertain.iter().take(EXAMPLES).map(|(_, row)| example(row, thumbnails)).collect(),
        exemplars: exemplars(evaluation, &surest, thumbnails),
    }
}

/// Of the classes with the lowest F1, the images that are surest to be of them. The surest come
/// first in `surest`.
fn exemplars(
    evaluation: &Evaluation,
    surest: &[&PredictionRow],
    thumbnails: &mut Thumbnails,
) -> Vec<(String, Vec<Thumbnail>)> {
    let mut of_class: HashMap<&str, Vec<&PredictionRow>> = HashMap::new();
    for row in surest.iter().filter(|row| row.correct && !row.probability.is_nan()) {
        let rows = of_class.entry(row.label.as_str()).or_default();
        if rows.len() < EXAMPLES_A_PAIR {
            rows.push(row);
        }
    }
    let mut classes: Vec<&ClassFigures> = evaluation.classes.iter().collect();
    classes.sort_by(|one, other| one.f1_score.total_cmp(&other.f1_score));
    let with_images = classes.iter().filter_map(|class| Some((class, of_class.get(class.class.as_str())?)));
    with_images
        .take(EXEMPLAR_CLASSES)
        .map(|(class, rows)| {
            let image =
                |row: &&PredictionRow| thumbnails.get(&row.path, format!("an image of {}", row.label));
            (class.class.clone(), rows.iter().map(image).collect())
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::super::testing::{evaluation, row};
    use super::*;

    fn of_classes(f1: &[f64]) -> Evaluation {
        let class = |(place, f1): (usize, &f64)| {
            let name = format!("c{place}");
            serde_json::json!({"class": name, "precision": 0, "recall": 0, "f1_score": f1, "support": 1})
        };
        let classes: Vec<_> = f1.iter().enumerate().map(class).collect();
        evaluation("val", serde_json::json!({"classes": classes}))
    }

    #[test]
    fn images_without_a_probability_do_not_lead_the_lists() {
        let rows = [
            row("nan.png", f64::NAN, false),
            row("sure.png", 0.9, false),
            row("negative nan.png", -f64::NAN, false),
            row("unsure.png", 0.4, false),
        ];
        let found = mistakes(&of_classes(&[0.5]), &rows, &mut Thumbnails::below(Path::new("/nowhere")));
        let of = |list: &[Example]| list.iter().map(|one| one.image.caption.clone()).collect::<Vec<_>>();
        assert_eq!(of(&found.worst)[..2], ["sure.png", "unsure.png"]);
        assert_eq!(of(&found.uncertain), ["unsure.png", "sure.png"]);
    }

    #[test]
    fn typical_images_are_of_the_classes_with_the_lowest_f1() {
        let f1: Vec<f64> = (0..40).map(|place| 1.0 - f64::from(place) / 100.0).collect();
        let rows: Vec<PredictionRow> = (0..40)
            .flat_map(|place| (0..6).map(move |image| (place, image)))
            .map(|(place, image)| PredictionRow {
                label: format!("c{place}"),
                prediction: format!("c{place}"),
                ..row(&format!("{place}/{image}.png"), 0.5 + f64::from(image) / 100.0, true)
            })
            .collect();
        let found =
            mistakes(&of_classes(&f1), &rows, &mut Thumbnails::below(Path::new("/nowhere"))).exemplars;
        assert_eq!(found.len(), EXEMPLAR_CLASSES);
        assert_eq!((found[0].0.as_str(), found[24].0.as_str()), ("c39", "c15"));
        assert_eq!((found[0].1.len(), found[0].1[0].caption.as_str()), (EXAMPLES_A_PAIR, "39/5.png"));
    }
}
