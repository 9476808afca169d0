//! Sizes and areas of images, in pixels.

/// The largest side, in pixels, that a transform may make.
pub const MAX_SIDE: u32 = 16_384;

/// A size in pixels. In YAML a pair `[height, width]`, or one number for a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// In pixels.
    pub height: u32,
    /// In pixels.
    pub width: u32,
}

/// A part of an image, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First row.
    pub top: u32,
    /// First column.
    pub left: u32,
    /// Rows and columns, at least 1 each.
    pub size: Size,
}

impl Area {
    /// The whole of an image of `size`.
    pub fn whole(size: Size) -> Area {
        Area { top: 0, left: 0, size }
    }

    /// Whether it lies within an image of `size` and is not empty.
    pub fn is_within(&self, size: Size) -> bool {
        let fits = |start: u32, length: u32, side: u32| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        fits(self.top, self.size.height, size.height) && fits(self.left, self.size.width, size.width)
    }
}
