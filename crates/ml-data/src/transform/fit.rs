//! `fit`: one word for how images of any shape get the network's size. It is a short cut for
//! `resize`, `letterbox` and the crops of a split's transforms, whose output size stays.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value as Json, json};

use super::config::{Resize, Size, TransformConfig};
use super::letterbox::Letterbox;
use super::spelling::{self, Color, Short};
use crate::violations::Violations;

/// How images get the network's size. In YAML the mode, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// `crop`, `pad` or `squash`.
    pub mode: FitMode,
    /// Of `pad`: the color of the padding, 0 to 255 or `[red, green, blue]`. Default 0.
    #[serde(default)]
    pub fill: Color,
}

/// What becomes of an image whose aspect ratio is not the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitMode {
    /// The shorter side is resized, the middle is cut out.
    Crop,
    /// The longer side is resized, the rest is padded.
    Pad,
    /// Both sides are resized; the aspect ratio changes.
    Squash,
}

impl FitMode {
    /// As in YAML.
    pub fn name(self) -> &'static str {
        match self {
            FitMode::Crop => "crop",
            FitMode::Pad => "pad",
            FitMode::Squash => "squash",
        }
    }
}

impl Short for Fit {
    type Full = Self;
    const EXPECTING: &'static str = "`crop`, `pad` or `squash`, or a mapping of mode and fill";

    fn from_text(name: &str) -> Option<Self> {
        let mode = serde_json::from_value(json!(name)).ok()?;
        Some(Fit { mode, fill: Color::default() })
    }
    fn short_schemas() -> Vec<Json> {
        vec![json!({ "enum": ["crop", "pad", "squash"] })]
    }
}

impl Fit {
    /// Reads any spelling; `null` is none.
    ///
    /// # Errors
    /// It is none of the spellings.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fit>, D::Error> {
        spelling::read(deserializer)
    }

    /// JSON Schema of all spellings.
    pub fn schema(generator: &mut SchemaGenerator) -> Schema {
        spelling::schema::<Fit>(generator)
    }

    /// What is wrong with it by itself, by key.
    pub fn problems(self) -> Vec<(String, String)> {
        let mut problems = Violations::default();
        problems.check("fill", self.mode == FitMode::Pad || self.fill == Color::default(), || {
            format!("is for `pad`; `{}` fills nothing", self.mode.name())
        });
        problems.into()
    }
}

impl TransformConfig {
    /// This pipeline with the steps of `fit` in place of `resize`, `letterbox`, `center_crop` and
    /// `random_resized_crop`. The output size stays; a pipeline without one stays as it is.
    #[must_use]
    pub fn fitted(&self, fit: Fit) -> TransformConfig {
        let unchanged = self.clone();
        // A random crop cuts from what is resized.
        let from = if self.random_crop.is_some() { self.resized_to() } else { self.output_size() };
        let Some(size) = from else { return unchanged };
        let steps = TransformConfig {
            resize: None,
            letterbox: None,
            center_crop: None,
            random_resized_crop: None,
            ..self.clone()
        };
        match fit.mode {
            FitMode::Pad => TransformConfig { letterbox: Some(Letterbox { size, fill: fit.fill }), ..steps },
            FitMode::Squash => TransformConfig { resize: Some(Resize::Exact(size)), ..steps },
            FitMode::Crop if self.crops() => unchanged,
            FitMode::Crop => {
                let Size { height, width } = self.resized_to().unwrap_or(size);
                let center_crop = self.random_crop.is_none().then_some(size);
                TransformConfig { resize: Some(Resize::ShorterSide(height.max(width))), center_crop, ..steps }
            }
        }
    }

    /// Why `fit` cannot be done, by key; `is_given` says which keys the user wrote: what was only a
    /// default makes way.
    pub fn fit_problems(&self, fit: Fit, is_given: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut problems = Violations::default();
        let mode = fit.mode.name();
        if fit.mode == FitMode::Crop {
            if let Some(Size { height, width }) = self.resized_to().filter(|_| !self.crops()) {
                let key = if self.letterbox.is_some() { "letterbox" } else { "resize" };
                problems.check(key, height == width, || {
                    format!("transforms.fit: crop is for squares, got [{height}, {width}]; write `resize` and a crop")
                });
            }
        } else {
            if let Some(Size { height, width }) = self.random_resized_crop.map(|crop| crop.size) {
                problems.check("random_resized_crop", !is_given("random_resized_crop"), || {
                    format!(
                        "contradicts transforms.fit: {mode}, which shows whole images; write `resize: [{height}, {width}]` in \
                         its place"
                    )
                });
            }
            let has_size = self.random_crop.is_none() || self.resized_to().is_some();
            problems.check("random_crop", has_size, || {
                format!(
                    "leaves images as large as they come, so transforms.fit: {mode} has no size; add `resize`"
                )
            });
        }
        if let Some(letterbox) = self.letterbox {
            let same = fit.mode == FitMode::Pad && letterbox.fill == fit.fill;
            problems.check("letterbox", same || !is_given("letterbox"), || {
                let fill = if fit.mode == FitMode::Pad { " of another fill" } else { "" };
                format!("contradicts transforms.fit: {mode}{fill}; give only one of them")
            });
        }
        problems.into()
    }

    /// Whether an image that is not square loses something.
    fn crops(&self) -> bool {
        let is_resized_whole = matches!(self.resize, Some(Resize::Exact(_))) || self.letterbox.is_some();
        self.random_resized_crop.is_some() || !is_resized_whole
    }

    /// What `resize` or `letterbox` aims at; of one number, the square.
    fn resized_to(&self) -> Option<Size> {
        let resized = self.resize.map(|resize| match resize {
            Resize::Exact(size) => size,
            Resize::ShorterSide(side) => Size { height: side, width: side },
        });
        self.letterbox.map(|letterbox| letterbox.size).or(resized)
    }
}
