//! Sections of images with several labels: precision-recall curves, mistakes, calibration.

use maud::{Markup, html};

use super::format::{self, SPACE, decimal, name, percent, plain, shorten};
use super::page::{Section, caption, clamped, gallery, image, key_values, left_out};
use super::plot::{Plot, Series};
use super::results::{
    LabelCalibration, LabelExample, LabelFindings, LabelMistakes, PrecisionRecall, PrecisionRecallCurves,
};
use super::scale::{Axis, Unit};

/// Curves of classes that are drawn, and in one plot.
const CURVES: usize = 10;
const CURVES_A_PLOT: usize = 5;
/// Characters of a class in a legend.
const LEGEND_LIMIT: usize = 30;
/// Images of each list of mistakes.
const MISTAKES: usize = 24;

/// The sections of one evaluation.
pub(super) fn sections(of: &LabelFindings) -> [Option<Section>; 3] {
    [
        Section::of("precision-recall", "Precision and recall", &of.curves, curves),
        Section::of("label-mistakes", "Mistakes", &of.mistakes, mistakes),
        Section::of("label-calibration", "Calibration", &of.calibration, calibration),
    ]
}

/// The curve of all pairs of image and class, then those of classes.
fn curves(of: &PrecisionRecallCurves) -> Markup {
    let (all, classes): (Vec<_>, Vec<_>) = of.curves.iter().partition(|curve| curve.class.is_none());
    let classes = &classes[..classes.len().min(CURVES)];
    html! {
        p {
            "On the " (name(&of.split)) " split: of the images above a threshold, how many have the label (precision), and "
            "how many of those that have it are above (recall). Average precision (AP) is the area under a curve."
            @if of.classes > classes.len() as u64 {
                " Of " (format::counted(of.classes, "class")) ", those with the lowest average precision are shown."
            }
        }
        div.plots {
            @if !all.is_empty() { (plot("All pairs of image and class", &all)) }
            @for some in classes.chunks(CURVES_A_PLOT) { (plot("Classes", some)) }
        }
    }
}

fn plot(title: &str, curves: &[&PrecisionRecall]) -> Markup {
    let axis = || Axis::fixed(0.0, 1.0, Unit::Percent);
    let series = |(style, curve): (usize, &&PrecisionRecall)| {
        let class =
            curve.class.as_deref().map_or_else(String::new, |class| shorten(&plain(class), LEGEND_LIMIT));
        let ap = curve.ap.map_or_else(String::new, |ap| format!("AP {}", decimal(ap, 3)));
        let name = [class, ap].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        Series { name, points: curve.points.clone(), style }
    };
    let series: Vec<Series> = curves.iter().enumerate().map(series).collect();
    // A single curve has no legend.
    let title = match &series[..] {
        [one] => format!("{title}: {}", one.name),
        _ => title.to_owned(),
    };
    let mut plot = Plot::new(title, ("recall", axis()), ("precision", axis()));
    plot.series = series;
    plot.render()
}

/// Images with a class that is predicted and no label, and with a label that is not predicted.
fn mistakes(of: &LabelMistakes) -> Markup {
    let LabelMistakes { split, extra, missing } = of;
    html! {
        @if extra.is_empty() && missing.is_empty() { p { "None: all labels were predicted, and nothing else." } }
        @if !extra.is_empty() {
            h3 { "Predicted, but no label" }
            p { "Of the " (name(split)) " split, the most probable first. Some may be labels that are lacking." }
            (examples(extra))
        }
        @if !missing.is_empty() {
            h3 { "Labels that are not predicted" }
            p { "Of the " (name(split)) " split, the least probable first." }
            (examples(missing))
        }
    }
}

fn examples(examples: &[LabelExample]) -> Markup {
    let set = |text: &str| html! { @if text.is_empty() { "none" } @else { (clamped(text)) } };
    html! {
        (gallery(examples, MISTAKES, |of| html! {
            (image(&of.image))
            div {
                span.line { (clamped(&of.class)) " " span.number { (percent(of.probability)) } }
                span.line { "labels: " (set(&of.labels)) }
                span.line { "predicted: " (set(&of.predicted)) }
                (caption(&of.image))
            }
        }))
        (left_out(examples.len() as u64, MISTAKES, "image"))
    }
}

/// The reliability diagram of all pairs of image and class.
fn calibration(of: &LabelCalibration) -> Markup {
    let LabelCalibration { split, reliability } = of;
    let axis = || Axis::fixed(0.0, 1.0, Unit::Percent);
    let title = "Reliability diagram";
    let mut plot =
        Plot::new(title, ("probability of a label", axis()), ("share of images that have it", axis()));
    plot.diagonal = Some("perfect");
    let points = reliability.bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
    plot.series.push(Series { name: "network".into(), points, style: 0 });
    let ece = html! { (percent(reliability.ece)) };
    html! {
        div.beside {
            (plot.render())
            div {
                p {
                    "Of all pairs of image and class with a probability of 80" (SPACE) "%, 80" (SPACE) "% should have the label. "
                    "Below the dashed line, probabilities are too high. Probabilities are those of the network, as "
                    "trained: some losses, and class weights, move them on purpose."
                }
                (key_values([("ECE", ece), ("Split", name(split))]))
            }
        }
    }
}
