//! Vectors with their names and images → files that TensorBoard's projector shows in 2 or 3
//! dimensions.
//!
//! In: `[N, D]` features, columns of text, thumbnails. Out: `projector/<name>/` with `tensors.tsv`,
//! `metadata.tsv` and `sprite.png`, and an entry in `projector_config.pbtxt`, in the folder of a
//! run's events. Tensors are text: TensorBoard takes raw float32 only where their bytes happen not
//! to be UTF-8.

mod config;
mod sprite;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use atomic_file::AtomicFile;
use ml_data::decode::Pixels;
use ml_data::table::printable;

/// The most vectors of an embedding: the projector asks for no more.
pub const MAX_POINTS: usize = 100_000;

/// The file in a folder of events that lists what its projector shows.
pub const CONFIG: &str = "projector_config.pbtxt";

/// What is in a field without text: the projector skips rows that look empty.
const EMPTY: &str = "(empty)";

/// Vectors to show.
#[derive(Clone, Copy, Debug)]
pub struct Embedding<'a> {
    /// What it is called in the projector: 1 to 64 of `a`–`z`, `A`–`Z`, `0`–`9`, `_`, `-`.
    pub name: &'a str,
    /// `[N, D]`, row by row, finite; `N` is 1 to [`MAX_POINTS`].
    pub vectors: &'a [f32],
    /// `D`, at least 2.
    pub dimensions: usize,
    /// What to label and colour by: may be none.
    pub columns: &'a [Column<'a>],
    /// `N` images of one size; or none.
    pub thumbnails: &'a [Pixels],
}

/// A text for each vector.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Shown if there are several columns.
    pub name: &'a str,
    /// `N` of them. Line breaks, tabs and other control characters are written as escapes.
    pub values: &'a [String],
}

/// Why an embedding cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The name would not do for a folder and for a query.
    #[error("`{}` cannot name an embedding: use 1 to 64 letters, digits, `_` and `-`", printable(.0))]
    Name(String),
    /// The vectors are no matrix that can be shown.
    #[error("{values} values are not 1 to {MAX_POINTS} vectors of {dimensions} dimensions (at least 2)")]
    Shape {
        /// How many values there are.
        values: usize,
        /// How many a vector should have.
        dimensions: usize,
    },
    /// A vector that has no place.
    #[error("vector {row} holds NaN or Inf: leave it out")]
    NonFinite {
        /// Of the vector, from 0.
        row: usize,
    },
    /// Not one for each vector.
    #[error("there are {got} {what} for {expected} vectors")]
    Length {
        /// Of what.
        what: String,
        /// The number of vectors.
        expected: usize,
        /// The number of those.
        got: usize,
    },
    /// A thumbnail unlike the first.
    #[error("thumbnail {index} is not {width}x{height} pixels as the first one is")]
    Thumbnail {
        /// Of the thumbnail, from 0.
        index: usize,
        /// Of the first, in pixels.
        width: u32,
        /// Of the first, in pixels.
        height: u32,
    },
    /// The encoder refuses.
    #[error("cannot encode the thumbnails: {0}")]
    Encode(#[from] image::ImageError),
    /// The file system refuses.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Writes `embedding` into `folder`, that of a run's events; one of the same name that is there is
/// replaced, the others stay. Returns width and height of the thumbnails, if there are any, as they
/// were written: smaller than given if their square would be too large for the projector.
///
/// # Errors
/// What is given does not fit together, or a file cannot be written. Each file is written as a
/// whole or not at all, the entry last.
pub fn write(folder: &Path, embedding: &Embedding<'_>) -> Result<Option<[u32; 2]>, ProjectorError> {
    let points = check(embedding)?;
    let own = folder.join("projector").join(embedding.name);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ProjectorError::Write { path, source }
    };
    fs::create_dir_all(&own).map_err(at(&own))?;
    let file = own.join("tensors.tsv");
    write_rows(&file, embedding.vectors.chunks_exact(embedding.dimensions).map(tensor_row))
        .map_err(at(&file))?;
    if !embedding.columns.is_empty() {
        let file = own.join("metadata.tsv");
        write_rows(&file, metadata_rows(embedding.columns, points)).map_err(at(&file))?;
    }
    let mut tile = None;
    if let Some(sprite) = sprite::Sprite::of(embedding.thumbnails)? {
        let file = own.join("sprite.png");
        atomic_file::replace(&file, &sprite.png).map_err(at(&file))?;
        tile = Some(sprite.tile);
    }
    let entry = config::entry(embedding, points, tile);
    let file = folder.join(CONFIG);
    config::upsert(&file, embedding.name, &entry).map_err(at(&file))?;
    Ok(tile)
}

