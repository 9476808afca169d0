//! What a device computes, beside the CPU: `gpu_check CHECK cpu|cuda [DATA_FOLDER]`, a check of
//! [`CHECKS`]. A line each, `PASS`, `FAIL`, `SKIP` or, of what is measured and not judged, `INFO`,
//! with figures; the exit code is 1 if one failed. `cargo xtask gpu` packs it for a machine with a
//! GPU.

#[path = "gpu_check/full_memory.rs"]
mod full_memory;
#[path = "gpu_check/loader.rs"]
mod loader;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ml_core::dataset::{Dataset, OpenOptions, Split};
use ml_core::device::{self, Compute, DeviceChoice, MemoryFormat, Precision};
use ml_core::loader::{Loader, LoaderOptions};
use ml_core::loss::{Loss, LossConfig, Targets};
use ml_core::network::{Architecture, Network, NetworkSpec};
use ml_core::optimizer::{Ema, EmaConfig, GradScaler, Optimizer, OptimizerConfig};
use ml_core::torch_error::{TorchError, catch_torch_panic};
use ml_core::transform::{Pipeline, TransformConfig};
use tch::{Device, Kind, Tensor};
use torch_ext::{ProcessGroup, ReduceOp, Reducer, ReducerOptions, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CLASSES: i64 = 2;

/// One network of each family.
const NETWORKS: [&str; 21] = [
    "alexnet",
    "vgg11_bn",
    "squeezenet1_1",
    "densenet121",
    "googlenet",
    "inception_v3",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "resnext50_32x4d",
    "resnet18_cifar",
    "resnet9",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_y_400mf",
    "convnext_tiny",
    "maxvit_t",
    "swin_v2_t",
    "vit_b_16",
];

/// A check on a device; the second argument is the data folder, if there is one.
type Check = fn(&mut Report, Device, Option<&Path>) -> Result<()>;

/// By name.
const CHECKS: [(&str, Check); 13] = [
    ("networks", networks),
    ("precision", precision),
    ("tf32", tf32),
    ("optimizers", optimizers),
    ("loader", loader::batches),
    ("deterministic", deterministic),
    ("single_image", single_image),
    ("processes", processes),
    ("memory", memory),
    ("full_memory", full_memory::check),
    ("lost_device", lost_device),
    ("other_device", other_device),
    ("loader_rate", loader::rate),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAIL {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    torch_ext::keep_freed_memory();
    torch_ext::set_cublas_workspace();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, device, data @ ..] = args.as_slice() else {
        return Err("usage: gpu_check CHECK cpu|cuda [DATA_FOLDER]".into());
    };
    let known = CHECKS.iter().find(|(known, _)| known == name);
    let &(name, check) = known.ok_or_else(|| format!("there is no check {name}"))?;
    // Before CUDA is loaded: it looks at the settings once.
    torch_ext::set_deterministic(name == "deterministic")?;
    if name == "other_device" {
        // Nothing may be done on the first one.
        let mut report = Report { name, is_good: true };
        check(&mut report, Device::Cpu, data.first().map(Path::new))?;
        return Ok(report.is_good);
    }
    let device = device::resolve(device.parse::<DeviceChoice>()?, None)?;
    let mut report = Report { name, is_good: true };
    check(&mut report, device.device, data.first().map(Path::new))?;
    Ok(report.is_good)
}

/// Prints.
struct Report {
    name: &'static str,
    is_good: bool,
}

impl Report {
    fn line(&mut self, is_good: bool, what: &str, figures: &str) {
        self.is_good &= is_good;
        println!("{} {} {what}: {figures}", if is_good { "PASS" } else { "FAIL" }, self.name);
    }

    /// A figure that must not be above a bound; NaN is.
    fn at_most(&mut self, what: &str, found: f64, bound: f64) {
        self.line(found <= bound, what, &format!("{found:.2e} (at most {bound:.0e})"));
    }

    fn skip(&self, why: &str) {
        println!("SKIP {}: {why}", self.name);
    }

    fn info(&self, what: &str, figures: &str) {
        println!("INFO {} {what}: {figures}", self.name);
    }
}

/// The largest difference, in parts of the largest magnitude of `wanted`.
fn difference(found: &Tensor, wanted: &Tensor) -> f64 {
    let double = |tensor: &Tensor| tensor.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    let (found, wanted) = (double(found), double(wanted));
    ((found - &wanted).abs().max() / wanted.abs().max().clamp_min(1e-12)).double_value(&[])
}

/// The largest of what must be small; NaN is beyond all.
fn largest(figures: impl IntoIterator<Item = f64>) -> f64 {
    figures.into_iter().fold(0.0, |most, one| if one.is_nan() { f64::INFINITY } else { most.max(one) })
}

fn normal(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// What a training step of a network gives.
struct Step {
    logits: Tensor,
    loss: Tensor,
    gradients: Vec<(String, Tensor)>,
}

/// The side of images that a check of all networks takes: small, but none is too small for it.
fn side(architecture: Architecture) -> i64 {
    i64::from(architecture.side_from(64))
}

fn named(name: &str) -> Result<Architecture> {
    Architecture::from_name(name).ok_or_else(|| format!("no network {name}").into())
}

fn network(architecture: Architecture, device: Device) -> Network {
    let side = side(architecture);
    let spec = NetworkSpec { image_size: Some((side, side)), ..NetworkSpec::from(CLASSES) };
    let network = Network::new(architecture, spec, 7, device);
    // Heads that begin at zero (of vision transformers) would hide everything before them.
    let parameters = network.parameters().into_iter().map(|(_, parameter)| parameter);
    for mut parameter in parameters.filter(|parameter| parameter.dim() == 2) {
        tch::no_grad(|| {
            if parameter.abs().max().double_value(&[]) == 0.0 {
                let wave = Tensor::arange(parameter.numel() as i64, (Kind::Double, device)).cos() * 0.05;
                parameter.copy_(&wave.view(parameter.size().as_slice()));
            }
        });
    }
    network
}

/// Forward and backward pass in evaluation mode: without dropout, and with statistics that sum in
/// any order. In fp16 the loss is scaled as in training, less where gradients overflow.
fn step(network: &Network, images: &Tensor, compute: &Compute) -> Result<Step> {
    let images = compute.images(&images.to_device(compute.device))?;
    // All of one class: over several, the gradients of what all images share nearly cancel, and
    // rounding is all that is left of them.
    let targets = Tensor::zeros([images.size()[0]], (Kind::Int64, compute.device));
    let loss: LossConfig = serde_yaml::from_str("name: cross_entropy")?;
    let criterion = Loss::new(&loss, &[1; CLASSES as usize], compute.device);
    let mut scaler = (compute.precision == Precision::Fp16).then(|| GradScaler::new(compute.device));
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), network.parameters())?;
    let (logits, loss) = loop {
        optimizer.zero_grad()?;
        let logits = compute.run(|| network.forward_t(&images, false))?.to_kind(Kind::Float);
        let loss = criterion.forward(&logits, &Targets::Classes(targets.shallow_clone()))?.mean;
        let Some(scaler) = &mut scaler else {
            loss.backward();
            break (logits, loss);
        };
        scaler.scale(&loss).backward();
        scaler.unscale(&optimizer)?;
        if torch_ext::scalar(&optimizer.grad_norm()?)?.is_finite() {
            break (logits, loss);
        }
        if scaler.value()? <= 1.0 {
            return Err("gradients overflow at any scale of the loss".into());
        }
        scaler.update()?;
    };
    let gradients = network.parameters().into_iter().map(|(name, parameter)| (name, parameter.grad()));
    let gradients = gradients.filter(|(_, gradient)| gradient.defined()).collect();
    Ok(Step { logits, loss, gradients })
}

