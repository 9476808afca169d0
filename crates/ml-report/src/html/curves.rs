//! Loss, accuracy and learning rate by epoch.

use maud::{Markup, html};

use super::format::{self, decimal, percent, significant};
use super::page::{left_out, scroll};
use super::plot::{Mark, Plot, Series};
use super::report::{AveragePoint, Curves, Epoch, LabelEpoch};
use super::scale::{Axis, Unit};

/// Rows of the table.
const ROWS: usize = 100;
/// The style of the first curve of averaged weights.
const FIRST_AVERAGE: usize = 2;

/// Three plots, and the values in a table.
pub(super) fn curves(curves: &Curves) -> Markup {
    let epochs = &curves.epochs;
    if epochs.is_empty() {
        return html! { p.missing { "No epoch was finished." } };
    }
    html! {
        div.plots {
            (by_epoch(
                curves,
                ("Loss", "loss", Unit::Number),
                |epoch| (epoch.train_loss, epoch.val_loss),
                |point| point.val_loss,
            ))
            @if has_labels(epochs) { (of_labels(curves)) }
            (by_epoch(
                curves,
                (accuracy_title(epochs), "accuracy", Unit::Percent),
                |epoch| (epoch.train_accuracy, epoch.val_accuracy),
                |point| point.val_accuracy,
            ))
            @if epochs.iter().any(|epoch| epoch.learning_rate.is_finite()) { (learning_rate(epochs)) }
        }
        @if !curves.averages.is_empty() { (averages(curves)) }
        details {
            summary { "Values by epoch" }
            (table(curves))
        }
    }
}

/// A value of an epoch.
type LabelFigure = fn(&LabelEpoch) -> f64;

/// Whether images have several labels.
pub(super) fn has_labels(epochs: &[Epoch]) -> bool {
    epochs.iter().any(|epoch| epoch.labels.is_some())
}

/// What accuracies of these epochs are called.
fn accuracy_title(epochs: &[Epoch]) -> &'static str {
    if has_labels(epochs) { "Subset accuracy" } else { "Accuracy" }
}

/// mAP and F1 on the validation images, which have several labels.
fn of_labels(curves: &Curves) -> Markup {
    let epochs = &curves.epochs;
    let value = |epoch: &Epoch, of: LabelFigure| epoch.labels.as_ref().map_or(f64::NAN, of);
    let plot = |title: &str, label: &'static str, lines: &[(&str, LabelFigure)]| {
        let values = epochs.iter().flat_map(|epoch| lines.iter().map(move |(_, of)| value(epoch, *of)));
        let axis = Axis::over(values, Unit::Percent);
        let mut plot = Plot::new(title, ("epoch", epoch_axis(epochs)), (label, axis));
        for (style, (name, of)) in lines.iter().enumerate() {
            plot.series.push(series(name, style, epochs, |epoch| value(epoch, *of)));
        }
        plot.mark = best_mark(curves, |epoch| value(epoch, lines[0].1));
        plot.render()
    };
    let map: [(&str, LabelFigure); 1] = [("mAP", |of| of.map)];
    let f1: [(&str, LabelFigure); 3] =
        [("micro", |of| of.micro_f1), ("macro", |of| of.macro_f1), ("sample", |of| of.sample_f1)];
    html! {
        (plot("mAP on the validation split", "mAP", &map))
        (plot("F1 on the validation split, predicted from 50\u{a0}% on", "F1", &f1))
    }
}

/// The epoch whose weights are in `best.pt`.
fn best_mark(curves: &Curves, of: impl Fn(&Epoch) -> f64) -> Option<Mark> {
    let best = curves.best_epoch?;
    let epoch = curves.epochs.iter().find(|epoch| epoch.epoch == best)?;
    let text = format!("best: epoch {}", format::count(best));
    Some(Mark { x: best as f64, y: Some(of(epoch)), text })
}

