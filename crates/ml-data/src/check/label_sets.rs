//! Findings of images that may have several labels.

use std::collections::BTreeMap;

use super::finding::{Finding, Kind};
use super::listing::Listing;

/// Pairs of labels that are reported.
const MOST_PAIRS: usize = 100;

/// How many labels images have, which have none, and which labels always go together; nothing where
/// an image has one label.
pub(super) fn judge(listing: &Listing) -> Vec<Finding> {
    if !listing.multi_label || listing.files.is_empty() || listing.classes.is_empty() {
        return Vec::new();
    }
    let mut found = vec![cardinality(listing)];
    let without = (0..listing.files.len()).filter(|file| listing.files[*file].labels.is_empty());
    found.extend(without.map(|file| listing.about(Kind::NoLabels, file, "has no label")));
    found.extend(together(listing));
    found
}

fn cardinality(listing: &Listing) -> Finding {
    let counts = || listing.files.iter().map(|file| file.labels.len());
    let mean = counts().sum::<usize>() as f64 / listing.files.len() as f64;
    let (fewest, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let message = format!(
        "{mean:.3} labels an image on average, {fewest} to {most}; density {:.3} of {} classes",
        mean / listing.classes.len() as f64,
        listing.classes.len()
    );
    Finding::new(Kind::LabelCardinality, message)
}

/// Pairs of labels of which no image has one alone, if two images have them.
fn together(listing: &Listing) -> Vec<Finding> {
    // Such labels are on the same images: equal lists.
    let mut images: Vec<Vec<u32>> = vec![Vec::new(); listing.classes.len()];
    for (number, file) in (0..).zip(&listing.files) {
        file.labels.iter().for_each(|label| images[*label as usize].push(number));
    }
    let mut same: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
    for (class, images) in images.iter().enumerate().filter(|(_, images)| images.len() > 1) {
        same.entry(images).or_default().push(class);
    }
    let mut found = Vec::new();
    for (images, classes) in same {
        for (place, first) in classes.iter().enumerate() {
            for second in &classes[place + 1..] {
                if found.len() == MOST_PAIRS {
                    return found;
                }
                let [first, second] = [first, second].map(|class| &listing.classes[*class]);
                let message =
                    format!("`{first}` and `{second}` are always together, on {} images", images.len());
                found.push(Finding {
                    class: Some(first.clone()),
                    ..Finding::new(Kind::LabelsTogether, message)
                });
            }
        }
    }
    found
}