impl Step {
    /// Of the same parameters.
    fn is_like(&self, other: &Step) -> bool {
        let names = |step: &Step| step.gradients.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        names(self) == names(other)
    }
}

/// The worst parameter's gradient.
fn worst(found: &Step, wanted: &Step) -> (f64, String) {
    if !found.is_like(wanted) {
        return (f64::INFINITY, "gradients of other parameters".to_owned());
    }
    let pairs = found.gradients.iter().zip(&wanted.gradients);
    let all = pairs.map(|((name, one), (_, other))| (difference(one, other), name.clone()));
    // Biases before a norm have gradients that are nothing but rounding.
    let largest = wanted.gradients.iter().map(|(_, g)| g.abs().max().double_value(&[])).fold(0.0, f64::max);
    let matter = |name: &String| {
        let own = wanted.gradients.iter().find(|(other, _)| other == name);
        own.is_some_and(|(_, g)| g.abs().max().double_value(&[]) > 1e-4 * largest)
    };
    let worse = |a: (f64, String), b: (f64, String)| if b.0 > a.0 || b.0.is_nan() { b } else { a };
    all.filter(|(_, name)| matter(name)).fold((0.0, String::new()), worse)
}

/// The 2-norm of the difference of all gradients, in parts of that of `wanted`.
fn of_all_gradients(found: &Step, wanted: &Step) -> f64 {
    if !found.is_like(wanted) {
        return f64::INFINITY;
    }
    let squares = |tensor: Tensor| tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
    let (mut off, mut all) = (0.0, 0.0);
    for ((_, one), (_, other)) in found.gradients.iter().zip(&wanted.gradients) {
        off += squares(one - other);
        all += squares(other.shallow_clone());
    }
    (off / all).sqrt()
}

