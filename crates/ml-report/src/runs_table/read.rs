//! Run folders → the rows of a table.

use std::fs;
use std::io;
use std::path::Path;

use ml_core::run::{Run, RunGroup};
use ml_data::dataset::Task;

use super::RunRow;
use crate::html::Part;
use crate::run_report;

/// The runs in `folder`, those of groups too, by name; or the one that it is. Half-written folders
/// are shown with what they have.
///
/// # Errors
/// The folder cannot be listed.
pub fn read(folder: &Path) -> io::Result<Vec<RunRow>> {
    if let Ok(run) = Run::open(folder) {
        return Ok(vec![row(&run, &name(folder))]);
    }
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Ok(run) = Run::open(&path) {
            rows.push(row(&run, &name(&path)));
        } else if let Ok(Some(group)) = RunGroup::open(&path) {
            let runs = group.run_folders().into_iter().filter_map(|folder| Run::open(&folder).ok());
            rows.extend(runs.map(|run| row(&run, &format!("{}/{}", name(&path), name(run.folder())))));
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}

fn row(run: &Run, name: &str) -> RunRow {
    let mut row = RunRow {
        name: name.to_owned(),
        folder: run.folder().to_string_lossy().into_owned(),
        bytes: size(run.folder()).ok(),
        ..RunRow::default()
    };
    let settings = run_report::settings(run);
    if let Ok(config) = &settings {
        row.num_epochs = config.training.whole_epochs().map(|epochs| epochs as u64);
        row.learning_rate = Some(config.optimizer.lr());
        row.batch_size = Some(config.training.batch_size as u64);
        row.precision = Some(config.training.precision.to_string());
        row.seed = Some(config.seed);
        let listed = run_report::listed(config).unwrap_or_default();
        row.settings = listed.into_iter().map(|setting| (setting.key, setting.value)).collect();
    }
    let Ok(summary) = run.read_summary() else { return row };
    if let Part::Present(curves) = run_report::curves(run, summary.best_epoch) {
        let best = curves.epochs.iter().find(|epoch| Some(epoch.epoch) == summary.best_epoch);
        row.val_loss = best.map(|epoch| epoch.val_loss);
    }
    row.status =
        serde_json::to_value(summary.status).ok().and_then(|status| Some(status.as_str()?.to_owned()));
    row.network = Some(summary.architecture);
    row.data_set = Some(summary.data_dir);
    row.epochs = Some(summary.epochs);
    row.best_epoch = summary.best_epoch;
    row.val_map = summary.best_val_map;
    row.test_map = summary.test_map;
    // With several labels an image, accuracies are those of all labels of an image.
    let has_labels = settings.as_ref().is_ok_and(|config| config.data.task == Task::MultiLabel);
    if !has_labels && row.val_map.is_none() {
        row.val_accuracy = summary.best_val_accuracy;
        row.test_accuracy = summary.test_accuracy;
    }
    row.started = Some(summary.started);
    row.seconds = Some(summary.seconds);
    row
}

/// Bytes of all files below; those with several names count once for each.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
