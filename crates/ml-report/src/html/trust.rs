//! How far probabilities can be trusted: calibration, risk-coverage curve, out-of-distribution
//! threshold.

use maud::{Markup, html};

use super::format::{SPACE, decimal, name, percent, plain};
use super::page::key_values;
use super::plot::{Mark, Plot, Series};
use super::results::{Answered, Calibration, Reliability, Selective, Threshold};
use super::scale::{Axis, Unit};
use super::value::Part;

/// The reliability diagram, and its numbers.
pub(super) fn calibration(calibration: &Calibration) -> Markup {
    let Calibration { split, before, after, temperature, note } = calibration;
    let axis = || Axis::fixed(0.0, 1.0, Unit::Percent);
    let mut plot = Plot::new(
        "Reliability diagram",
        ("probability of the predicted class", axis()),
        ("accuracy", axis()),
    );
    plot.diagonal = Some("perfect");
    let points = |reliability: &Reliability| {
        reliability.bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect()
    };
    let name_of = if after.is_some() { "before scaling" } else { "network" };
    plot.series.push(Series { name: name_of.into(), points: points(before), style: 1 });
    plot.series.extend(after.as_ref().map(|after| Series {
        name: "after scaling".into(),
        points: points(after),
        style: 0,
    }));
    let shown = after.as_ref().unwrap_or(before);
    let total = shown.bins.iter().map(|bin| bin.count).sum::<u64>().max(1) as f64;
    let width = 0.6 / shown.bins.len().max(10) as f64;
    plot.bars =
        shown.bins.iter().map(|bin| (bin.confidence, width, 0.5 * bin.count as f64 / total)).collect();
    html! {
        div.beside {
            (plot.render())
            div {
                p {
                    "Of predictions with a probability of 80" (SPACE) "%, 80" (SPACE) "% should be right. Points below the dashed "
                    "line are overconfident. Grey bars show how many images have such a probability."
                }
                @if !note.is_empty() { p { (plain(note)) } }
                (key_values(numbers(before, after.as_ref(), *temperature).into_iter().chain([("Split", name(split))])))
            }
        }
    }
}

fn numbers(
    before: &Reliability,
    after: Option<&Reliability>,
    temperature: Option<f64>,
) -> Vec<(&'static str, Markup)> {
    let text = |text: String| html! { (text) };
    let mut rows = Vec::new();
    match after {
        Some(after) => {
            rows.push(("ECE before scaling", text(percent(before.ece))));
            rows.push(("ECE after scaling", text(percent(after.ece))));
        }
        None => rows.push(("ECE", text(percent(before.ece)))),
    }
    rows.extend(temperature.map(|temperature| ("Temperature", text(decimal(temperature, 3)))));
    rows
}

/// The risk-coverage curve, and the threshold in words.
pub(super) fn selective(selective: &Selective) -> Markup {
    let risks = selective.points.iter().map(|point| point.1);
    let marked = selective.threshold.present().map(|of| (of, of.measured.as_ref().unwrap_or(&of.chosen)));
    let risk = Axis::over(risks.chain(marked.map(|(_, of)| of.risk)).chain([0.0]), Unit::Percent);
    let coverage = Axis::fixed(0.0, 1.0, Unit::Percent);
    let title = "Risk by coverage";
    let mut plot =
        Plot::new(title, ("coverage: share of images predicted", coverage), ("risk: share wrong", risk));
    plot.series.push(Series { name: "risk".into(), points: selective.points.clone(), style: 0 });
    plot.mark = marked.map(|(threshold, of)| Mark {
        x: of.coverage,
        y: Some(of.risk),
        text: format!("threshold {}", percent(threshold.confidence)),
    });
    html! {
        div.beside {
            (plot.render())
            div {
                p { "The network may abstain where it is unsure. The fewer images it predicts, the fewer of them are wrong." }
                @match &selective.threshold {
                    Part::Present(threshold) => (in_words(threshold)),
                    Part::Missing(reason) => p { (plain(reason)) },
                    Part::Omitted => {}
                }
                @if let Some(aurc) = selective.aurc { p { "Area under the curve: " (decimal(aurc, 4)) "." } }
            }
        }
    }
}

/// How the threshold was chosen, and what it does to other images.
fn in_words(threshold: &Threshold) -> Markup {
    let Threshold { confidence, max_error, chosen, measured, level } = threshold;
    let level = format!("{:.0}{SPACE}%", level * 100.0);
    let answered = |of: &Answered| {
        html! {
            strong { (percent(of.coverage)) } " of the " (name(&of.split)) " images, and "
            (percent(of.risk)) " of these predictions are wrong (at most " (percent(of.bound))
            " at a confidence level of " (level) ")"
        }
    };
    html! {
        p {
            "A threshold of " strong { (percent(*confidence)) } " was chosen on the " (name(&chosen.split))
            " split, so that at most " (percent(*max_error)) " of the predictions are wrong. With it, the network predicts "
            (answered(chosen)) "."
        }
        @if let Some(measured) = measured {
            p { "On images that it was not chosen by, it predicts " (answered(measured)) "." }
        }
    }
}
