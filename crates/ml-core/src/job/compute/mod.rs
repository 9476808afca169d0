//! `training.precision` and `training.channels_last` → how a run computes, before its trainer is
//! made: as given, or what is faster for its network on its device.

mod kept;

use std::time::Duration;

use ml_data::dataset::Dataset;
use ml_data::setting::Auto;
use tch::Device;

use super::JobError;
use crate::config::Config;
use crate::device::{Compute, MemoryFormat, Precision};
use crate::network::ScriptFile;
use crate::trainer::{StepTimes, Stop, measure_steps};
use kept::{Kept, Key};

/// How long measuring may take.
const BUDGET: Duration = Duration::from_secs(20);
/// A way of computing must be so many times as fast as the plain one to be taken: less may be noise.
const WORTHWHILE: f64 = 1.1;
/// Runs over fewer pixels, all epochs together, are over before measuring pays: 4,000 images of 224
/// x 224.
const SHORT_RUN: f64 = 2e8;

/// How to compute, and the configuration with `auto` replaced by what was decided. `resumes` a
/// state whose configuration may be of a version for which `auto` was fp32.
///
/// # Errors
/// The device has no such precision, or the network cannot be run.
pub(super) fn resolve(
    config: Config,
    dataset: &Dataset,
    device: Device,
    script: Option<&ScriptFile>,
    resumes: bool,
    stop: &Stop,
) -> Result<(Config, Compute), JobError> {
    let training = &config.training;
    let wish = Wish { precision: training.precision.given(), channels_last: training.channels_last.given() };
    check(wish, device)?;
    let plain = wish.or(Precision::Fp32, false, device);
    let mut at_end = config.clone();
    // What most of the time is spent with.
    at_end.training.batch_size = config.training.batch_sizes().pop().unwrap_or(config.training.batch_size);
    let question = Question { config: &at_end, dataset, script, plain, stop };
    let compute = match wish {
        Wish { precision: Some(_), channels_last: Some(_) } => plain,
        _ if resumes => plain,
        _ if device.is_cuda() => on_cuda(wish, device)?,
        _ => question.on_cpu(wish)?,
    };
    if wish.precision == Some(Precision::Bf16) && !torch_ext::has_bf16(device)? {
        question.warn_of_emulation(compute);
    }
    let mut config = config;
    config.training.precision = compute.precision.into();
    config.training.channels_last = Auto::Value(compute.is_channels_last());
    Ok((config, compute))
}

/// How to compute where nothing is trained for long: as given, else as a run does without measuring.
///
/// # Errors
/// The device has no such precision.
pub(super) fn without_measuring(config: &Config, device: Device) -> Result<Compute, JobError> {
    let training = &config.training;
    let wish = Wish { precision: training.precision.given(), channels_last: training.channels_last.given() };
    check(wish, device)?;
    if device.is_cuda() {
        return on_cuda(wish, device);
    }
    let compute = wish.or(Precision::Fp32, false, device);
    tracing::info!("precision: {}", describe(compute));
    Ok(compute)
}

/// What the configuration leaves open.
#[derive(Clone, Copy, Debug)]
struct Wish {
    precision: Option<Precision>,
    channels_last: Option<bool>,
}

impl Wish {
    /// With this for what is open.
    fn or(self, precision: Precision, channels_last: bool, device: Device) -> Compute {
        let channels_last = self.channels_last.unwrap_or(channels_last);
        Compute {
            device,
            precision: self.precision.unwrap_or(precision),
            memory_format: if channels_last { MemoryFormat::ChannelsLast } else { MemoryFormat::Contiguous },
        }
    }

    /// All that it allows on a CPU, the plain one first.
    fn candidates(self, has_bf16: bool) -> Vec<Compute> {
        let mut candidates = Vec::new();
        for channels_last in [false, true] {
            for precision in [Precision::Fp32, Precision::Bf16] {
                let candidate = self.or(precision, channels_last, Device::Cpu);
                let is_known = candidates.contains(&candidate);
                if !is_known && (has_bf16 || candidate.precision == self.precision.unwrap_or_default()) {
                    candidates.push(candidate);
                }
            }
        }
        candidates
    }
}

