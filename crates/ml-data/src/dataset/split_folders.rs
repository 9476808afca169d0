//! Folders of an ImageFolder tree that are splits, by the names that people give them.

use std::path::Path;

use super::Split;
use super::error::DatasetError;
use super::scan::has_class_folders;

/// Which split a folder's name stands for: `train`, `Training`, `train_set`; `val`, `valid`,
/// `validation`, `dev`; `test`, `Testing`; in any case, and with `set` behind it.
pub(crate) fn split_named(name: &str) -> Option<Split> {
    let lower = name.to_lowercase();
    let stem =
        lower.strip_suffix("set").map_or(lower.as_str(), |stem| stem.trim_end_matches(['_', '-', ' ']));
    Some(match stem {
        "train" | "training" => Split::Train,
        "val" | "valid" | "validation" | "dev" => Split::Val,
        "test" | "testing" => Split::Test,
        _ => return None,
    })
}

/// The folders of a tree's splits, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SplitFolders {
    names: [Option<String>; 3],
    /// Folders whose names stand for a split that another folder is.
    pub others: Vec<String>,
}

impl SplitFolders {
    /// The splits among the folders `names` of `folder`, if it is a tree of splits: training images
    /// beside validation or test images, or nothing but folders called as splits are. Where `train`
    /// and `val` are not called just so, they hold folders and no images, since classes may be
    /// called `training` and `test` too.
    ///
    /// # Errors
    /// Two folders stand for one split, and none of them is called `train`, `val` or `test`; or a
    /// folder cannot be listed.
    pub(crate) fn find<S: AsRef<str>>(
        folder: &Path,
        names: &[S],
    ) -> Result<Option<SplitFolders>, DatasetError> {
        let mut found = SplitFolders::default();
        let mut ambiguous = None;
        let mut are_splits = true;
        for name in names.iter().map(AsRef::as_ref) {
            let Some(split) = split_named(name) else {
                are_splits = false;
                continue;
            };
            let place = &mut found.names[split as usize];
            match place.take() {
                None => *place = Some(name.to_owned()),
                Some(first) if first == split.name() => {
                    *place = Some(first);
                    found.others.push(name.to_owned());
                }
                Some(first) if name == split.name() => {
                    *place = Some(name.to_owned());
                    found.others.push(first);
                }
                Some(first) => {
                    ambiguous = Some((split, first.clone(), name.to_owned()));
                    *place = Some(first);
                }
            }
        }
        if !found.is_tree(folder, are_splits)? {
            return Ok(None);
        }
        match ambiguous.filter(|(split, ..)| found.get(*split) != Some(split.name())) {
            None => Ok(Some(found)),
            Some((split, first, second)) => {
                Err(DatasetError::SplitTwice { path: folder.to_owned(), split: split.name(), first, second })
            }
        }
    }

    fn is_tree(&self, folder: &Path, are_splits: bool) -> Result<bool, DatasetError> {
        let [train, val, test] = self.names.each_ref().map(Option::as_deref);
        if (train, val) == (Some("train"), Some("val")) {
            return Ok(true);
        }
        let holds_classes = |name: Option<&str>| match name {
            Some(name) => has_class_folders(&folder.join(name)),
            None => Ok(false),
        };
        if are_splits {
            // What has no training images can be evaluated.
            return Ok(
                holds_classes(train)? || train.is_none() && (holds_classes(val)? || holds_classes(test)?)
            );
        }
        Ok(holds_classes(train)? && (holds_classes(val)? || holds_classes(test)?))
    }

    /// The name of a split's folder.
    pub(crate) fn get(&self, split: Split) -> Option<&str> {
        self.names[split as usize].as_deref()
    }

    /// The splits that are there, and their folders.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Split, &str)> {
        Split::ALL.into_iter().filter_map(|split| Some((split, self.get(split)?)))
    }

    /// Which folders were taken for splits that are called otherwise, in words.
    pub(super) fn notes(&self) -> Vec<String> {
        let renamed: Vec<String> = self
            .iter()
            .filter(|(split, name)| split.name() != *name)
            .map(|(split, name)| format!("`{name}` as {}", split.name()))
            .collect();
        let mut notes = Vec::new();
        if !renamed.is_empty() {
            notes.push(format!("splits: {} (by the folders' names)", renamed.join(", ")));
        }
        notes.extend(self.others.iter().map(|other| {
            let split = split_named(other).map_or("split", Split::name);
            format!("folder `{other}` is not used: `{split}` is there too")
        }));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_splits_are_known_in_any_case() {
        for (names, split) in [
            (&["train", "Train", "TRAINING", "training_set", "trainset"][..], Some(Split::Train)),
            (&["val", "valid", "Validation", "dev", "validation set"], Some(Split::Val)),
            (&["test", "Testing", "TEST", "test-set"], Some(Split::Test)),
            (&["trains", "devil", "set", "testimony", "offset", ""], None),
        ] {
            for name in names {
                assert_eq!(split_named(name), split, "{name}");
            }
        }
    }
}
