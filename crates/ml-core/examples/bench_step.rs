//! The median milliseconds of a training step, or of an inference pass, on random images, and peak
//! memory: `ARCHITECTURE BATCH SIZE STEPS [--inference|--cam] [--bf16|--fp16|--tf32] [--channels_last]
//! [--cuda] [--optimizer=NAME] [--profile]`.
//!
//! `--cam` times Grad-CAM of the predicted classes.
//!
//! A step is forward, cross entropy, backward, SGD with momentum or the optimizer named, with its
//! defaults, after two that are not counted. `ms_optimizer` is the optimizer's part of it.
//! The last line is JSON; with `--profile` it is the milliseconds of a step by kind of operation.
//! `peak_mb` is of the host's memory; with `--cuda`, `card_mb` is what the GPU has in use after the
//! last step more than before the program used it, as nvidia-smi says: tensors, memory that is kept
//! for others, and what CUDA and its libraries take. Nothing else may use the GPU meanwhile.
//! `benches/python/step.py` does the same in PyTorch.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use ml_core::attribution::grad_cam;
use ml_core::device::{self, Compute, DeviceChoice, MemoryFormat, Precision};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network, NetworkSpec};
use ml_core::optimizer::{GradScaler, Optimizer, OptimizerConfig};
use tch::{Kind, Tensor};
use torch_ext::{Operator, record_operators};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CLASSES: i64 = 10;
const LR: f64 = 0.01;
/// Steps that are not counted.
const WARM_UP: usize = 2;

/// Kinds of operations, by what their names contain; the first that fits counts.
const KINDS: [(&str, &[&str]); 8] = [
    ("optimizer", &["_fused_", "_foreach_"]),
    ("convolution", &["conv", "DepthwiseConv2d"]),
    ("attention", &["attention"]),
    ("norm", &["norm"]),
    ("matrix product", &["mm", "linear", "bmm", "dot"]),
    ("activation", &["relu", "gelu", "silu", "hardswish", "hardsigmoid", "threshold", "sigmoid", "softmax"]),
    ("pooling", &["pool", "mean"]),
    ("copies and casts", &["copy", "clone", "contiguous", "to_mkldnn", "cat", "fill", "zero"]),
];

fn main() -> Result<()> {
    // As the programs do.
    torch_ext::keep_freed_memory();
    let (flags, args): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let [architecture, batch, size, steps] = args.as_slice() else {
        return Err("usage: see the example's first lines".into());
    };
    let is_set = |flag: &str| flags.iter().any(|given| given == flag);
    let (batch, size, steps): (i64, i64, usize) = (batch.parse()?, size.parse()?, steps.parse()?);
    let choice = if is_set("--cuda") { DeviceChoice::Cuda(0) } else { DeviceChoice::Cpu };
    let before = is_set("--cuda").then(card_mb).flatten();
    let resolved = device::resolve(choice, None)?;
    let mut compute = Compute::fp32(resolved.device);
    for (flag, precision) in
        [("--bf16", Precision::Bf16), ("--fp16", Precision::Fp16), ("--tf32", Precision::Tf32)]
    {
        if is_set(flag) {
            compute.precision = precision;
        }
    }
    if is_set("--channels_last") {
        compute.memory_format = MemoryFormat::ChannelsLast;
    }
    if resolved.device.is_cuda() {
        tch::Cuda::cudnn_set_benchmark(true);
    }
    let optimizer = flags.iter().find_map(|flag| flag.strip_prefix("--optimizer="));
    let optimizer = match optimizer {
        None => "{name: sgd, lr: 0.01, momentum: 0.9}".to_owned(),
        Some(name) => format!("{{name: {name}, lr: {LR}}}"),
    };
    let mut step = Step::new(serde_yaml::from_str(architecture)?, &optimizer, [batch, size], compute)?;
    step.kind = match (is_set("--inference"), is_set("--cam")) {
        (true, _) => StepKind::Inference,
        (_, true) => StepKind::Cam,
        _ => StepKind::Training,
    };
    for _ in 0..WARM_UP {
        step.run()?;
    }
    if is_set("--profile") {
        println!("{}", serde_json::to_string(&profile(&mut step, steps)?)?);
        return Ok(());
    }
    let (mut whole, mut updates) = (Vec::new(), Vec::new());
    for _ in 0..steps {
        let start = Instant::now();
        step.run()?;
        whole.push(start.elapsed().as_secs_f64() * 1e3);
        updates.push(step.update.as_secs_f64() * 1e3);
    }
    let median = |mut milliseconds: Vec<f64>| {
        milliseconds.sort_by(f64::total_cmp);
        milliseconds.get(steps / 2).copied().ok_or("STEPS must be at least 1")
    };
    let card = before.and_then(|before| Some(card_mb()? - before));
    let figures = serde_json::json!({
        "architecture": architecture, "ms_median": median(whole)?, "ms_optimizer": median(updates)?,
        "peak_mb": peak_mb()?, "card_mb": card,
    });
    println!("{figures}");
    Ok(())
}

