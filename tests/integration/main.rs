//! The programs as their users see them: files in, exit codes and text out.

#![allow(clippy::unwrap_used)] // a failed step of a test should end it where it stands

mod averaging;
mod channels;
mod check;
mod cuda;
mod data;
mod distillation;
mod distributed;
mod docs;
mod environment;
mod fit;
mod folders;
mod folds;
mod http;
mod inference;
mod init;
mod jensen_shannon;
mod job;
mod labels;
mod labels_inference;
mod labels_report;
mod limits;
mod loading;
mod measure;
mod offline;
mod older_run;
mod precision;
mod presets;
mod progressive;
mod published;
mod report;
mod resume;
mod rewind;
mod sam;
mod search;
mod split;
mod summary;
mod support;
mod tensorboard;
mod terminal;
mod torchscript;
mod train;
mod transfer;
mod visualise;
mod weights;
