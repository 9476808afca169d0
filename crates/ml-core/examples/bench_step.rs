//! The median milliseconds of a training step on random pictures: ARCHITECTURE BATCH SIZE STEPS.
//!
//! Forward, cross entropy, backward, SGD with momentum, on the CPU in single precision, after two steps that
//! are not counted. The last line is JSON. `benches/python/step.py` does the same in PyTorch.

use std::time::Instant;

use ml_core::loss::{Loss, LossConfig};
use ml_core::network::{Architecture, Network};
use ml_core::optimizer::{Optimizer, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, batch, size, steps] = args.as_slice() else {
        return Err("usage: bench_step ARCHITECTURE BATCH SIZE STEPS".into());
    };
    let (batch, size, steps): (i64, i64, usize) = (batch.parse()?, size.parse()?, steps.parse()?);
    let known: Architecture = serde_yaml::from_str(architecture)?;

    let network = Network::new(known, CLASSES, 0, Device::Cpu);
    let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
    let loss = Loss::new(&loss, &[1; CLASSES as usize], Device::Cpu);
    let lr = 0.01;
    let optimizer: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
    let mut optimizer = Optimizer::new(&optimizer, network.parameters());
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu)); // [N, 3, H, W]
    let targets = Tensor::randint(CLASSES, [batch], (Kind::Int64, Device::Cpu)); // [N]

    let mut milliseconds = Vec::new();
    for _ in 0..2 + steps {
        let start = Instant::now();
        let loss = loss.forward(&network.forward_t(&images, true), &targets);
        optimizer.zero_grad()?;
        loss.backward();
        optimizer.step(lr)?;
        loss.double_value(&[]);
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let mut counted = milliseconds.split_off(2);
    counted.sort_by(f64::total_cmp);
    let median = counted.get(counted.len() / 2).ok_or("STEPS must be at least 1")?;
    println!(r#"{{"architecture": "{architecture}", "ms_median": {median}}}"#);
    Ok(())
}
