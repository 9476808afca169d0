//! A run's results → one HTML file, to be read in any browser, mailed or printed: it fetches
//! nothing and has no script. All text from outside is escaped by maud and shortened where it is
//! very long; every list is capped and says how many are not shown.
//!
//! In: plain data, [`Report`], [`Comparison`], [`Folds`] or [`Search`]. Out: the text of the file.

mod classes;
mod comparison;
mod confusion;
mod curves;
mod folds;
pub(crate) mod format;
mod header;
mod images;
mod intervals;
mod labels;
mod metrics;
mod page;
mod plot;
mod report;
mod results;
pub(crate) mod scale;
mod search;
mod setup;
mod several;
mod time;
mod trust;
mod value;

#[cfg(test)]
mod tests;

pub use page::MAX_THUMBNAIL_BYTES;
pub use report::{
    Average, AveragePoint, Curves, DataSet, Epoch, Header, Headline, LabelEpoch, Network, Report, Setting,
    Setup, Status, Timing,
};
pub use results::{
    Answered, Attention, Calibration, ClassRow, ClassTable, ConfusedPair, Confusion, Example, Explanation,
    Findings, Groups, LabelCalibration, LabelExample, LabelFindings, LabelIssue, LabelIssues, LabelMistakes,
    Metric, MetricKind, Mistakes, OutOfDistribution, PrecisionRecall, PrecisionRecallCurves, Reliability,
    ReliabilityBin, Selective, SplitMetrics, Threshold, Thumbnail,
};
pub use search::{Search, SearchKey, SearchTrial, render_search};
pub use several::{ComparedRun, Comparison, Fold, FoldKind, Folds, PairedTest, Spread};

pub use value::{Estimate, Interval, Part};

pub(crate) use format::{p_value, shorten};
pub(crate) use metrics::{kinds as metric_kinds, title as metric_title};
pub(crate) use several::{DifferingSetting, differing_settings};

use page::{Section, page};

/// The report of a run.
pub fn render(report: &Report) -> String {
    let first = [
        Section::of("setup", "What was trained", &report.setup, setup::setup),
        Section::of("curves", "Learning curves", &report.curves, curves::curves),
        Section::of("metrics", "Metrics", &report.metrics, |splits| metrics::metrics(splits)),
    ];
    let last = [
        Section::of("attention", "Where the network looks", &report.attention, images::attention),
        Section::of("time", "Time and memory", &report.timing, time::timing),
        Section::of("environment", "Environment", &report.environment, |rows| time::environment(rows)),
    ];
    let sections = first
        .into_iter()
        .chain(findings(&report.findings))
        .chain(labels::sections(&report.labels))
        .chain(last);
    let title = format!("{}: training report", report.header.name);
    page(&title, &header::header(report), sections, &report.header.program)
}

/// The sections of one evaluation.
fn findings(of: &Findings) -> [Option<Section>; 9] {
    [
        Section::of("classes", "Per-class metrics", &of.classes, classes::classes),
        Section::of("groups", classes::groups_title(&of.groups), &of.groups, classes::groups),
        Section::of("confusion", "Confusion matrix", &of.confusion, confusion::confusion),
        Section::of("pairs", "Most confused classes", &of.confused_pairs, |pairs| {
            images::confused_pairs(pairs)
        }),
        Section::of("mistakes", "Mistakes and uncertain images", &of.mistakes, images::mistakes),
        Section::of("labels", "Possible label errors", &of.label_issues, images::label_issues),
        Section::of("calibration", "Calibration", &of.calibration, trust::calibration),
        Section::of("selective", "Selective prediction", &of.selective, trust::selective),
        Section::of("ood", "Images unlike those of training", &of.out_of_distribution, |found| {
            images::out_of_distribution(found)
        }),
    ]
}

/// A comparison of runs on one data set.
pub fn render_comparison(comparison: &Comparison) -> String {
    let title = format!("Comparison of runs on {}", comparison.data_set);
    page(&title, &comparison::header(comparison), comparison::sections(comparison), &comparison.program)
}

/// A summary of runs over folds or seeds, with links to their reports.
pub fn render_folds(folds: &Folds) -> String {
    let title = format!("{}: summary of the runs", folds.name);
    let sections = folds::sections(folds).into_iter().chain(findings(&folds.findings));
    page(&title, &folds::header(folds), sections, &folds.program)
}
