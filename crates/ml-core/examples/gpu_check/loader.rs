//! The loader's batches on a device, beside those on the CPU; and how fast they come.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ml_core::dataset::{Dataset, OpenOptions};
use ml_core::loader::{Budget, Cache, DeviceBatch, Loader, LoaderOptions, Order};
use ml_core::torch_error::catch_torch_panic;
use ml_core::transform::{Pipeline, TransformConfig};
use tch::{Device, Tensor};

use super::{Report, Result, largest, normal};

/// None where there is no data folder, which is told.
fn opened(report: &mut Report, data: Option<&Path>) -> Result<Option<Dataset>> {
    let Some(data) = data else {
        report.skip("no data folder was given");
        return Ok(None);
    };
    Ok(Some(Dataset::open(data, &OpenOptions::default())?))
}

/// Batches on the device beside those on the CPU, with everything that is done there.
pub fn batches(report: &mut Report, device: Device, data: Option<&Path>) -> Result<()> {
    let Some(dataset) = opened(report, data)? else { return Ok(()) };
    let index = &dataset.train;
    // Keeps the device busy, so that batches wait for it while their memory is filled again.
    let matrix = device.is_cuda().then(|| normal(&[2048, 2048]).to_device(device));
    let enough = if device.is_cuda() { 200 } else { 40 };
    for (what, more) in [
        ("plain", ""),
        ("erasing, a number", ", random_erasing: {p: 0.5, value: 0.3}"),
        ("erasing, noise", ", random_erasing: {p: 0.5, value: random}"),
        ("mixup", ", mixup: {alpha: 0.4}"),
        ("cutmix", ", cutmix: {alpha: 1.0}"),
    ] {
        let text = format!(
            "{{random_resized_crop: 32, normalize: {{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}{more}}}"
        );
        let config: TransformConfig = serde_yaml::from_str(&text)?;
        let pipeline = Arc::new(Pipeline::new(&config)?);
        for workers in [1, 8] {
            let loader = |device: Device| {
                let options = LoaderOptions {
                    order: Order::shuffled(1),
                    num_classes: dataset.classes.len(),
                    ..LoaderOptions::sequential(32, workers, device)
                };
                Loader::new(Arc::clone(index), Arc::clone(&pipeline), options)
            };
            let (ours, reference) = (loader(device), loader(Device::Cpu));
            let (mut worst, mut same, mut count) = (0.0f64, true, 0);
            let mut epoch = 0;
            while count < enough {
                let batches = ours.epoch(epoch, 0).on_device().inspect(|_| {
                    let _ = matrix.as_ref().map(|matrix| matrix.matmul(matrix));
                });
                let found = batches.collect::<std::result::Result<Vec<_>, _>>()?;
                let wanted =
                    reference.epoch(epoch, 0).on_device().collect::<std::result::Result<Vec<_>, _>>()?;
                same &= found.len() == wanted.len() && found.len() == ours.num_batches();
                for (found, wanted) in found.iter().zip(&wanted) {
                    let (off, is_same) = compared(found, wanted);
                    worst = largest([worst, off]);
                    same &= is_same;
                }
                count += found.len().max(1);
                epoch += 1;
            }
            // Values are below 3, rounded once or twice more.
            let figures = format!(
                "{count} batches of {epoch} epochs, {workers} workers, images differ by {worst:.1e}, classes and \
                 numbers of batches {}",
                if same { "agree" } else { "differ" }
            );
            report.line(worst < 2e-6 && same, what, &figures);
            if device.is_cuda() && what == "plain" {
                let batch = ours.epoch(0, 0).next().ok_or("no batch")??;
                let is_pinned = catch_torch_panic(|| batch.images.is_pinned(device))?;
                report.line(
                    is_pinned,
                    "memory that is sent",
                    if is_pinned { "pinned" } else { "not pinned" },
                );
            }
        }
    }
    Ok(())
}

/// By how much images and soft targets of two batches differ, and whether their classes and samples
/// are the same.
fn compared(found: &DeviceBatch, wanted: &DeviceBatch) -> (f64, bool) {
    let off = |found: &Tensor, wanted: &Tensor| {
        (found.to_device(Device::Cpu) - wanted).abs().max().double_value(&[])
    };
    let soft = match (&found.soft_targets, &wanted.soft_targets) {
        (Some(found), Some(wanted)) => off(found, wanted),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    };
    let same = found.targets.to_device(Device::Cpu).equal(&wanted.targets) && found.indices == wanted.indices;
    (largest([off(&found.images, &wanted.images), soft]), same)
}

/// Images of 224 px a second that the loader brings to the device with a thread for each processor,
/// decoded from files and from its cache in memory.
pub fn rate(report: &mut Report, device: Device, data: Option<&Path>) -> Result<()> {
    let Some(dataset) = opened(report, data)? else { return Ok(()) };
    let index = &dataset.train;
    let config: TransformConfig = serde_yaml::from_str(
        "{random_resized_crop: 224, random_horizontal_flip: true, normalize: {mean: [0.485, 0.456, 0.406], \
         std: [0.229, 0.224, 0.225]}}",
    )?;
    let pipeline = Arc::new(Pipeline::new(&config)?);
    let workers = std::thread::available_parallelism()?.get();
    let long_enough = if device.is_cuda() { 3.0 } else { 0.0 };
    for (what, is_cached) in [("files", false), ("memory", true)] {
        let options =
            LoaderOptions { order: Order::shuffled(1), ..LoaderOptions::sequential(64, workers, device) };
        let cache = is_cached.then(|| Arc::new(Cache::ram(index.samples.len(), Budget::half_of_memory())));
        let loader = Loader::new(Arc::clone(index), Arc::clone(&pipeline), options).with_cache(cache);
        let (mut count, mut epoch, mut start) = (0, 0, Instant::now());
        // The first epoch reads the files, and fills the cache.
        while epoch < 2 || start.elapsed().as_secs_f64() < long_enough {
            if epoch == 1 {
                (count, start) = (0, Instant::now());
            }
            for batch in loader.epoch(epoch, 0).on_device() {
                let batch = batch?;
                count += batch.indices.len();
                // Waits for its arrival.
                torch_ext::scalar(&batch.targets.get(0))?;
            }
            epoch += 1;
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        report.info(what, &format!("{rate:.0} images/s with {workers} threads"));
    }
    Ok(())
}
