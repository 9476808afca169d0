//! The log → its latest lines at the bottom of the dashboard.
//!
//! In: the log of a [`Dashboard`]. Out: as many wrapped lines as there are rows, warnings and
//! errors marked.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use super::section::{section, title};
use super::state::Dashboard;
use super::text::{plain, wrap};
use super::theme::Theme;

/// Draws the log, if there are rows for it.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let area = section(title("log").into(), theme, area, buffer);
    let wrapped = dashboard.log.latest_first().flat_map(|line| {
        let line = plain(line);
        let style = style_of(&line, theme);
        let pieces = wrap(&line, usize::from(area.width)).into_iter().rev();
        pieces.map(move |piece| Line::styled(piece, style))
    });
    let mut lines: Vec<Line<'_>> = wrapped.take(usize::from(area.height)).collect();
    lines.reverse();
    for (line, row) in lines.into_iter().zip(area.rows()) {
        line.render(row, buffer);
    }
}

/// By the level of a line `time | LEVEL    | message`.
fn style_of(line: &str, theme: Theme) -> Style {
    match line.split(" | ").nth(1).map(str::trim_end) {
        Some("ERROR") => theme.error(),
        Some("WARNING") => theme.warning(),
        Some("DEBUG" | "TRACE") => theme.faint(),
        _ => Style::new(),
    }
}
