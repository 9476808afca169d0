//! The learning rate of each step of a training → an image.

use super::figure::{COLORS, axis};
use super::panel::{BOTTOM, Curve, HEIGHT, Panel, TICK_SIZE, TOP, WIDTH};
use crate::canvas::{Figure, FigureError, GAP, draw, width_of};
use crate::html::scale::{Axis, Unit};

/// Draws `points`, steps counted from 0 and their learning rates; below the axis is `x_label`. What
/// falls over several decades has a logarithmic axis; a linear one begins at zero.
///
/// # Errors
/// The plotting library refuses.
pub fn learning_rate(points: Vec<(f64, f64)>, x_label: &str) -> Result<Figure, FigureError> {
    let x = Axis::over(points.iter().map(|(step, _)| *step), Unit::Whole);
    let rates = points.iter().map(|(_, rate)| *rate);
    let y = axis(rates.clone());
    let y = if y.is_log { y } else { Axis::over(rates.chain([0.0]), Unit::Number) };
    let title = if y.is_log { "Learning rate, logarithmic" } else { "Learning rate" };
    // Half of the last number stands right of the axes.
    let right = GAP * 2 + x.ticks.iter().map(|(_, text)| width_of(text, TICK_SIZE)).max().unwrap_or(0) / 2;
    let left = GAP * 2 + Panel::left(&y);
    let curves = vec![Curve { color: COLORS[0], is_train: false, points, best: None }];
    let panel = Panel { title, x: &x, x_label, y, curves, corner: (left, TOP) };
    draw(left + WIDTH + right, TOP + HEIGHT + BOTTOM + GAP, |canvas| panel.draw(canvas))
}

#[cfg(test)]
mod tests {
    use plotters::style::RGBColor;

    use super::*;

    /// Set `FIGURES_DIR` to look at them.
    fn drawn(name: &str, rates: impl Iterator<Item = f64>) -> Figure {
        let points = (0..).zip(rates).map(|(step, rate)| (f64::from(step), rate)).collect();
        let figure = learning_rate(points, "step (10 an epoch)").unwrap();
        if let Some(dir) = std::env::var_os("FIGURES_DIR") {
            std::fs::write(std::path::Path::new(&dir).join(name), figure.to_png().unwrap()).unwrap();
        }
        figure
    }

    #[test]
    fn learning_rates_of_any_length_and_size_are_drawn() {
        let RGBColor(r, g, b) = COLORS[0];
        for (name, figure) in [
            ("lr_one.png", drawn("lr_one.png", [0.1].into_iter())),
            ("lr_constant.png", drawn("lr_constant.png", std::iter::repeat_n(0.1, 50))),
            (
                "lr_zero.png",
                drawn("lr_zero.png", (0..=100).map(|step| 3e-5 * (1.0 - f64::from(step) / 100.0))),
            ),
            ("lr_drops.png", drawn("lr_drops.png", (0..90).map(|step| 0.1_f64.powi(1 + step / 30)))),
            ("lr_long.png", drawn("lr_long.png", (0..20_000).map(|step| 1.0 / (1.0 + f64::from(step))))),
        ] {
            let blue = figure.rgb.chunks_exact(3).filter(|pixel| *pixel == [r, g, b]).count();
            assert!(blue > 5, "{name}: {blue}");
        }
    }
}