/// Logits, loss and gradients in fp32. Between fp32 and fp64 on the CPU, logits and losses of such
/// networks differ by up to 2e-6 and the worst parameter's gradient by 1.3e-5 (a temperature of
/// Swin's): kernels that sum in another order, or by way of Winograd's transform, have fifty times
/// as much. What is computed wrongly is off by percents.
fn networks(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    torch_ext::allow_tf32(false)?;
    for name in NETWORKS {
        let architecture = named(name)?;
        torch_ext::manual_seed(1)?;
        let side = side(architecture);
        let images = normal(&[2, 3, side, side]);
        let wanted = step(&network(architecture, Device::Cpu), &images, &Compute::fp32(Device::Cpu))?;
        let found = step(&network(architecture, device), &images, &Compute::fp32(device))?;
        let (gradient, parameter) = worst(&found, &wanted);
        let logits = difference(&found.logits, &wanted.logits);
        let loss = difference(&found.loss, &wanted.loss);
        let figures = format!(
            "{side} px, logits {logits:.1e}, loss {loss:.1e}, gradients {gradient:.1e} ({parameter})"
        );
        report.line(logits <= 1e-4 && loss <= 1e-4 && gradient <= 1e-3, name, &figures);
    }
    Ok(())
}

/// How far logits and all gradients may be from fp32's. On the CPU, bf16 is off by up to 1.4e-2 and
/// 6e-2 in the networks of [`precision`]; it has 8 bits of precision, fp16 and TF32 have 11.
fn bounds(precision: Precision) -> (f64, f64) {
    match precision {
        Precision::Fp32 => (1e-4, 1e-3),
        Precision::Tf32 | Precision::Fp16 => (1e-2, 5e-2),
        Precision::Bf16 => (5e-2, 2e-1),
    }
}

/// Why a precision is not checked on the device.
fn left_out(precision: Precision, device: Device) -> Result<Option<&'static str>> {
    let is_of_ampere = matches!(precision, Precision::Bf16 | Precision::Tf32);
    if device.is_cuda() && is_of_ampere && !torch_ext::has_bf16(device)? {
        return Ok(Some("for GPUs from Ampere on (compute capability 8.0)"));
    }
    Ok(precision.problem_on(device))
}

/// Every precision and memory format beside fp32: logits and gradients.
fn precision(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    let mut precisions = Vec::new();
    for precision in Precision::ALL {
        match left_out(precision, device)? {
            Some(why) => println!("SKIP {} {precision}: {why}", report.name),
            None => precisions.push(precision),
        }
    }
    for name in ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16"] {
        let architecture = named(name)?;
        torch_ext::manual_seed(1)?;
        let side = side(architecture);
        let images = normal(&[4, 3, side, side]);
        let fp32 = Compute::fp32(device);
        let wanted = step(&network(architecture, device), &images, &fp32)?;
        for &precision in &precisions {
            for memory_format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast] {
                let compute = Compute { precision, memory_format, ..fp32 };
                let own = network(architecture, device);
                if compute.is_channels_last() {
                    own.to_channels_last()?;
                }
                let found = step(&own, &images, &compute)?;
                let (logits, gradients) =
                    (difference(&found.logits, &wanted.logits), of_all_gradients(&found, &wanted));
                let bounds = bounds(precision);
                let layout = if compute.is_channels_last() { " channels_last" } else { "" };
                let what = format!("{name} {precision}{layout} against fp32");
                let figures = format!(
                    "logits {logits:.1e} (at most {:.0e}), gradients {gradients:.1e} (at most {:.0e})",
                    bounds.0, bounds.1
                );
                report.line(logits <= bounds.0 && gradients <= bounds.1, &what, &figures);
            }
        }
    }
    Ok(())
}

