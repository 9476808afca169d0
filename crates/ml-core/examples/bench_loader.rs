//! Images per second of the loader, for `cargo xtask bench loader`: prints one JSON object.
//!
//! `bench_loader load FOLDER SIZE WORKERS EPOCHS none|ram|disk` goes through a folder of class
//! folders as training does; `bench_loader decode FOLDER THREADS` has libjpeg-turbo decode the same
//! files in full, and nothing else; `bench_loader index FOLDER` opens a data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ml_core::dataset::{Dataset, Index, Sample, Split};
use ml_core::decode::Encoded;
use ml_core::loader::{Budget, Cache, Loader, LoaderOptions, Order};
use ml_core::transform::{Pipeline, TransformConfig};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const BATCH_SIZE: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["load", folder, size, workers, epochs, cache] => {
            load(folder.as_ref(), size.parse()?, workers.parse()?, epochs.parse()?, cache)?
        }
        ["decode", folder, threads] => decode(folder.as_ref(), threads.parse()?)?,
        ["index", folder] => index(folder.as_ref())?,
        _ => return Err("usage: see the example's first lines".into()),
    };
    println!("{outcome}");
    Ok(())
}

/// All files of a folder of class folders.
fn files(folder: &Path) -> Result<Index> {
    let mut samples = Vec::new();
    let mut classes: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    classes.sort();
    for (class, path) in (0..).zip(classes) {
        for entry in std::fs::read_dir(&path)? {
            let path = entry?.path();
            samples.push(Sample { path: path.strip_prefix(folder)?.into(), class });
        }
    }
    samples.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Index { root: folder.to_owned(), split: Split::Train, samples, label_sets: None })
}

fn load(folder: &Path, size: u32, num_workers: usize, epochs: u64, cache: &str) -> Result<Value> {
    tch::set_num_threads(1);
    let index = Arc::new(files(folder)?);
    let text = format!(
        "{{random_resized_crop: {size}, random_horizontal_flip: true, normalize: {{mean: [0.485, 0.456, 0.406], \
         std: [0.229, 0.224, 0.225]}}}}"
    );
    let config: TransformConfig = serde_yaml::from_str(&text)?;
    let pipeline = Arc::new(Pipeline::new(&config)?);
    let options = LoaderOptions {
        order: Order::shuffled(1),
        ..LoaderOptions::sequential(BATCH_SIZE, num_workers, tch::Device::Cpu)
    };
    let mut loader = Loader::new(Arc::clone(&index), Arc::clone(&pipeline), options);
    let place = tempfile::tempdir()?;
    match cache {
        "none" => {}
        "ram" => {
            loader =
                loader.with_cache(Some(Arc::new(Cache::ram(index.samples.len(), Budget::half_of_memory()))));
        }
        "disk" => {
            loader = loader.with_cache(Some(Arc::new(Cache::disk(
                place.path(),
                &pipeline,
                Budget::half_of_disk(place.path())?,
            )?)));
        }
        other => return Err(format!("no cache is called {other}").into()),
    }
    let (mut rates, mut memory) = (Vec::new(), Vec::new());
    for epoch in 0..epochs {
        let started = Instant::now();
        let mut count = 0;
        for batch in loader.epoch(epoch, 0) {
            count += batch?.indices.len();
        }
        rates.push(count as f64 / started.elapsed().as_secs_f64());
        memory.push(resident_mb()?);
    }
    Ok(json!({ "images_per_s": median(&rates), "epochs": rates, "resident_mb": memory }))
}

/// Decoding alone, on files that are in memory already.
fn decode(folder: &Path, threads: usize) -> Result<Value> {
    let index = files(folder)?;
    let bytes = index.samples.iter().map(|sample| std::fs::read(folder.join(&sample.path)));
    let bytes: Vec<Vec<u8>> = bytes.collect::<std::io::Result<_>>()?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let (next, started) = (AtomicUsize::new(0), Instant::now());
        let failed = std::thread::scope(|scope| {
            let work = || {
                while let Some(file) = bytes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    Encoded::read(file).and_then(Encoded::decode).map_err(|error| error.to_string())?;
                }
                Ok(())
            };
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            all.into_iter()
                .find_map(|thread| thread.join().unwrap_or(Err("a thread failed".to_owned())).err())
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        rates.push(bytes.len() as f64 / started.elapsed().as_secs_f64());
    }
    Ok(json!({ "images_per_s": median(&rates) }))
}

fn index(folder: &Path) -> Result<Value> {
    // libtorch is there already.
    let before = resident_mb()?;
    let started = Instant::now();
    let dataset = Dataset::open(folder, &ml_core::dataset::OpenOptions::default())?;
    let seconds = started.elapsed().as_secs_f64();
    let splits = Split::ALL.iter().filter_map(|split| dataset.index(*split));
    let samples: usize = splits.map(|index| index.samples.len()).sum();
    let peak_mb = status_mb("VmHWM:")? - before;
    Ok(json!({ "samples": samples, "seconds": seconds, "peak_mb": peak_mb }))
}

fn resident_mb() -> Result<f64> {
    status_mb("VmRSS:")
}

fn status_mb(field: &str) -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(field)).ok_or("no memory in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
