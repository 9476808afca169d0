//! Curves of one metric in a pair of axes → strokes on a [`Canvas`].

use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};

use super::stroke::{Mask, Point, dashes};
use crate::canvas::{Canvas, GAP, INK, LABEL_SIZE, LINE, TITLE_SIZE, WHITE, width_of};
use crate::html::scale::{Axis, thin};

/// Of the axes, in pixels.
pub(super) const WIDTH: i32 = 480;
/// Of the axes, in pixels.
pub(super) const HEIGHT: i32 = 300;
/// Above the axes.
pub(super) const TOP: i32 = TITLE_SIZE + GAP * 2;
/// Below the axes: numbers, and what they count.
pub(super) const BOTTOM: i32 = GAP * 3 + TICK_SIZE + LABEL_SIZE;
/// Numbers at the axes.
pub(super) const TICK_SIZE: i32 = 13;
/// If no curve has more points than this, each point has a dot.
const DOTS_UP_TO: usize = 15;

/// A validation curve is a line of this thickness; one of training is thinner, and dashed.
pub(super) const VAL_LINE: f64 = 2.2;
pub(super) const TRAIN_LINE: f64 = 1.5;
pub(super) const DASH: (f64, f64) = (6.0, 4.0);
pub(super) const RING: f64 = 5.0;
pub(super) const CROSS: f64 = 3.5;

/// A curve.
pub(super) struct Curve {
    /// Of its run.
    pub color: RGBColor,
    /// Dashed.
    pub is_train: bool,
    /// Epochs or steps, and values; those that are not finite are gaps.
    pub points: Vec<(f64, f64)>,
    /// The epoch whose point has a ring.
    pub best: Option<f64>,
}

impl Curve {
    /// Whether the best epoch has a point.
    pub fn has_best(&self) -> bool {
        self.points.iter().any(|(epoch, value)| Some(*epoch) == self.best && value.is_finite())
    }

    /// Whether some of its values are not finite, but not all.
    pub fn has_gaps(&self) -> bool {
        let finite = self.points.iter().filter(|(_, value)| value.is_finite()).count();
        finite > 0 && finite < self.points.len()
    }
}

/// A pair of axes with curves.
pub(super) struct Panel<'a> {
    /// Above them.
    pub title: &'a str,
    /// The horizontal axis.
    pub x: &'a Axis,
    /// Below it.
    pub x_label: &'a str,
    /// The vertical axis.
    pub y: Axis,
    /// Later ones are above earlier ones.
    pub curves: Vec<Curve>,
    /// Top left of the axes.
    pub corner: (i32, i32),
}

