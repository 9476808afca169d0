//! Curves → lines for a terminal: a sparkline for each metric, its first, last and best value.

use ml_data::table::{Align, aligned, printable, shortened, width};

use super::RunCurves;
use super::sparkline::{self, Bin, Blocks};
use crate::html::{Curves, Epoch};
use crate::numbers::significant;

/// The most columns that a sparkline takes.
const WIDEST: usize = 60;
/// The fewest, even if lines get too long then.
const NARROWEST: usize = 8;
/// Columns that the name of a run takes in front of its sparkline.
const NAME: usize = 32;
const GAP: usize = 2;

/// What sparklines are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// `▁▂▃▄▅▆▇█`, and `×` where a value is NaN or Inf.
    Unicode,
    /// `.:-=+*#@`, and `x`.
    Ascii,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Metric {
    TrainLoss,
    ValLoss,
    TrainAccuracy,
    ValAccuracy,
    LearningRate,
}

const METRICS: [Metric; 5] =
    [Metric::ValAccuracy, Metric::ValLoss, Metric::TrainAccuracy, Metric::TrainLoss, Metric::LearningRate];

impl Metric {
    /// As in `metrics.csv`.
    fn name(self) -> &'static str {
        match self {
            Metric::TrainLoss => "train_loss",
            Metric::ValLoss => "val_loss",
            Metric::TrainAccuracy => "train_accuracy",
            Metric::ValAccuracy => "val_accuracy",
            Metric::LearningRate => "learning_rate",
        }
    }

    fn value(self, epoch: &Epoch) -> f64 {
        match self {
            Metric::TrainLoss => epoch.train_loss,
            Metric::ValLoss => epoch.val_loss,
            Metric::TrainAccuracy => epoch.train_accuracy,
            Metric::ValAccuracy => epoch.val_accuracy,
            Metric::LearningRate => epoch.learning_rate,
        }
    }

    /// The first epoch with the best value; none if no value is better than another.
    fn best(self, epochs: &[Epoch]) -> Option<&Epoch> {
        let sign = match self {
            Metric::TrainLoss | Metric::ValLoss => 1.0,
            Metric::TrainAccuracy | Metric::ValAccuracy => -1.0,
            Metric::LearningRate => return None,
        };
        let finite = epochs.iter().filter(|epoch| self.value(epoch).is_finite());
        finite.min_by(|a, b| (sign * self.value(a)).total_cmp(&(sign * self.value(b))))
    }
}

/// Lines with a scale in common.
struct Section<'a> {
    /// Above them; none continues the section before.
    title: Option<String>,
    /// Their metric.
    metric: Metric,
    /// Their labels and epochs.
    rows: Vec<(String, &'a [Epoch])>,
}

/// Lines with sparklines, in `terminal` columns if that is known.
///
/// A single run has a line for each metric, each with a scale of its own. Of several runs there is
/// a line for each under each metric, with one scale and the same epochs, so that they can be
/// compared; a shorter run ends earlier.
pub fn text(runs: &[RunCurves], terminal: Option<usize>, glyphs: Glyphs) -> String {
    let blocks = match glyphs {
        Glyphs::Unicode => &sparkline::UNICODE,
        Glyphs::Ascii => &sparkline::ASCII,
    };
    let sections = sections(runs);
    let epochs = || runs.iter().flat_map(|run| &run.curves.epochs).map(|epoch| epoch.epoch);
    let Some(ends) = epochs().min().zip(epochs().max()) else {
        return runs.iter().map(|run| title(run) + "\n").collect();
    };
    let cells = |columns: usize| -> Vec<[String; 6]> {
        sections.iter().flat_map(|section| section.cells(ends, columns, blocks)).collect()
    };
    let lines = |columns: usize| aligned(&cells(columns), &[Align::Left; 6], GAP);
    let others = lines(0).iter().map(|line| width(line)).max().unwrap_or(0);
    let room = terminal.map_or(WIDEST, |terminal| terminal.saturating_sub(others).clamp(NARROWEST, WIDEST));
    let mut lines = lines(room).into_iter();
    let mut text = String::new();
    for section in &sections {
        text.extend(section.title.iter().map(|title| format!("{title}\n")));
        text.extend(lines.by_ref().take(section.rows.len()).map(|line| line + "\n"));
    }
    text
}

fn sections(runs: &[RunCurves]) -> Vec<Section<'_>> {
    let section = |metric: Metric| match runs {
        [run] => Section {
            title: (metric == METRICS[0]).then(|| title(run)),
            metric,
            rows: vec![(metric.name().to_owned(), &run.curves.epochs)],
        },
        _ => Section {
            title: Some(metric.name().to_owned()),
            metric,
            rows: runs.iter().map(|run| (name(run), run.curves.epochs.as_slice())).collect(),
        },
    };
    METRICS.map(section).into()
}

