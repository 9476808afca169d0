//! Figures, images and text → a file of events that TensorBoard shows.
//!
//! In: a tag, a step, a wall time and a value. Out: records appended to one file. The records and
//! messages are tensorboard-rs's and tensorboard-proto's. Their own `SummaryWriter` writes from a
//! thread that panics when the disk is full and stamps each event with the present; here the file
//! is written directly, so that a failure is an error of the call, and a resumed run can tell its
//! history with the times it had.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use image::ImageEncoder;
use protobuf::{Message, RepeatedField};
use tensorboard_proto::event::Event;
use tensorboard_proto::summary::{
    Summary, Summary_Image, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData,
};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types::DataType;
use tensorboard_rs::record_writer::RecordWriter;

/// What every file of events has in its name.
const MARK: &str = "tfevents";

/// Why events cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The folder or a file in it cannot be made.
    #[error("cannot write TensorBoard events in `{}`: {source}: check that the folder may be written", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file cannot be written on.
    #[error("cannot write `{}`: {source}: check that its folder still exists and may be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No room for the file.
    #[error("cannot write `{}`: the disk is full ({source}): free some space, then resume", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// The system's answer: no space, or a quota that is used up.
        source: io::Error,
    },
    /// The bytes given are not the image they should be.
    #[error("the image for TensorBoard's tag `{tag}` cannot be shown: {reason}")]
    Image {
        /// Where it was to be shown.
        tag: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Appends events to a file of its own. Wall times are seconds since 1970-01-01 UTC.
pub struct EventWriter {
    path: PathBuf,
    records: RecordWriter<BufWriter<File>>,
}

impl EventWriter {
    /// Starts a new file in `folder`, which is made if it is missing; files that are there stay.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn create(folder: &Path, wall_time: f64) -> Result<Self, EventError> {
        let failed = |source| EventError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        for number in 0_u32.. {
            // The form that TensorBoard's own writers use: it reads files in the order of their
            // names.
            let name = format!("events.out.{MARK}.{:010}.{}.{number}", wall_time as u64, std::process::id());
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Self::start(file, path, wall_time),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Starts a new file in `folder` and removes the earlier ones: for a resumed run that tells its
    /// history anew, so that nothing is there twice and nothing from after the checkpoint remains.
    ///
    /// # Errors
    /// As [`EventWriter::create`], or an earlier file cannot be removed.
    pub fn replace(folder: &Path, wall_time: f64) -> Result<Self, EventError> {
        let writer = Self::create(folder, wall_time)?;
        writer
            .remove_others(folder)
            .map_err(|source| EventError::Folder { folder: folder.to_owned(), source })?;
        Ok(writer)
    }

    fn remove_others(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let is_events =
                entry.file_name().to_string_lossy().contains(MARK) && entry.file_type()?.is_file();
            if is_events && entry.path() != self.path {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn start(file: File, path: PathBuf, wall_time: f64) -> Result<Self, EventError> {
        let mut writer = Self { path, records: RecordWriter::new(BufWriter::new(file)) };
        let mut event = Event::new();
        event.set_wall_time(wall_time);
        event.set_file_version("brain.Event:2".into());
        writer.write(&event)?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a point to the curve `tag` (`Loss/train`); TensorBoard keeps it as an f32.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_scalar(&mut self, tag: &str, value: f64, step: u64, wall_time: f64) -> Result<(), EventError> {
        let mut entry = Summary_Value::new();
        entry.set_tag(tag.into());
        entry.set_simple_value(value as f32);
        self.add(entry, step, wall_time)
    }

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
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        encoder
            .write_image(pixels, width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| image(error.to_string()))?;
        self.add_png(tag, &png, step, wall_time)
    }

    /// Adds a text, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_text(&mut self, tag: &str, text: &str, step: u64, wall_time: f64) -> Result<(), EventError> {
        let mut length = TensorShapeProto_Dim::new();
        length.set_size(1);
        let mut shape = TensorShapeProto::new();
        shape.set_dim(RepeatedField::from_vec(vec![length]));
        let mut tensor = TensorProto::new();
        tensor.set_dtype(DataType::DT_STRING);
        tensor.set_tensor_shape(shape);
        tensor.set_string_val(RepeatedField::from_vec(vec![text.as_bytes().to_vec()]));
        let mut plugin = SummaryMetadata_PluginData::new();
        plugin.set_plugin_name("text".into());
        let mut metadata = SummaryMetadata::new();
        metadata.set_plugin_data(plugin);
        let mut entry = Summary_Value::new();
        entry.set_tag(tag.into());
        entry.set_metadata(metadata);
        entry.set_tensor(tensor);
        self.add(entry, step, wall_time)
    }

    /// Hands what was added to the system, so that a running TensorBoard sees it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), EventError> {
        let flushed = self.records.flush();
        flushed.map_err(|error| self.failed(error))
    }

    fn add(&mut self, entry: Summary_Value, step: u64, wall_time: f64) -> Result<(), EventError> {
        let mut summary = Summary::new();
        summary.set_value(RepeatedField::from_vec(vec![entry]));
        let mut event = Event::new();
        event.set_wall_time(wall_time);
        event.set_step(step as i64);
        event.set_summary(summary);
        self.write(&event)
    }

    fn write(&mut self, event: &Event) -> Result<(), EventError> {
        let bytes = event.write_to_bytes().map_err(io::Error::other);
        bytes.and_then(|bytes| self.records.write(&bytes)).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> EventError {
        let path = self.path.clone();
        if atomic_file::is_disk_full(&source) {
            EventError::DiskFull { path, source }
        } else {
            EventError::Write { path, source }
        }
    }
}

impl Drop for EventWriter {
    /// Flushes; who needs to know whether that succeeded calls [`EventWriter::flush`] before.
    fn drop(&mut self) {
        let _ = self.records.flush();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use test_support::python_json;

    #[test]
    fn tensorboard_reads_back_scalars_images_and_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), 1_700_000_000.5).unwrap();
        writer.add_scalar("Loss/train", 0.5, 0, 1_700_000_001.25).unwrap();
        writer.add_scalar("Loss/train", 0.25, 7, 1_700_000_002.25).unwrap();
        writer.add_scalar("Größe", -1.0, 1 << 40, 1_700_000_003.0).unwrap();
        let pixels: Vec<u8> = (0..18).collect();
        writer.add_rgb("Samples", &pixels, [3, 2], 4, 1_700_000_004.0).unwrap();
        writer.add_text("Config", "lr: **0.1**", 0, 1_700_000_005.0).unwrap();
        writer.flush().unwrap();

        let found = python_json("tensorboard_read.py", &[folder.path()]);
        let scalars = json!({
            "Loss/train": [[0, 1_700_000_001.25, 0.5], [7, 1_700_000_002.25, 0.25]],
            "Größe": [[1_u64 << 40, 1_700_000_003.0, -1.0]],
        });
        assert_eq!(found["scalars"], scalars);
        assert_eq!(found["text"], json!({"Config": [[0, 1_700_000_005.0, "lr: **0.1**"]]}));
        assert_eq!(found["plugins"]["Config"], "text");
        let image = &found["images"]["Samples"][0];
        assert_eq!([&image[0], &image[2], &image[3]], [&json!(4), &json!(3), &json!(2)]);
        let hex = image[4].as_str().unwrap();
        let png: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        assert_eq!(image::load_from_memory(&png).unwrap().to_rgb8().into_raw(), pixels);
    }

    #[test]
    fn replacing_leaves_one_file_of_events_and_all_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let first = EventWriter::create(folder.path(), 5.0).unwrap();
        let second = EventWriter::create(folder.path(), 5.0).unwrap();
        assert_ne!(first.path(), second.path(), "two of the same second do not collide");
        let third = EventWriter::replace(folder.path(), 5.0).unwrap();
        assert!(!first.path().exists() && !second.path().exists() && third.path().exists());
        assert!(folder.path().join("notes.txt").exists());
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_so() {
        let full = PathBuf::from("/dev/full");
        let file = OpenOptions::new().write(true).open(&full).unwrap();
        let Err(error) = EventWriter::start(file, full, 0.0) else { panic!("it is full") };
        assert!(matches!(error, EventError::DiskFull { .. }));
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let Err(error) = EventWriter::create(&file.join("tensorboard"), 0.0) else {
            panic!("a file is in the way")
        };
        assert!(error.to_string().contains("file/tensorboard"), "{error}");
    }

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