/// A matrix product with TF32 differs from one without, a little.
fn tf32(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    if !device.is_cuda() || !torch_ext::has_bf16(device)? {
        report.skip("for GPUs from Ampere on");
        return Ok(());
    }
    let matrix = normal(&[1024, 1024]).to_device(device);
    let product = |on: bool| -> Result<Tensor> {
        let precision = if on { Precision::Tf32 } else { Precision::Fp32 };
        Ok(Compute { precision, ..Compute::fp32(device) }.run(|| matrix.matmul(&matrix))?)
    };
    let found = difference(&product(true)?, &product(false)?);
    report.line(found > 1e-6 && found < 1e-2, "difference of a product", &format!("{found:.1e}"));
    let exact =
        difference(&product(false)?, &matrix.to_device(Device::Cpu).matmul(&matrix.to_device(Device::Cpu)));
    report.at_most("off, against the CPU", exact, 1e-5);
    Ok(())
}

/// What is trained in [`optimizers`].
#[derive(Clone, Copy)]
struct Problem<'a> {
    config: &'a OptimizerConfig,
    /// Micro-batches a step.
    parts: i64,
    /// Of a second parameter.
    kind: Kind,
}

impl Problem<'_> {
    /// Both parameters after ten steps.
    fn solve(&self, device: Device) -> Result<[Tensor; 2]> {
        torch_ext::manual_seed(3)?;
        let weight = normal(&[64, 32]).to_device(device).set_requires_grad(true);
        let bias = normal(&[64]).to_kind(self.kind).to_device(device).set_requires_grad(true);
        let (inputs, wanted) = (normal(&[16, 32]).to_device(device), normal(&[16, 64]).to_device(device));
        let named =
            [("weight", &weight), ("bias", &bias)].map(|(name, p)| (name.to_owned(), p.shallow_clone()));
        let mut optimizer = Optimizer::new(self.config, named.into())?;
        let rows = inputs.size()[0] / self.parts;
        for _ in 0..10 {
            optimizer.zero_grad()?;
            for part in 0..self.parts {
                let of_part = |tensor: &Tensor| tensor.narrow(0, part * rows, rows);
                let outputs = of_part(&inputs).linear::<&Tensor>(&weight, None) + &bias;
                let loss = (outputs - of_part(&wanted)).square().mean(Kind::Float) / self.parts as f64;
                loss.backward();
            }
            let norm = optimizer.grad_norm()?;
            optimizer.clip_grad_norm(&norm, 1.0)?;
            optimizer.step(self.config.lr(), None)?;
        }
        Ok([weight.detach(), bias.detach()])
    }
}

/// Ten steps of each optimizer, beside the CPU: with clipping, of several micro-batches, and with
/// parameters of two kinds; and EMA weights.
fn optimizers(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    torch_ext::allow_tf32(false)?;
    let texts = [
        "{name: sgd, lr: 0.1, momentum: 0}",
        "{name: sgd, lr: 0.1, momentum: 0.9}",
        "{name: sgd, lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.01}",
        "{name: adam, lr: 0.01}",
        "{name: adamw, lr: 0.01, weight_decay: 0.1}",
        "{name: adamw, lr: 0.01, amsgrad: true}",
        "{name: rmsprop, lr: 0.01, momentum: 0.9}",
        "{name: rmsprop_tf, lr: 0.01, momentum: 0.9}",
        "{name: nadam, lr: 0.01}",
        "{name: lamb, lr: 0.01}",
        "{name: lion, lr: 0.001}",
        "{name: adan, lr: 0.01}",
        "{name: ademamix, lr: 0.01, alpha_warmup: 5, beta3_warmup: 5}",
        "{name: muon, lr: 0.01}",
    ];
    for text in texts {
        let config: OptimizerConfig = serde_yaml::from_str(text)?;
        for (parts, kind) in [(1, Kind::Float), (4, Kind::Float), (1, Kind::Double)] {
            let problem = Problem { config: &config, parts, kind };
            let (found, wanted) = (problem.solve(device)?, problem.solve(Device::Cpu)?);
            let differences = found.iter().zip(&wanted).map(|(one, other)| difference(one, other));
            let with = match (parts, kind) {
                (1, Kind::Float) => String::new(),
                (1, _) => " with a float64 parameter".to_owned(),
                _ => format!(" over {parts} micro-batches"),
            };
            report.at_most(&format!("{text}{with}"), largest(differences), 1e-5);
        }
    }
    let (found, wanted) = (averages(device)?, averages(Device::Cpu)?);
    let differences = found.iter().zip(&wanted).map(|((_, one), (_, other))| difference(one, other));
    report.at_most("EMA weights", largest(differences), 1e-6);
    Ok(())
}

