//! Embeddings of labelled images → `embeddings_<split>.npy` with a table of the images, and
//! TensorBoard's projector.

use std::path::{Path, PathBuf};

use image::RgbImage;
use ml_core::evaluation::Embeddings;
use ml_data::csv_text::CsvText;
use ml_data::dataset::{Index, Task};
use ml_data::decode::Pixels;

use crate::label_report::joined;
use crate::tensorboard::projector::{self, Column, Embedding, ProjectorError};
use crate::write::{ReportError, make_folder, replace};
use crate::{npy, pictures};

/// Where embeddings were written.
#[derive(Clone, Debug)]
pub struct EmbeddingFiles {
    /// `embeddings_<split>.npy`: `[N, D]` f32, a row an image.
    pub values: PathBuf,
    /// `embeddings_<split>.csv`: `path` and `label` of each row; with several labels an image, these are
    /// joined by `|`.
    pub images: PathBuf,
}

impl EmbeddingFiles {
    /// Writes into `folder`, which is made if need be.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(
        folder: &Path,
        split: &str,
        embeddings: &Embeddings,
        index: &Index,
        classes: &[String],
    ) -> Result<EmbeddingFiles, ReportError> {
        make_folder(folder)?;
        let files = EmbeddingFiles {
            values: folder.join(format!("embeddings_{split}.npy")),
            images: folder.join(format!("embeddings_{split}.csv")),
        };
        npy::write(&files.values, &embeddings.values, embeddings.dim)?;
        let mut rows = CsvText::new();
        rows.row(["path", "label"].map(str::to_owned));
        for &sample in &embeddings.samples {
            let path = index.samples[sample].path.to_string_lossy().into_owned();
            rows.row([path, labels_of(index, sample, classes)]);
        }
        replace(&files.images, rows.finish().as_bytes())?;
        Ok(files)
    }

    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.values, &self.images].into_iter().map(PathBuf::as_path)
    }
}

/// The label of a sample, or several, joined.
fn labels_of(index: &Index, sample: usize, classes: &[String]) -> String {
    joined(index.labels(sample).iter().map(|class| classes[*class as usize].as_str()))
}

/// What colours a sample: its label, or the first of several.
fn first_label(index: &Index, sample: usize, classes: &[String]) -> String {
    index.labels(sample).first().map_or_else(String::new, |class| classes[*class as usize].clone())
}

/// Side of an image in the projector, in pixels.
const SIDE: u32 = 32;

/// Shows embeddings as `name` in the projector of `folder`, with the images' classes, paths and
/// thumbnails; with several labels an image, the first of them and all, joined. Of more than `most`
/// images so many are shown, evenly from all; those with NaN or Inf are left out. Returns the file
/// that lists what the projector shows; none if there is nothing to show.
///
/// # Errors
/// A file cannot be written, or `name` is none for a folder.
pub fn project(
    folder: &Path,
    name: &str,
    embeddings: &Embeddings,
    index: &Index,
    classes: &[String],
    most: usize,
) -> Result<Option<PathBuf>, ProjectorError> {
    let dim = embeddings.dim;
    let step = embeddings.samples.len().div_ceil(most.max(1)).max(1);
    let rows = embeddings.values.chunks_exact(dim.max(1)).zip(&embeddings.samples).step_by(step);
    let (mut vectors, mut labels, mut all_labels) = (Vec::new(), Vec::new(), Vec::new());
    let (mut paths, mut thumbnails) = (Vec::new(), Vec::new());
    for (row, &sample) in rows {
        let Some(known) = index.samples.get(sample) else { continue };
        if row.iter().any(|value| !value.is_finite()) {
            continue;
        }
        let image = pictures::square(index, sample, SIDE).map(RgbImage::into_raw);
        let data = image.unwrap_or_else(|| vec![0; (SIDE * SIDE * 3) as usize]);
        vectors.extend_from_slice(row);
        labels.push(first_label(index, sample, classes));
        all_labels.push(labels_of(index, sample, classes));
        paths.push(known.path.to_string_lossy().into_owned());
        thumbnails.push(Pixels { width: SIDE, height: SIDE, data });
    }
    if labels.is_empty() || dim < 2 {
        return Ok(None);
    }
    let mut columns =
        vec![Column { name: "label", values: &labels }, Column { name: "path", values: &paths }];
    if index.task() == Task::MultiLabel {
        columns.insert(1, Column { name: "labels", values: &all_labels });
    }
    let embedding =
        Embedding { name, vectors: &vectors, dimensions: dim, columns: &columns, thumbnails: &thumbnails };
    projector::write(folder, &embedding)?;
    Ok(Some(folder.join(projector::CONFIG)))
}
