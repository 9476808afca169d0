//! Curves of 1 to 8 runs → an image: loss and accuracy side by side, a colour for each run, below
//! them a legend.

use plotters::style::RGBColor;

use super::legend::{Legend, Swatch};
use super::panel::{BOTTOM, Curve, HEIGHT, Panel, TICK_SIZE, TOP, WIDTH};
use super::{CurvesError, RunCurves};
use crate::canvas::{Figure, GAP, INK, draw, width_of};
use crate::html::Epoch;
use crate::html::scale::{Axis, Unit};

/// Runs in one image: as many as there are colours.
pub const MAX_RUNS: usize = 8;

/// Those of the plots in reports.
pub(super) const COLORS: [RGBColor; MAX_RUNS] = [
    RGBColor(0, 103, 165),
    RGBColor(179, 74, 0),
    RGBColor(0, 112, 76),
    RGBColor(142, 59, 138),
    RGBColor(122, 98, 0),
    RGBColor(47, 127, 158),
    RGBColor(90, 95, 102),
    RGBColor(163, 22, 63),
];

/// Draws the loss and the accuracy of each epoch, dashed for the training split. A loss over several
/// decades has a logarithmic axis. The epoch of `best.pt` has a ring.
///
/// # Errors
/// There are no runs or more than [`MAX_RUNS`], or the plotting library refuses.
pub fn figure(runs: &[RunCurves]) -> Result<Figure, CurvesError> {
    if !(1..=MAX_RUNS).contains(&runs.len()) {
        return Err(CurvesError::Count { runs: runs.len() });
    }
    let epochs = || runs.iter().flat_map(|run| &run.curves.epochs);
    let x = Axis::over(epochs().map(|epoch| epoch.epoch as f64), Unit::Whole);
    let (train_loss, val_loss) = (|epoch: &Epoch| epoch.train_loss, |epoch: &Epoch| epoch.val_loss);
    let (train_accuracy, val_accuracy) =
        (|epoch: &Epoch| epoch.train_accuracy, |epoch: &Epoch| epoch.val_accuracy);
    let loss = axis(epochs().flat_map(|epoch| [epoch.train_loss, epoch.val_loss]));
    let accuracy =
        Axis::over(epochs().flat_map(|epoch| [epoch.train_accuracy, epoch.val_accuracy]), Unit::Percent);

    // Half of the last number stands right of the axes.
    let right = GAP * 2 + x.ticks.iter().map(|(_, text)| width_of(text, TICK_SIZE)).max().unwrap_or(0) / 2;
    let first = GAP * 2 + Panel::left(&loss);
    let second = first + WIDTH + right + GAP * 2 + Panel::left(&accuracy);
    let curves = [curves(runs, train_loss, val_loss), curves(runs, train_accuracy, val_accuracy)];
    let keys = keys(&curves);
    let legend = Legend::new(&keys, runs, &COLORS, second + WIDTH - first);
    let width = (second + WIDTH + right).max(first + legend.width() + GAP * 2);
    let below = TOP + HEIGHT + BOTTOM;
    let [loss_curves, accuracy_curves] = curves;
    let title = if loss.is_log { "Loss, logarithmic" } else { "Loss" };
    let panel =
        |title, y, curves, left| Panel { title, x: &x, x_label: "epoch", y, curves, corner: (left, TOP) };
    let panels =
        [panel(title, loss, loss_curves, first), panel("Accuracy", accuracy, accuracy_curves, second)];
    let figure = draw(width, below + legend.height() + GAP, |canvas| {
        panels.iter().for_each(|panel| panel.draw(canvas));
        legend.draw(canvas, (first, below));
    });
    Ok(figure?)
}

/// Logarithmic if `values` are wide apart; linear where one would be left out then.
pub(super) fn axis(values: impl Iterator<Item = f64> + Clone) -> Axis {
    if values.clone().any(|value| value.is_finite() && value <= 0.0) {
        Axis::over(values, Unit::Number)
    } else {
        Axis::log_if_wide(values)
    }
}

/// One of each run and split; those of validation are the last, and so above.
fn curves(runs: &[RunCurves], train: fn(&Epoch) -> f64, val: fn(&Epoch) -> f64) -> Vec<Curve> {
    let curve = |(run, color): (&RunCurves, &RGBColor), is_train: bool| {
        let of = if is_train { train } else { val };
        let points = run.curves.epochs.iter().map(|epoch| (epoch.epoch as f64, of(epoch))).collect();
        let best = run.curves.best_epoch.filter(|_| !is_train).map(|best| best as f64);
        Curve { color: if is_train { lighter(*color) } else { *color }, is_train, points, best }
    };
    let colored = || runs.iter().zip(&COLORS);
    colored().map(|run| curve(run, true)).chain(colored().map(|run| curve(run, false))).collect()
}

