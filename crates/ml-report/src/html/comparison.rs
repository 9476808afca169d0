//! Several runs side by side.

use maud::{Markup, html};

use super::curves::{epoch_axis, series};
use super::format::{self, NONE, decimal, name, plain, shorten};
use super::metrics;
use super::page::{Section, clamped, examples, left_out, linked, scroll};
use super::plot::{Plot, Series};
use super::report::Epoch;
use super::results::{Example, MetricKind};
use super::scale::{Axis, Unit};
use super::several::{ComparedRun, Comparison, DifferingSetting, PairedTest, differing_settings};
use super::value::{Interval, Part};

/// Runs in tables.
const RUNS: usize = 20;
/// Runs in plots: as many as there are colours.
const CURVES: usize = 8;
/// Rows of the table of settings.
const SETTINGS: usize = 200;
/// Pairs in the table, and pairs with images.
const PAIRS: usize = 50;
/// Pairs whose images are shown.
const PAIRS_WITH_IMAGES: usize = 6;
/// Images of a pair and direction.
const IMAGES: usize = 12;
/// Sentences below the title.
const NOTES: usize = 20;
/// Characters of a sentence.
const NOTE_LIMIT: usize = 2_000;
/// Characters of a run's name in a legend.
const LEGEND_LIMIT: usize = 60;

/// The top of the page.
pub(super) fn header(comparison: &Comparison) -> Markup {
    let Comparison { data_set, runs, notes, date, program, by_map, .. } = comparison;
    let kind = if *by_map { MetricKind::MeanAp } else { MetricKind::Accuracy };
    let best = runs.iter().filter_map(|run| Some((run, run.metrics.present()?.get(kind)?)));
    let best = best.filter(|of| of.1.value.is_finite()).max_by(|a, b| a.1.value.total_cmp(&b.1.value));
    html! {
        p.kind { "Comparison" }
        h1 { (format::counted(runs.len() as u64, "run")) " on " (name(data_set)) }
        @if let Some((run, accuracy)) = best {
            p.summary {
                @if *by_map { "Highest mAP: " } @else { "Highest accuracy: " } (name(&run.name)) ", " strong { (format::percent(accuracy.value)) }
                @if let Some(interval) = accuracy.interval {
                    " (95" (format::SPACE) "% interval " (format::percent_range(interval)) ")"
                }
                "."
            }
        }
        @for note in notes.iter().take(NOTES) { p.note { (format::lines(note, NOTE_LIMIT)) } }
        p.meta { (super::header::byline(date, program)) }
    }
}

/// The sections of the page.
pub(super) fn sections(comparison: &Comparison) -> Vec<Option<Section>> {
    let runs = &comparison.runs[..comparison.runs.len().min(RUNS)];
    let all = Part::Present(());
    vec![
        Section::of("metrics", "Metrics", &all, |()| {
            html! { (metric_table(runs)) (left_out(comparison.runs.len() as u64, RUNS, "run")) }
        }),
        Section::of("pairs", "Pairs of runs", &comparison.pairs, |pairs| pair_table(comparison, pairs)),
        Section::of("settings", "Settings that differ", &all, |()| settings(runs)),
        Section::of("curves", "Learning curves", &all, |()| curves(&comparison.runs)),
        if comparison.by_map {
            None
        } else {
            Section::of("images", "Images that one gets right", &comparison.pairs, |pairs| {
                disagreements(&comparison.runs, pairs)
            })
        },
    ]
}

fn run_heads(runs: &[ComparedRun]) -> Markup {
    html! { @for run in runs { th scope="col" { (linked(&run.name, run.link.as_deref())) } } }
}

fn metric_table(runs: &[ComparedRun]) -> Markup {
    let kinds = metrics::kinds(runs.iter().filter_map(|run| run.metrics.present()));
    let table = html! {
        table.numbers {
            thead { tr { th scope="col" { "Metric" } (run_heads(runs)) } }
            tbody {
                @if let Some(split) = runs.iter().find_map(|run| run.metrics.present()) {
                    tr { th scope="row" { "Split" } @for run in runs {
                        td { @match run.metrics.present() { Some(of) => (name(&of.split)), None => (NONE) } }
                    } }
                    @if split.images > 0 {
                        tr { th scope="row" { "Images" } @for run in runs {
                            td { (run.metrics.present().map_or(NONE.into(), |of| format::count(of.images))) }
                        } }
                    }
                }
                @for kind in kinds {
                    tr {
                        th scope="row" { (metrics::title(kind)) }
                        @for run in runs {
                            td { @match run.metrics.present() { Some(split) => (metrics::cell(split, kind)), None => (NONE) } }
                        }
                    }
                }
            }
        }
    };
    html! {
        (scroll("Metrics", &table))
        @for (run, reason) in runs.iter().filter_map(|run| missing(&run.metrics).map(|reason| (run, reason))) {
            p.missing { (name(&run.name)) ": " (plain(reason)) }
        }
    }
}

fn missing<T>(part: &Part<T>) -> Option<&str> {
    if let Part::Missing(reason) = part { Some(reason) } else { None }
}

/// `run 7` for an index that names no run.
fn run_name(runs: &[ComparedRun], index: usize) -> String {
    runs.get(index).map_or_else(|| format!("run {index}"), |run| run.name.clone())
}