/// EMA weights after ten changes of a network's weights.
fn averages(device: Device) -> Result<Vec<(String, Tensor)>> {
    let network = Network::new(Architecture::TinyNet, NetworkSpec::from(CLASSES), 7, device);
    let mut ema = Ema::new(&EmaConfig { decay: 0.9, warmup_steps: 3 }, &network)?;
    for number in 1..=10 {
        tch::no_grad(|| {
            for (_, mut weight) in network.parameters() {
                weight *= 1.0 + 0.3 * f64::from(number).cos();
            }
        });
        ema.update(&network)?;
    }
    Ok(ema.network().state_dict())
}

/// Two steps twice from one seed, under deterministic algorithms: the same bits.
fn deterministic(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    for name in NETWORKS {
        let architecture = named(name)?;
        let run = || -> Result<Vec<(String, Tensor)>> {
            torch_ext::manual_seed(5)?;
            let side = side(architecture);
            let (images, own) =
                (normal(&[4, 3, side, side]).to_device(device), network(architecture, device));
            let config: OptimizerConfig = serde_yaml::from_str("{name: sgd, lr: 0.01, momentum: 0.9}")?;
            let mut optimizer = Optimizer::new(&config, own.parameters())?;
            for _ in 0..2 {
                optimizer.zero_grad()?;
                own.forward_train(&images)
                    .logits
                    .logsumexp([1].as_slice(), false)
                    .sum(Kind::Float)
                    .backward();
                optimizer.step(0.01, None)?;
            }
            Ok(own.state_dict())
        };
        match catch_torch_panic(|| Ok::<_, Box<dyn std::error::Error>>((run()?, run()?))) {
            Ok(runs) => {
                let (one, other) = runs?;
                let differ = one.iter().zip(&other).filter(|((_, a), (_, b))| !a.equal(b)).count();
                report.line(differ == 0, name, &format!("{differ} of {} tensors differ", one.len()));
            }
            Err(error) => report.line(false, name, &error.to_string()),
        }
    }
    Ok(())
}

/// A batch norm that would see one value is found on the device as on the CPU.
fn single_image(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    for name in ["resnet18", "densenet121", "vgg11", "inception_v3"] {
        let architecture = named(name)?;
        let side = if name == "inception_v3" { side(architecture) } else { 32 };
        let found = |device| -> Result<Option<String>> {
            let spec = NetworkSpec { image_size: Some((side, side)), ..NetworkSpec::from(CLASSES) };
            Ok(Network::new(architecture, spec, 7, device).single_value_batch_norm([3, side, side])?)
        };
        let (here, there) = (found(device)?, found(Device::Cpu)?);
        report.line(here == there, name, &format!("{here:?} as on the CPU: {there:?}"));
    }
    Ok(())
}

/// A group of one process, on a GPU by NCCL: its sums are its own numbers, and so are the gradients
/// that its reducer makes.
fn processes(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    const TIMEOUT: Duration = Duration::from_mins(1);
    let (store, _) = Store::tcp("127.0.0.1", 0, true, TIMEOUT)?;
    let group = ProcessGroup::join(&store, 0, 1, TIMEOUT, device.is_cuda())?;
    let numbers = Tensor::from_slice(&[1.5f32, -2.0]).to_device(device);
    let sum = numbers.copy();
    group.all_reduce(&sum, ReduceOp::Sum)?;
    report.line(sum.equal(&numbers), "all-reduce", "a sum of one");
    let gathered = group.all_gather(&numbers)?;
    report.line(gathered.len() == 1 && gathered[0].equal(&numbers), "all-gather", "of one");

    let network = Network::new(named("resnet18_cifar")?, CLASSES, 7, device);
    let images = Tensor::randn([2, 3, 32, 32], (Kind::Float, device));
    let parameters: Vec<Tensor> = network.parameters().into_iter().map(|(_, one)| one).collect();
    let gradients = |reducer: Option<&Reducer>| -> Result<Vec<Tensor>> {
        torch_ext::clear_grads(&parameters)?;
        let loss = network.forward_t(&images, true).square().sum(Kind::Float);
        if let Some(reducer) = reducer {
            reducer.prepare(&loss)?;
        }
        loss.backward();
        Ok(parameters.iter().map(|one| one.grad().copy()).collect())
    };
    let plain = gradients(None)?;
    let options = ReducerOptions { bucket_bytes: 1 << 20, find_unused: false, bf16: false };
    let reduced = gradients(Some(&Reducer::new(&group, &parameters, options)?))?;
    let distance =
        |(one, other): (&Tensor, &Tensor)| ((one - other).norm() / (one.norm() + 1e-12)).double_value(&[]);
    let largest = plain.iter().zip(&reduced).map(distance).fold(0.0, f64::max);
    report.at_most("reducer: distance of gradients", largest, 1e-4);
    Ok(())
}

