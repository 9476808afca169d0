//! Names of runs and the meaning of lines → a legend below the panels.

use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor};

use super::RunCurves;
use super::panel::{CROSS, DASH, RING, TRAIN_LINE, VAL_LINE};
use super::stroke::{Mask, dashes};
use crate::canvas::{Canvas, GAP, INK, LABEL_SIZE, width_of};
use crate::html::Epoch;
use crate::html::format::shorten;
use crate::labels::{Label, LabelStyle, labels};

/// Length of the line in front of a text, in pixels.
const LINE_LENGTH: i32 = 28;
/// From one line of text to the next, in pixels.
const ROW: i32 = 22;
/// Between entries, in pixels.
const BETWEEN: i32 = 28;
/// Characters of a name that are kept; where it is longer, its middle is left out.
const NAME_CHARS: usize = 48;
/// Pixels that a name takes at most.
const NAME_LIMIT: i32 = 420;

/// What is in front of a text.
#[derive(Clone, Copy)]
pub(super) enum Swatch {
    /// A whole line.
    Line(RGBColor),
    /// A dashed line.
    Dashes,
    /// The best epoch.
    Ring,
    /// A value that is not finite.
    Cross,
}

struct Entry {
    swatch: Swatch,
    label: Label,
    /// Behind the label.
    more: String,
    /// With the swatch, in pixels.
    width: i32,
}

/// Rows of entries.
pub(super) struct Legend {
    /// What lines and marks mean, side by side.
    keys: Vec<Entry>,
    /// In columns of one width.
    runs: Vec<Entry>,
    /// Entries beside each other.
    columns: usize,
}

impl Legend {
    /// Of runs in these colours, `room` pixels wide unless a single name is wider.
    pub fn new(keys: &[(Swatch, &str)], runs: &[RunCurves], colors: &[RGBColor], room: i32) -> Legend {
        let measure = |text: &str| width_of(text, LABEL_SIZE);
        let style = LabelStyle { size: LABEL_SIZE, limit: NAME_LIMIT, color: INK.rgb(), width: &measure };
        let entry = |swatch: Swatch, label: Label, more: String| {
            let width = LINE_LENGTH + GAP + label.width(&style) + width_of(&more, LABEL_SIZE);
            Entry { swatch, label, more, width }
        };
        let names: Vec<String> = runs.iter().map(|run| shorten(&run.name, NAME_CHARS)).collect();
        let named = labels(&names, &style).into_iter().zip(runs).zip(colors);
        let runs: Vec<Entry> =
            named.map(|((label, run), color)| entry(Swatch::Line(*color), label, more(run))).collect();
        let keys =
            keys.iter().map(|(swatch, text)| entry(*swatch, Label::Plain((*text).into()), String::new()));
        let legend = Legend { keys: keys.collect(), runs, columns: 1 };
        // Behind the last there is nothing.
        let columns = ((room + BETWEEN) / legend.column()).max(1) as usize;
        Legend { columns, ..legend }
    }

    pub fn width(&self) -> i32 {
        let runs = self.column() * self.columns.min(self.runs.len()) as i32;
        let keys = self.keys.iter().map(|key| key.width + BETWEEN).sum::<i32>();
        runs.max(keys) - BETWEEN
    }

    pub fn height(&self) -> i32 {
        ROW * (1 + self.runs.len().div_ceil(self.columns)) as i32
    }

    /// From one column to the next.
    fn column(&self) -> i32 {
        self.runs.iter().map(|run| run.width).max().unwrap_or(0) + BETWEEN
    }

    /// With its top left at `corner`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, corner: (i32, i32)) {
        let mut left = corner.0;
        for key in &self.keys {
            key.draw(canvas, (left, corner.1));
            left += key.width + BETWEEN;
        }
        for (index, run) in self.runs.iter().enumerate() {
            let (row, column) = (1 + (index / self.columns) as i32, (index % self.columns) as i32);
            run.draw(canvas, (corner.0 + column * self.column(), corner.1 + row * ROW));
        }
    }
}

/// What is said of a run behind its name.
fn more(run: &RunCurves) -> String {
    let is_shown = |epoch: &Epoch| {
        [epoch.train_loss, epoch.val_loss, epoch.train_accuracy, epoch.val_accuracy]
            .iter()
            .any(|v| v.is_finite())
    };
    match run.curves.best_epoch {
        _ if run.curves.epochs.is_empty() => " (no epoch is done)".to_owned(),
        _ if !run.curves.epochs.iter().any(is_shown) => " (all NaN or Inf)".to_owned(),
        Some(best) => format!(" (best: epoch {best})"),
        None => String::new(),
    }
}

impl Entry {
    fn draw(&self, canvas: &mut Canvas<'_>, (left, top): (i32, i32)) {
        let middle = top + ROW / 2;
        let mut mask = Mask::new((left, top), LINE_LENGTH, ROW);
        let y = f64::from(middle);
        let (from, to) = ((f64::from(left) + 2.0, y), (f64::from(left + LINE_LENGTH) - 2.0, y));
        let centre = (f64::midpoint(from.0, to.0), y);
        let color = match self.swatch {
            Swatch::Line(color) => color,
            Swatch::Dashes | Swatch::Ring | Swatch::Cross => INK,
        };
        match self.swatch {
            Swatch::Line(_) => mask.line(from, to, VAL_LINE),
            Swatch::Dashes => {
                for (from, to) in dashes(&[from, to], DASH.0, DASH.1) {
                    mask.line(from, to, TRAIN_LINE);
                }
            }
            Swatch::Ring => mask.ring(centre, RING, VAL_LINE),
            Swatch::Cross => mask.cross(centre, CROSS, TRAIN_LINE),
        }
        mask.paint(canvas, color);
        let at = (left + LINE_LENGTH + GAP, middle);
        canvas.label(&self.label, at, LABEL_SIZE, (HPos::Left, VPos::Center), false);
        if !self.more.is_empty() {
            let end = left + self.width - width_of(&self.more, LABEL_SIZE);
            canvas.text(&self.more, (end, middle), LABEL_SIZE, INK, (HPos::Left, VPos::Center), false);
        }
    }
}