/// # Errors
/// A precision that the device does not have.
fn check(wish: Wish, device: Device) -> Result<(), JobError> {
    match wish.precision.and_then(|precision| precision.problem_on(device)) {
        Some(problem) => Err(JobError::Usage(format!("--precision (training.precision): {problem}"))),
        None => Ok(()),
    }
}

/// bf16 on the CUDA devices that have it, without measuring.
fn on_cuda(wish: Wish, device: Device) -> Result<Compute, JobError> {
    let has_bf16 = torch_ext::has_bf16(device)?;
    let precision = wish.precision.unwrap_or(if has_bf16 { Precision::Bf16 } else { Precision::Fp32 });
    let compute = wish.or(precision, precision.autocast().is_some(), device);
    let reason = match (wish.precision, has_bf16) {
        (Some(_), _) => "as requested",
        (None, true) => "the GPU has tensor cores for it",
        (None, false) => "the GPU is older than Ampere and has no bf16; fp16 may be faster",
    };
    tracing::info!("precision: {} ({reason})", describe(compute));
    Ok(compute)
}

/// `bf16, channels_last`
fn describe(compute: Compute) -> String {
    let layout = if compute.is_channels_last() { ", channels_last" } else { "" };
    format!("{}{layout}", compute.precision)
}

/// What is faster, for a run.
struct Question<'a> {
    config: &'a Config,
    dataset: &'a Dataset,
    script: Option<&'a ScriptFile>,
    /// What is taken if nothing else is clearly faster.
    plain: Compute,
    stop: &'a Stop,
}

impl Question<'_> {
    fn on_cpu(&self, wish: Wish) -> Result<Compute, JobError> {
        let has_bf16 = torch_ext::has_bf16(Device::Cpu)?;
        let candidates = wish.candidates(has_bf16);
        let without = if has_bf16 || wish.precision.is_some() { "" } else { "; this processor has no bf16" };
        if self.is_short() {
            tracing::info!("precision: {} (a short run: nothing else is measured)", describe(self.plain));
            return Ok(self.plain);
        }
        let Some(times) = self.times(&candidates) else { return Ok(self.plain) };
        let chosen = fastest(&times.seconds);
        let faster = |number: usize| times.seconds[0] / times.seconds[number];
        let others: Vec<String> = (1..candidates.len())
            .filter(|&number| number != chosen)
            .map(|number| format!("{} {:.2}", describe(candidates[number]), faster(number)))
            .collect();
        let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
        let plain = describe(self.plain);
        let reason = if chosen == 0 {
            format!("nothing else is {WORTHWHILE} times as fast{others}{without}")
        } else {
            format!("{:.2} times as fast as {plain}{others}{without}", faster(chosen))
        };
        tracing::info!("precision: {} ({reason}; {})", describe(candidates[chosen]), times.origin);
        Ok(candidates[chosen])
    }

    /// Whether the run is over before measuring pays.
    fn is_short(&self) -> bool {
        let Some(size) = self.config.transforms.train.output_size() else { return true };
        let pixels = f64::from(size.height) * f64::from(size.width);
        let training = &self.config.training;
        let of_steps = training
            .max_steps
            .map(|steps| steps as f64 * (training.batch_size * training.gradient_accumulation_steps) as f64);
        let of_epochs = || self.dataset.train.samples.len() as f64 * training.num_epochs as f64;
        // How many fit into a time is not known yet.
        let of_time = training.max_time.map(|_| f64::INFINITY);
        let images = of_steps.or(of_time).unwrap_or_else(of_epochs);
        pixels * images < SHORT_RUN
    }

    /// Of a step in each of the `candidates`: kept from an earlier run, or measured. None if a
    /// signal asked to stop, which whatever comes next heeds, or the network cannot be run.
    fn times(&self, candidates: &[Compute]) -> Option<Times> {
        let key = Key::new(self.config, self.script);
        let names: Vec<String> = candidates.iter().map(|&candidate| describe(candidate)).collect();
        let mut kept = Kept::open();
        if let Some(seconds) = kept.get(&key, &names) {
            return Some(Times { seconds, origin: format!("kept in {}", kept.place()) });
        }
        tracing::info!("precision: measuring {} for some seconds …", names.join("; "));
        let started = std::time::Instant::now();
        let num_classes = self.dataset.classes.len();
        let measured = measure_steps(self.config, num_classes, candidates, self.script, BUDGET, self.stop);
        let measured = match measured {
            // What keeps the network from running ends the run where it is reported with advice.
            Err(error) => {
                tracing::warn!(
                    "precision: {}, since nothing could be measured: {error}",
                    describe(self.plain)
                );
                return None;
            }
            Ok(None) => return None,
            Ok(Some(measured)) => measured,
        };
        let origin = format!(
            "measured in {:.0} s with {} images a step",
            started.elapsed().as_secs_f64(),
            measured.batch_size
        );
        keep(&mut kept, key, &names, &measured);
        Some(Times { seconds: measured.seconds, origin })
    }

    /// bf16 was asked for where it is emulated: says what that costs.
    fn warn_of_emulation(&self, compute: Compute) {
        let place = if compute.device.is_cuda() { "this GPU" } else { "this processor" };
        let plain = Compute { precision: Precision::Fp32, ..compute };
        let figure = if compute.device.is_cuda() {
            None
        } else {
            self.times(&[plain, compute]).map(|times| times.seconds[1] / times.seconds[0])
        };
        let figure = figure
            .map_or(String::new(), |slower| format!(": a step takes {slower:.1} times as long as in fp32"));
        tracing::warn!("training.precision: {place} has no bf16 of its own{figure}; use auto or fp32");
    }
}

