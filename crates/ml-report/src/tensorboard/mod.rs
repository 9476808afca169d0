//! Scalars, text, images, histograms, curves and hyperparameters → a file of events that
//! TensorBoard shows; embeddings → files for its projector ([`projector`]).
//!
//! In: a tag, a step, a wall time and a value. Out: records appended to one file. The records and
//! messages are tensorboard-rs's and tensorboard-proto's. Their own `SummaryWriter` writes from a
//! thread that panics when the disk is full and stamps each event with the present; here the file
//! is written directly, so that a failure is an error of the call, and a resumed run can tell its
//! history with the times it had.

mod error;
mod histogram;
mod hparams;
mod image;
mod pr_curve;
pub mod projector;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use protobuf::{Message, RepeatedField};
use tensorboard_proto::event::{Event, SessionLog, SessionLog_SessionStatus};
use tensorboard_proto::summary::{Summary, Summary_Value, SummaryMetadata, SummaryMetadata_PluginData};
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::{TensorShapeProto, TensorShapeProto_Dim};
use tensorboard_proto::types::DataType;
use tensorboard_rs::record_writer::RecordWriter;

pub use error::EventError;
pub use histogram::Histogram;
pub use hparams::{HparamDomain, HparamInfo, HparamValue, SessionStatus};
pub use pr_curve::{PrCurve, THRESHOLDS};

/// What every file of events has in its name.
const MARK: &str = "tfevents";

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

    /// Adds a text, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_text(&mut self, tag: &str, text: &str, step: u64, wall_time: f64) -> Result<(), EventError> {
        let mut texts = tensor(DataType::DT_STRING, &[1]);
        texts.set_string_val(RepeatedField::from_vec(vec![text.as_bytes().to_vec()]));
        self.add(tensor_entry(tag, "text", Vec::new(), texts), step, wall_time)
    }

    /// Says that what follows goes on after `step`: TensorBoard forgets what was written of later
    /// steps, in earlier files of the folder too.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add_restart(&mut self, step: u64, wall_time: f64) -> Result<(), EventError> {
        let mut log = SessionLog::new();
        log.set_status(SessionLog_SessionStatus::START);
        let mut event = Event::new();
        event.set_wall_time(wall_time);
        event.set_step(step as i64 + 1);
        event.set_session_log(log);
        self.write(&event)
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
        let bytes = self.encode(event)?;
        let written = self.records.write(&bytes);
        written.map_err(|error| self.failed(error))
    }

    fn encode(&self, message: &impl Message) -> Result<Vec<u8>, EventError> {
        message.write_to_bytes().map_err(|error| self.failed(io::Error::other(error)))
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

/// A tensor without its values.
fn tensor(dtype: DataType, shape: &[usize]) -> TensorProto {
    let dimension = |&size: &usize| {
        let mut dimension = TensorShapeProto_Dim::new();
        dimension.set_size(size as i64);
        dimension
    };
    let mut sizes = TensorShapeProto::new();
    sizes.set_dim(shape.iter().map(dimension).collect());
    let mut tensor = TensorProto::new();
    tensor.set_dtype(dtype);
    tensor.set_tensor_shape(sizes);
    tensor
}

/// A tensor for TensorBoard's plugin `plugin`, with the message `content` that it wants beside it.
fn tensor_entry(tag: &str, plugin: &str, content: Vec<u8>, tensor: TensorProto) -> Summary_Value {
    let mut data = SummaryMetadata_PluginData::new();
    data.set_plugin_name(plugin.into());
    data.set_content(content);
    let mut metadata = SummaryMetadata::new();
    metadata.set_plugin_data(data);
    let mut entry = Summary_Value::new();
    entry.set_tag(tag.into());
    entry.set_metadata(metadata);
    entry.set_tensor(tensor);
    entry
}
