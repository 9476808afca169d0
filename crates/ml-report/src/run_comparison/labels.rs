//! Runs whose images have several labels → their comparison: mAP on the same images, and for pairs of
//! runs the interval of the difference and the images whose labels only one gets all right.

use std::collections::HashMap;
use std::path::Path;

use ml_core::device::num_threads;
use ml_core::metrics::Probabilities;
use ml_core::metrics::intervals::{BootstrapConfig, Estimate};
use ml_core::metrics::multilabel::{
    ClassThresholds, MultiHot, MultilabelMetrics, paired_bootstrap_mean_average_precision,
};
use ml_core::run::Run;
use ml_data::table::printable;

use super::error::{ComparisonError, evaluate};
use super::inputs::{self, Input};
use super::matching::{self, Matched};
use super::pairs::{self, ALL_PAIRS_UP_TO};
use super::rows::Row;
use super::{Options, compared, data_sets};
use crate::html::{Comparison, MetricKind, PairedTest, Part, SplitMetrics};
use crate::label_report::{SEPARATOR, joined};
use crate::npy;
use crate::run_report::{LabelEvaluation, curves, label_report_path, label_rows};

/// What the label report and the probabilities of a run say.
pub(super) struct Labelled {
    evaluation: LabelEvaluation,
    /// `[N, K]`, the columns as the classes of the first run.
    probabilities: Vec<f32>,
    /// `[K]`, likewise.
    thresholds: Vec<f32>,
}

/// Sets of labels, numbered as they are found.
#[derive(Default)]
struct Sets {
    /// Names of the classes of the first run.
    classes: Vec<String>,
    numbers: HashMap<Vec<u32>, usize>,
    found: Vec<Vec<u32>>,
}

impl Sets {
    /// The number of a set of class numbers.
    fn number(&mut self, mut classes: Vec<u32>) -> usize {
        classes.sort_unstable();
        classes.dedup();
        *self.numbers.entry(classes).or_insert_with_key(|classes| {
            self.found.push(classes.clone());
            self.found.len() - 1
        })
    }

    /// As messages name each set.
    fn names(&self) -> Vec<String> {
        let name = |class: &u32| self.classes[*class as usize].as_str();
        self.found.iter().map(|set| joined(set.iter().map(name))).collect()
    }
}

/// Compares two or more runs, all of images with several labels.
///
/// # Errors
/// See [`ComparisonError`].
pub(super) fn compare(runs: &[Run], options: &Options) -> Result<Comparison, ComparisonError> {
    let folders: Vec<&Path> = runs.iter().map(Run::folder).collect();
    inputs::check(&folders)?;
    let split = inputs::split(runs, options.split.as_deref())?;
    let mut sets = Sets::default();
    let mut inputs: Vec<Input<Labelled>> = Vec::new();
    for (run, name) in runs.iter().zip(inputs::names(&folders)) {
        let found = input(run, name, split, &mut sets, inputs.first())?;
        inputs.push(found);
    }
    let matched = matching::match_images(&inputs, &sets.names(), options.common)?;
    let pairs = Images::new(&inputs, &matched, &sets);
    let metrics: Vec<SplitMetrics> = (0..inputs.len()).map(|run| pairs.metrics(run)).collect();
    let (tests, best) = pairs.tests(&metrics);
    let notes = notes(&matched, tests.len(), best.map(|best| inputs[best].name.as_str()));
    let data_set = data_sets(&inputs);
    Ok(Comparison {
        data_set,
        runs: inputs.into_iter().zip(metrics).map(|(input, metrics)| compared(input, metrics)).collect(),
        pairs: Part::Present(tests),
        by_map: true,
        notes,
        date: options.date.clone(),
        program: format!("ml-visualise {}", env!("CARGO_PKG_VERSION")),
    })
}

