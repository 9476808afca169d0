//! What a text is for → how it looks: the only place that names colours.
//!
//! In: whether colours are wanted. Out: ratatui styles; without colours, bold and dim tell apart.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;

/// What matters most.
pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// How the curve of the training split is drawn.
pub(super) const TRAIN_MARKER: Marker = Marker::Braille;
/// A piece of that curve, for the legend.
pub(super) const TRAIN_SAMPLE: &str = "⠒";

/// How the dashboard looks.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    colored: bool,
}

impl Theme {
    /// With colours, or without.
    pub fn new(colored: bool) -> Theme {
        Theme { colored }
    }

    /// Whether there are colours.
    pub(super) fn is_colored(self) -> bool {
        self.colored
    }

    fn color(self, color: Color) -> Style {
        if self.colored { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn faint(self) -> Style {
        if self.colored { self.color(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    pub(super) fn train(self) -> Style {
        self.color(Color::Cyan)
    }

    pub(super) fn val(self) -> Style {
        self.color(Color::Yellow)
    }

    pub(super) fn best(self) -> Style {
        self.color(Color::Green).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bar(self) -> Style {
        self.color(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.color(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn error(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// How the curve of the validation split is drawn; without colours, unlike the other.
    pub(super) fn val_marker(self) -> Marker {
        if self.colored { TRAIN_MARKER } else { Marker::Dot }
    }

    /// A piece of that curve, for the legend.
    pub(super) fn val_sample(self) -> &'static str {
        if self.colored { TRAIN_SAMPLE } else { "•" }
    }
}
