//! What sizes of images a network takes.

/// The sizes of images that suit a network, in pixels. A number alone is the smallest height and
/// width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Smallest height and width.
    pub min: u32,
    /// Height and width are multiples of it.
    pub step: u32,
    /// Height and width are equal.
    pub is_square: bool,
    /// The weights depend on the size: all images have the one that the network was built for.
    pub is_fixed: bool,
}

impl From<u32> for Sizes {
    fn from(min: u32) -> Sizes {
        Sizes { min, step: 1, is_square: false, is_fixed: false }
    }
}

impl Sizes {
    /// One size for all images: squares, cut into square patches of this side.
    pub const fn patches(side: u32) -> Sizes {
        Sizes { min: side, step: side, is_square: true, is_fixed: true }
    }

    /// What the network called `name` needs that (height, width) is not, with a size that would do.
    pub fn problem(self, name: &str, (height, width): (u32, u32)) -> Option<String> {
        let suits = |side: u32| side >= self.min && side.is_multiple_of(self.step);
        if suits(height) && suits(width) && (height == width || !self.is_square) {
            return None;
        }
        let demand = match (self.is_square, self.step) {
            (false, 1) => return Some(format!("{name} needs at least {0}x{0}", self.min)),
            (false, step) => format!("multiples of {step}"),
            (true, 1) => "equal".to_owned(),
            (true, step) => format!("equal and multiples of {step}"),
        };
        let side = self.nearest(height.min(width));
        Some(format!("{name} needs height and width to be {demand}, such as {side}x{side}"))
    }

    /// The smallest side that suits, from `least` up.
    pub fn side_from(self, least: u32) -> u32 {
        least.max(self.min).div_ceil(self.step) * self.step
    }

    /// The side that suits and is nearest to `side`.
    fn nearest(self, side: u32) -> u32 {
        self.side_from(side.saturating_sub(self.step / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_size_lacks_is_said_with_a_size_that_would_do() {
        let (any, patches) = (Sizes::from(8), Sizes::patches(14));
        let blocks = Sizes { step: 32, ..Sizes::from(64) };
        for (sizes, size, problem) in [
            (any, (8, 200), None),
            (any, (200, 7), Some("at least 8x8")),
            (patches, (28, 28), None),
            (patches, (28, 42), Some("height and width to be equal and multiples of 14, such as 28x28")),
            (patches, (224, 225), Some("height and width to be equal and multiples of 14, such as 224x224")),
            (patches, (50, 50), Some("height and width to be equal and multiples of 14, such as 56x56")),
            (patches, (1, 1), Some("height and width to be equal and multiples of 14, such as 14x14")),
            (blocks, (64, 96), None),
            (blocks, (100, 96), Some("height and width to be multiples of 32, such as 96x96")),
            (blocks, (32, 96), Some("height and width to be multiples of 32, such as 64x64")),
        ] {
            let problem = problem.map(|problem| format!("it needs {problem}"));
            assert_eq!(sizes.problem("it", size), problem, "{size:?}");
        }
        assert_eq!([1, 64, 65].map(|least| patches.side_from(least)), [14, 70, 70]);
        assert_eq!([1, 64].map(|least| any.side_from(least)), [8, 64]);
    }
}