/// What a run predicted of `split`, with classes numbered as those of `first`.
fn input(
    run: &Run,
    name: String,
    split: &str,
    sets: &mut Sets,
    first: Option<&Input<Labelled>>,
) -> Result<Input<Labelled>, ComparisonError> {
    let summary = run.read_summary()?;
    let settings = inputs::settings_of(run, &summary)?;
    let damaged = |reason| ComparisonError::Evaluation { reason, command: evaluate(run.folder(), split) };
    let folder = run.report_dir();
    let evaluation = LabelEvaluation::read(&label_report_path(&folder, split)).map_err(damaged)?;
    let names: Vec<&str> = evaluation.classes.iter().map(|of| of.class.as_str()).collect();
    if let Some(class) = names.iter().find(|class| class.contains(SEPARATOR)) {
        return Err(ComparisonError::Separator { class: printable(class) });
    }
    match first {
        None => sets.classes = names.iter().map(|&class| class.to_owned()).collect(),
        Some(first) => check_classes(&sets.classes, &first.name, &names, &name)?,
    }
    let numbers: HashMap<&str, usize> =
        sets.classes.iter().enumerate().map(|(number, class)| (class.as_str(), number)).collect();
    let of_first: Vec<usize> = names.iter().filter_map(|class| numbers.get(class).copied()).collect();
    let listed = label_rows(&folder, &evaluation).map_err(damaged)?;
    let file = folder.join(format!("probabilities_{split}.npy"));
    let own = npy::read(&file, listed.len(), names.len()).map_err(damaged)?;
    let set_of = |text: &str| -> Result<Vec<u32>, String> {
        let labels = text.split(SEPARATOR).filter(|label| !label.is_empty());
        let number = |label: &str| numbers.get(label).map(|number| *number as u32);
        let unknown = |label: &str| format!("`{}` is no class of the label report.", printable(label));
        labels.map(|label| number(label).ok_or_else(|| unknown(label))).collect()
    };
    let both =
        listed.iter().map(|row| -> Result<_, String> { Ok((set_of(&row.labels)?, set_of(&row.predicted)?)) });
    let read: Result<Vec<_>, String> = both.collect();
    let read = read.map_err(damaged)?;
    if listed.len() as u64 != evaluation.num_samples {
        let reason = format!("The predictions of the {split} split are not those of the label report.");
        return Err(damaged(reason));
    }
    let mut probabilities = vec![0.0; own.len()];
    let mut thresholds = vec![0.0; names.len()];
    for (place, &class) in of_first.iter().enumerate() {
        thresholds[class] = evaluation.classes[place].threshold as f32;
        let columns = own.iter().skip(place).step_by(names.len());
        for (to, from) in probabilities.iter_mut().skip(class).step_by(names.len()).zip(columns) {
            *to = *from;
        }
    }
    let rows = listed.into_iter().zip(read).map(|(row, (labels, predicted))| Row {
        path: row.path,
        label: sets.number(labels),
        prediction: sets.number(predicted),
        probability: f64::NAN,
    });
    let rows = rows.collect();
    let root = evaluation.root.clone();
    Ok(Input {
        name,
        data_set: inputs::last_part(Path::new(&summary.data_dir)),
        settings,
        curves: curves(run, summary.best_epoch),
        evaluation: Labelled { evaluation, probabilities, thresholds },
        root,
        rows,
    })
}

/// The classes of a run are those of the first, in any order.
fn check_classes(
    first: &[String],
    first_name: &str,
    other: &[&str],
    name: &str,
) -> Result<(), ComparisonError> {
    let only = |one: &[&str], of: &str, other: &[&str]| {
        let class = one.iter().find(|class| !other.contains(class))?;
        Some(format!("only {of} has `{}`", printable(class)))
    };
    let ours: Vec<&str> = first.iter().map(String::as_str).collect();
    let differences = [only(&ours, first_name, other), only(other, name, &ours)];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    if differences.is_empty() && first.len() == other.len() {
        return Ok(());
    }
    Err(ComparisonError::Classes {
        first: first_name.to_owned(),
        second: name.to_owned(),
        differences: differences.join(", "),
    })
}

/// The images that are compared, in one order.
struct Images<'a> {
    inputs: &'a [Input<Labelled>],
    matched: &'a Matched,
    num_classes: usize,
    /// Of each run, `[N, K]`.
    probabilities: Vec<Vec<f32>>,
    /// None without classes.
    labels: Option<MultiHot>,
}