/// Train and val of one metric, with the best epoch and averaged weights.
fn by_epoch(
    curves: &Curves,
    (title, label, unit): (&str, &'static str, Unit),
    of: impl Fn(&Epoch) -> (f64, f64),
    of_average: impl Fn(&AveragePoint) -> f64,
) -> Markup {
    let epochs = &curves.epochs;
    let averaged = curves.averages.iter().flat_map(|average| average.points.iter().map(&of_average));
    let values = epochs.iter().flat_map(|epoch| [of(epoch).0, of(epoch).1]).chain(averaged);
    let mut plot = Plot::new(title, ("epoch", epoch_axis(epochs)), (label, Axis::over(values, unit)));
    plot.series.push(series("train", 1, epochs, |epoch| of(epoch).0));
    plot.series.push(series("val", 0, epochs, |epoch| of(epoch).1));
    for (number, average) in curves.averages.iter().enumerate() {
        let points = average.points.iter().map(|point| (point.epoch as f64, of_average(point))).collect();
        let name = format!("val, {}", average.name);
        plot.series.push(Series { name, points, style: FIRST_AVERAGE + number });
    }
    plot.mark = best_mark(curves, |epoch| of(epoch).1);
    plot.render()
}

fn learning_rate(epochs: &[Epoch]) -> Markup {
    let axis = Axis::log_if_wide(epochs.iter().map(|epoch| epoch.learning_rate));
    let title = if axis.is_log { "Learning rate, logarithmic" } else { "Learning rate" };
    let mut plot = Plot::new(title, ("epoch", epoch_axis(epochs)), ("learning rate", axis));
    plot.series.push(series("learning rate", 0, epochs, |epoch| epoch.learning_rate));
    plot.render()
}

/// Over all the epochs.
pub(super) fn epoch_axis<'a>(epochs: impl IntoIterator<Item = &'a Epoch>) -> Axis {
    Axis::over(epochs.into_iter().map(|epoch| epoch.epoch as f64), Unit::Whole)
}

/// A value of each epoch.
pub(super) fn series(name: &str, style: usize, epochs: &[Epoch], of: impl Fn(&Epoch) -> f64) -> Series {
    let points = epochs.iter().map(|epoch| (epoch.epoch as f64, of(epoch))).collect();
    Series { name: name.to_owned(), points, style }
}

/// Averaged weights at the end.
fn averages(curves: &Curves) -> Markup {
    let table = html! {
        table.numbers {
            thead {
                tr {
                    @for title in ["Averaged weights", "Taken", "Val loss", "Val accuracy", "Remark"] {
                        th scope="col" { (title) }
                    }
                }
            }
            tbody {
                @for average in &curves.averages {
                    @let last = average.points.last();
                    tr {
                        th scope="row" { (format::name(&average.name)) }
                        td { (average.of) }
                        td { (decimal(last.map_or(f64::NAN, |point| point.val_loss), 4)) }
                        td { (percent(last.map_or(f64::NAN, |point| point.val_accuracy))) }
                        td { (average.note) }
                    }
                }
            }
        }
    };
    scroll("Averaged weights", &table)
}

/// The epochs at even distances, the last and the best.
fn table(curves: &Curves) -> Markup {
    let epochs = &curves.epochs;
    let every = epochs.len().div_ceil(ROWS);
    let is_shown = |place: usize, epoch: &Epoch| {
        place.is_multiple_of(every) || place + 1 == epochs.len() || Some(epoch.epoch) == curves.best_epoch
    };
    let shown: Vec<&Epoch> = epochs
        .iter()
        .enumerate()
        .filter(|(place, epoch)| is_shown(*place, epoch))
        .map(|(_, epoch)| epoch)
        .collect();
    let with_labels = has_labels(epochs);
    let heads: &[&str] = if with_labels {
        &[
            "Epoch",
            "Train loss",
            "Val loss",
            "Train subset accuracy",
            "Val subset accuracy",
            "Val mAP",
            "Micro F1",
            "Macro F1",
            "Learning rate",
        ]
    } else {
        &["Epoch", "Train loss", "Val loss", "Train accuracy", "Val accuracy", "Learning rate"]
    };
    let of_label = |epoch: &Epoch, of: LabelFigure| {
        let value = epoch.labels.as_ref().map_or(f64::NAN, of);
        html! { td { (decimal(value, 4)) } }
    };
    let table = html! {
        table.numbers {
            thead { tr { @for title in heads { th scope="col" { (title) } } } }
            tbody {
                @for epoch in &shown {
                    @let is_best = Some(epoch.epoch) == curves.best_epoch;
                    tr.best[is_best] {
                        th scope="row" { (format::count(epoch.epoch)) @if is_best { " (best)" } }
                        td { (decimal(epoch.train_loss, 4)) }
                        td { (decimal(epoch.val_loss, 4)) }
                        td { (percent(epoch.train_accuracy)) }
                        td { (percent(epoch.val_accuracy)) }
                        @if with_labels {
                            (of_label(epoch, |of| of.map))
                            (of_label(epoch, |of| of.micro_f1))
                            (of_label(epoch, |of| of.macro_f1))
                        }
                        td { (significant(epoch.learning_rate, 4)) }
                    }
                }
            }
        }
    };
    html! { (scroll("Values by epoch", &table)) (left_out(epochs.len() as u64, shown.len(), "epoch")) }
}
