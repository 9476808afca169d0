//! The pipeline for images that RGB bytes cannot hold: N channels, or 16 bits. The same steps in the
//! same order, drawing the same random numbers, on planes of floats.

use rand_chacha::ChaCha8Rng;

use super::augment::happens;
use super::config::TransformConfig;
use super::geometry::Crop;
use super::spelling::Color;
use super::{Pipeline, ops, planes, warp};
use crate::decode::{DecodeProblem, Encoded, Raster};
use crate::geometry::Area;

impl Pipeline {
    /// Whether images are of more than RGB bytes: see [`Pipeline::load_raster`].
    pub fn is_deep(&self) -> bool {
        self.config().is_deep()
    }

    /// An image file → planes at network size, in the pipeline's channels and bits.
    ///
    /// # Errors
    /// The image is damaged, or of other channels or bits; see [`DecodeProblem`].
    pub fn load_raster(&self, encoded: Encoded<'_>, rng: &mut ChaCha8Rng) -> Result<Raster, DecodeProblem> {
        let config = self.config();
        let raster = self.resized_raster(encoded)?;
        let raster = match self.draw_crop(raster.size, rng) {
            Crop::Nothing => raster,
            Crop::Cut { top, left, size, fill } => {
                planes::crop(&raster, top, left, size, &[config.bits.from_byte(fill)])
            }
            Crop::Resized { area, size } => planes::resized_crop(&raster, area, size, config.interpolation),
        };
        Ok(augment(config, raster, rng))
    }

    /// After `resize` and `center_crop`, or `letterbox` without its padding: what does not depend on
    /// the random stream and shows nothing but the image.
    pub(super) fn fixed_raster(&self, encoded: Encoded<'_>) -> Result<Raster, DecodeProblem> {
        let config = self.config();
        let of = encoded.size();
        let raster = self.resized_raster(encoded)?;
        Ok(match (config.letterbox, config.center_crop) {
            (Some(letterbox), _) => {
                let target = letterbox.target(of);
                let (top, left) = ops::center(target, letterbox.size);
                planes::crop(&raster, -top, -left, target, &[0.0])
            }
            (None, Some(size)) => {
                let (top, left) = ops::center(raster.size, size);
                planes::crop(&raster, top, left, size, &[0.0])
            }
            (None, None) => raster,
        })
    }

    fn resized_raster(&self, encoded: Encoded<'_>) -> Result<Raster, DecodeProblem> {
        let config = self.config();
        // Before anything is decoded for nothing.
        let target = self.target(encoded.size())?;
        let mut raster = encoded.decode_raster(config.channels.count(), config.bits)?;
        let Some(target) = target else { return Ok(raster) };
        if raster.size != target {
            let whole = Area::whole(raster.size);
            raster = planes::resized_crop(&raster, whole, target, config.interpolation);
        }
        Ok(match config.letterbox {
            Some(letterbox) if letterbox.size != raster.size => {
                let (top, left) = ops::center(raster.size, letterbox.size);
                planes::crop(&raster, top, left, letterbox.size, &scaled(config, letterbox.fill))
            }
            _ => raster,
        })
    }

    /// Planes → `[C, H, W]` f32 in the machine's byte order: `(x / max - mean) / std`, where max is
    /// 255 or 65535, or `x / max` without `normalize`.
    ///
    /// # Panics
    /// If `out` is not `4 * C * H * W` long.
    pub fn normalize_raster_into_bytes(&self, raster: &Raster, out: &mut [u8]) {
        let (out, rest) = out.as_chunks_mut::<4>();
        assert!(rest.is_empty() && out.len() == raster.data.len(), "four bytes a value");
        let (mean, std) = self.normalization();
        let (max, area) = (raster.depth.max(), raster.area().max(1));
        let planes = raster.data.chunks_exact(area).zip(out.chunks_exact_mut(area));
        for ((plane, out), (mean, std)) in planes.zip(mean.into_iter().zip(std)) {
            let (mean, std) = (mean as f32, std as f32);
            for (value, out) in plane.iter().zip(out) {
                *out = ((value / max - mean) / std).to_ne_bytes();
            }
        }
    }
}

/// All that is done after the crop and before normalising.
fn augment(config: &TransformConfig, mut raster: Raster, rng: &mut ChaCha8Rng) -> Raster {
    if happens(config.random_horizontal_flip, rng) {
        planes::flip_horizontal(&mut raster);
    }
    if happens(config.random_vertical_flip, rng) {
        planes::flip_vertical(&mut raster);
    }
    let size = raster.size;
    if let Some(rotation) = &config.random_rotation {
        let matrix = warp::rotation_matrix(size, rotation.draw(rng).rem_euclid(360.0));
        raster = affine(&raster, matrix, rotation.interpolation, &scaled(config, rotation.fill));
    }
    if let Some(random) = &config.random_affine {
        let center = [f64::from(size.width) * 0.5, f64::from(size.height) * 0.5];
        let matrix = random.draw(rng, size).inverse_matrix(center);
        raster = affine(&raster, matrix, random.interpolation, &scaled(config, random.fill));
    }
    if let Some(perspective) = &config.random_perspective
        && let Some(corners) = perspective.draw(rng, size)
        && let Some([a, b, c, d, e, f, g, h]) = warp::perspective_coefficients(size, &corners)
    {
        let place = |x: f64, y: f64| {
            let w = g * x + h * y + 1.0;
            ((a * x + b * y + c) / w, (d * x + e * y + f) / w)
        };
        let fill = scaled(config, perspective.fill);
        raster = planes::map(&raster, place, perspective.interpolation, &fill);
    }
    raster
}

fn affine(raster: &Raster, matrix: warp::Matrix, sampling: warp::Sampling, fill: &[f32]) -> Raster {
    let [a, b, c, d, e, f] = matrix;
    planes::map(raster, |x, y| (a * x + b * y + c, d * x + e * y + f), sampling, fill)
}

/// A fill, which is written in bytes, on the scale of the images.
fn scaled(config: &TransformConfig, Color(fill): Color) -> [f32; 3] {
    fill.map(|value| config.bits.from_byte(value))
}
