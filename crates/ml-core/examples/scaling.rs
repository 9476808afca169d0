//! Predicts how training scales to several GPUs: `NETWORK --step_ms MS --batch N [--gbps 100]
//! [--intra_gbps 2400] [--latency_us 20] [--per_host 8] [--bucket_mb 25] [--bf16]
//! [--processes 1,8,64,512] [--image_kb 110] [--images 1281167]`.
//!
//! `--step_ms` is the measured step of one process, one GPU, with `--batch` images, as `bench_step`
//! prints it. `--gbps` is the network of a host and `--intra_gbps` the link between GPUs of a host,
//! in Gbit/s; `--latency_us` is that of a message; `--bf16` sends gradients as bf16.
//!
//! The model is data parallelism. Each process computes the gradients of its own batch. A ring
//! all-reduce adds up `S` bytes of `N` processes in `2(N-1)` steps, in which each process sends
//! `2(N-1)/N * S` bytes (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for
//! clusters of workstations"). It takes `2(N-1) * latency + 2(N-1)/N * S / bandwidth`, with the
//! bandwidth of the slowest link: the ring enters and leaves each host once, so that the link
//! between hosts carries as much in each direction as one process sends.
//!
//! Gradients are reduced in buckets while the backward pass goes on (Li et al. 2020, "PyTorch
//! Distributed: Experiences on Accelerating Data Parallel Training", VLDB). The forward pass is
//! taken as 1/3 of the step and the backward pass as 2/3, in which gradients become ready evenly.
//! The all-reduce of a bucket starts when the bucket is ready and the one before is done. What is
//! left when the backward pass ends is exposed, and makes the step longer.
//!
//! The loader's images and megabytes per second are those that the loaders of a full host must
//! reach together. Neither other users of the network nor slow processes are in the model, nor that
//! libraries use trees in place of rings where latency counts most.

use std::process::ExitCode;

use ml_core::network::{Architecture, Network};
use tch::Device;

const USAGE: &str = "usage: scaling NETWORK --step_ms MS --batch N [--gbps 100] [--intra_gbps 2400] \
                     [--latency_us 20] [--per_host 8] [--bucket_mb 25] [--bf16] [--processes 1,8,64,512] \
                     [--image_kb 110] [--images 1281167]";
