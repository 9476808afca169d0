//! `--plot_schedule`: the learning rate over the steps of the training that is configured, as an
//! image.

use std::path::Path;
use std::process::ExitCode;

use ml_cli::exit;
use ml_core::config::Config;
use ml_core::optimizer::schedule::Schedule;
use ml_report::curves;
use ml_report::write::replace;

/// Steps that are looked at: of a longer training, every second or third and so on.
const MAX_STEPS: u64 = 20_000;

/// Draws it into the file `path`, whose name it prints, as trained by `processes` processes.
///
/// # Errors
/// There is no data set that would tell the number of steps, or the file cannot be written.
pub fn plot(config: &Config, path: &Path, processes: usize) -> anyhow::Result<ExitCode> {
    let dataset = match config.data.open(config.seed) {
        Ok(dataset) => dataset,
        Err(error) => {
            return exit::usage(format!(
                "--plot_schedule: the number of steps follows from the data set, but {error}. \
                 Give --data_dir"
            ));
        }
    };
    let images = dataset.train.samples.len();
    let mut batch_sizes = config.training.batch_sizes().into_iter();
    if let Some(batch_size) = batch_sizes.find(|&size| config.num_batches(images, processes, size) == 0) {
        return exit::usage(format!(
            "--plot_schedule: {images} training images make no full batch of {batch_size}, and data.drop_last is true"
        ));
    }
    if config.scheduler.depends_on_metrics() {
        tracing::warn!(
            "--plot_schedule: when `plateau` drops depends on the metrics; the image shows the learning rate \
             without drops"
        );
    }
    let num_epochs = config.training.num_epochs;
    let steps_of = config.epoch_steps(images, processes);
    let of_epochs = steps_of.before(num_epochs as u64);
    let base_lr = config.optimizer.lr();
    let schedule = Schedule::over_epochs(&config.scheduler, base_lr, steps_of.clone(), num_epochs);
    let total = config.training.max_steps.unwrap_or(of_epochs);
    if config.training.max_time.is_some() {
        tracing::warn!(
            "--plot_schedule: how many steps fit into training.max_time is known in the training; the image shows \
             {total}"
        );
    }
    let swa = config.training.swa.as_ref().and_then(|swa| swa.schedule(num_epochs));
    let schedule = schedule.over(total).with_swa(swa);
    let scale = if config.training.distributed.scale_lr { processes as f64 } else { 1.0 };
    let points = steps(total);
    let lr = |step| schedule.lr(step) * scale * config.training.lr_factor_in(steps_of.whole_epochs(step));
    let points = points.map(|step| (step as f64, lr(step))).collect();
    let first = steps_of.of(0);
    let axis = if steps_of.is_constant() {
        format!("step ({first} an epoch)")
    } else {
        format!("step ({first} in the first epoch)")
    };
    let figure = curves::learning_rate(points, &axis)?;
    replace(path, &figure.to_png()?)?;
    exit::print(&path.display().to_string())
}

/// Of `total` steps at most about [`MAX_STEPS`], the first and the last among them.
fn steps(total: u64) -> impl Iterator<Item = u64> {
    let last = total.saturating_sub(1);
    let every = total.div_ceil(MAX_STEPS).max(1);
    (0..last).step_by(usize::try_from(every).unwrap_or(usize::MAX)).chain([last])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_step_are_drawn_of_any_number() {
        assert_eq!(steps(1).collect::<Vec<_>>(), [0]);
        assert_eq!(steps(4).collect::<Vec<_>>(), [0, 1, 2, 3]);
        for total in [MAX_STEPS, MAX_STEPS + 1, 10 * MAX_STEPS + 7, u64::from(u32::MAX)] {
            let steps: Vec<u64> = steps(total).collect();
            assert_eq!((steps[0], steps[steps.len() - 1]), (0, total - 1));
            assert!(steps.len() as u64 <= MAX_STEPS + 1, "{total}: {}", steps.len());
        }
    }
}
