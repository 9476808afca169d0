//! Embeddings of labelled images → `embeddings_<split>.npy` and a table of the images.

use std::path::{Path, PathBuf};

use ml_core::evaluation::Embeddings;
use ml_data::csv_text::CsvText;
use ml_data::dataset::Index;

use crate::npy;
use crate::write::{ReportError, make_folder, replace};

/// Where embeddings were written.
#[derive(Clone, Debug)]
pub struct EmbeddingFiles {
    /// `embeddings_<split>.npy`: `[N, D]` f32, a row an image.
    pub values: PathBuf,
    /// `embeddings_<split>.csv`: `path` and `label` of each row.
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
            let sample = &index.samples[sample];
            let class = &classes[sample.class as usize];
            rows.row([sample.path.to_string_lossy().into_owned(), class.clone()]);
        }
        replace(&files.images, rows.finish().as_bytes())?;
        Ok(files)
    }

    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.values, &self.images].into_iter().map(PathBuf::as_path)
    }
}
