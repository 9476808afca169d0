//! All metrics of many images and classes, and the report of a run that has them, with everything
//! that a run can have: groups, scores of unlikeness, a temperature, Grad-CAM overlays, 100 epochs.
//! Time, memory and size as one line of JSON.
//!
//! Usage: `bench_report IMAGES CLASSES FOLDER`; `FOLDER` must not exist.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use ml_core::config::Config;
use ml_core::device::num_threads;
use ml_core::evaluation::{Analysis, Evaluation};
use ml_core::run::{DatasetSizes, Run, Status, Summary};
use ml_data::dataset::{Index, Sample, Split};
use ml_report::cam::{Listed, Overlays};
use ml_report::classification::EvaluationReport;
use ml_report::run_report;

/// Different photographs.
const PHOTOS: usize = 50;
/// Groups of the images.
const GROUPS: usize = 500;
/// Epochs of the curves.
const EPOCHS: u64 = 100;
/// What the logits are divided by.
const TEMPERATURE: f64 = 1.3;
/// Grad-CAM overlays, as many as a run has.
const OVERLAYS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [images, classes, folder] = &args[..] else { return Err("IMAGES CLASSES FOLDER".into()) };
    let (images, num_classes): (usize, usize) = (images.parse()?, classes.parse()?);
    let folder = PathBuf::from(folder);
    let run = Run::claim_exactly(&folder, "run")?;
    let index = index(&folder.join("images"), images, num_classes)?;
    let classes: Vec<String> = (0..num_classes).map(|class| format!("class {class}")).collect();

    let mut evaluation = evaluation(images, num_classes, &index).at_temperature(TEMPERATURE);
    evaluation.ood_scores = Some((0..images).map(|image| 0.02 * (image % 60) as f32).collect());
    let groups: Vec<String> = (0..images).map(|image| format!("group {}", image % GROUPS)).collect();
    let before = status_mb("VmRSS:")?;
    let started = Instant::now();
    let analysis = Analysis::new(&evaluation, &classes, num_threads());
    let s_metrics = started.elapsed().as_secs_f64();
    let mb_metrics = status_mb("VmHWM:")? - before;

    let (evaluation, analysis) = (&evaluation, &analysis);
    let report = EvaluationReport {
        split: "val",
        classes: &classes,
        index: &index,
        evaluation,
        analysis,
        groups: Some(&groups),
    };
    let started = Instant::now();
    let files = report.write(&run.report_dir())?;
    let s_files = started.elapsed().as_secs_f64();
    let mb_files: f64 = files.all().iter().map(|path| megabytes(path)).sum::<Result<f64, _>>()?;
    overlays(&run, &index)?;

    run.write_config(&Config::default())?;
    run.write_summary(&summary(images, &index.root))?;
    fs::write(run.metrics_path(), epochs())?;
    let started = Instant::now();
    let page = run_report::write(&run)?;
    let s_report = started.elapsed().as_secs_f64();
    let mb_report = megabytes(&page)?;
    println!(
        "{}",
        serde_json::json!({
            "s_metrics": s_metrics, "mb_metrics": mb_metrics, "s_files": s_files, "mb_files": mb_files,
            "s_report": s_report, "mb_report": mb_report,
        })
    );
    Ok(())
}

fn megabytes(path: &Path) -> std::io::Result<f64> {
    Ok(fs::metadata(path)?.len() as f64 / 1e6)
}

/// `metrics.csv`.
fn epochs() -> String {
    let rows = (1..=EPOCHS).map(|epoch| {
        let done = epoch as f64 / EPOCHS as f64;
        let (loss, accuracy) = (2.0 - 1.5 * done, 0.3 + 0.6 * done);
        format!("{epoch},{},{loss},{accuracy},{},{}\n", 0.1 * (1.0 - done), loss + 0.2, accuracy - 0.05)
    });
    let header = "epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy\n".to_owned();
    std::iter::once(header).chain(rows).collect()
}

