//! What people look at: epochs and results → terminal, TensorBoard, tables, plots. The only code
//! that draws progress, and the only user of indicatif, tensorboard-rs and a plotting library.
//!
//! In: what a [`ml_core::trainer::Reporter`] is told, or what a run folder holds. Out: bars and
//! lines on stderr, event files, the files of `report/`; and, of a configuration, what its network
//! is made of ([`inspection`]).

pub mod board;
pub mod cam;
mod canvas;
pub mod classification;
pub mod console;
pub mod curves;
pub mod dashboard;
pub mod download;
pub mod embeddings;
pub mod figures;
mod fonts;
pub mod groups;
mod hard_images;
pub mod heatmap;
pub mod html;
pub mod inspection;
pub mod label_report;
mod labels;
pub mod multilabel;
mod npy;
mod numbers;
mod pictures;
pub mod predictions;
pub mod progress;
pub mod run;
pub mod run_comparison;
pub mod run_group;
pub mod run_report;
pub mod runs_table;
pub mod samples;
pub mod search_report;
pub mod tensorboard;
pub mod write;
