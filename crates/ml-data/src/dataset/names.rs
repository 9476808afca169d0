//! What files and folders of a data folder are called.

/// The folder of index files beside the images; reserved, never a class.
pub const SPLITS_FOLDER: &str = "splits";
/// What describes the splits, in [`SPLITS_FOLDER`] or in the tree that
/// [`Plan::write_folders`](super::Plan::write_folders) makes.
pub const MANIFEST_FILE: &str = "manifest.yaml";
/// The name that a folder of class folders has when the index files lie beside it.
pub const RAW_FOLDER: &str = "raw";
/// Where an audit's verdicts are kept, in the data folder; hidden, so never a class.
pub const CACHE_FOLDER: &str = ".ml-cache";
/// What an examination ([`crate::check`]) leaves in a data folder: JSON and HTML. Neither image nor
/// stranger.
pub(crate) const REPORT_FILES: [&str; 2] = ["dataset_report.json", "dataset_report.html"];