impl Panel<'_> {
    /// Room that the numbers at the vertical axis need.
    pub fn left(y: &Axis) -> i32 {
        y.ticks.iter().map(|(_, text)| width_of(text, TICK_SIZE)).max().unwrap_or(0) + GAP
    }

    pub fn draw(&self, canvas: &mut Canvas<'_>) {
        let (x0, y0) = self.corner;
        canvas.text(self.title, (x0, y0 - TOP + GAP), TITLE_SIZE, INK, (HPos::Left, VPos::Top), false);
        self.draw_axes(canvas);
        let has_dots = self.curves.iter().all(|curve| curve.points.len() <= DOTS_UP_TO);
        for curve in &self.curves {
            self.draw_curve(canvas, curve, has_dots);
        }
        for curve in &self.curves {
            self.draw_marks(canvas, curve);
        }
        if self.curves.iter().all(|curve| curve.points.iter().all(|point| self.place(*point).is_none())) {
            let centre = (x0 + WIDTH / 2, y0 + HEIGHT / 2);
            canvas.text("no values", centre, LABEL_SIZE, INK, (HPos::Center, VPos::Center), false);
        }
    }

    fn draw_axes(&self, canvas: &mut Canvas<'_>) {
        let (x0, x1, y1) = (self.corner.0, self.corner.0 + WIDTH, self.corner.1 + HEIGHT);
        for (value, text) in &self.y.ticks {
            let Some(place) = self.y.place(*value) else { continue };
            let y = y1 - (place * f64::from(HEIGHT)).round() as i32;
            canvas.rectangle((x0, y), (x1, y), LINE, false);
            canvas.text(text, (x0 - GAP, y), TICK_SIZE, INK, (HPos::Right, VPos::Center), false);
        }
        canvas.rectangle((x0, y1), (x1, y1), INK, false);
        let mut free_from = i32::MIN;
        for (value, text) in &self.x.ticks {
            let Some(place) = self.x.place(*value) else { continue };
            let x = x0 + (place * f64::from(WIDTH)).round() as i32;
            canvas.rectangle((x, y1 + 1), (x, y1 + 4), INK, false);
            let half = width_of(text, TICK_SIZE) / 2 + 1;
            // Long numbers do not run into each other.
            if x - half >= free_from {
                canvas.text(text, (x, y1 + GAP), TICK_SIZE, INK, (HPos::Center, VPos::Top), false);
                free_from = x + half + GAP;
            }
        }
        let below = (x0 + WIDTH / 2, y1 + GAP * 2 + TICK_SIZE);
        canvas.text(self.x_label, below, LABEL_SIZE, INK, (HPos::Center, VPos::Top), false);
    }

    fn draw_curve(&self, canvas: &mut Canvas<'_>, curve: &Curve, has_dots: bool) {
        let mut mask = self.mask();
        let points = thin(&curve.points);
        let places: Vec<Option<Point>> = points.iter().map(|point| self.place(*point)).collect();
        for piece in places.split(Option::is_none) {
            let piece: Vec<Point> = piece.iter().copied().flatten().collect();
            if curve.is_train {
                for (from, to) in dashes(&piece, DASH.0, DASH.1) {
                    mask.line(from, to, TRAIN_LINE);
                }
            } else {
                for pair in piece.windows(2) {
                    let [from, to] = *pair else { continue };
                    mask.line(from, to, VAL_LINE);
                }
            }
            // A point between gaps has no line.
            if has_dots || piece.len() == 1 {
                let radius = if curve.is_train { TRAIN_LINE } else { VAL_LINE } + 0.6;
                piece.iter().for_each(|place| mask.dot(*place, radius));
            }
        }
        mask.paint(canvas, curve.color);
    }

    /// The ring of the best epoch, and a cross at the bottom for each value that is not finite.
    fn draw_marks(&self, canvas: &mut Canvas<'_>, curve: &Curve) {
        let best = curve.points.iter().find(|(epoch, _)| Some(*epoch) == curve.best);
        if let Some(place) = best.and_then(|point| self.place(*point)) {
            let (mut inside, mut ring) = (self.mask(), self.mask());
            inside.dot(place, RING);
            inside.paint(canvas, WHITE);
            ring.ring(place, RING, VAL_LINE);
            ring.paint(canvas, curve.color);
        }
        if curve.has_gaps() {
            let mut mask = self.mask();
            let bottom = f64::from(self.corner.1 + HEIGHT) - CROSS - 3.0;
            let gaps = thin(&curve.points).into_iter().filter(|(_, value)| !value.is_finite());
            for place in gaps.filter_map(|(epoch, _)| self.x.place(epoch)) {
                mask.cross((f64::from(self.corner.0) + place * f64::from(WIDTH), bottom), CROSS, TRAIN_LINE);
            }
            mask.paint(canvas, curve.color);
        }
    }

    /// The axes, and as much around them as a ring takes.
    fn mask(&self) -> Mask {
        let around = RING as i32 + 3;
        let corner = (self.corner.0 - around, self.corner.1 - around);
        Mask::new(corner, WIDTH + around * 2, HEIGHT + around * 2)
    }

    /// None for what is not finite.
    fn place(&self, (epoch, value): (f64, f64)) -> Option<Point> {
        let (x, y) = (self.x.place(epoch)?, self.y.place(value)?);
        let bottom = f64::from(self.corner.1 + HEIGHT);
        Some((f64::from(self.corner.0) + x * f64::from(WIDTH), bottom - y * f64::from(HEIGHT)))
    }
}
