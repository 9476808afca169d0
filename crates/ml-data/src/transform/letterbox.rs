//! `letterbox`: the whole image, resized to fit into a size and padded on both sides alike.

use super::config::Size;
use super::ops;
use super::spelling::Color;
use crate::decode::Pixels;

/// Resizes an image so that it just fits into `size`, keeping its aspect ratio, and pads the rest.
/// In YAML a size, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letterbox {
    /// Of the result.
    pub size: Size,
    /// Of the padding.
    pub fill: Color,
}

impl Letterbox {
    /// The size, before padding, that an image of size `of` is to be given. The side that does not
    /// fill its place is rounded down, as torchvision does.
    pub(super) fn target(self, of: Size) -> Size {
        let Size { height, width } = self.size;
        let scaled = |side: u32, by: u32, from: u32| {
            let length = u64::from(side) * u64::from(by) / u64::from(from.max(1));
            u32::try_from(length).unwrap_or(u32::MAX).max(1)
        };
        if u64::from(height) * u64::from(of.width) <= u64::from(width) * u64::from(of.height) {
            Size { height, width: scaled(height, of.width, of.height) }
        } else {
            Size { height: scaled(width, of.height, of.width), width }
        }
    }

    /// Pads an image that has its [`target`](Letterbox::target) size.
    pub(super) fn pad(self, pixels: Pixels) -> Pixels {
        ops::pad(pixels, self.size, self.fill.0)
    }

    /// The image, once of size `of`, without its padding.
    pub(super) fn unpad(self, pixels: &Pixels, of: Size) -> Pixels {
        let target = self.target(of);
        let (top, left) = ops::center(target, self.size);
        ops::crop(pixels, -top, -left, target, 0)
    }
}
