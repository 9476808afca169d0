//! Class names of a folder, and which of them are one name in two Unicode normalizations.

use std::borrow::Cow;
use std::path::Path;

use super::error::DatasetError;
use super::scan::Scan;
use crate::unicode::nfc;

pub(super) fn class_names(scan: &Scan) -> Vec<String> {
    scan.classes.iter().map(|class| class.name.clone()).collect()
}

/// Two classes whose names are the same but for their Unicode normalization.
pub(super) fn refuse_same_names(path: &Path, classes: &[String]) -> Result<(), DatasetError> {
    let mut forms: Vec<(Cow<'_, str>, &String)> = classes.iter().map(|class| (nfc(class), class)).collect();
    forms.sort_unstable();
    match forms.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(DatasetError::SameLooks {
            path: path.to_owned(),
            first: pair[0].1.clone(),
            second: pair[1].1.clone(),
        }),
    }
}

/// The known name that differs from `class` in its Unicode normalization only.
pub(super) fn same_name<'a>(known: &'a [String], class: &str) -> Option<&'a str> {
    if known.iter().any(|known| known == class) {
        return None;
    }
    known.iter().find(|known| nfc(known) == nfc(class)).map(String::as_str)
}

pub(super) fn renamed_class(place: &str, class: &str, known: &str) -> String {
    format!("{place}: the class `{class}` is `{known}` in another Unicode normalization, and counts as that")
}
