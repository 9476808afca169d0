//! Completed epochs → curves of loss and accuracy, training and validation.
//!
//! In: the epochs of a [`Dashboard`]. Out: two charts side by side, with axes and a legend.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};

use super::section::{section, title};
use super::state::{Dashboard, Epoch};
use super::text::metric;
use super::theme::{TRAIN_MARKER, TRAIN_SAMPLE, Theme};

/// Values beyond are left out: their difference would not be finite.
const LARGEST: f64 = 1e300;

/// Draws both charts, if there are rows for them.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(area);
    let epochs = &dashboard.epochs;
    let loss = Curves::new(epochs, |epoch| epoch.train_loss, |epoch| epoch.val_loss);
    chart("loss", &loss, theme, left, buffer);
    let accuracy = Curves::new(epochs, |epoch| epoch.train_accuracy, |epoch| epoch.val_accuracy);
    chart("accuracy", &accuracy, theme, right, buffer);
}

/// Points of two curves: epoch and value, both finite.
struct Curves {
    train: Vec<(f64, f64)>,
    val: Vec<(f64, f64)>,
}

impl Curves {
    fn new(epochs: &[Epoch], train: impl Fn(&Epoch) -> f64, val: impl Fn(&Epoch) -> f64) -> Curves {
        let points = |value: &dyn Fn(&Epoch) -> f64| {
            let points = epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch)));
            points.filter(|(_, value)| value.abs() <= LARGEST).collect()
        };
        Curves { train: points(&train), val: points(&val) }
    }

    /// The least and the greatest epoch, and value; none without points.
    fn bounds(&self) -> Option<([f64; 2], [f64; 2])> {
        let points = || self.train.iter().chain(&self.val).copied();
        let &(x, y) = self.train.first().or(self.val.first())?;
        let wider = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
        let epochs = points().fold([x, x + 1.0], |bounds, (epoch, _)| wider(bounds, epoch));
        let [low, high] = points().fold([y, y], |bounds, (_, value)| wider(bounds, value));
        let margin = if high > low { 0.0 } else { (0.05 * high.abs()).max(1e-3) };
        Some((epochs, [low - margin, high + margin]))
    }
}

fn chart(name: &'static str, curves: &Curves, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let legend = |sample, split, curve: &[(f64, f64)], style| {
        let value = curve.last().map_or_else(String::new, |&(_, value)| format!(" {}", metric(value)));
        Span::styled(format!("{sample} {split}{value} "), style)
    };
    let heading = Line::from(vec![
        title(name),
        legend(TRAIN_SAMPLE, "train", &curves.train, theme.train()),
        legend(theme.val_sample(), "val", &curves.val, theme.val()),
    ]);
    let area = section(heading, theme, area, buffer);
    let Some((epochs, values)) = curves.bounds() else {
        return Line::styled("after the first epoch", theme.faint()).centered().render(area, buffer);
    };
    let line = |points, marker, style| {
        Dataset::default().data(points).marker(marker).style(style).graph_type(GraphType::Line)
    };
    let curves = vec![
        line(&curves.train, TRAIN_MARKER, theme.train()),
        line(&curves.val, theme.val_marker(), theme.val()),
    ];
    let epoch_labels = [format!("{:.0}", epochs[0]), "epoch".to_owned(), format!("{:.0}", epochs[1])];
    Chart::new(curves)
        .x_axis(Axis::default().style(theme.faint()).bounds(epochs).labels(epoch_labels))
        .y_axis(Axis::default().style(theme.faint()).bounds(values).labels(value_labels(values)))
        .render(area, buffer);
}

/// Labels at the bottom, in the middle and at the top, with as many decimals as tell them apart.
fn value_labels([low, high]: [f64; 2]) -> [String; 3] {
    let decimals = (2.0 - (high - low).log10().floor()).clamp(2.0, 6.0) as usize;
    let large = low.abs().max(high.abs()) >= 1e5;
    [low, f64::midpoint(low, high), high]
        .map(|value| if large { format!("{value:.1e}") } else { format!("{value:.decimals$}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(train: &[(f64, f64)]) -> Curves {
        Curves { train: train.to_vec(), val: Vec::new() }
    }

    #[test]
    fn bounds_are_never_empty() {
        assert_eq!(curves(&[]).bounds(), None);
        assert_eq!(curves(&[(3.0, 2.0)]).bounds(), Some(([3.0, 4.0], [1.9, 2.1])));
        assert_eq!(curves(&[(1.0, 0.0), (5.0, 0.0)]).bounds(), Some(([1.0, 5.0], [-1e-3, 1e-3])));
        assert_eq!(curves(&[(1.0, 2.0), (9.0, 0.5)]).bounds(), Some(([1.0, 9.0], [0.5, 2.0])));
    }

    #[test]
    fn labels_differ_for_narrow_ranges() {
        assert_eq!(value_labels([0.0, 1.0]), ["0.00", "0.50", "1.00"]);
        assert_eq!(value_labels([0.901, 0.909]), ["0.90100", "0.90500", "0.90900"]);
        assert_eq!(value_labels([0.0, 1e300])[2], "1.0e300");
    }
}