/// All that a step takes.
struct Step {
    compute: Compute,
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    scaler: Option<GradScaler>,
    /// `[N, 3, H, W]`
    images: Tensor,
    /// `[N]`
    targets: Targets,
    kind: StepKind,
    /// The time of the optimizer in the last step, as far as the device is not behind.
    update: Duration,
}

/// What a step is.
#[derive(Clone, Copy, PartialEq)]
enum StepKind {
    Training,
    Inference,
    Cam,
}

impl Step {
    fn new(
        architecture: Architecture,
        optimizer: &str,
        [batch, size]: [i64; 2],
        compute: Compute,
    ) -> Result<Step> {
        let device = compute.device;
        let spec = NetworkSpec { image_size: Some((size, size)), ..NetworkSpec::from(CLASSES) };
        let network = Network::new(architecture, spec, 0, device);
        if compute.is_channels_last() {
            network.to_channels_last()?;
        }
        let images = Tensor::randn([batch, 3, size, size], (Kind::Float, device));
        let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
        let optimizer: OptimizerConfig = serde_yaml::from_str(optimizer)?;
        Ok(Step {
            images: compute.images(&images)?,
            targets: Targets::Classes(Tensor::randint(CLASSES, [batch], (Kind::Int64, device))),
            loss: Loss::new(&loss, &[1; CLASSES as usize], device),
            optimizer: Optimizer::new(&optimizer, network.parameters())?,
            scaler: (compute.precision == Precision::Fp16).then(|| GradScaler::new(device)),
            network,
            compute,
            kind: StepKind::Training,
            update: Duration::ZERO,
        })
    }

    fn run(&mut self) -> Result<()> {
        if self.kind == StepKind::Cam {
            let maps = grad_cam(&self.network, &self.images, None, &self.compute)?.maps;
            maps.sum(Kind::Float).double_value(&[]);
            return Ok(());
        }
        if self.kind == StepKind::Inference {
            self.network.logits(&self.images, &self.compute)?.sum(Kind::Float).double_value(&[]);
            return Ok(());
        }
        let outputs = self.network.train_outputs(&self.images, &self.compute)?;
        let loss = self.loss.of_outputs(&outputs, &self.targets)?.mean;
        self.optimizer.zero_grad()?;
        match &mut self.scaler {
            None => {
                loss.backward();
                let start = Instant::now();
                self.optimizer.step(LR, None)?;
                self.update = start.elapsed();
            }
            Some(scaler) => {
                scaler.scale(&loss).backward();
                scaler.unscale(&self.optimizer)?;
                self.optimizer.step(LR, None)?;
                scaler.update()?;
            }
        }
        // Waits for the device.
        loss.double_value(&[]);
        Ok(())
    }
}

/// Milliseconds of a step by kind of operation, and of all.
fn profile(step: &mut Step, steps: usize) -> Result<BTreeMap<&'static str, f64>> {
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    let start = Instant::now();
    for _ in 0..steps {
        let (done, operators) = record_operators(|| step.run())?;
        done?;
        for (operator, own) in operators.iter().zip(own_seconds(&operators)) {
            *kinds.entry(kind(&operator.name)).or_default() += own * 1e3 / steps as f64;
        }
    }
    let all = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
    let known: f64 = kinds.values().sum();
    *kinds.entry("other").or_default() += (all - known).max(0.0);
    kinds.insert("all", all);
    Ok(kinds)
}

/// Of each operator without those that it calls.
fn own_seconds(operators: &[Operator]) -> Vec<f64> {
    let mut own: Vec<f64> = operators.iter().map(|operator| operator.duration.as_secs_f64()).collect();
    // The operators that the current one is inside of, by index.
    let mut outer: Vec<usize> = Vec::new();
    for (index, operator) in operators.iter().enumerate() {
        outer.truncate(operator.depth);
        if let Some(&parent) = outer.last() {
            own[parent] -= operator.duration.as_secs_f64();
        }
        outer.push(index);
    }
    own
}

fn kind(name: &str) -> &'static str {
    let fits = |(_, parts): &&(&str, &[&str])| parts.iter().any(|part| name.contains(part));
    KINDS.iter().find(fits).map_or("elementwise and other", |(kind, _)| kind)
}

/// The most memory that this process ever held.
fn peak_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Memory in use on the first visible GPU, by all programs, as nvidia-smi says; none without it.
fn card_mb() -> Option<f64> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let first = visible.split(',').next().filter(|card| !card.is_empty()).unwrap_or("0");
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", first]);
    String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
}