/// Halfway to white.
pub(super) fn lighter(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let mix = |value: u8| u8::midpoint(value, 255);
    RGBColor(mix(red), mix(green), mix(blue))
}

/// What the lines are, and the marks that there are.
fn keys(curves: &[Vec<Curve>]) -> Vec<(Swatch, &'static str)> {
    let mut keys = vec![(Swatch::Line(INK), "validation"), (Swatch::Dashes, "training")];
    if curves.iter().flatten().any(Curve::has_best) {
        keys.push((Swatch::Ring, "best epoch"));
    }
    if curves.iter().flatten().any(Curve::has_gaps) {
        keys.push((Swatch::Cross, "NaN or Inf"));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::super::tests::{falling, run};
    use super::*;

    /// Set `FIGURES_DIR` to look at them.
    fn drawn(name: &str, runs: &[RunCurves]) -> Figure {
        let figure = figure(runs).unwrap();
        if let Some(dir) = std::env::var_os("FIGURES_DIR") {
            std::fs::write(std::path::Path::new(&dir).join(name), figure.to_png().unwrap()).unwrap();
        }
        figure
    }

    fn count(figure: &Figure, RGBColor(r, g, b): RGBColor) -> usize {
        figure.rgb.chunks_exact(3).filter(|pixel| *pixel == [r, g, b]).count()
    }

    /// Noise that is the same each time.
    fn noisy(epochs: u32, scale: f64) -> Vec<f64> {
        (1..=epochs)
            .map(|e| (0.1 + scale / f64::from(e).sqrt()) * (1.0 + 0.1 * (f64::from(e) * 2.3).sin()))
            .collect()
    }

    #[test]
    fn each_run_has_its_colour_in_both_panels_and_the_legend() {
        for count_of_runs in [1, 2, 8] {
            let runs: Vec<RunCurves> = (0..count_of_runs)
                .map(|place| {
                    let mut run = run(
                        &format!("batch_32_lr_0.{place}"),
                        &noisy(10 + 20 * place, 0.4 + f64::from(place) / 20.0),
                    );
                    run.curves.best_epoch = Some(u64::from(8 + 19 * place));
                    run
                })
                .collect();
            let figure = drawn(&format!("runs_{count_of_runs}.png"), &runs);
            for (place, color) in COLORS.iter().enumerate() {
                assert_eq!(count(&figure, *color) > 100, place < runs.len(), "{count_of_runs} runs, {place}");
            }
        }
    }

    #[test]
    fn hostile_names_and_values_are_drawn() {
        let long = "batch_32_lr_0.01_optimizer.momentum_0.95_transforms.train.random_erasing_0.25_seed_1";
        let mut runs = vec![
            run("<b>\x1b[31m\n&amp;\u{202e}", &noisy(30, 0.5)),
            run(&"日本".repeat(100), &falling(30)),
            run(long, &[2.0, 1.5, f64::NAN, 1.0, f64::INFINITY, f64::NAN, 0.8]),
            run(&format!("{}2", &long[..long.len() - 1]), &[0.7]),
            run("", &[]),
            run("diverged", &[f64::NAN; 3]),
        ];
        runs[2].curves.best_epoch = Some(7);
        runs[3].curves.best_epoch = Some(u64::MAX);
        let figure = drawn("hostile.png", &runs);
        assert!(figure.width < 1500, "{}", figure.width);
    }

    #[test]
    fn extreme_curves_have_an_image() {
        drawn("one_epoch.png", &[run("one", &[0.5])]);
        drawn("no_epoch.png", &[run("none", &[])]);
        drawn(
            "decades.png",
            &[run("decades", &(1..=40).map(|e| 10_f64.powf(2.0 - f64::from(e) / 8.0)).collect::<Vec<_>>())],
        );
        drawn("many.png", &[run("many", &noisy(20_000, 3.0)), run("few", &noisy(3_000, 1.0))]);
        let mut far = run("far", &[f64::MAX, f64::MIN, 0.0]);
        far.curves.epochs[2].epoch = u64::MAX;
        drawn("far.png", &[far]);
    }

    #[test]
    fn more_runs_than_colours_are_refused() {
        let runs = vec![run("x", &[1.0]); 9];
        let error = figure(&runs).unwrap_err().to_string();
        assert_eq!(error, "an image has curves of 1 to 8 runs, but 9 were given; name fewer runs");
        assert_eq!(figure(&[]), Err(CurvesError::Count { runs: 0 }));
    }
}