/// Keeps what was measured, unless other programs slowed some of it: a choice of chance is not for
/// good.
fn keep(kept: &mut Kept, key: Key, names: &[String], measured: &StepTimes) {
    if measured.was_busy {
        tracing::warn!(
            "precision: other programs used the processors while this was measured, so it is not kept: the next run \
             measures again; training.precision and training.channels_last can be set to what is wanted"
        );
    } else {
        kept.put(key, names, &measured.seconds);
    }
}

/// Seconds of a step, and where they are from.
struct Times {
    seconds: Vec<f64>,
    origin: String,
}

/// Which of the `seconds` to take: the least, or the first if that is hardly slower.
fn fastest(seconds: &[f64]) -> usize {
    let best = (0..seconds.len()).min_by(|&a, &b| seconds[a].total_cmp(&seconds[b])).unwrap_or(0);
    if seconds.first().is_some_and(|first| first / seconds[best] >= WORTHWHILE) { best } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_under_a_tenth_counts_as_none() {
        assert_eq!(fastest(&[1.0]), 0);
        assert_eq!(fastest(&[1.0, 0.92, 0.95]), 0);
        assert_eq!(fastest(&[1.0, 0.5, 0.4]), 2);
        assert_eq!(fastest(&[1.0, 2.0, 3.0]), 0);
        assert_eq!(fastest(&[]), 0);
    }

    #[test]
    fn what_was_measured_on_a_busy_machine_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.json");
        let names = ["fp32".to_owned(), "bf16".to_owned()];
        let measured = |was_busy| StepTimes { batch_size: 8, seconds: vec![2.0, 1.0], was_busy };
        let key = || Key::called("resnet18");
        let mut kept = Kept::at(Some(path.clone()));
        keep(&mut kept, key(), &names, &measured(true));
        assert_eq!(kept.get(&key(), &names), None);
        assert!(!path.exists());
        keep(&mut kept, key(), &names, &measured(false));
        assert_eq!(Kept::at(Some(path)).get(&key(), &names), Some(vec![2.0, 1.0]));
    }

    #[test]
    fn only_what_is_left_open_is_tried() {
        let names = |precision, channels_last, has_bf16| -> Vec<String> {
            let wish = Wish { precision, channels_last };
            wish.candidates(has_bf16).into_iter().map(describe).collect()
        };
        let all = ["fp32", "bf16", "fp32, channels_last", "bf16, channels_last"];
        assert_eq!(names(None, None, true), all);
        assert_eq!(names(None, None, false), [all[0], all[2]]);
        assert_eq!(names(None, Some(true), true), all[2..]);
        assert_eq!(names(Some(Precision::Bf16), None, false), [all[1], all[3]]);
        assert_eq!(names(Some(Precision::Fp32), None, true), [all[0], all[2]]);
    }
}