fn name(run: &RunCurves) -> String {
    shortened(&printable(&run.name), NAME)
}

/// `base: 30 epochs, best.pt is of epoch 28`.
fn title(run: &RunCurves) -> String {
    let Curves { epochs, best_epoch, .. } = &run.curves;
    let best = best_epoch.map_or(String::new(), |best| format!(", best.pt is of epoch {best}"));
    match epochs.len() {
        0 => format!("{}: no epoch is done", name(run)),
        1 => format!("{}: 1 epoch{best}", name(run)),
        count => format!("{}: {count} epochs{best}", name(run)),
    }
}

impl Section<'_> {
    /// A row's label, sparkline, first, last and best value, and how many are not finite.
    fn cells(&self, ends: (u64, u64), columns: usize, blocks: &Blocks) -> Vec<[String; 6]> {
        let value = |epoch: &Epoch| self.metric.value(epoch);
        let binned = |(_, epochs): &(String, &[Epoch])| {
            sparkline::bins(epochs.iter().map(|epoch| (epoch.epoch, value(epoch))), ends, columns)
        };
        let bins: Vec<Vec<Bin>> = self.rows.iter().map(binned).collect();
        let range = sparkline::range(bins.iter().flatten());
        let cells = |((label, epochs), bins): (&(String, &[Epoch]), &Vec<Bin>)| {
            let line = sparkline::line(bins, range, blocks);
            let label = format!("  {label}");
            let (Some(first), Some(last)) = (epochs.first(), epochs.last()) else {
                return [label, line, "no epoch is done".into(), String::new(), String::new(), String::new()];
            };
            let best = self.metric.best(epochs);
            let best = best.map(|best| format!("best {} in epoch {}", significant(value(best)), best.epoch));
            let gaps = epochs.iter().filter(|epoch| !value(epoch).is_finite()).count();
            [
                label,
                line,
                format!("first {}", significant(value(first))),
                format!("last {}", significant(value(last))),
                best.unwrap_or_default(),
                if gaps == 0 { String::new() } else { format!("{gaps} NaN or Inf") },
            ]
        };
        self.rows.iter().zip(&bins).map(cells).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{falling, run};
    use super::*;

    #[test]
    fn a_run_has_a_line_for_each_metric() {
        let mut base = run("base", &falling(8));
        base.curves.best_epoch = Some(8);
        let text = text(&[base], Some(100), Glyphs::Unicode);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "base: 8 epochs, best.pt is of epoch 8");
        assert_eq!(lines[1], "  val_accuracy    ▁▅▆▇▇███  first 0     last 0.875   best 0.875 in epoch 8");
        assert!(lines[5].starts_with("  learning_rate   ▄▄▄▄▄▄▄▄  first 0.01  last 0.01"), "{text}");
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn several_runs_share_scale_and_epochs() {
        let runs = [run("long", &falling(8)), run("short", &falling(2)), run("none", &[])];
        let text = text(&runs, Some(100), Glyphs::Ascii);
        assert!(text.starts_with("val_accuracy\n  long   .+*##@@@  first 0 "), "{text}");
        assert!(text.contains("\n  short  .+        first 0 "), "{text}");
        assert!(text.contains("\n  none             no epoch is done\nval_loss\n"), "{text}");
        assert!(text.is_ascii());
    }

    #[test]
    fn values_that_are_not_finite_are_marked_and_counted() {
        let text = text(&[run("x", &[1.0, f64::NAN, 0.5, f64::INFINITY])], None, Glyphs::Unicode);
        let loss = text.lines().find(|line| line.contains("val_loss")).unwrap();
        assert!(loss.contains("█×▁×  first 1     last inf"), "{loss}");
        assert!(loss.ends_with("best 0.5 in epoch 3   2 NaN or Inf"), "{loss}");
        let text = super::text(&[run("x", &[f64::NAN])], None, Glyphs::Unicode);
        assert!(text.contains("val_loss        ×  first NaN   last NaN"), "{text}");
    }

    #[test]
    fn one_epoch_and_none_have_a_text() {
        let one = text(&[run("x", &[0.5])], None, Glyphs::Unicode);
        assert!(one.starts_with("x: 1 epoch\n") && one.contains("val_loss        ▄  first 0.5"), "{one}");
        assert_eq!(text(&[run("x", &[])], None, Glyphs::Unicode), "x: no epoch is done\n");
        assert_eq!(text(&[], None, Glyphs::Unicode), "");
    }

    #[test]
    fn lines_fit_the_terminal_and_names_cannot_disturb_it() {
        let name = format!("<b>\x1b[2J{}", "日".repeat(200));
        let runs = [run(&name, &falling(3000)), run("b", &falling(10))];
        let text = text(&runs, Some(120), Glyphs::Unicode);
        assert!(text.lines().all(|line| width(line) <= 120), "{text}");
        assert!(text.lines().any(|line| width(line) > 110), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
