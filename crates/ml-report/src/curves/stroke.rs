//! Lines, dots and rings → how much of each pixel they cover, so that edges are smooth.
//!
//! The plotting library smooths lines of one pixel only. What belongs together is covered first and
//! painted once: where pieces of a curve meet or cross it does not get darker.

use plotters::style::RGBColor;

use crate::canvas::Canvas;

/// A place in pixels; whole numbers are the centres of pixels.
pub(super) type Point = (f64, f64);

/// The pixels of an area, and how much of each is covered.
pub(super) struct Mask {
    /// Top left.
    corner: (i32, i32),
    /// In pixels.
    width: i32,
    /// In 0 to 1, row by row.
    coverage: Vec<f64>,
}

impl Mask {
    /// Nothing is covered. What is outside the area is left out.
    pub fn new(corner: (i32, i32), width: i32, height: i32) -> Mask {
        let (width, height) = (width.max(0), height.max(0));
        Mask { corner, width, coverage: vec![0.0; width as usize * height as usize] }
    }

    /// A straight line with round ends.
    pub fn line(&mut self, from: Point, to: Point, thickness: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let square = dx * dx + dy * dy;
        self.cover(from, to, thickness / 2.0, |x, y| {
            let along = (x - from.0) * dx + (y - from.1) * dy;
            let share = if square > 0.0 { (along / square).clamp(0.0, 1.0) } else { 0.0 };
            (x - from.0 - share * dx).hypot(y - from.1 - share * dy) - thickness / 2.0
        });
    }

    /// A disc.
    pub fn dot(&mut self, at: Point, radius: f64) {
        self.cover(at, at, radius, |x, y| (x - at.0).hypot(y - at.1) - radius);
    }

    /// A circle.
    pub fn ring(&mut self, at: Point, radius: f64, thickness: f64) {
        self.cover(at, at, radius + thickness, |x, y| {
            ((x - at.0).hypot(y - at.1) - radius).abs() - thickness / 2.0
        });
    }

    /// A diagonal cross.
    pub fn cross(&mut self, at: Point, radius: f64, thickness: f64) {
        for side in [-radius, radius] {
            self.line((at.0 - radius, at.1 - side), (at.0 + radius, at.1 + side), thickness);
        }
    }

    /// Covers what is around the rectangle from `a` to `b`, at most `reach` outside it. `outside` is
    /// the distance of a place from the edge of the shape, negative inside.
    fn cover(&mut self, a: Point, b: Point, reach: f64, outside: impl Fn(f64, f64) -> f64) {
        let height = self.coverage.len().checked_div(self.width as usize).unwrap_or(0) as i32;
        let range = |from: f64, to: f64, start: i32, size: i32| {
            let (low, high) = (from.min(to) - reach - 1.0, from.max(to) + reach + 1.0);
            let inside = |value: f64| (value as i32).saturating_sub(start).clamp(0, size);
            inside(low.floor())..inside(high.ceil())
        };
        for row in range(a.1, b.1, self.corner.1, height) {
            for column in range(a.0, b.0, self.corner.0, self.width) {
                let (x, y) = (f64::from(self.corner.0 + column), f64::from(self.corner.1 + row));
                let covered = (0.5 - outside(x, y)).clamp(0.0, 1.0);
                if let Some(pixel) = self.coverage.get_mut((row * self.width + column) as usize) {
                    *pixel = pixel.max(covered);
                }
            }
        }
    }

    /// Draws what is covered.
    pub fn paint(&self, canvas: &mut Canvas<'_>, color: RGBColor) {
        for (place, covered) in (0..).zip(&self.coverage) {
            if *covered > 0.0 {
                let at = (self.corner.0 + place % self.width, self.corner.1 + place / self.width);
                canvas.blend(at, color, *covered);
            }
        }
    }
}

/// A line through `points` → dashes of length `on` with `off` between them, in pixels.
pub(super) fn dashes(points: &[Point], on: f64, off: f64) -> Vec<(Point, Point)> {
    let mut dashes = Vec::new();
    let mut before = 0.0;
    for pair in points.windows(2) {
        let [from, to] = *pair else { continue };
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |along: f64| {
            let share = along / length;
            (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
        };
        let mut along = 0.0;
        while along < length {
            let phase = (before + along) % (on + off);
            let rest = if phase < on { on - phase } else { on + off - phase };
            // Rounding must not stop it.
            let end = (along + rest.max(0.01)).min(length);
            if phase < on {
                dashes.push((at(along), at(end)));
            }
            along = end;
        }
        before += length;
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_covers_its_thickness() {
        let mut mask = Mask::new((10, 10), 20, 20);
        mask.line((5.0, 15.0), (40.0, 15.0), 2.0);
        let column: Vec<f64> = (0..20).map(|row| mask.coverage[row * 20 + 10]).collect();
        assert_eq!(&column[3..8], [0.0, 0.5, 1.0, 0.5, 0.0]);
        assert_eq!(mask.coverage.iter().sum::<f64>(), 40.0);
        // Outside, and no area at all.
        mask.dot((-1e9, 1e9), 3.0);
        Mask::new((0, 0), 0, 5).dot((0.0, 0.0), 3.0);
        assert_eq!(mask.coverage.iter().sum::<f64>(), 40.0);
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let found = dashes(&[(0.0, 0.0), (5.0, 0.0), (5.0, 20.0)], 6.0, 4.0);
        let lengths: Vec<f64> = found.iter().map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)).collect();
        assert_eq!(lengths.iter().map(|length| length.round()).collect::<Vec<_>>(), [5.0, 1.0, 6.0, 5.0]);
        assert!(dashes(&[(1.0, 1.0)], 6.0, 4.0).is_empty());
        assert!(dashes(&[(1.0, 1.0), (1.0, 1.0)], 6.0, 4.0).is_empty());
    }
}
