//! Runs over folds or seeds, together.

use maud::{Markup, html};

use super::format::{self, NONE, SPACE, name, plain};
use super::header::badge;
use super::intervals::{Row, dots};
use super::metrics;
use super::page::{Section, left_out, linked, scroll};
use super::results::MetricKind;
use super::several::{Fold, FoldKind, Folds, Spread};
use super::value::{Estimate, Part};

/// Rows of the table.
const FOLDS: usize = 200;
/// Rows of the plot.
const PLOTTED: usize = 20;

/// The top of the page.
pub(super) fn header(folds: &Folds) -> Markup {
    let Folds { name: title, network, data_set, spread, date, program, .. } = folds;
    let accuracy = spread.iter().find(|of| of.kind == MetricKind::Accuracy);
    html! {
        p.kind { @match folds.kind { FoldKind::CrossValidation => "Cross-validation", FoldKind::Seeds => "Several seeds" } }
        h1 { (name(title)) }
        p.summary {
            (name(network)) " on " (name(data_set)) ", " (format::counted(folds.folds.len() as u64, noun(folds.kind)))
            @if let Some(of) = accuracy {
                ": accuracy " strong { (mean_and_sd(of)) }
                @if let Some(interval) = of.interval {
                    " (95" (format::SPACE) "% interval of the mean " (format::percent_range(interval)) ")"
                }
            }
            "."
        }
        p.meta { (super::header::byline(date, program)) }
    }
}

fn noun(kind: FoldKind) -> &'static str {
    match kind {
        FoldKind::CrossValidation => "fold",
        FoldKind::Seeds => "seed",
    }
}

/// `93.2 ± 0.8 %`.
fn mean_and_sd(of: &Spread) -> String {
    let (mean, sd) = (format::metric(of.kind, of.mean), format::metric(of.kind, of.sd));
    match mean.strip_suffix('%') {
        Some(number) => format!("{}{SPACE}±{SPACE}{sd}", number.trim_end()),
        None => format!("{mean}{SPACE}±{SPACE}{sd}"),
    }
}

/// The sections of the page.
pub(super) fn sections(folds: &Folds) -> Vec<Option<Section>> {
    let all = Part::Present(());
    let title = match folds.kind {
        FoldKind::CrossValidation => "Folds",
        FoldKind::Seeds => "Seeds",
    };
    vec![
        Section::of("folds", title, &all, |()| html! { (table(folds)) (plot(folds)) }),
        Section::of("out-of-fold", "Out-of-fold metrics", &folds.out_of_fold, |split| {
            html! {
                p { "Over all images, each predicted by the network that did not train on it." }
                (metrics::metrics(std::slice::from_ref(split)))
            }
        }),
    ]
}

fn table(folds: &Folds) -> Markup {
    let mut kinds = metrics::kinds(folds.folds.iter().filter_map(|fold| fold.metrics.present()));
    kinds.extend(folds.spread.iter().map(|of| of.kind));
    let mut seen = std::collections::HashSet::new();
    kinds.retain(|kind| seen.insert(*kind));
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Run" }
                    @for kind in &kinds { th scope="col" { (metrics::title(*kind)) } }
                    th scope="col" { "Images" }
                    th scope="col" { "Best epoch" }
                    th.text scope="col" { "Status" }
                }
            }
            tbody { @for fold in folds.folds.iter().take(FOLDS) { (row(fold, &kinds)) } }
            @if !folds.spread.is_empty() {
                tfoot {
                    tr {
                        th scope="row" { "Mean ± sd" br; small { "95" (format::SPACE) "% interval of the mean" } }
                        @for kind in &kinds { td { (spread(folds, *kind)) } }
                        td {} td {} td {}
                    }
                }
            }
        }
    };
    let reasons = folds.folds.iter().filter_map(|fold| match &fold.metrics {
        Part::Missing(reason) => Some((fold, reason)),
        _ => None,
    });
    html! {
        (scroll("Runs", &table))
        (left_out(folds.folds.len() as u64, FOLDS, "run"))
        @for (fold, reason) in reasons.take(FOLDS) { p.missing { (name(&fold.name)) ": " (plain(reason)) } }
    }
}

fn row(fold: &Fold, kinds: &[MetricKind]) -> Markup {
    let split = fold.metrics.present();
    html! {
        tr {
            th scope="row" { (linked(&fold.name, fold.link.as_deref())) }
            @for kind in kinds {
                td { @match split { Some(split) => (metrics::cell(split, *kind)), None => (NONE) } }
            }
            td { (split.map_or(NONE.into(), |split| format::count(split.images))) }
            td { (fold.best_epoch.map_or(NONE.into(), format::count)) }
            td.text { (badge(&fold.status)) }
        }
    }
}

fn spread(folds: &Folds, kind: MetricKind) -> Markup {
    let of = folds.spread.iter().find(|of| of.kind == kind);
    html! {
        @match of {
            Some(of) => {
                (mean_and_sd(of))
                @if let Some(interval) = of.interval { br; small { (format::metric_range(kind, interval)) } }
            }
            None => (NONE),
        }
    }
}

/// The accuracy of each run and the mean.
fn plot(folds: &Folds) -> Markup {
    let accuracy = |fold: &Fold| fold.metrics.present()?.get(MetricKind::Accuracy);
    let mut rows: Vec<Row> = folds
        .folds
        .iter()
        .filter_map(|fold| Some(Row { name: fold.name.clone(), estimate: accuracy(fold)?, is_mean: false }))
        .take(PLOTTED)
        .collect();
    let mean = folds.spread.iter().find(|of| of.kind == MetricKind::Accuracy);
    rows.extend(mean.map(|of| {
        let estimate = Estimate { value: of.mean, interval: of.interval };
        Row { name: "mean".into(), estimate, is_mean: true }
    }));
    dots("Accuracy and 95 % intervals", &rows)
}
