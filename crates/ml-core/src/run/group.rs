//! Runs of one configuration over folds or seeds: their folders below one, and what they are.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Run, RunError, Status, Summary, read_yaml, write_yaml};
use crate::config::{Config, Override, Source};

/// What makes a folder a group.
const FILE: &str = "runs.yaml";

/// In what the runs of a group differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// `data.fold`.
    Folds,
    /// `seed`.
    Seeds,
}

impl GroupKind {
    /// The key of the configuration in which the runs differ.
    pub fn key(self) -> &'static str {
        match self {
            GroupKind::Folds => "data.fold",
            GroupKind::Seeds => "seed",
        }
    }

    /// What a run's folder is called.
    fn name(self, value: u64) -> String {
        match self {
            GroupKind::Folds => format!("fold_{value}"),
            GroupKind::Seeds => format!("seed_{value}"),
        }
    }
}

/// The content of `runs.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct File {
    kind: GroupKind,
    /// Folds or seeds.
    values: Vec<u64>,
    /// The configuration of the first run.
    config: serde_yaml::Value,
}

/// A folder of runs over folds or seeds.
#[derive(Clone, Debug)]
pub struct RunGroup {
    folder: PathBuf,
    file: File,
}

/// One run of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMember {
    /// Its folder's name, `fold_0` or `seed_42`.
    pub name: String,
    /// The fold or the seed.
    pub value: u64,
    /// What its summary says; none before it has begun.
    pub summary: Option<Summary>,
}

/// The content of a group's `summary.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// [`Status::Completed`] when all runs are at their end, the status of the first that is not
    /// else.
    pub status: Status,
    /// In what the runs differ.
    pub kind: GroupKind,
    /// In order.
    pub runs: Vec<MemberSummary>,
    /// Over the runs that are at their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<SpreadSummary>,
    /// Likewise, where there is a test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<SpreadSummary>,
    /// Of the mean average precisions, with several labels an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_map: Option<SpreadSummary>,
    /// Likewise, where there is a test split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_map: Option<SpreadSummary>,
}

/// One run in a [`GroupSummary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberSummary {
    /// Its folder's name.
    pub name: String,
    /// None before it has begun.
    pub status: Option<Status>,
    /// Accuracies are fractions.
    pub best_val_accuracy: Option<f64>,
    /// None without a test split.
    pub test_accuracy: Option<f64>,
    /// With several labels an image: the mean average precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_val_map: Option<f64>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_map: Option<f64>,
}

/// The mean of a figure over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpreadSummary {
    /// Over the runs.
    pub mean: f64,
    /// With divisor n − 1; none of one run.
    pub sd: Option<f64>,
    /// The 95 % interval of the mean by Student's t; none of one run.
    pub interval: Option<[f64; 2]>,
}

impl RunGroup {
    /// Claims `runs_dir/name`, or if that is taken the first free of `name_2`, …, or with `exactly`
    /// none. The runs will be of `config` but for `values` of the kind's key.
    ///
    /// # Errors
    /// As [`Run::claim`] and [`Run::claim_exactly`], or `runs.yaml` cannot be written.
    pub fn claim(
        runs_dir: &Path,
        name: &str,
        exactly: bool,
        (kind, values): (GroupKind, Vec<u64>),
        config: &Config,
    ) -> Result<RunGroup, RunError> {
        let run = if exactly { Run::claim_exactly(runs_dir, name) } else { Run::claim(runs_dir, name) }?;
        let folder = run.folder;
        let path = folder.join(FILE);
        let config = serde_yaml::to_value(config)
            .map_err(|error| RunError::Write { path: path.clone(), source: std::io::Error::other(error) })?;
        let file = File { kind, values, config };
        write_yaml(&path, &file)?;
        Ok(RunGroup { folder, file })
    }

    /// The group in a folder; none if the folder is no group.
    ///
    /// # Errors
    /// Its `runs.yaml` cannot be read.
    pub fn open(folder: &Path) -> Result<Option<RunGroup>, RunError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let file: File = read_yaml(&path)?;
        let damaged = |message: &str| RunError::Read { path: path.clone(), message: message.to_owned() };
        if file.values.is_empty() {
            return Err(damaged("`values` is empty"));
        }
        if file.values.iter().enumerate().any(|(place, value)| file.values[..place].contains(value)) {
            return Err(damaged("`values` names a run twice"));
        }
        Ok(Some(RunGroup { folder: folder.to_owned(), file }))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `report/`.
    pub fn report_dir(&self) -> PathBuf {
        self.folder.join("report")
    }

    /// In what the runs differ.
    pub fn kind(&self) -> GroupKind {
        self.file.kind
    }

    /// The configuration of the first run as YAML; the others differ by [`RunGroup::overrides`].
    ///
    /// # Errors
    /// `runs.yaml` holds something else.
    pub fn config_text(&self) -> Result<String, RunError> {
        ml_data::yaml::to_string(&self.file.config)
            .map_err(|error| RunError::Read { path: self.folder.join(FILE), message: error.to_string() })
    }

    /// What makes the configuration that of the run `member`.
    pub fn overrides(&self, member: &GroupMember) -> Override {
        let source = Source::Flag(match self.kind() {
            GroupKind::Folds => "--fold",
            GroupKind::Seeds => "--seeds",
        });
        let value = serde_yaml::Value::from(member.value);
        Override { path: self.kind().key().to_owned(), value, source, argument: None }
    }

    /// The runs in order.
    pub fn members(&self) -> Vec<GroupMember> {
        let member = |&value: &u64| {
            let name = self.kind().name(value);
            let summary = Run::open(&self.folder.join(&name)).ok().and_then(|run| run.read_summary().ok());
            GroupMember { name, value, summary }
        };
        self.file.values.iter().map(member).collect()
    }

    /// Where the runs are or will be, in order.
    pub fn run_folders(&self) -> Vec<PathBuf> {
        self.file.values.iter().map(|&value| self.folder.join(self.kind().name(value))).collect()
    }

    /// Writes `summary.yaml`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_summary(&self, summary: &GroupSummary) -> Result<(), RunError> {
        write_yaml(&self.folder.join("summary.yaml"), summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_again_with_its_runs() {
        let runs = tempfile::tempdir().unwrap();
        let values = || (GroupKind::Folds, vec![0, 1, 2]);
        let claimed = RunGroup::claim(runs.path(), "cv", false, values(), &Config::default()).unwrap();
        let group = RunGroup::open(claimed.folder()).unwrap().unwrap();
        assert_eq!(group.kind(), GroupKind::Folds);
        let names: Vec<String> = group.members().into_iter().map(|member| member.name).collect();
        assert_eq!(names, ["fold_0", "fold_1", "fold_2"]);
        assert!(group.members().iter().all(|member| member.summary.is_none()));
        let given = group.overrides(&group.members()[2]);
        assert_eq!((given.path.as_str(), given.value), ("data.fold", 2.into()));
        assert!(group.config_text().unwrap().contains("batch_size:"));
        let second = RunGroup::claim(runs.path(), "cv", false, values(), &Config::default()).unwrap();
        assert!(second.folder().ends_with("cv_2"));
        assert!(RunGroup::claim(runs.path(), "cv", true, values(), &Config::default()).is_err());
    }

    #[test]
    fn a_folder_that_is_no_group_is_none_and_a_damaged_one_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RunGroup::open(folder.path()).unwrap().is_none());
        for text in ["kind: folds\nvalues: []\nconfig: {}", "kind: folds\nvalues: [1, 1]\nconfig: {}", "x"] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(RunGroup::open(folder.path()).unwrap_err().to_string().contains(FILE), "{text}");
        }
    }
}
