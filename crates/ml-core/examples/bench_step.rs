//! The median milliseconds of a training step, or of an inference pass, on random images, and the
//! process's peak memory: `ARCHITECTURE BATCH SIZE STEPS [--inference] [--bf16] [--channels_last]`.
//!
//! A step is forward, cross entropy, backward, SGD with momentum, on the CPU, after two that are
//! not counted. The last line is JSON. `benches/python/step.py` does the same in PyTorch.

use std::time::Instant;

use ml_core::device::{self, Compute, DeviceChoice, MemoryFormat, Precision};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network, NetworkSpec};
use ml_core::optimizer::{Optimizer, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 10;
const LR: f64 = 0.01;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As the programs do.
    torch_ext::keep_freed_memory();
    let _threads = device::resolve(DeviceChoice::Cpu, None)?;
    let (flags, args): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let [architecture, batch, size, steps] = args.as_slice() else {
        return Err(
            "usage: bench_step ARCHITECTURE BATCH SIZE STEPS [--inference] [--bf16] [--channels_last]".into(),
        );
    };
    let is_set = |flag: &str| flags.iter().any(|given| given == flag);
    let (batch, size, steps): (i64, i64, usize) = (batch.parse()?, size.parse()?, steps.parse()?);
    let known: Architecture = serde_yaml::from_str(architecture)?;

    let spec = NetworkSpec { image_size: Some((size, size)), ..NetworkSpec::from(CLASSES) };
    let network = Network::new(known, spec, 0, Device::Cpu);
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu)); // [N, 3, H, W]
    let mut compute = Compute::fp32(Device::Cpu);
    if is_set("--bf16") {
        compute.precision = Precision::Bf16;
    }
    if is_set("--channels_last") {
        compute.memory_format = MemoryFormat::ChannelsLast;
        network.to_channels_last()?;
    }
    let images = compute.images(&images)?;
    let targets = Targets::Classes(Tensor::randint(CLASSES, [batch], (Kind::Int64, Device::Cpu))); // [N]
    let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
    let loss = Loss::new(&loss, &[1; CLASSES as usize], Device::Cpu);
    let optimizer: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
    let mut optimizer = Optimizer::new(&optimizer, network.parameters())?;

    let mut step = || -> Result<(), Box<dyn std::error::Error>> {
        if is_set("--inference") {
            network.logits(&images, &compute)?.sum(Kind::Float).double_value(&[]);
            return Ok(());
        }
        let outputs = network.train_outputs(&images, &compute)?;
        let loss = loss.of_outputs(&outputs, &targets)?.mean;
        optimizer.zero_grad()?;
        loss.backward();
        optimizer.step(LR, None)?;
        loss.double_value(&[]);
        Ok(())
    };
    let mut milliseconds = Vec::new();
    for _ in 0..2 + steps {
        let start = Instant::now();
        step()?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let mut counted = milliseconds.split_off(2);
    counted.sort_by(f64::total_cmp);
    let median = counted.get(counted.len() / 2).ok_or("STEPS must be at least 1")?;
    println!(r#"{{"architecture": "{architecture}", "ms_median": {median}, "peak_mb": {}}}"#, peak_mb()?);
    Ok(())
}

/// The most memory that this process ever held.
fn peak_mb() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
