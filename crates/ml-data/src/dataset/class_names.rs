//! Class names of a folder, and which of them are one name in two Unicode normalizations.

use std::borrow::Cow;
use std::collections::HashMap;
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

/// Classes to find others among.
pub(super) struct KnownClasses<'a> {
    names: &'a [String],
    places: HashMap<&'a str, usize>,
    /// By their normalized forms.
    forms: HashMap<Cow<'a, str>, usize>,
    /// By other names.
    synonyms: HashMap<&'a str, usize>,
}

impl<'a> KnownClasses<'a> {
    pub(super) fn new(names: &'a [String]) -> KnownClasses<'a> {
        let places = names.iter().enumerate();
        KnownClasses {
            names,
            places: places.clone().map(|(place, name)| (name.as_str(), place)).collect(),
            // Of several with one form, the first.
            forms: places.rev().map(|(place, name)| (nfc(name), place)).collect(),
            synonyms: HashMap::new(),
        }
    }

    /// The same that also go by other names; a name of its own counts before one of these.
    pub(super) fn with_synonyms(self, synonyms: &[(&'a str, usize)]) -> KnownClasses<'a> {
        KnownClasses { synonyms: synonyms.iter().copied().collect(), ..self }
    }

    /// Their names, in order.
    pub(super) fn names(&self) -> &'a [String] {
        self.names
    }

    /// The place of the class called so.
    pub(super) fn place(&self, class: &str) -> Option<usize> {
        self.places.get(class).or_else(|| self.synonyms.get(class)).copied()
    }

    /// The place and name of the class that differs from `class` in its Unicode normalization only.
    pub(super) fn same(&self, class: &str) -> Option<(usize, &'a str)> {
        if self.places.contains_key(class) {
            return None;
        }
        let place = *self.forms.get(&nfc(class))?;
        Some((place, self.names[place].as_str()))
    }
}

pub(super) fn renamed_class(place: &str, class: &str, known: &str) -> String {
    format!("{place}: the class `{class}` is `{known}` in another Unicode normalization, and counts as that")
}
