//! Identities of the images of each run → the images that all runs predicted ([`Overlap`]), and
//! those whose labels differ.
//!
//! Images are the same if identity and label are. A data set may hold a file several times; of such
//! images as many are common as the run with the fewest has. A network predicts the same for each,
//! so that it does not matter which belongs to which.

use std::collections::{HashMap, HashSet};
use std::iter;

use super::content::ContentHash;
use super::rows::Row;

/// What an image is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity<'a> {
    /// Its path in the data set.
    Path(&'a str),
    /// The bytes of its file.
    Content(ContentHash),
}

/// The rows of a run, and the identity of each where it is known.
pub(super) type Identified<'a> = (&'a [Row], Vec<Option<Identity<'a>>>);

/// Identity, label, and which of several that are alike, from 0.
type Key<'a> = (Identity<'a>, usize, usize);

/// What several runs have in common.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// A list for each run, all of one length and in the order of the first run: the row of each
    /// common image.
    pub rows: Vec<Vec<usize>>,
    /// Images that have another label in another run than in the first.
    pub conflicts: Vec<Conflict>,
    /// Whether every image of every run is common.
    pub is_complete: bool,
}

/// An image with two labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    /// Its row in the first run.
    pub first: usize,
    /// Index of another run.
    pub run: usize,
    /// Its row in that run.
    pub other: usize,
}

impl Overlap {
    /// Of several runs; rows without an identity are not common.
    pub fn new(runs: &[Identified<'_>]) -> Overlap {
        let keys: Vec<Vec<Option<Key>>> = runs.iter().map(|(rows, known)| keys(rows, known)).collect();
        let Some((first, others)) = keys.split_first() else { return Overlap::default() };
        let places: Vec<HashMap<Key, usize>> = others.iter().map(|keys| places(keys)).collect();
        let mut rows = vec![Vec::new(); keys.len()];
        for (row, key) in first.iter().enumerate() {
            let Some(key) = key else { continue };
            let found: Option<Vec<usize>> = places.iter().map(|place| place.get(key).copied()).collect();
            let Some(found) = found else { continue };
            for (list, row) in rows.iter_mut().zip(iter::once(row).chain(found)) {
                list.push(row);
            }
        }
        let common = rows[0].len();
        Overlap {
            is_complete: keys.iter().all(|keys| keys.len() == common),
            conflicts: conflicts(first, &places),
            rows,
        }
    }
}

fn keys<'a>(rows: &[Row], identities: &[Option<Identity<'a>>]) -> Vec<Option<Key<'a>>> {
    let mut counts: HashMap<(Identity, usize), usize> = HashMap::new();
    let key = |(row, identity): (&Row, &Option<Identity<'a>>)| {
        let identity = (*identity)?;
        let count = counts.entry((identity, row.label)).or_default();
        *count += 1;
        Some((identity, row.label, *count - 1))
    };
    rows.iter().zip(identities).map(key).collect()
}

fn places<'a>(keys: &[Option<Key<'a>>]) -> HashMap<Key<'a>, usize> {
    keys.iter().enumerate().filter_map(|(row, key)| Some(((*key)?, row))).collect()
}

/// Each image of the first run at most once.
fn conflicts(first: &[Option<Key<'_>>], others: &[HashMap<Key<'_>, usize>]) -> Vec<Conflict> {
    let known: HashSet<Key> = first.iter().flatten().copied().collect();
    let mut found: HashMap<usize, Conflict> = HashMap::new();
    for (index, other) in others.iter().enumerate() {
        let unmatched: HashMap<Identity, usize> =
            other.iter().filter(|(key, _)| !known.contains(*key)).map(|(key, row)| (key.0, *row)).collect();
        for (row, key) in first.iter().enumerate() {
            let Some(key) = key.filter(|key| !other.contains_key(key)) else { continue };
            if let Some(&of_other) = unmatched.get(&key.0) {
                found.entry(row).or_insert(Conflict { first: row, run: index + 1, other: of_other });
            }
        }
    }
    let mut found: Vec<Conflict> = found.into_values().collect();
    found.sort_unstable_by_key(|conflict| conflict.first);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(labels: &[usize]) -> Vec<Row> {
        let row = |&label| Row { path: String::new(), label, prediction: 0, probability: 0.5 };
        labels.iter().map(row).collect()
    }

    fn content(bytes: &[u8]) -> Vec<Option<Identity<'static>>> {
        bytes.iter().map(|&byte| Some(Identity::Content([byte; 32]))).collect()
    }

    #[test]
    fn files_that_a_set_holds_twice_are_paired_once_each() {
        let (a, b) = (rows(&[0, 0, 1, 0]), rows(&[0, 1, 0]));
        let found = Overlap::new(&[(&a[..], content(&[1, 1, 1, 2])), (&b[..], content(&[2, 1, 1]))]);
        assert_eq!(found.rows, [vec![0, 2, 3], vec![2, 1, 0]]);
        assert!(found.conflicts.is_empty() && !found.is_complete);
    }

    #[test]
    fn an_image_with_another_label_is_not_common_but_a_conflict() {
        let (a, b) = (rows(&[0, 1]), rows(&[0, 0]));
        let found = Overlap::new(&[(&a[..], content(&[1, 2])), (&b[..], content(&[1, 2]))]);
        assert_eq!(found.rows, [[0], [0]]);
        assert_eq!(found.conflicts, [Conflict { first: 1, run: 1, other: 1 }]);
    }

    #[test]
    fn rows_without_an_identity_are_left_out() {
        let a = rows(&[0, 0]);
        let found = Overlap::new(&[
            (&a[..], vec![None, Some(Identity::Path("x"))]),
            (&a[..], vec![Some(Identity::Path("x")), None]),
        ]);
        assert_eq!(found.rows, [[1], [0]]);
        assert!(!found.is_complete);
    }
}
