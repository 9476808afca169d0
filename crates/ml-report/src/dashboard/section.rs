//! The rule and the title above a part of a frame.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Widget};

use super::theme::{STRONG, Theme};

/// A rule with a title → what is left below it. A section of one row has no title.
pub(super) fn section(title: Line<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    if area.height < 2 {
        return area;
    }
    let block = Block::new().borders(Borders::TOP).border_style(theme.faint()).title(title);
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// ` text ` as a title.
pub(super) fn title(text: &str) -> Span<'static> {
    Span::styled(format!(" {text} "), STRONG)
}
