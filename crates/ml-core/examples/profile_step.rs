//! Where the time of a training step goes, by kind of operation:
//! `ARCHITECTURE BATCH SIZE STEPS [--bf16] [--channels_last]`. The last line is JSON: milliseconds
//! of a step by kind. `benches/python/profile_step.py` does the same in PyTorch.

use std::collections::BTreeMap;

use ml_core::device::{self, Compute, DeviceChoice, MemoryFormat, Precision};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network, NetworkSpec};
use ml_core::optimizer::{Optimizer, OptimizerConfig};
use tch::{Device, Kind, Tensor};
use torch_ext::{Operator, record_operators};

const CLASSES: i64 = 10;

/// Kinds of operations, by what their names contain; the first that fits counts.
const KINDS: [(&str, &[&str]); 8] = [
    ("optimizer", &["_fused_", "_foreach_"]),
    ("convolution", &["conv"]),
    ("attention", &["attention"]),
    ("norm", &["norm"]),
    ("matrix product", &["mm", "linear", "bmm", "dot"]),
    ("activation", &["relu", "gelu", "silu", "hardswish", "hardsigmoid", "threshold", "sigmoid", "softmax"]),
    ("pooling", &["pool", "mean"]),
    ("copies and casts", &["copy", "clone", "contiguous", "to_mkldnn", "cat", "fill", "zero"]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    torch_ext::keep_freed_memory();
    let _threads = device::resolve(DeviceChoice::Cpu, None)?;
    let (flags, args): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let [architecture, batch, size, steps] = args.as_slice() else {
        return Err("usage: profile_step ARCHITECTURE BATCH SIZE STEPS [--bf16] [--channels_last]".into());
    };
    let (batch, size, steps): (i64, i64, usize) = (batch.parse()?, size.parse()?, steps.parse()?);
    let known: Architecture = serde_yaml::from_str(architecture)?;
    let spec = NetworkSpec { image_size: Some((size, size)), ..NetworkSpec::from(CLASSES) };
    let network = Network::new(known, spec, 0, Device::Cpu);
    let mut compute = Compute::fp32(Device::Cpu);
    if flags.iter().any(|flag| flag == "--bf16") {
        compute.precision = Precision::Bf16;
    }
    if flags.iter().any(|flag| flag == "--channels_last") {
        compute.memory_format = MemoryFormat::ChannelsLast;
        network.to_channels_last()?;
    }
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu)); // [N, 3, H, W]
    let images = compute.images(&images)?;
    let targets = Targets::Classes(Tensor::randint(CLASSES, [batch], (Kind::Int64, Device::Cpu))); // [N]
    let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
    let loss = Loss::new(&loss, &[1; CLASSES as usize], Device::Cpu);
    let optimizer: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
    let mut optimizer = Optimizer::new(&optimizer, network.parameters())?;
    let mut step = || -> Result<(), Box<dyn std::error::Error>> {
        let outputs = network.train_outputs(&images, &compute)?;
        let mean = loss.of_outputs(&outputs, &targets)?.mean;
        optimizer.zero_grad()?;
        mean.backward();
        optimizer.step(0.01, None)?;
        mean.double_value(&[]);
        Ok(())
    };
    for _ in 0..2 {
        step()?;
    }
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    let start = std::time::Instant::now();
    for _ in 0..steps {
        let (done, operators) = record_operators(&mut step)?;
        done?;
        for (operator, own) in operators.iter().zip(own_seconds(&operators)) {
            *kinds.entry(kind(&operator.name)).or_default() += own * 1e3 / steps as f64;
        }
    }
    let all = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
    let known: f64 = kinds.values().sum();
    *kinds.entry("other").or_default() += (all - known).max(0.0);
    kinds.insert("all", all);
    println!("{}", serde_json::to_string(&kinds)?);
    Ok(())
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
