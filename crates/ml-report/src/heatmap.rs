//! A heatmap and the image that it is of → the image under the heatmap's colours.
//!
//! Colours are those of Turbo (Anton Mikhailov, "Turbo, An Improved Rainbow Colormap for
//! Visualization", Google AI Blog, 2019): from dark blue by green and yellow to dark red, in steps
//! that look alike.

use std::sync::LazyLock;

use ml_data::decode::Pixels;

/// A heatmap cannot be laid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a heatmap of {values} values does not fit an image of {width} x {height} pixels; upsample it to that size"
)]
pub struct SizeMismatch {
    /// Of the heatmap.
    pub values: usize,
    /// Of the image, in pixels.
    pub width: u32,
    /// Of the image, in pixels.
    pub height: u32,
}

/// `image` under the colours of `heatmap`, row by row, a value in `0..=1` for each pixel (below 0 and
/// NaN count as 0, above 1 as 1). `opacity` is the colours' share, in `0..=1`: 0.5 is usual.
///
/// # Errors
/// The sizes differ.
pub fn blend(heatmap: &[f32], image: &Pixels, opacity: f32) -> Result<Pixels, SizeMismatch> {
    let Pixels { width, height, ref data } = *image;
    if heatmap.len() as u64 != u64::from(width) * u64::from(height) || data.len() / 3 != heatmap.len() {
        return Err(SizeMismatch { values: heatmap.len(), width, height });
    }
    let opacity = opacity.clamp(0.0, 1.0);
    let mix = |below: u8, above: u8| {
        (f32::from(below) * (1.0 - opacity) + f32::from(above) * opacity).round() as u8
    };
    let blended = heatmap.iter().zip(data.as_chunks::<3>().0).flat_map(|(&value, pixel)| {
        let color = turbo(value);
        [mix(pixel[0], color[0]), mix(pixel[1], color[1]), mix(pixel[2], color[2])]
    });
    Ok(Pixels { width, height, data: blended.collect() })
}

/// The colour of a value in `0..=1`, to one of 256: red, green, blue.
pub fn turbo(value: f32) -> [u8; 3] {
    // NaN becomes 0.
    let step = (value * 255.0).round() as u8;
    TURBO[usize::from(step)]
}

static TURBO: LazyLock<[[u8; 3]; 256]> = LazyLock::new(|| {
    std::array::from_fn(|step| COEFFICIENTS.map(|row| polynomial(&row, step as f64 / 255.0)))
});

/// Of red, green and blue, by rising power: the polynomials that Mikhailov and Ruofei Du published for
/// Turbo: 0.02 from its table on average, and 0.13 (of 1) at most, at its dark ends.
const COEFFICIENTS: [[f64; 6]; 3] = [
    [0.135_721_38, 4.615_392_60, -42.660_322_58, 132.131_082_34, -152.942_393_96, 59.286_379_43],
    [0.091_402_61, 2.194_188_39, 4.842_966_58, -14.185_033_33, 4.277_298_57, 2.829_566_04],
    [0.106_673_30, 12.641_946_08, -60.582_048_36, 110.362_767_71, -89.903_109_12, 27.348_249_73],
];

fn polynomial(coefficients: &[f64], x: f64) -> u8 {
    let value = coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient);
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Pixels {
        Pixels { width: 2, height: 2, data: (0..12).map(|value| value * 20).collect() }
    }

    /// The table as matplotlib's `turbo` has it, at each 32nd of its 256 places and at the last.
    const TABLE: [(u8, [u8; 3]); 9] = [
        (0, [48, 18, 59]),
        (32, [70, 107, 227]),
        (64, [40, 188, 235]),
        (96, [50, 242, 152]),
        (128, [164, 252, 60]),
        (160, [238, 207, 58]),
        (192, [251, 126, 33]),
        (224, [208, 47, 5]),
        (255, [122, 4, 3]),
    ];

    #[test]
    fn colors_are_those_of_turbo_as_nearly_as_its_polynomials() {
        for (step, expected) in TABLE {
            let found = turbo(f32::from(step) / 255.0);
            let limit = if (32..=224).contains(&step) { 20 } else { 33 };
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= limit), "{step}: {found:?}");
        }
        assert_eq!([f32::NAN, -1.0, f32::NEG_INFINITY].map(turbo), [turbo(0.0); 3]);
        assert_eq!([1.5, f32::INFINITY].map(turbo), [turbo(1.0); 2]);
    }

    #[test]
    fn opacity_goes_from_the_image_to_the_colors() {
        let heatmap = [0.0, 0.25, 0.5, 1.0];
        let blended = |opacity| blend(&heatmap, &image(), opacity).unwrap();
        assert_eq!(blended(0.0), image());
        assert_eq!(blended(f32::NEG_INFINITY), image());
        let colors = blended(1.0);
        assert_eq!(colors.data, heatmap.map(turbo).concat());
        for ((half, below), above) in blended(0.5).data.iter().zip(image().data).zip(colors.data) {
            assert!(half.abs_diff(u8::midpoint(below, above)) <= 1);
        }
    }

    #[test]
    fn a_heatmap_of_another_size_is_refused() {
        let error = blend(&[0.0; 3], &image(), 0.5).unwrap_err();
        assert_eq!(error, SizeMismatch { values: 3, width: 2, height: 2 });
        let cut = Pixels { data: vec![0; 11], ..image() };
        assert!(blend(&[0.0; 4], &cut, 0.5).is_err());
    }
}