const CLASSES: i64 = 1000;
/// Of the step of one process.
const BACKWARD_SHARE: f64 = 2.0 / 3.0;
/// Efficiency from which on computation counts as what bounds training.
const GOOD_EFFICIENCY: f64 = 0.9;
/// What numbers of processes, processes of a host and images of a batch are at most.
const MOST: u64 = 1 << 20;
const MOST_IMAGES: u64 = 1 << 40;
/// What other numbers are at least and at most.
const RANGE: (f64, f64) = (1e-3, 1e9);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args) {
        Ok(args) => {
            println!("{}", report(&args, trainable_parameters(args.network)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// What the user gives.
#[derive(Debug)]
struct Args {
    network: Architecture,
    step_ms: f64,
    /// Images of a process and step.
    batch: u64,
    links: Links,
    bucket_mb: f64,
    bf16: bool,
    /// At least one.
    processes: Vec<u64>,
    image_kb: f64,
    /// Of an epoch.
    images: u64,
}

fn parse(args: &[String]) -> Result<Args, String> {
    let (mut network, mut step_ms, mut batch) = (None, None, None);
    let mut links = Links { gbps: 100.0, intra_gbps: 2400.0, latency_us: 20.0, per_host: 8 };
    let (mut bucket_mb, mut bf16, mut image_kb, mut images) = (25.0, false, 110.0, 1_281_167);
    let mut processes = vec![1, 8, 64, 512];
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{arg} needs a value; {USAGE}"));
        match arg {
            "--step_ms" => step_ms = Some(number(arg, value()?)?),
            "--batch" => batch = Some(count(arg, value()?, MOST)?),
            "--gbps" => links.gbps = number(arg, value()?)?,
            "--intra_gbps" => links.intra_gbps = number(arg, value()?)?,
            "--latency_us" => links.latency_us = number(arg, value()?)?,
            "--per_host" => links.per_host = count(arg, value()?, MOST)?,
            "--bucket_mb" => bucket_mb = number(arg, value()?)?,
            "--bf16" => bf16 = true,
            "--processes" => {
                let list = value()?.split(',');
                processes = list.map(|one| count(arg, one.trim(), MOST)).collect::<Result<_, _>>()?;
            }
            "--image_kb" => image_kb = number(arg, value()?)?,
            "--images" => images = count(arg, value()?, MOST_IMAGES)?,
            _ if arg.starts_with('-') => return Err(format!("unknown flag `{arg}`; {USAGE}")),
            _ if network.is_some() => return Err(format!("one network only, but also `{arg}`; {USAGE}")),
            _ => network = Some(architecture(arg)?),
        }
    }
    Ok(Args {
        network: network.ok_or_else(|| format!("no network given; {USAGE}"))?,
        step_ms: step_ms.ok_or("--step_ms is missing: measure it with the example bench_step")?,
        batch: batch.ok_or("--batch is missing: the batch size with which --step_ms was measured")?,
        links,
        bucket_mb,
        bf16,
        processes,
        image_kb,
        images,
    })
}

fn architecture(name: &str) -> Result<Architecture, String> {
    Architecture::from_name(name).ok_or_else(|| {
        let near = |known: &Architecture| strsim::jaro_winkler(name, known.name());
        let known = Architecture::ALL.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        let nearest = known.map_or("", |known| known.name());
        format!("no network is called `{name}`; the nearest name is `{nearest}`")
    })
}

fn number(flag: &str, text: &str) -> Result<f64, String> {
    let (least, most) = RANGE;
    let value = text.parse().ok().filter(|value: &f64| (least..=most).contains(value));
    value.ok_or_else(|| format!("{flag} must be a number from {least} to {most}, got `{text}`"))
}

fn count(flag: &str, text: &str, most: u64) -> Result<u64, String> {
    let value = text.parse().ok().filter(|value| (1..=most).contains(value));
    value.ok_or_else(|| format!("{flag} must be a whole number from 1 to {most}, got `{text}`"))
}

fn trainable_parameters(architecture: Architecture) -> u64 {
    let network = Network::uninitialised(architecture, CLASSES, Device::Cpu);
    let trained = network.parameters().into_iter().filter(|(_, one)| one.requires_grad());
    trained.map(|(_, one)| one.numel() as u64).sum()
}

/// What connects processes.
#[derive(Clone, Debug)]
struct Links {
    /// Gbit/s of a host's network, in each direction.
    gbps: f64,
    /// Gbit/s between processes of a host, in each direction.
    intra_gbps: f64,
    /// Microseconds of a message.
    latency_us: f64,
    /// Processes of a host.
    per_host: u64,
}

impl Links {
    /// Gbit/s of the slowest link of a ring, and which it is.
    fn slowest(&self, processes: u64) -> (f64, &'static str) {
        let is_one_host = processes <= self.per_host;
        if is_one_host || (self.per_host > 1 && self.intra_gbps < self.gbps) {
            (self.intra_gbps, "within a host")
        } else {
            (self.gbps, "between hosts")
        }
    }

    /// Milliseconds in which messages of the ring's steps are on their way.
    fn latency_ms(&self, processes: u64) -> f64 {
        2.0 * (processes - 1) as f64 * self.latency_us / 1e3
    }

    /// Milliseconds of an all-reduce.
    fn all_reduce_ms(&self, bytes: f64, processes: u64) -> f64 {
        let bits_per_ms = self.slowest(processes).0 * 1e6;
        self.latency_ms(processes) + 8.0 * sent_bytes(bytes, processes) / bits_per_ms
    }
}

/// By each process in an all-reduce.
fn sent_bytes(bytes: f64, processes: u64) -> f64 {
    2.0 * (processes - 1) as f64 / processes as f64 * bytes
}

/// A step of one process, and how its gradients reach the others.
#[derive(Clone, Debug)]
struct Training {
    step_ms: f64,
    /// The backward pass, which ends the step.
    backward_ms: f64,
    /// Bytes of each bucket, in the order in which they become ready.
    buckets: Vec<f64>,
    links: Links,
}

/// What a number of processes costs.
#[derive(Debug)]
struct Prediction {
    processes: u64,
    /// By each process and step.
    sent_bytes: f64,
    /// Of all buckets, one after another.
    all_reduce_ms: f64,
    /// The part of it that is latency.
    latency_ms: f64,
    /// The part of it that is left when the backward pass ends.
    exposed_ms: f64,
    step_ms: f64,
    /// Of the images per second of as many processes that need not wait, in 0..=1.
    efficiency: f64,
}

impl Training {
    fn new(args: &Args, parameters: u64) -> Training {
        // As PyTorch's, buckets are of f32 gradients, and compressed later.
        let bucket_bytes = (args.bucket_mb * f64::from(1 << 20)) as u64;
        let sent_share = if args.bf16 { 0.5 } else { 1.0 };
        let buckets = buckets(4 * parameters, bucket_bytes);
        Training {
            step_ms: args.step_ms,
            backward_ms: BACKWARD_SHARE * args.step_ms,
            buckets: buckets.into_iter().map(|bytes| sent_share * bytes as f64).collect(),
            links: args.links.clone(),
        }
    }

    fn predict(&self, processes: u64) -> Prediction {
        let bytes: f64 = self.buckets.iter().sum();
        // From the beginning of the backward pass on.
        let (mut ready_bytes, mut done_ms, mut all_reduce_ms) = (0.0, 0.0_f64, 0.0);
        for bucket in &self.buckets {
            ready_bytes += bucket;
            let ready_ms = self.backward_ms * ready_bytes / bytes;
            let cost_ms = self.links.all_reduce_ms(*bucket, processes);
            done_ms = done_ms.max(ready_ms) + cost_ms;
            all_reduce_ms += cost_ms;
        }
        let exposed_ms = (done_ms - self.backward_ms).max(0.0);
        let step_ms = self.step_ms + exposed_ms;
        Prediction {
            processes,
            sent_bytes: sent_bytes(bytes, processes),
            all_reduce_ms,
            latency_ms: self.buckets.len() as f64 * self.links.latency_ms(processes),
            exposed_ms,
            step_ms,
            efficiency: self.step_ms / step_ms,
        }
    }

    /// The fewest processes whose efficiency is less than `least`, if [`MOST`] have less; the more
    /// processes, the lower it is.
    fn first_below(&self, least: f64) -> Option<u64> {
        let is_below = |processes| self.predict(processes).efficiency < least;
        if !is_below(MOST) {
            return None;
        }
        let (mut above, mut below) = (1, MOST);
        while below - above > 1 {
            let middle = u64::midpoint(above, below);
            if is_below(middle) {
                below = middle;
            } else {
                above = middle;
            }
        }
        Some(below)
    }
}

/// Bytes of each bucket: all full but the last.
fn buckets(bytes: u64, bucket_bytes: u64) -> Vec<u64> {
    let starts = (0..bytes).step_by(bucket_bytes.max(1) as usize);
    starts.map(|start| bucket_bytes.max(1).min(bytes - start)).collect()
}

fn report(args: &Args, parameters: u64) -> String {
    let training = Training::new(args, parameters);
    let links = &args.links;
    let bytes: f64 = training.buckets.iter().sum();
    let (millions, megabytes) = (parameters as f64 / 1e6, bytes / 1e6);
    let dtype = if args.bf16 { "bf16" } else { "f32" };
    let mut lines = vec![
        format!(
            "{}: {millions:.1} million parameters, {megabytes:.1} MB of {dtype} gradients in buckets: {}",
            args.network.name(),
            training.buckets.len()
        ),
        format!(
            "{} Gbit/s between hosts, {} Gbit/s within a host of {}, {} us a message",
            links.gbps, links.intra_gbps, links.per_host, links.latency_us
        ),
    ];
    let rows = args.processes.iter().map(|processes| row(args, &training.predict(*processes)));
    lines.extend(table(&rows.collect::<Vec<_>>()));
    let most = args.processes.iter().copied().max().unwrap_or(1);
    let first_below = match training.first_below(GOOD_EFFICIENCY) {
        Some(processes) => format!("falls below 90 % from {processes} processes on"),
        None => format!("stays at 90 % or more up to {MOST} processes"),
    };
    let bound = bound(&training.predict(most), links);
    lines.push(format!("With {most} processes, {bound} bounds the step; efficiency {first_below}."));
    lines.join("\n")
}

/// What takes most of the time that could be saved.
fn bound(prediction: &Prediction, links: &Links) -> String {
    let Prediction { processes, .. } = *prediction;
    if prediction.efficiency >= GOOD_EFFICIENCY {
        "computation".to_owned()
    } else if prediction.latency_ms > prediction.all_reduce_ms / 2.0 {
        format!("latency (each bucket takes {} ring steps)", 2 * (processes - 1))
    } else {
        format!("bandwidth {}", links.slowest(processes).1)
    }
}

const COLUMNS: [&str; 12] = [
    "processes",
    "hosts",
    "global batch",
    "sent MB",
    "all-reduce ms",
    "hidden %",
    "step ms",
    "images/s",
    "efficiency %",
    "loader images/s",
    "loader MB/s",
    "epoch min",
];

fn row(args: &Args, prediction: &Prediction) -> [String; COLUMNS.len()] {
    let Prediction { processes, all_reduce_ms, exposed_ms, step_ms, .. } = *prediction;
    let per_host = args.links.per_host;
    let per_process = args.batch as f64 / step_ms * 1e3;
    let images_per_s = processes as f64 * per_process;
    // Of a full host: what its loaders must reach.
    let of_host = processes.min(per_host) as f64 * per_process;
    let hidden = 100.0 * (1.0 - exposed_ms / all_reduce_ms);
    [
        processes.to_string(),
        processes.div_ceil(per_host).to_string(),
        (processes * args.batch).to_string(),
        format!("{:.1}", prediction.sent_bytes / 1e6),
        format!("{all_reduce_ms:.1}"),
        if all_reduce_ms > 0.0 { format!("{hidden:.1}") } else { "-".to_owned() },
        format!("{step_ms:.1}"),
        format!("{images_per_s:.1}"),
        format!("{:.1}", 100.0 * prediction.efficiency),
        format!("{of_host:.1}"),
        format!("{:.1}", of_host * args.image_kb / 1e3),
        format!("{:.2}", args.images as f64 / images_per_s / 60.0),
    ]
}

/// Lines of columns that end below each other.
fn table(rows: &[[String; COLUMNS.len()]]) -> Vec<String> {
    let titles = COLUMNS.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(&titles).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &&[String; COLUMNS.len()]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of resnet50.
    const PARAMETERS: u64 = 25_557_032;

    fn args(text: &str) -> Result<Args, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn training(flags: &str) -> Training {
        let args = args(&format!("resnet50 --step_ms 100 --batch 256 {flags}")).unwrap();
        Training::new(&args, PARAMETERS)
    }

    fn is_close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
    }

    #[test]
    fn one_process_sends_nothing_and_has_efficiency_1() {
        let one = training("").predict(1);
        assert_eq!((one.sent_bytes, one.all_reduce_ms, one.exposed_ms), (0.0, 0.0, 0.0));
        assert_eq!((one.step_ms, one.efficiency), (100.0, 1.0));
    }

    #[test]
    fn each_of_two_processes_sends_the_bytes_of_the_gradients_once() {
        assert_eq!(training("").predict(2).sent_bytes, 4.0 * PARAMETERS as f64);
        assert_eq!(training("--bf16").predict(2).sent_bytes, 2.0 * PARAMETERS as f64);
    }

    #[test]
    fn nothing_is_hidden_without_a_backward_pass() {
        let training = Training { backward_ms: 0.0, ..training("") };
        let prediction = training.predict(64);
        assert!(prediction.all_reduce_ms > 0.0);
        assert!(is_close(prediction.exposed_ms, prediction.all_reduce_ms));
    }

    #[test]
    fn only_the_last_bucket_is_exposed_where_the_network_keeps_up() {
        let training = training("");
        let last = training.links.all_reduce_ms(training.buckets[3], 8);
        assert!(is_close(training.predict(8).exposed_ms, last));
    }

    #[test]
    fn buckets_hold_all_gradients() {
        assert_eq!(buckets(10, 4), [4, 4, 2]);
        assert_eq!(buckets(8, 4), [4, 4]);
        assert_eq!(training("").buckets.iter().sum::<f64>(), 4.0 * PARAMETERS as f64);
    }

    #[test]
    fn efficiency_rises_with_bandwidth() {
        let of = |gbps| training(&format!("--gbps {gbps}")).predict(64).efficiency;
        let efficiencies = ["0.1", "1", "10", "100", "400"].map(of);
        assert!(efficiencies.is_sorted_by(|a, b| a < b), "{efficiencies:?}");
    }

    #[test]
    fn efficiency_falls_with_processes_and_the_limit_is_found() {
        for flags in ["", "--per_host 1", "--gbps 10", "--intra_gbps 5", "--latency_us 1000"] {
            let training = training(flags);
            let of = |processes| training.predict(processes).efficiency;
            let efficiencies: Vec<f64> = (1..200).map(of).collect();
            assert!(efficiencies.is_sorted_by(|a, b| a >= b), "{flags}: {efficiencies:?}");
            let first = training.first_below(0.9).unwrap();
            assert!(of(first) < 0.9 && of(first - 1) >= 0.9, "{flags}: {first}");
        }
        assert_eq!(training("--latency_us 0.001 --step_ms 1000000").first_below(0.9), None);
    }

    #[test]
    fn the_slowest_link_counts() {
        let links = training("").links;
        assert_eq!((links.slowest(8).0, links.slowest(9).0), (2400.0, 100.0));
        let links = Links { intra_gbps: 50.0, ..links };
        assert_eq!((links.slowest(8).0, links.slowest(9).0), (50.0, 50.0));
        assert_eq!(Links { per_host: 1, ..links }.slowest(2).0, 100.0);
    }

    #[test]
    fn the_report_ends_with_what_bounds_the_step() {
        let last = |flags: &str| {
            let args = args(&format!("resnet50 --step_ms 100 --batch 256 {flags}")).unwrap();
            report(&args, PARAMETERS).lines().last().unwrap().to_owned()
        };
        assert!(last("--processes 8").starts_with("With 8 processes, computation bounds"));
        assert!(last("").starts_with("With 512 processes, latency (each bucket takes 1022 ring steps)"));
        assert!(last("--gbps 1 --processes 16").contains("bandwidth between hosts"));
        assert!(last("--intra_gbps 1 --processes 8").contains("bandwidth within a host"));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (text, words) in [
            ("", "no network given"),
            ("resnet05 --step_ms 1 --batch 1", "no network is called `resnet05`; the nearest name is"),
            ("resnet50 --batch 1", "--step_ms is missing"),
            ("resnet50 --step_ms 1", "--batch is missing"),
            ("resnet50 resnet18", "also `resnet18`"),
            ("resnet50 --gpus 4", "unknown flag `--gpus`"),
            ("resnet50 --step_ms", "--step_ms needs a value"),
            ("resnet50 --step_ms 0", "--step_ms must be a number from 0.001 to 1000000000, got `0`"),
            ("resnet50 --gbps NaN", "--gbps must be a number"),
            ("resnet50 --intra_gbps inf", "--intra_gbps must be a number"),
            ("resnet50 --latency_us -1", "--latency_us must be a number"),
            ("resnet50 --bucket_mb 0", "--bucket_mb must be a number"),
            ("resnet50 --image_kb many", "--image_kb must be a number"),
            ("resnet50 --batch 0", "--batch must be a whole number from 1 to 1048576, got `0`"),
            ("resnet50 --per_host 2.5", "--per_host must be a whole number"),
            ("resnet50 --images 0", "--images must be a whole number"),
            ("resnet50 --processes 1,0", "--processes must be a whole number"),
            ("resnet50 --processes 1,,8", "--processes must be a whole number"),
        ] {
            let error = args(text).unwrap_err();
            assert!(error.contains(words) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
