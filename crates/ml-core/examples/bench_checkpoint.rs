//! What a checkpoint of ResNet-50 with SGD's momentum costs: BATCH SIZE ROUNDS FOLDER.
//!
//! Milliseconds of a training step, of the pause that saving as ml-train does makes, of the writing
//! in the background (synced) that follows, and of reading; medians. The last line is JSON.
//! `benches/python/checkpoint.py` does the same in PyTorch.

use std::path::Path;
use std::time::Instant;

use ml_core::checkpoint::{AsyncWriter, Checkpoint, CheckpointPaths, read};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network};
use ml_core::optimizer::{Optimizer, OptimizerConfig};
use tch::{Device, Kind, Tensor};
use torch_file::Value;

const CLASSES: i64 = 1000;
const STEPS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [batch, size, rounds, folder] = args.as_slice() else {
        return Err("usage: bench_checkpoint BATCH SIZE ROUNDS FOLDER".into());
    };
    let (batch, size, rounds): (i64, i64, usize) = (batch.parse()?, size.parse()?, rounds.parse()?);
    let path = Path::new(folder).join("ours.pt");

    let network = Network::new(Architecture::Resnet50, CLASSES, 0, Device::Cpu);
    let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
    let loss = Loss::new(&loss, &[1; CLASSES as usize], Device::Cpu);
    let optimizer: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
    let mut optimizer = Optimizer::new(&optimizer, network.parameters()).expect("there are no patterns");
    let images = Tensor::randn([batch, 3, size, size], (Kind::Float, Device::Cpu)); // [N, 3, H, W]
    let targets = Targets::Classes(Tensor::randint(CLASSES, [batch], (Kind::Int64, Device::Cpu))); // [N]

    let mut steps = Vec::new();
    let mut train = |optimizer: &mut Optimizer| -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..STEPS {
            let start = Instant::now();
            let loss = loss.forward(&network.forward_t(&images, true), &targets)?.mean;
            optimizer.zero_grad()?;
            loss.backward();
            optimizer.step(0.01, None)?;
            loss.double_value(&[]);
            steps.push(milliseconds(start));
        }
        Ok(())
    };
    let mut saver = AsyncWriter::start()?;
    let (mut pauses, mut writes, mut loads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=rounds {
        train(&mut optimizer)?;
        let files = CheckpointPaths {
            last: path.clone(),
            previous: path.with_extension("previous"),
            ..CheckpointPaths::default()
        };
        let before = saver.stats().writing;
        pauses.push(saver.save(state(&network, &optimizer), files)?.as_secs_f64() * 1e3);
        saver.wait()?;
        writes.push((saver.stats().writing.as_secs_f64() - before.as_secs_f64()) * 1e3);
        let start = Instant::now();
        drop(read(&path)?);
        loads.push(milliseconds(start));
    }
    // The first round warms the caches.
    let [ms_step, ms_pause, ms_writing, ms_load] = [
        median(&mut steps[STEPS..]),
        median(&mut pauses[1..]),
        median(&mut writes[1..]),
        median(&mut loads[1..]),
    ];
    let bytes = std::fs::metadata(&path)?.len();
    println!(
        r#"{{"ms_step": {ms_step}, "ms_pause": {ms_pause}, "ms_writing": {ms_writing}, "ms_load": {ms_load}, "bytes": {bytes}}}"#
    );
    Ok(())
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn state(network: &Network, optimizer: &Optimizer) -> Checkpoint {
    let json = serde_json::Value::Null;
    Checkpoint {
        epoch: 0,
        step: 0,
        batch_in_epoch: 0,
        running: Value::None,
        model_state_dict: network
            .state_dict()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.detach()))
            .collect(),
        optimizer_state_dict: optimizer.state_dict(),
        scheduler_state_dict: Value::None,
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        swa: None,
        average: None,
        scaler_state_dict: None,
        rng_state: Value::None,
        metrics: Value::None,
        best: Value::None,
        early_stopping: Value::None,
        divergence: Value::None,
        dataset: Value::None,
        config: json.clone(),
        classes: Vec::new(),
        eval_transform: json.clone(),
        task: ml_data::dataset::Task::SingleLabel,
        thresholds: None,
        calibration: None,
        out_of_distribution: None,
        timestamp: String::new(),
        versions: json,
        extra: Vec::new(),
    }
}
