//! Completed epochs → curves of loss and accuracy, training and validation, and of the learning
//! rate where there is room.
//!
//! In: the epochs of a [`Dashboard`]. Out: charts side by side, with axes and a legend.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::section::{section, title};
use super::state::{Dashboard, Epoch};
use super::text::metric;
use super::theme::{TRAIN_MARKER, TRAIN_SAMPLE, Theme};
use crate::numbers::significant;

/// Values beyond are left out: their difference would not be finite.
const LARGEST: f64 = 1e300;
/// Columns from which there is room for the learning rate.
const WITH_LR: u16 = 144;

/// Draws the charts, if there are rows for them.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let count = if area.width >= WITH_LR { 3 } else { 2 };
    let areas = Layout::horizontal(vec![Constraint::Fill(1); count]).spacing(2).split(area);
    let epochs = &dashboard.epochs;
    let train = |value: fn(&Epoch) -> f64| Curve {
        name: "train ",
        points: points(epochs, value),
        sample: TRAIN_SAMPLE,
        marker: TRAIN_MARKER,
        style: theme.train(),
        text: metric,
    };
    let val = |value: fn(&Epoch) -> f64| Curve {
        name: "val ",
        points: points(epochs, value),
        sample: theme.val_sample(),
        marker: theme.val_marker(),
        style: theme.val(),
        text: metric,
    };
    let charts = [
        ("loss", vec![train(|epoch| epoch.train_loss), val(|epoch| epoch.val_loss)]),
        ("accuracy", vec![train(|epoch| epoch.train_accuracy), val(|epoch| epoch.val_accuracy)]),
        ("learning rate", vec![Curve { name: "", text: significant, ..train(|epoch| epoch.lr) }]),
    ];
    for ((name, curves), area) in charts.iter().zip(areas.iter()) {
        chart(name, curves, theme, *area, buffer);
    }
}

/// What is drawn as a line.
struct Curve {
    /// In the legend, before the last value.
    name: &'static str,
    /// Epoch and value, both finite.
    points: Vec<(f64, f64)>,
    /// A piece of the line, for the legend.
    sample: &'static str,
    marker: Marker,
    style: Style,
    /// A value in the legend.
    text: fn(f64) -> String,
}

fn points(epochs: &[Epoch], value: fn(&Epoch) -> f64) -> Vec<(f64, f64)> {
    let points = epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch)));
    points.filter(|(_, value)| value.abs() <= LARGEST).collect()
}

/// The least and the greatest epoch, and value; none without points.
fn bounds(curves: &[&[(f64, f64)]]) -> Option<([f64; 2], [f64; 2])> {
    let points = || curves.iter().flat_map(|curve| curve.iter().copied());
    let (x, y) = points().next()?;
    let wider = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
    let epochs = points().fold([x, x + 1.0], |bounds, (epoch, _)| wider(bounds, epoch));
    let [low, high] = points().fold([y, y], |bounds, (_, value)| wider(bounds, value));
    let margin = if high > low { 0.0 } else { (0.05 * high.abs()).max(1e-3) };
    Some((epochs, [low - margin, high + margin]))
}

fn line(curve: &Curve) -> Dataset<'_> {
    let line = Dataset::default().data(&curve.points).marker(curve.marker);
    line.style(curve.style).graph_type(GraphType::Line)
}

fn chart(name: &str, curves: &[Curve], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut heading = Line::from(title(name));
    for curve in curves {
        let value = curve.points.last().map_or_else(String::new, |&(_, value)| (curve.text)(value) + " ");
        heading.push_span(Span::styled(format!("{} {}{value}", curve.sample, curve.name), curve.style));
    }
    let area = section(heading, theme, area, buffer);
    let all: Vec<&[(f64, f64)]> = curves.iter().map(|curve| curve.points.as_slice()).collect();
    let Some((epochs, values)) = bounds(&all) else {
        return Line::styled("after the first epoch", theme.faint()).centered().render(area, buffer);
    };
    let epoch_labels = [format!("{:.0}", epochs[0]), "epoch".to_owned(), format!("{:.0}", epochs[1])];
    Chart::new(curves.iter().map(line).collect())
        .x_axis(Axis::default().style(theme.faint()).bounds(epochs).labels(epoch_labels))
        .y_axis(Axis::default().style(theme.faint()).bounds(values).labels(value_labels(values)))
        .render(area, buffer);
}

/// Labels at the bottom, in the middle and at the top, with as many decimals as tell them apart.
fn value_labels([low, high]: [f64; 2]) -> [String; 3] {
    let decimals = (2.0 - (high - low).log10().floor()).clamp(2.0, 6.0) as usize;
    let has_exponent = !(1e-3..1e5).contains(&low.abs().max(high.abs()));
    [low, f64::midpoint(low, high), high]
        .map(|value| if has_exponent { format!("{value:.1e}") } else { format!("{value:.decimals$}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_never_empty() {
        assert_eq!(bounds(&[&[]]), None);
        assert_eq!(bounds(&[&[(3.0, 2.0)]]), Some(([3.0, 4.0], [1.9, 2.1])));
        assert_eq!(bounds(&[&[(1.0, 0.0), (5.0, 0.0)]]), Some(([1.0, 5.0], [-1e-3, 1e-3])));
        let two: [&[(f64, f64)]; 2] = [&[(1.0, 2.0)], &[(9.0, 0.5)]];
        assert_eq!(bounds(&two), Some(([1.0, 9.0], [0.5, 2.0])));
    }

    #[test]
    fn labels_differ_for_narrow_ranges() {
        assert_eq!(value_labels([0.0, 1.0]), ["0.00", "0.50", "1.00"]);
        assert_eq!(value_labels([0.901, 0.909]), ["0.90100", "0.90500", "0.90900"]);
        assert_eq!(value_labels([0.0, 1e300])[2], "1.0e300");
        assert_eq!(value_labels([1e-5, 3e-5]), ["1.0e-5", "2.0e-5", "3.0e-5"]);
    }
}