impl<'a> Images<'a> {
    fn new(inputs: &'a [Input<Labelled>], matched: &'a Matched, sets: &Sets) -> Images<'a> {
        let num_classes = sets.classes.len();
        let of_run = |(input, rows): (&Input<Labelled>, &Vec<usize>)| {
            let row = |&row: &usize| &input.evaluation.probabilities[row * num_classes..][..num_classes];
            rows.iter().flat_map(row).copied().collect()
        };
        let labels = matched.of(inputs, 0).map(|row| &sets.found[row.label]);
        Images {
            inputs,
            matched,
            num_classes,
            probabilities: inputs.iter().zip(&matched.rows).map(of_run).collect(),
            labels: MultiHot::from_sets(num_classes, labels).ok(),
        }
    }

    fn scores(&self, run: usize) -> Option<Probabilities<'_>> {
        Probabilities::new(&self.probabilities[run], self.num_classes).ok()
    }

    /// As in the report of the run, or where images are left out, computed on those that are compared.
    fn metrics(&self, run: usize) -> SplitMetrics {
        let Labelled { evaluation, thresholds, .. } = &self.inputs[run].evaluation;
        let whole = evaluation.metrics();
        if self.matched.is_complete {
            return whole;
        }
        let thresholds = ClassThresholds::new(thresholds.clone()).ok();
        let (Some(scores), Some(labels), Some(thresholds)) = (self.scores(run), &self.labels, thresholds)
        else {
            return SplitMetrics { metrics: Vec::new(), ..whole };
        };
        let found = MultilabelMetrics::new(scores, labels, &thresholds, num_threads());
        LabelEvaluation::metrics_of(&evaluation.split, &found)
    }

    /// The tests, and the run that all others are compared with where not all pairs are.
    fn tests(&self, metrics: &[SplitMetrics]) -> (Vec<PairedTest>, Option<usize>) {
        let runs = self.inputs.len();
        let map =
            |run: &usize| metrics[*run].get(MetricKind::MeanAp).map_or(f64::NEG_INFINITY, |of| of.value);
        let best = (runs > ALL_PAIRS_UP_TO)
            .then(|| (0..runs).rev().max_by(|one, other| map(one).total_cmp(&map(other))).unwrap_or(0));
        let pairs: Vec<(usize, usize)> = match best {
            Some(best) => (0..runs).filter(|run| *run != best).map(|run| (best, run)).collect(),
            None => (0..runs).flat_map(|one| (one + 1..runs).map(move |two| (one, two))).collect(),
        };
        (pairs.into_iter().map(|pair| self.test(pair)).collect(), best)
    }

    fn test(&self, runs: (usize, usize)) -> PairedTest {
        let right =
            |run: usize| self.matched.of(self.inputs, run).map(Row::is_correct).collect::<Vec<bool>>();
        let (first, second) = (right(runs.0), right(runs.1));
        pairs::paired(runs, [&first, &second], self.difference(runs))
    }

    /// The second's mAP less the first's; none where no image has a label.
    fn difference(&self, (first, second): (usize, usize)) -> Option<Estimate> {
        let config = BootstrapConfig { threads: num_threads(), ..BootstrapConfig::default() };
        let (first, second) = (self.scores(first)?, self.scores(second)?);
        paired_bootstrap_mean_average_precision(second, first, self.labels.as_ref()?, &config)
    }
}

fn notes(matched: &Matched, pairs: usize, best: Option<&str>) -> Vec<String> {
    let mut notes = matched.notes.clone();
    if !matched.is_complete {
        notes.push("Metrics are computed on these images, without the loss.".to_owned());
    }
    if let Some(best) = best {
        notes.push(format!(
            "With more than {ALL_PAIRS_UP_TO} runs, each is tested only against the one of highest mAP on these \
             images: {best}."
        ));
    }
    if pairs > 1 {
        notes.push(format!(
            "Each interval and p-value is of its pair alone, not corrected for {pairs} tests."
        ));
    }
    notes.push("The thresholds of each run were fitted to its validation split.".to_owned());
    notes.push(
        "The tests are about these trained networks on images like these; with another seed, a training \
         gives another network."
            .to_owned(),
    );
    notes
}
