//! The median milliseconds of a training step on random images in one of several processes on CPUs,
//! and peak memory: `ARCHITECTURE BATCH SIZE STEPS [--after] [--bf16_gradients]`. BATCH is that of
//! each process. `torchrun --no-python` starts them.
//!
//! A step is as in `bench_step.rs`, after two that are not counted; gradients become means over all
//! processes while backward goes on. With `--after` they do so when it is over, all in one tensor.
//!
//! Rank 0 prints a line of JSON. `peak_mb` is its own; `bytes` are those of all gradients;
//! `wire_bytes` are about those that a process sends in a step: what the loopback interface has
//! sent, for all programs, divided by steps and processes; null where the kernel does not count.
//! `benches/python/ddp_step.py` does the same in PyTorch.

use std::time::{Duration, Instant};

use ml_core::device::{self, Compute, DeviceChoice};
use ml_core::distributed::{Compression, DistributedConfig, Environment, World};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network, NetworkSpec};
use ml_core::optimizer::{Optimizer, OptimizerConfig};
use tch::{Kind, Tensor};
use torch_ext::Reducer;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CLASSES: i64 = 10;
const LR: f64 = 0.01;
/// Steps that are not counted.
const WARM_UP: usize = 2;
/// How long the processes wait for each other.
const TIMEOUT: Duration = Duration::from_mins(1);

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
    let gradient_compression = if is_set("--bf16_gradients") { Compression::Bf16 } else { Compression::None };
    let config = DistributedConfig { gradient_compression, ..DistributedConfig::default() };

    let environment = Environment::read(|name| std::env::var(name).ok())?
        .ok_or("this process is alone: start several with torchrun")?;
    let world = World::join(environment, TIMEOUT)?;
    world.check(&[])?;
    let resolved = device::resolve(DeviceChoice::Cpu, None)?;
    let compute = Compute::fp32(resolved.device);
    world.connect(compute.device, &config)?;

    let architecture: Architecture = serde_yaml::from_str(architecture)?;
    let mut step = Step::new(&world, architecture, [batch, size], compute, &config, is_set("--after"))?;
    for _ in 0..WARM_UP {
        step.run()?;
    }
    // All of them stand here before and after the steps that are counted.
    world.any(false)?;
    let before = loopback_bytes();
    let mut milliseconds = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        step.run()?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    world.any(false)?;
    let sent = before.and_then(|before| loopback_bytes()?.checked_sub(before));

    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds.get(steps / 2).ok_or("STEPS must be at least 1")?;
    let figures = serde_json::json!({
        "architecture": architecture, "ms_median": median, "peak_mb": peak_mb()?, "bytes": step.bytes(),
        "wire_bytes": sent.map(|bytes| bytes as f64 / (steps * world.size()) as f64),
    });
    if world.is_first() {
        println!("{figures}");
    }
    Ok(())
}

/// How gradients become means over all processes.
enum Reduction {
    /// While backward goes on.
    Overlapped(Reducer),
    /// After it, as numbers of this kind.
    After(Kind),
}

/// All that a step takes.
struct Step<'a> {
    world: &'a World,
    compute: Compute,
    network: Network,
    parameters: Vec<Tensor>,
    reduction: Reduction,
    loss: Loss,
    optimizer: Optimizer,
    /// `[N, 3, H, W]`
    images: Tensor,
    /// `[N]`
    targets: Targets,
}

impl<'a> Step<'a> {
    fn new(
        world: &'a World,
        architecture: Architecture,
        [batch, size]: [i64; 2],
        compute: Compute,
        config: &DistributedConfig,
        is_after: bool,
    ) -> Result<Step<'a>> {
        let device = compute.device;
        let spec = NetworkSpec { image_size: Some((size, size)), ..NetworkSpec::from(CLASSES) };
        let network = Network::new(architecture, spec, 0, device);
        let parameters: Vec<Tensor> = network.parameters().into_iter().map(|(_, one)| one).collect();
        let reduction = if is_after {
            let is_bf16 = config.gradient_compression == Compression::Bf16;
            Reduction::After(if is_bf16 { Kind::BFloat16 } else { Kind::Float })
        } else {
            Reduction::Overlapped(world.reducer(&parameters, config)?.ok_or("there is no other process")?)
        };
        let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
        let optimizer: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
        Ok(Step {
            world,
            images: Tensor::randn([batch, 3, size, size], (Kind::Float, device)),
            targets: Targets::Classes(Tensor::randint(CLASSES, [batch], (Kind::Int64, device))),
            loss: Loss::new(&loss, &[1; CLASSES as usize], device),
            optimizer: Optimizer::new(&optimizer, network.parameters())?,
            parameters,
            reduction,
            network,
            compute,
        })
    }

    fn run(&mut self) -> Result<()> {
        let outputs = self.network.train_outputs(&self.images, &self.compute)?;
        let loss = self.loss.of_outputs(&outputs, &self.targets)?.mean;
        if let Reduction::Overlapped(reducer) = &self.reduction {
            reducer.prepare(&loss)?;
        }
        self.optimizer.zero_grad()?;
        loss.backward();
        if let Reduction::After(kind) = &self.reduction {
            self.average(*kind)?;
        }
        self.optimizer.step(LR, None)?;
        loss.double_value(&[]);
        Ok(())
    }

    /// Makes all gradients means over the processes, in one tensor.
    fn average(&self, kind: Kind) -> Result<()> {
        let mut grads: Vec<Tensor> = self.parameters.iter().map(Tensor::grad).collect();
        let flat: Vec<Tensor> = grads.iter().map(|grad| grad.flatten(0, -1)).collect();
        let mut all = Tensor::cat(&flat, 0);
        all /= self.world.size() as f64;
        let all = all.to_kind(kind);
        self.world.sum_tensor(&all)?;
        let mut start = 0;
        for grad in &mut grads {
            let count = grad.numel() as i64;
            let mean = all.narrow(0, start, count).view_as(grad);
            grad.copy_(&mean);
            start += count;
        }
        Ok(())
    }

    /// Of all gradients.
    fn bytes(&self) -> usize {
        self.parameters.iter().map(|one| one.numel() * size_of::<f32>()).sum()
    }
}

/// What the loopback interface has sent, for all programs.
fn loopback_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/net/dev").ok()?;
    // The first eight numbers are of what it has received.
    text.lines().find_map(|line| line.trim().strip_prefix("lo:")?.split_whitespace().nth(8)?.parse().ok())
}

/// The most memory that this process ever held.
fn peak_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
