//! Training images without validation images → some of them set aside for validation.

use std::collections::HashSet;
use std::path::Path;

use super::Division;
use super::divide::Ratio;
use super::error::DatasetError;
use super::scan::Scan;
use super::source::Source;
use super::split_error::SplitError;

/// The share of the training images that validate, unless another is requested.
pub const DEFAULT_VAL_FRACTION: f64 = 0.15;

/// The images of `scan`, which is of the folder `train`, that validate: relative to that folder. As
/// `ml-split` chooses: the same share of each class, to exact counts, and images with the same
/// content together. The contents of images of equal size are read for this.
pub(super) fn hold_out(
    train: &Path,
    scan: &Scan,
    fraction: f64,
    seed: u64,
) -> Result<HashSet<String>, DatasetError> {
    let failed = |error: SplitError| match error {
        SplitError::Dataset(error) => error,
        other => DatasetError::HoldOut { path: train.to_owned(), problem: other.to_string() },
    };
    let ratio = Ratio::new(&[1.0 - fraction, fraction]).map_err(failed)?;
    let mut source = Source::of_scan(train.to_owned(), scan.clone())?;
    source.keep_duplicates_together(|| false).map_err(failed)?;
    let plan = source.plan(&Division::Ratio(ratio), seed).map_err(failed)?;
    Ok(plan.lines("val").into_iter().flatten().map(str::to_owned).collect())
}
