//! The loss over a growing learning rate → an image.

use super::figure::{COLORS, axis, lighter};
use super::panel::{BOTTOM, Curve, HEIGHT, Panel, TICK_SIZE, TOP, WIDTH};
use crate::canvas::{Figure, FigureError, GAP, draw, width_of};
use crate::html::scale::Axis;
use ml_core::trainer::LrPoint;

/// Draws the smoothed loss over the learning rate, dashed the loss itself, and a ring at the learning
/// rate `suggested`, which is that of a point. The axis of a smoothed loss over several decades is
/// logarithmic; losses outside of it are drawn at its ends.
///
/// # Errors
/// The plotting library refuses.
pub fn lr_finder(points: &[LrPoint], suggested: Option<f64>) -> Result<Figure, FigureError> {
    let x = Axis::log_if_wide(points.iter().map(|point| point.lr));
    let y = axis(points.iter().map(|point| point.smoothed_loss));
    let title = if y.is_log { "Loss, logarithmic" } else { "Loss" };
    let smoothed = points.iter().map(|point| (point.lr, point.smoothed_loss)).collect();
    let away = |point: &&LrPoint, from: f64| (point.lr / from).ln().abs();
    let marked = suggested.and_then(|from| {
        points.iter().min_by(|a, b| away(a, from).total_cmp(&away(b, from))).map(|point| point.lr)
    });
    let raw = points.iter().map(|point| (point.lr, point.loss)).collect();
    let curves = vec![
        Curve { color: lighter(COLORS[0]), is_train: true, points: raw, best: None },
        Curve { color: COLORS[0], is_train: false, points: smoothed, best: marked },
    ];
    // Half of the last number stands right of the axes.
    let right = GAP * 2 + x.ticks.iter().map(|(_, text)| width_of(text, TICK_SIZE)).max().unwrap_or(0) / 2;
    let left = GAP * 2 + Panel::left(&y);
    let x_label = if suggested.is_some() { "learning rate (ring: suggestion)" } else { "learning rate" };
    let panel = Panel { title, x: &x, x_label, y, curves, corner: (left, TOP) };
    draw(left + WIDTH + right, TOP + HEIGHT + BOTTOM + GAP, |canvas| panel.draw(canvas))
}

#[cfg(test)]
mod tests {
    use plotters::style::RGBColor;

    use super::*;

    #[test]
    fn sweeps_of_any_length_are_drawn() {
        let RGBColor(r, g, b) = COLORS[0];
        for count in [0, 1, 20, 100] {
            let points: Vec<LrPoint> = (0..count)
                .map(|step| {
                    let lr = 1e-7 * 10f64.powf(8.0 * f64::from(step) / 100.0);
                    let loss = 2.0 / (1.0 + lr * 100.0) + lr.powi(3) * 1e4;
                    LrPoint { lr, loss: loss * (1.0 + 0.2 * f64::from(step).sin()), smoothed_loss: loss }
                })
                .collect();
            let figure = lr_finder(&points, points.get(15).map(|point| point.lr)).unwrap();
            if let Some(dir) = std::env::var_os("FIGURES_DIR") {
                let name = format!("lr_finder_{count}.png");
                std::fs::write(std::path::Path::new(&dir).join(name), figure.to_png().unwrap()).unwrap();
            }
            let blue = figure.rgb.chunks_exact(3).filter(|pixel| *pixel == [r, g, b]).count();
            assert_eq!(blue > 5, count > 0, "{count}: {blue}");
        }
    }
}
