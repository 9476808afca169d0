//! Loss, accuracy and learning rate by epoch.

use maud::{Markup, html};

use super::format::{self, decimal, percent, significant};
use super::page::{left_out, scroll};
use super::plot::{Mark, Plot, Series};
use super::report::{Curves, Epoch};
use super::scale::{Axis, Unit};

/// Rows of the table.
const ROWS: usize = 100;

/// Three plots, and the values in a table.
pub(super) fn curves(curves: &Curves) -> Markup {
    let epochs = &curves.epochs;
    if epochs.is_empty() {
        return html! { p.missing { "No epoch was finished." } };
    }
    html! {
        div.plots {
            (by_epoch(curves, "Loss", "loss", Unit::Number, |epoch| (epoch.train_loss, epoch.val_loss)))
            (by_epoch(curves, "Accuracy", "accuracy", Unit::Percent, |epoch| (epoch.train_accuracy, epoch.val_accuracy)))
            @if epochs.iter().any(|epoch| epoch.learning_rate.is_finite()) { (learning_rate(epochs)) }
        }
        details {
            summary { "Values by epoch" }
            (table(curves))
        }
    }
}

/// Train and val of one metric, with the best epoch.
fn by_epoch(
    curves: &Curves,
    title: &str,
    label: &'static str,
    unit: Unit,
    of: impl Fn(&Epoch) -> (f64, f64),
) -> Markup {
    let epochs = &curves.epochs;
    let values = epochs.iter().flat_map(|epoch| [of(epoch).0, of(epoch).1]);
    let mut plot = Plot::new(title, ("epoch", epoch_axis(epochs)), (label, Axis::over(values, unit)));
    plot.series.push(series("train", 1, epochs, |epoch| of(epoch).0));
    plot.series.push(series("val", 0, epochs, |epoch| of(epoch).1));
    plot.mark = curves.best_epoch.and_then(|best| {
        let epoch = epochs.iter().find(|epoch| epoch.epoch == best)?;
        let text = format!("best: epoch {}", format::count(best));
        Some(Mark { x: best as f64, y: Some(of(epoch).1), text })
    });
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
    let table = html! {
        table.numbers {
            thead {
                tr {
                    @for title in ["Epoch", "Train loss", "Val loss", "Train accuracy", "Val accuracy", "Learning rate"] {
                        th scope="col" { (title) }
                    }
                }
            }
            tbody {
                @for epoch in &shown {
                    @let is_best = Some(epoch.epoch) == curves.best_epoch;
                    tr.best[is_best] {
                        th scope="row" { (format::count(epoch.epoch)) @if is_best { " (best)" } }
                        td { (decimal(epoch.train_loss, 4)) }
                        td { (decimal(epoch.val_loss, 4)) }
                        td { (percent(epoch.train_accuracy)) }
                        td { (percent(epoch.val_accuracy)) }
                        td { (significant(epoch.learning_rate, 4)) }
                    }
                }
            }
        }
    };
    html! { (scroll("Values by epoch", &table)) (left_out(epochs.len() as u64, shown.len(), "epoch")) }
}
