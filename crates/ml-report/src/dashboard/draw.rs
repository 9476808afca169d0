//! A [`Dashboard`] → one frame.
//!
//! In: the state, the time, an area of any size. Out: cells of a buffer: a header, curves,
//! progress, a table of epochs, the log. What does not fit is left out, curves first and progress last.

use std::time::Instant;

use ml_data::table::width;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::state::Dashboard;
use super::text::{duration, plain};
use super::theme::{STRONG, Theme};
use super::{charts, epochs, log_view, progress_view};

/// Columns from which the table and the progress stand side by side.
const WIDE: u16 = 110;
/// Columns that the curves need.
const CHARTS_WIDTH: u16 = 48;
/// Rows that the curves need.
const CHARTS_HEIGHT: u16 = 8;
/// Rows that the table needs: a title, a header, two epochs.
const TABLE_HEIGHT: u16 = 4;
/// Rows for the progress: a title, two bars, two lines of numbers.
const PROGRESS_HEIGHT: u16 = 5;
/// Rows for the log: a title and three lines.
const LOG_HEIGHT: u16 = 4;

/// Draws a frame into `area` of `buffer`.
pub(super) fn draw(dashboard: &Dashboard, theme: Theme, now: Instant, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(*buffer.area());
    let sections = Sections::of(area);
    header(dashboard, theme, now, sections.header, buffer);
    charts::draw(dashboard, theme, sections.charts, buffer);
    progress_view::draw(dashboard, theme, now, sections.progress, buffer);
    epochs::draw(dashboard, theme, sections.table, buffer);
    log_view::draw(dashboard, theme, sections.log, buffer);
}

/// Where everything stands; an area without rows is not drawn.
#[derive(Clone, Copy, Debug, Default)]
struct Sections {
    header: Rect,
    charts: Rect,
    progress: Rect,
    table: Rect,
    log: Rect,
}

impl Sections {
    fn of(area: Rect) -> Sections {
        let below = area.height.saturating_sub(1);
        let needed = PROGRESS_HEIGHT + LOG_HEIGHT;
        if area.width >= WIDE {
            let charts = charts_height(below, needed, area.width);
            let middle = ((below - charts) / 2).max(PROGRESS_HEIGHT).min(below - charts);
            let [header, charts, middle, log] = rows(area, [1, charts, middle]);
            let [table, progress] =
                Layout::horizontal([Constraint::Length(epochs::WIDTH), Constraint::Fill(1)])
                    .spacing(2)
                    .areas(middle);
            return Sections { header, charts, progress, table, log };
        }
        let charts = charts_height(below, needed, area.width);
        let progress = PROGRESS_HEIGHT.min(below);
        let rest = below - charts - progress;
        let fits = rest >= TABLE_HEIGHT + LOG_HEIGHT && area.width >= epochs::WIDTH;
        let table = if fits { rest.div_ceil(2) } else { 0 };
        let [header, charts, progress, table, log] = rows(area, [1, charts, progress, table]);
        Sections { header, charts, progress, table, log }
    }
}

/// Rows for the curves, where `needed` go to what must not be missing.
fn charts_height(rows: u16, needed: u16, width: u16) -> u16 {
    let fits = width >= CHARTS_WIDTH && rows >= needed + CHARTS_HEIGHT;
    if fits { (rows * 2 / 5).clamp(CHARTS_HEIGHT, 24).min(rows - needed) } else { 0 }
}

/// Areas from the top, of so many rows; the last takes what is left.
fn rows<const N: usize, const M: usize>(area: Rect, heights: [u16; N]) -> [Rect; M] {
    let mut top = area.top();
    let mut heights = heights.into_iter();
    std::array::from_fn(|_| {
        let left = area.bottom() - top;
        let height = heights.next().unwrap_or(left).min(left);
        let row = Rect::new(area.left(), top, area.width, height);
        top += height;
        row
    })
}

/// The run at the left, the time since its start at the right.
fn header(dashboard: &Dashboard, theme: Theme, now: Instant, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let info = &dashboard.info;
    let elapsed = format!("  {} elapsed", duration(dashboard.seconds_elapsed(now)));
    let left = Rect { width: area.width.saturating_sub(elapsed.len() as u16), ..area };
    let mut line = Line::from(Span::styled("ml-train", theme.faint()));
    if !info.name.is_empty() {
        line.extend([Span::raw("  "), Span::styled(plain(&info.name), STRONG)]);
        for text in [plain(&info.network), plain(&info.device)] {
            // Whole or not at all.
            if line.width() + 2 + width(&text) <= usize::from(left.width) {
                line.extend([Span::raw("  "), Span::styled(text, theme.faint())]);
            }
        }
    }
    line.render(left, buffer);
    Line::from(elapsed).right_aligned().render(area, buffer);
}
