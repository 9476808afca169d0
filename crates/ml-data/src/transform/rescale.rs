//! A split's transforms for images of another size: what progressive resizing trains on.

use super::config::{RandomCrop, RandomResizedCrop, Resize, Size, TransformConfig};
use super::letterbox::Letterbox;

impl TransformConfig {
    /// These transforms with an [`output_size`](TransformConfig::output_size) of `size`; what comes before
    /// it (`resize`, `letterbox`, the padding of `random_crop`) is in proportion, so that images show the
    /// same parts. Settings that are no sizes stay. Without an output size nothing changes.
    #[must_use]
    pub fn resized_to_output(&self, size: Size) -> TransformConfig {
        let Some(full) = self.output_size().filter(|full| *full != size) else { return self.clone() };
        let is_cropped =
            self.center_crop.is_some() || self.random_crop.is_some() || self.random_resized_crop.is_some();
        let before = |of: Size| {
            if !is_cropped {
                return size;
            }
            let (height, width) = (size.height, size.width);
            Size {
                height: scaled(of.height, height, full.height),
                width: scaled(of.width, width, full.width),
            }
        };
        let (shorter, of_shorter) = (size.height.min(size.width), full.height.min(full.width));
        TransformConfig {
            resize: self.resize.map(|resize| match resize {
                Resize::Exact(of) => Resize::Exact(before(of)),
                Resize::ShorterSide(side) => Resize::ShorterSide(scaled(side, shorter, of_shorter)),
            }),
            letterbox: self.letterbox.map(|own| Letterbox { size: before(own.size), ..own }),
            center_crop: self.center_crop.map(|_| size),
            random_crop: self.random_crop.map(|own| RandomCrop {
                size,
                padding: rounded(own.padding, shorter, of_shorter),
                ..own
            }),
            random_resized_crop: self.random_resized_crop.map(|own| RandomResizedCrop { size, ..own }),
            ..self.clone()
        }
    }
}

/// `side` · `by` / `from`, rounded.
fn rounded(side: u32, by: u32, from: u32) -> u32 {
    let from = u64::from(from.max(1));
    let scaled = (u64::from(side) * u64::from(by) + from / 2) / from;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The same, at least one pixel.
fn scaled(side: u32, by: u32, from: u32) -> u32 {
    rounded(side, by, from).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> TransformConfig {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn sizes_before_the_output_are_in_proportion() {
        let size = Size { height: 112, width: 112 };
        for (given, expected) in [
            ("{resize: [224, 224]}", "{resize: [112, 112]}"),
            ("{resize: 256, center_crop: 224}", "{resize: 128, center_crop: 112}"),
            ("{resize: [232, 250], random_crop: 224}", "{resize: [116, 125], random_crop: 112}"),
            ("{letterbox: {size: 224, fill: 9}}", "{letterbox: {size: 112, fill: 9}}"),
            ("{letterbox: 256, center_crop: 224}", "{letterbox: 128, center_crop: 112}"),
            ("{random_crop: {size: 224, padding: 28}}", "{random_crop: {size: 112, padding: 14}}"),
            (
                "{resize: 300, random_resized_crop: {size: 224, scale: [0.3, 1.0]}, random_erasing: 0.3}",
                "{resize: 150, random_resized_crop: {size: 112, scale: [0.3, 1.0]}, random_erasing: 0.3}",
            ),
            ("{center_crop: 112, grayscale: true}", "{center_crop: 112, grayscale: true}"),
            ("{resize: 256}", "{resize: 256}"),
        ] {
            let found = yaml(given).resized_to_output(size);
            assert_eq!(found, yaml(expected), "{given}");
            assert!(found.output_size().is_none_or(|found| found == size), "{given}");
        }
        let wide = yaml("{resize: [32, 64]}").resized_to_output(Size { height: 16, width: 32 });
        assert_eq!(wide, yaml("{resize: [16, 32]}"));
    }

    #[test]
    fn a_crop_fits_into_what_it_is_cut_from_at_any_size() {
        for text in ["{resize: [36, 33], random_crop: 32}", "{resize: 33, center_crop: 32}"] {
            for side in 1..=32 {
                let size = Size { height: side, width: side };
                let found = yaml(text).resized_to_output(size);
                assert_eq!(found.output_size(), Some(size));
                assert!(found.problems().is_empty(), "{side}: {:?}", found.problems());
            }
        }
    }
}
