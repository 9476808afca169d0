//! Completed epochs → a table of the latest, with the best marked.
//!
//! In: the epochs of a [`Dashboard`]. Out: a title that names the best, a header, a row an epoch.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use ml_data::table::{Align, pad};

use super::section::{section, title};
use super::state::{Dashboard, Epoch};
use super::text::{duration, metric};
use super::theme::Theme;
use crate::numbers::significant;

/// Columns of the table's columns.
const WIDTHS: [usize; 7] = [5, 10, 8, 9, 7, 9, 8];
/// What marks the best epoch.
const BEST: &str = " best";
/// Columns of the whole table.
pub(super) const WIDTH: u16 = (5 + 10 + 8 + 9 + 7 + 9 + 8) + 6 + BEST.len() as u16;

/// Draws the table, if there are rows for it.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let best = dashboard.best_epoch();
    let mut heading = Line::from(title("epochs"));
    if let Some(best) = best {
        let (loss, accuracy) = (metric(best.val_loss), metric(best.val_accuracy));
        let text = format!("best: {}, val loss {loss}, val acc {accuracy} ", best.epoch);
        heading.push_span(Span::styled(text, theme.best()));
    }
    let area = section(heading, theme, area, buffer);
    let names = ["epoch", "train loss", "val loss", "train acc", "val acc", "lr", "time"];
    let header = Line::styled(aligned(&names.map(str::to_owned)), theme.faint());
    let count = usize::from(area.height.saturating_sub(1));
    let latest = dashboard.epochs.iter().skip(dashboard.epochs.len().saturating_sub(count));
    let rows = latest.map(|epoch| {
        let is_best = best.is_some_and(|best| best.epoch == epoch.epoch);
        let (mark, style) = if is_best { (BEST, theme.best()) } else { ("", Style::new()) };
        Line::styled(aligned(&cells(epoch)) + mark, style)
    });
    for (line, row) in std::iter::once(header).chain(rows).zip(area.rows()) {
        line.render(row, buffer);
    }
}

fn cells(epoch: &Epoch) -> [String; 7] {
    [
        epoch.epoch.to_string(),
        metric(epoch.train_loss),
        metric(epoch.val_loss),
        metric(epoch.train_accuracy),
        metric(epoch.val_accuracy),
        significant(epoch.lr),
        epoch.time.map_or_else(String::new, |time| duration(time.elapsed.as_secs_f64())),
    ]
}

/// Right-aligned, with a space before each but the first.
fn aligned(cells: &[String; 7]) -> String {
    let cells = cells.iter().zip(WIDTHS);
    cells.map(|(cell, width)| pad(cell, width, Align::Right)).collect::<Vec<_>>().join(" ")
}