fn pair_table(comparison: &Comparison, pairs: &[PairedTest]) -> Markup {
    let Comparison { runs, by_map, .. } = comparison;
    let points = |value: f64| decimal(value * 100.0, 1);
    let range = |of: Interval| format!("{} to {}", points(of.low), points(of.high));
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "First" }
                    th.text scope="col" { "Second" }
                    th scope="col" { "Difference" br; small { "percentage points" } }
                    th scope="col" { "Only first right" }
                    th scope="col" { "Only second right" }
                    th scope="col" { "Images" }
                    th scope="col" { "p" br; small { "McNemar" } }
                }
            }
            tbody {
                @for pair in pairs.iter().take(PAIRS) {
                    tr {
                        th scope="row" { (clamped(&run_name(runs, pair.runs.0))) }
                        td.text { (clamped(&run_name(runs, pair.runs.1))) }
                        td {
                            @if pair.difference > 0.0 { "+" } (points(pair.difference))
                            @if let Some(interval) = pair.interval { br; small { (range(interval)) } }
                        }
                        td { (format::count(pair.only_first)) }
                        td { (format::count(pair.only_second)) }
                        td { (format::count(pair.images)) }
                        td { (format::p_value(pair.p_value)) }
                    }
                }
            }
        }
    };
    html! {
        p {
            @if *by_map { "mAP" } @else { "Accuracy" } " of the second run less that of the first, on the same images, with the paired 95" (format::SPACE)
            "% interval. The p-value is the probability of a difference at least as large if both were equally good."
            @if *by_map {
                " It is that of the images whose labels are all right, and nothing else predicted: so many does only one get "
                "right."
            }
        }
        (scroll("Pairs of runs", &table))
        (left_out(pairs.len() as u64, PAIRS, "pair"))
    }
}

fn settings(runs: &[ComparedRun]) -> Markup {
    let (different, same) = differing_settings(runs);
    let table = html! {
        table {
            thead { tr { th scope="col" { "Setting" } (run_heads(runs)) } }
            tbody {
                @for DifferingSetting { key, values } in different.iter().take(SETTINGS) {
                    tr {
                        th scope="row" { (super::setup::key(key)) }
                        @for value in values {
                            td { @match value { Some(value) => (super::setup::value(value)), None => (NONE) } }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if different.is_empty() { p { "None: all runs have the same settings." } } @else {
            (scroll("Settings that differ", &table))
            (left_out(different.len() as u64, SETTINGS, "setting"))
        }
        @if same > 0 { p.note { "Settings that are the same in all runs: " (format::count(same as u64)) "." } }
    }
}

fn curves(runs: &[ComparedRun]) -> Markup {
    let with_curves =
        || runs.iter().filter(|run| run.curves.present().is_some_and(|curves| !curves.epochs.is_empty()));
    let shown: Vec<(String, &[Epoch])> = with_curves()
        .take(CURVES)
        .filter_map(|run| {
            Some((shorten(&plain(&run.name), LEGEND_LIMIT), run.curves.present()?.epochs.as_slice()))
        })
        .collect();
    let overlay = |title: &str, label: &'static str, unit: Unit, of: fn(&Epoch) -> f64| {
        let epochs = || shown.iter().flat_map(|run| run.1.iter());
        let axis = Axis::over(epochs().map(of), unit);
        let mut plot = Plot::new(title, ("epoch", epoch_axis(epochs())), (label, axis));
        plot.series = shown
            .iter()
            .enumerate()
            .map(|(style, run)| -> Series { series(&run.0, style, run.1, of) })
            .collect();
        plot.render()
    };
    html! {
        @if shown.is_empty() { p.missing { "No run has metrics by epoch." } } @else {
            @let has_labels = shown.iter().any(|run| super::curves::has_labels(run.1));
            div.plots {
                (overlay("Validation loss", "loss", Unit::Number, |epoch| epoch.val_loss))
                @if has_labels {
                    (overlay("Validation mAP", "mAP", Unit::Percent, |epoch| epoch.labels.map_or(f64::NAN, |of| of.map)))
                } @else {
                    (overlay("Validation accuracy", "accuracy", Unit::Percent, |epoch| epoch.val_accuracy))
                }
                (overlay("Training loss", "loss", Unit::Number, |epoch| epoch.train_loss))
            }
            (left_out(with_curves().count() as u64, CURVES, "run"))
        }
    }
}

fn disagreements(runs: &[ComparedRun], pairs: &[PairedTest]) -> Markup {
    let with_images =
        || pairs.iter().filter(|pair| !pair.first_right.is_empty() || !pair.second_right.is_empty());
    let direction = |right: usize, wrong: usize, count: u64, images: &[Example]| {
        let (right, wrong) = (run_name(runs, right), run_name(runs, wrong));
        html! {
            @if !images.is_empty() {
                h3 { (name(&right)) " right, " (name(&wrong)) " wrong" }
                p.note { (format::counted(count, "image")) "; the prediction shown is that of " (name(&wrong)) "." }
                (examples(images, IMAGES, count))
            }
        }
    };
    html! {
        @if with_images().next().is_none() { p { "There are no images to show." } }
        @for pair in with_images().take(PAIRS_WITH_IMAGES) {
            (direction(pair.runs.0, pair.runs.1, pair.only_first, &pair.first_right))
            (direction(pair.runs.1, pair.runs.0, pair.only_second, &pair.second_right))
        }
        (left_out(with_images().count() as u64, PAIRS_WITH_IMAGES, "pair"))
    }
}