/// The number of vectors.
fn check(embedding: &Embedding<'_>) -> Result<usize, ProjectorError> {
    let Embedding { name, vectors, dimensions, columns, thumbnails } = *embedding;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !(1..=64).contains(&name.len()) || !name.chars().all(is_plain) {
        return Err(ProjectorError::Name(name.to_owned()));
    }
    let points = vectors.len().checked_div(dimensions).unwrap_or(0);
    if dimensions < 2 || points * dimensions != vectors.len() || !(1..=MAX_POINTS).contains(&points) {
        return Err(ProjectorError::Shape { values: vectors.len(), dimensions });
    }
    if let Some(place) = vectors.iter().position(|value| !value.is_finite()) {
        return Err(ProjectorError::NonFinite { row: place / dimensions });
    }
    let lengths = columns.iter().map(|c| (format!("values of `{}`", printable(c.name)), c.values.len()));
    let images = (!thumbnails.is_empty()).then(|| ("thumbnails".to_owned(), thumbnails.len()));
    match lengths.chain(images).find(|&(_, got)| got != points) {
        Some((what, got)) => Err(ProjectorError::Length { what, expected: points, got }),
        None => Ok(points),
    }
}

fn write_rows(path: &Path, rows: impl Iterator<Item = String>) -> io::Result<()> {
    let mut file = BufWriter::new(AtomicFile::create(path)?);
    for row in rows {
        writeln!(file, "{row}")?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error)?.commit()
}

/// The shortest numbers that are the same f32 again.
fn tensor_row(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(|value| format!("{value:?}")).collect();
    numbers.join("\t")
}

/// A row for each vector, with a header where there are several columns: of a single one the
/// projector would take it for a row.
fn metadata_rows(columns: &[Column<'_>], points: usize) -> impl Iterator<Item = String> {
    let header = (columns.len() > 1).then(|| tab_separated(columns.iter().map(|column| column.name)));
    let row = |row: usize| {
        tab_separated(columns.iter().map(|column| column.values.get(row).map_or("", String::as_str)))
    };
    header.into_iter().chain((0..points).map(row))
}

fn tab_separated<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let fields = texts.map(printable).map(|t| if t.trim().is_empty() { EMPTY.to_owned() } else { t });
    fields.collect::<Vec<String>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused_before_anything_is_written() {
        let labels = ["a".to_owned(), "b".to_owned()];
        let columns = [Column { name: "label", values: &labels }];
        let thumbnails = vec![Pixels { width: 1, height: 1, data: vec![0; 3] }; 3];
        let whole = Embedding {
            name: "val",
            vectors: &[0.0, 1.0, 2.0, 3.0],
            dimensions: 2,
            columns: &columns,
            thumbnails: &[],
        };
        let folder = tempfile::tempdir().unwrap();
        for (embedding, message) in [
            (Embedding { name: "../val", ..whole }, "`../val` cannot name an embedding"),
            (Embedding { name: "", ..whole }, "1 to 64 letters"),
            (Embedding { dimensions: 3, ..whole }, "4 values are not 1 to 100000 vectors of 3"),
            (Embedding { dimensions: 1, ..whole }, "of 1 dimensions (at least 2)"),
            (Embedding { dimensions: 0, ..whole }, "of 0 dimensions"),
            (Embedding { vectors: &[], ..whole }, "0 values"),
            (Embedding { vectors: &[0.0, 1.0, f32::NAN, 0.0], ..whole }, "vector 1 holds NaN"),
            (Embedding { dimensions: 4, ..whole }, "2 values of `label` for 1 vectors"),
            (Embedding { thumbnails: &thumbnails, ..whole }, "3 thumbnails for 2 vectors"),
        ] {
            let error = write(folder.path(), &embedding).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&file, &whole).unwrap_err().to_string().contains("file/projector/val"));
    }
}