/// `report/cam/`: sheets of coloured squares, which JPEG makes larger than photographs.
fn overlays(run: &Run, index: &Index) -> Result<(), Box<dyn Error>> {
    let folder = run.report_dir().join("cam");
    fs::create_dir_all(&folder)?;
    let mut list = Overlays { layer: "layer4".to_owned(), ..Overlays::default() };
    for (place, sample) in index.samples.iter().take(OVERLAYS).enumerate() {
        let file = format!("{place:02}.png");
        let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 9;
        let sheet = image::RgbImage::from_fn(450, 224, |x, y| {
            let value = noise(x / 6 + 1, y / 6 + 7 * place as u32);
            image::Rgb([value as u8, (value >> 8) as u8, (value >> 4) as u8])
        });
        sheet.save(folder.join(&file))?;
        let label = format!("class {}", sample.class);
        let prediction = if place.is_multiple_of(2) { label.clone() } else { "class 0".to_owned() };
        let path = sample.path.to_string_lossy().into_owned();
        list.images.push(Listed { path, label, prediction, probability: 0.9, file, correct: None });
    }
    fs::write(folder.join("cam.json"), serde_json::to_vec(&list)?)?;
    Ok(())
}

/// Predictions that are right four times in five, with any probabilities.
fn evaluation(images: usize, num_classes: usize, index: &Index) -> Evaluation {
    let mut state = 1_u64;
    let mut random = move || {
        // Knuth's linear congruential generator, its upper bits.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    let targets: Vec<usize> = index.samples.iter().map(|sample| sample.class as usize).collect();
    let mut probabilities = Vec::with_capacity(images * num_classes);
    for &target in &targets {
        let start = probabilities.len();
        probabilities.extend((0..num_classes).map(|_| random() * random()));
        let guess = if random() < 0.8 { target } else { (random() * num_classes as f32) as usize };
        let row = &mut probabilities[start..];
        row[guess.min(num_classes - 1)] += num_classes as f32 * random();
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    Evaluation::from_probabilities(&probabilities, num_classes, &targets)
}

/// Names of as many files, which are a few photographs under many names.
fn index(root: &Path, images: usize, num_classes: usize) -> Result<Index, Box<dyn Error>> {
    fs::create_dir_all(root)?;
    for photo in 0..PHOTOS {
        let (width, height) = (500_u32, 375_u32);
        let pixels: Vec<u8> = (0..width * height * 3)
            .map(|place| (place % (width * 3) / 6 + place / (width * 3) / 2 + photo as u32 * 5) as u8)
            .collect();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 90).encode(
            &pixels,
            width,
            height,
            image::ExtendedColorType::Rgb8,
        )?;
        fs::write(root.join(format!("photo_{photo}.jpg")), jpeg)?;
    }
    let mut samples = Vec::with_capacity(images);
    for image in 0..images {
        let name = PathBuf::from(format!("{image:06}.jpg"));
        fs::hard_link(root.join(format!("photo_{}.jpg", image % PHOTOS)), root.join(&name))?;
        samples.push(Sample { path: name.into(), class: (image % num_classes) as u32 });
    }
    Ok(Index { root: root.to_owned(), split: Split::Val, samples, label_sets: None })
}

fn summary(images: usize, data_dir: &Path) -> Summary {
    Summary {
        status: Status::Completed,
        error: None,
        resumed_from: None,
        epochs: EPOCHS,
        steps: EPOCHS,
        best_epoch: Some(EPOCHS),
        monitor: "val_accuracy".to_owned(),
        best_figure: Some(0.5),
        swa: None,
        best_val_accuracy: Some(0.5),
        best_val_map: None,
        test_accuracy: None,
        test_map: None,
        not_calibrated: None,
        no_ood_scores: None,
        started: "2026-01-01T00:00:00+00:00".to_owned(),
        updated: "2026-01-01T00:00:00+00:00".to_owned(),
        seconds: 1.0,
        seconds_to_first_step: None,
        evaluation_seconds: Some(1.0),
        time: None,
        checkpoints: None,
        command: None,
        device: "cpu".to_owned(),
        machine: std::collections::BTreeMap::new(),
        parameters: 1,
        trainable_parameters: None,
        peak_memory: None,
        architecture: "resnet50".to_owned(),
        data_dir: data_dir.display().to_string(),
        dataset_fingerprint: String::new(),
        dataset: DatasetSizes { train: images, val: images, test: 0 },
        few_images: std::collections::BTreeMap::new(),
        class_images: Vec::new(),
        kept_together: None,
        version: String::new(),
        libtorch: String::new(),
    }
}

/// A line of the process's status in MB.
fn status_mb(key: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("no such line")?;
    let kb: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kb / 1024.0)
}
