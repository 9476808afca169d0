//! Small run folders and images, made by hand.

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use ml_core::run::Run;
use ml_data::csv_text::CsvText;
use serde_json::json;

/// Path, label, prediction, probability.
pub type Row<'a> = (&'a str, &'a str, &'a str, f64);

/// A folder of data folders and runs.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A PNG file of one colour; equal colours give equal files.
    pub fn image(&self, path: &str, color: u8) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(4, 4, image::Rgb([color, 9, 9])).save(path).unwrap();
    }

    /// A run of the classes cat and dog, evaluated on the test split of `data`.
    pub fn run(&self, name: &str, data: &str, rows: &[Row]) -> Run {
        self.run_of(name, data, &["cat", "dog"], rows)
    }

    pub fn run_of(&self, name: &str, data: &str, classes: &[&str], rows: &[Row]) -> Run {
        let folder = self.path(name);
        fs::create_dir_all(folder.join("report")).unwrap();
        let data = self.path(data).to_string_lossy().into_owned();
        let size = folder.as_os_str().len();
        fs::write(folder.join("config.yaml"), format!("seed: 1\noptimizer:\n  lr: 0.{size}\n  name: sgd\n"))
            .unwrap();
        fs::write(folder.join("summary.yaml"), summary(&data)).unwrap();
        let metrics =
            "epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy\n1,0.1,0.5,0.7,0.6,0.65\n";
        fs::write(folder.join("metrics.csv"), metrics).unwrap();
        evaluate(&folder, "test", &data, classes, rows);
        Run::open(&folder).unwrap()
    }
}

fn summary(data: &str) -> String {
    let fields = [
        "status: completed",
        "epochs: 1",
        "steps: 2",
        "best_epoch: 1",
        "best_val_accuracy: 0.65",
        "test_accuracy: null",
        "started: 2026-01-01T00:00:00+00:00",
        "updated: 2026-01-01T00:01:00+00:00",
        "seconds: 60.0",
        "seconds_to_first_step: 1.0",
        "device: cpu",
        "parameters: 10",
        "architecture: tiny_net",
        "dataset_fingerprint: abc",
        "dataset: {train: 4, val: 2, test: 2}",
        "version: 0.0.9",
        "libtorch: 2.11.0",
    ];
    format!("{}\ndata_dir: {}\n", fields.join("\n"), json!(data))
}

/// Writes what an evaluation writes.
pub fn evaluate(run: &Path, split: &str, root: &str, classes: &[&str], rows: &[Row]) {
    let number = |class: &str| classes.iter().position(|known| *known == class).unwrap();
    let mut matrix = vec![vec![0u64; classes.len()]; classes.len()];
    let mut csv = CsvText::new();
    csv.row(["path", "label", "prediction", "probability", "correct", "margin"]);
    for (path, label, prediction, probability) in rows {
        matrix[number(label)][number(prediction)] += 1;
        let (probability, correct) = (probability.to_string(), (label == prediction).to_string());
        csv.row([path, *label, prediction, &probability, &correct, "0.5"]);
    }
    let right = rows.iter().filter(|row| row.1 == row.2).count();
    let accuracy = right as f64 / rows.len() as f64;
    let class =
        |name: &&str| json!({"class": name, "precision": 0, "recall": 0, "f1_score": 0, "support": 1});
    let report = json!({
        "split": split, "root": root, "num_samples": rows.len(), "accuracy": accuracy,
        "top_k": 2, "top_k_accuracy": 1.0, "loss": 0.25, "balanced_accuracy": 0.5,
        "macro_average": {"f1_score": 0.5}, "weighted_average": {"f1_score": 0.5},
        "intervals": {"accuracy": [0.25, 0.75], "balanced_accuracy": [0.2, 0.8], "macro_f1": [0.1, 0.9]},
        "classes": classes.iter().map(class).collect::<Vec<_>>(), "confusion_matrix": matrix,
    });
    let folder = run.join("report");
    fs::write(folder.join(format!("classification_report_{split}.json")), report.to_string()).unwrap();
    fs::write(folder.join(format!("predictions_{split}.csv")), csv.finish()).unwrap();
}
