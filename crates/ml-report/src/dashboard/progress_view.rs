//! The current phase and the run → bars with the time left, and the numbers of the moment.
//!
//! In: a [`Dashboard`] and the time. Out: a bar for the phase, one for the run, and metrics, rates
//! and resources on as many lines as they take.

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use ml_data::table::{Align, pad, width};

use super::phase::Phase;
use super::section::{section, title};
use super::state::Dashboard;
use super::text::{bytes, duration, metric, percent, plain};
use super::theme::{STRONG, Theme};
use crate::numbers::significant;

/// Columns below which units are left out.
const NARROW: usize = 60;
/// Columns between two numbers.
const GAP: usize = 3;

/// Draws the progress, if there are rows for it.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, now: Instant, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let mut heading = Line::from(title("progress"));
    if dashboard.info.num_epochs > 0 {
        let (train, val) = (dashboard.info.train_images, dashboard.info.val_images);
        heading.push_span(Span::styled(format!("{train} train / {val} val images "), theme.faint()));
    }
    let area = section(heading, theme, area, buffer);
    let columns = usize::from(area.width);
    let bars = [phase_bar(dashboard, now, columns), run_bar(dashboard, now)];
    let measured = || bars.iter().filter(|bar| bar.fraction.is_some());
    let label = measured().map(|bar| width(&bar.label)).max().unwrap_or(0);
    let after = measured().map(|bar| width(&bar.after)).max().unwrap_or(0);
    let lines = bars.iter().map(|bar| bar.line(label, after, columns, theme));
    for (line, row) in lines.chain(flow(numbers(dashboard, now), columns, theme)).zip(area.rows()) {
        line.render(row, buffer);
    }
}

struct Bar {
    label: String,
    /// None where there is nothing to measure.
    fraction: Option<f64>,
    after: String,
}

impl Bar {
    fn line(&self, label: usize, after: usize, columns: usize, theme: Theme) -> Line<'static> {
        let Some(fraction) = self.fraction else { return Line::raw(self.label.clone()) };
        let share = percent(fraction.clamp(0.0, 1.0));
        // The label, the bar, `100 %` and what follows, two columns between them.
        let length = columns.saturating_sub(label + 2 + 2 + 5 + 2 + after);
        let filled = (fraction.clamp(0.0, 1.0) * length as f64) as usize;
        let mut line = Line::from(Span::styled(pad(&self.label, label + 2, Align::Left), STRONG));
        line.push_span(Span::styled("━".repeat(filled), theme.bar()));
        line.push_span(Span::styled("─".repeat(length - filled), theme.faint()));
        let gap = if length > 0 { 2 } else { 0 };
        line.push_span(format!("{}{}  {}", " ".repeat(gap), pad(&share, 5, Align::Right), self.after));
        line
    }
}

fn phase_bar(dashboard: &Dashboard, now: Instant, columns: usize) -> Bar {
    let Some(phase) = dashboard.phase.as_ref().filter(|_| dashboard.status.is_empty()) else {
        return Bar { label: plain(&dashboard.status), fraction: None, after: String::new() };
    };
    let label = match phase.phase {
        Phase::Features => "features",
        Phase::Train => "training",
        Phase::Validate => "validation",
        Phase::BatchNorm => "batch norms",
        Phase::Embed => "embeddings",
        Phase::Evaluate => "evaluation",
    };
    let left = if phase.is_finished() { None } else { phase.seconds_left(now) };
    let unit = if columns < NARROW { "" } else { " batches" };
    let after = format!("{}{}/{}{unit}", left_text(left), phase.done, phase.num_batches);
    Bar { label: label.to_owned(), fraction: Some(phase.fraction()), after }
}

fn run_bar(dashboard: &Dashboard, now: Instant) -> Bar {
    let num_epochs = dashboard.info.num_epochs;
    if num_epochs == 0 {
        return Bar { label: String::new(), fraction: None, after: String::new() };
    }
    let running = u64::from(dashboard.epoch_started.is_some());
    let epoch = (dashboard.epochs_completed() + running).min(num_epochs);
    let after = left_text(dashboard.run_seconds_left(now)).trim_end().to_owned();
    Bar { label: format!("epoch {epoch}/{num_epochs}"), fraction: Some(dashboard.run_fraction()), after }
}

/// `1:03:20 left  `, nothing where it is not known.
fn left_text(seconds: Option<f64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!("{} left  ", duration(seconds)))
}

/// Names and values of the moment; what is not known yet is left out.
fn numbers(dashboard: &Dashboard, now: Instant) -> Vec<(&'static str, String)> {
    let phase = dashboard.phase.as_ref();
    let rate = dashboard.images_per_second();
    let epoch_left = dashboard.epoch_seconds_left(now);
    [
        ("loss", phase.and_then(|phase| phase.loss).map(metric)),
        ("accuracy", phase.and_then(|phase| phase.accuracy).map(metric)),
        ("lr", (dashboard.info.num_epochs > 0).then(|| significant(dashboard.lr()))),
        ("images/s", rate.map(|rate| format!("{rate:.0}"))),
        ("epoch ends in", epoch_left.map(duration)),
        ("waiting for data", dashboard.waiting_share().map(percent)),
        ("peak memory", dashboard.peak_memory.map(bytes)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Names and values on lines of at most `columns`.
fn flow(numbers: Vec<(&'static str, String)>, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (name, value) in numbers {
        let taken = name.len() + 1 + width(&value);
        match lines.last_mut() {
            Some(line) if line.width() + GAP + taken <= columns => line.push_span(" ".repeat(GAP)),
            _ => lines.push(Line::default()),
        }
        if let Some(line) = lines.last_mut() {
            line.push_span(Span::styled(format!("{name} "), theme.faint()));
            line.push_span(Span::styled(value, STRONG));
        }
    }
    lines
}
