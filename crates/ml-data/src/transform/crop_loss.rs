//! How much of images that are not square a center crop leaves out.

use super::config::Size;

/// A center crop that keeps a smaller share of an image loses much. Those of 4:3 (0.75) and of 3:2
/// (0.67) are common practice, as on ImageNet; of 16:9 it is 0.56.
pub const MIN_KEPT: f64 = 0.65;
/// That this share of the images lose much is worth a warning; fewer are exceptions.
pub const MANY: f64 = 0.2;

/// Images of which the largest square in the middle is less than [`MIN_KEPT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CropLoss {
    /// How many they are.
    pub images: usize,
    /// Of so many.
    pub total: usize,
}

impl CropLoss {
    /// Of images of these sizes.
    pub fn of(sizes: impl IntoIterator<Item = Size>) -> CropLoss {
        let mut loss = CropLoss::default();
        for Size { height, width } in sizes {
            let kept = f64::from(height.min(width)) / f64::from(height.max(width).max(1));
            loss.total += 1;
            loss.images += usize::from(kept < MIN_KEPT);
        }
        loss
    }

    /// What to say, if they are [`MANY`]: ``of 40 % of the images (8 of 20) a center crop keeps less
    /// than 65 %``.
    pub fn warning(self) -> Option<String> {
        let CropLoss { images, total } = self;
        let share = images as f64 / total.max(1) as f64;
        (share >= MANY).then(|| {
            format!(
                "of {:.0} % of the images ({images} of {total}) a center crop keeps less than {:.0} %",
                share * 100.0,
                MIN_KEPT * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(shapes: &[(u32, u32, usize)]) -> Vec<Size> {
        let repeat = |&(height, width, count)| std::iter::repeat_n(Size { height, width }, count);
        shapes.iter().flat_map(repeat).collect()
    }

    #[test]
    fn usual_photographs_are_cropped_in_silence_and_wide_ones_are_not() {
        assert_eq!(CropLoss::of(sizes(&[(3000, 4000, 50), (3000, 2000, 50), (9, 9, 1)])).warning(), None);
        assert_eq!(CropLoss::of(sizes(&[(1080, 1920, 19), (300, 300, 81)])).warning(), None);
        assert_eq!(CropLoss::of([]).warning(), None);
        let warning = CropLoss::of(sizes(&[(1080, 1920, 10), (500, 20, 10), (300, 300, 30)])).warning();
        let expected = "of 40 % of the images (20 of 50) a center crop keeps less than 65 %";
        assert_eq!(warning.as_deref(), Some(expected));
    }
}
