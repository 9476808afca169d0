//! The filters that resize.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a resized image's pixels are computed from the original's, as Pillow's filters of these
/// names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel, without antialiasing.
    Nearest,
    /// A triangle; the default.
    #[default]
    Bilinear,
    /// A cubic spline (a = -0.5).
    Bicubic,
    /// A windowed sinc over three lobes.
    Lanczos,
}