/// Too large a tensor is an error that says what to do.
#[expect(clippy::unnecessary_wraps, reason = "as the other checks")]
fn memory(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    let huge = catch_torch_panic(|| Tensor::zeros([1 << 46], (Kind::Float, device)));
    let text = huge.as_ref().map_or_else(ToString::to_string, |_| "there was room".to_owned());
    report.line(matches!(huge, Err(TorchError::Memory(_))), "advice", &text);
    // The device serves on.
    let one = catch_torch_panic(|| Tensor::ones([1], (Kind::Float, device)).double_value(&[]));
    report.line(one == Ok(1.0), "afterwards", &format!("{one:?}"));
    Ok(())
}

/// An assertion that fails on the device leaves it useless for the process: all after it are errors
/// that say so, and nothing ends the process.
#[expect(clippy::unnecessary_wraps, reason = "as the other checks")]
fn lost_device(report: &mut Report, device: Device, _: Option<&Path>) -> Result<()> {
    if !device.is_cuda() {
        report.skip("for GPUs");
        return Ok(());
    }
    let rows = Tensor::zeros([4, 2], (Kind::Float, device));
    let beyond = Tensor::from_slice(&[7i64]).to_device(device);
    let read = catch_torch_panic(|| rows.index_select(0, &beyond).double_value(&[0, 0]));
    let text = read.as_ref().map_or_else(ToString::to_string, |value| format!("read {value}"));
    report.line(matches!(read, Err(TorchError::Device(_))), "a failed assertion", &text);
    // An error or not, it must not end the process, and say no other thing.
    let seeded = torch_ext::manual_seed(1).map_err(TorchError::from);
    let is_good = matches!(seeded, Ok(()) | Err(TorchError::Device(_)));
    report.line(is_good, "seeding afterwards", &format!("{seeded:?}"));
    let after = catch_torch_panic(|| Tensor::ones([1], (Kind::Float, device)).double_value(&[]));
    report.line(matches!(after, Err(TorchError::Device(_))), "afterwards", &format!("{after:?}"));
    Ok(())
}

/// Batches and steps on the second GPU leave the first alone.
fn other_device(report: &mut Report, _: Device, data: Option<&Path>) -> Result<()> {
    if torch_ext::cuda_device(1).is_none() {
        report.skip("there is no second GPU");
        return Ok(());
    }
    let Some(data) = data else {
        report.skip("no data folder was given");
        return Ok(());
    };
    let device = device::resolve("cuda:1".parse::<DeviceChoice>()?, None)?.device;
    let dataset = Dataset::open(data, &OpenOptions::default())?;
    let config: TransformConfig = serde_yaml::from_str("{resize: [32, 32]}")?;
    let index = dataset.index(Split::Train).ok_or("there is no train split")?;
    let options = LoaderOptions::sequential(8, 2, device);
    let loader = Loader::new(Arc::clone(index), Arc::new(Pipeline::new(&config)?), options);
    let count = dataset.classes.len() as i64;
    let network = Network::new(Architecture::Resnet18Cifar, NetworkSpec::from(count), 1, device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), network.parameters())?;
    let mut loss = f64::NAN;
    for batch in loader.epoch(0, 0).on_device().take(3) {
        let batch = batch?;
        // As the trainer does before each forward pass: of all devices.
        torch_ext::manual_seed(1)?;
        optimizer.zero_grad()?;
        let outputs = network.train_outputs(&batch.images, &Compute::fp32(device))?;
        let mean = outputs.logits.cross_entropy_for_logits(&batch.targets);
        mean.backward();
        optimizer.step(0.01, None)?;
        loss = torch_ext::scalar(&mean)?;
    }
    report.line(loss.is_finite(), "three steps on cuda:1", &format!("loss {loss:.4}"));
    let first = torch_ext::has_cuda_context(0);
    report.line(first == Some(false), "the first GPU is left alone", &format!("in use: {first:?}"));
    Ok(())
}
