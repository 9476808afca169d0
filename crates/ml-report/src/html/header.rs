//! The top of the page: name, status, summary and the most important numbers.

use maud::{Markup, html};

use super::format::{self, name};
use super::page::clamped;
use super::report::{Header, Report, Status};
use super::results::MetricKind;

/// Of a run.
pub(super) fn header(report: &Report) -> Markup {
    let Header { name: run, status, date, program, .. } = &report.header;
    html! {
        p.kind { "Training report" }
        h1 { (clamped(run)) }
        p.summary { (summary(&report.header)) }
        (status_line(status))
        (tiles(&key_numbers(report)))
        p.meta { (byline(date, program)) }
    }
}

/// `resnet18 on flowers, 5 classes: 93.2 % of 1,024 test images right (95 % interval …).`
fn summary(header: &Header) -> Markup {
    html! {
        (name(&header.network)) " on " (name(&header.data_set)) ", " (format::counted(header.classes, "class")) ": "
        @match &header.headline {
            Some(headline) => {
                @if headline.kind == MetricKind::Accuracy {
                    strong { (format::percent(headline.estimate.value)) }
                    " of " (format::count(headline.images)) " " (name(&headline.split)) " images right"
                } @else {
                    (super::metrics::title(headline.kind)) " "
                    strong { (format::percent(headline.estimate.value)) }
                    " on " (format::count(headline.images)) " " (name(&headline.split)) " images"
                }
                @if let Some(interval) = headline.estimate.interval {
                    " (95" (format::SPACE) "% interval " (format::percent_range(interval)) ")"
                }
                "."
            }
            None => "not evaluated.",
        }
    }
}

/// The status as a badge, and its reason.
fn status_line(status: &Status) -> Markup {
    let reason = match status {
        Status::Completed => "",
        Status::EarlyStopped(reason) | Status::Interrupted(reason) | Status::Failed(reason) => reason,
    };
    html! { p.status { (badge(status)) @if !reason.is_empty() { " " (name(reason)) } } }
}

/// The status in a word.
pub(super) fn badge(status: &Status) -> Markup {
    let (class, text) = match status {
        Status::Completed => ("badge good", "completed"),
        Status::EarlyStopped(_) => ("badge good", "early stopped"),
        Status::Interrupted(_) => ("badge warn", "interrupted"),
        Status::Failed(_) => ("badge bad", "failed"),
    };
    html! { span class=(class) { (text) } }
}

/// Date and program.
pub(super) fn byline(date: &str, program: &str) -> String {
    [date, program]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(format::plain)
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Numbers with a line below each.
fn tiles(tiles: &[(String, String)]) -> Markup {
    html! {
        @if !tiles.is_empty() {
            dl.tiles { @for (label, value) in tiles { div { dt { (label) } dd { (value) } } } }
        }
    }
}

fn key_numbers(report: &Report) -> Vec<(String, String)> {
    let mut tiles = Vec::new();
    let split = report.header.headline.as_ref().map(|headline| headline.split.as_str());
    let metrics =
        report.metrics.present().and_then(|splits| splits.iter().find(|of| Some(of.split.as_str()) == split));
    if let Some(metrics) = metrics {
        // With several labels an image there is no accuracy, and else no mAP.
        let wanted = [
            MetricKind::MeanAp,
            MetricKind::MicroF1,
            MetricKind::Accuracy,
            MetricKind::BalancedAccuracy,
            MetricKind::MacroF1,
            MetricKind::SampleF1,
            MetricKind::HammingLoss,
            MetricKind::SubsetAccuracy,
        ];
        for (kind, estimate) in wanted.into_iter().filter_map(|kind| Some((kind, metrics.get(kind)?))) {
            tiles.push((super::metrics::title(kind), format::metric(kind, estimate.value)));
        }
    }
    if let Some(calibration) = report.findings.calibration.present() {
        let ece = calibration.after.as_ref().map_or(calibration.before.ece, |after| after.ece);
        tiles.push(("Calibration error".into(), format::percent(ece)));
    }
    if let Some(best) = report.curves.present().and_then(|curves| curves.best_epoch) {
        let of = report.timing.present().map(|timing| timing.epochs).filter(|epochs| *epochs >= best);
        let of = of.map(|epochs| format!(" of {}", format::count(epochs))).unwrap_or_default();
        tiles.push(("Best epoch".into(), format!("{}{of}", format::count(best))));
    }
    if let Some(timing) = report.timing.present() {
        tiles.push(("Time".into(), format::duration(timing.total_seconds)));
    }
    tiles
}
