//! Pixels or a PNG → an image in TensorBoard.

use tensorboard_proto::summary::{Summary_Image, Summary_Value};

use super::{EventError, EventWriter};
use crate::pictures::encode_png;

impl EventWriter {
    /// Adds an image, encoded as PNG.
    ///
    /// # Errors
    /// It is not a PNG, or the file cannot be written.
    pub fn add_png(&mut self, tag: &str, png: &[u8], step: u64, wall_time: f64) -> Result<(), EventError> {
        // A PNG begins with 8 bytes of its own, then 8 of the chunk's head, then width and height.
        let number = |at: usize| png.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        let (Some(width), Some(height), true) =
            (number(16), number(20), png.starts_with(b"\x89PNG\r\n\x1a\n"))
        else {
            return Err(EventError::Image { tag: tag.into(), reason: "it is not a PNG".into() });
        };
        let mut image = Summary_Image::new();
        image.set_width(width as i32);
        image.set_height(height as i32);
        image.set_colorspace(3);
        image.set_encoded_image_string(png.into());
        let mut entry = Summary_Value::new();
        entry.set_tag(tag.into());
        entry.set_image(image);
        self.add(entry, step, wall_time)
    }

    /// Adds an image of `pixels` in rows from the top, three bytes (red, green, blue) each.
    ///
    /// # Errors
    /// `pixels` are not `3 * width * height`, or the file cannot be written.
    pub fn add_rgb(
        &mut self,
        tag: &str,
        pixels: &[u8],
        [width, height]: [u32; 2],
        step: u64,
        wall_time: f64,
    ) -> Result<(), EventError> {
        let image = |reason: String| EventError::Image { tag: tag.into(), reason };
        let wanted = 3 * u64::from(width) * u64::from(height);
        if pixels.len() as u64 != wanted || wanted == 0 {
            return Err(image(format!("{width}x{height} pixels are {wanted} bytes, got {}", pixels.len())));
        }
        let png = encode_png(pixels, width, height).map_err(|error| image(error.to_string()))?;
        self.add_png(tag, &png, step, wall_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_the_image_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 0.0).unwrap();
        let error = writer.add_png("Samples", b"GIF89a", 0, 0.0).unwrap_err().to_string();
        assert!(error.contains("Samples") && error.contains("not a PNG"), "{error}");
        let error = writer.add_rgb("Samples", &[0; 5], [3, 2], 0, 0.0).unwrap_err().to_string();
        assert!(error.contains("18 bytes, got 5"), "{error}");
    }
}
