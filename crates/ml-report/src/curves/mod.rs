//! Metrics of runs by epoch → curves as text for a terminal, or as an image.
//!
//! In: a name and [`Curves`] for each run. Out: [`text`], [`figure`]; and for the learning rate of
//! a training that is planned [`learning_rate()`], and of one that looks for it [`lr_finder()`]. What
//! is NaN or Inf is a gap with a mark. Opens no files.

mod figure;
mod learning_rate;
mod legend;
mod lr_finder;
mod panel;
mod sparkline;
mod stroke;
mod text;

pub use figure::{MAX_RUNS, figure};
pub use learning_rate::learning_rate;
pub use lr_finder::lr_finder;
pub use text::{Glyphs, text};

use crate::canvas::FigureError;
use crate::html::Curves;

/// A run and its epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCurves {
    /// Name of the run's folder.
    pub name: String,
    /// By epoch; those not in order are drawn as they come.
    pub curves: Curves,
}

/// There is no image of these runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurvesError {
    /// Too few or too many.
    #[error("an image has curves of 1 to {MAX_RUNS} runs, but {runs} were given; name fewer runs")]
    Count {
        /// How many.
        runs: usize,
    },
    /// The plotting library refused.
    #[error("cannot draw curves: {0}")]
    Draw(#[from] FigureError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::Epoch;

    /// An epoch for each validation loss; the accuracy is what lacks to 1.
    pub fn run(name: &str, losses: &[f64]) -> RunCurves {
        let epoch = |(epoch, loss): (u64, &f64)| Epoch {
            epoch,
            train_loss: loss * 0.9,
            val_loss: *loss,
            train_accuracy: 1.0 - loss * 0.9,
            val_accuracy: 1.0 - loss,
            learning_rate: 0.01,
            labels: None,
        };
        let epochs = (1..).zip(losses).map(epoch).collect();
        RunCurves { name: name.into(), curves: Curves { epochs, ..Curves::default() } }
    }

    /// 1, 1/2, 1/3, …
    pub fn falling(epochs: u32) -> Vec<f64> {
        (1..=epochs).map(|epoch| 1.0 / f64::from(epoch)).collect()
    }
}
