//! The classes of ImageNet-1K in the order of torchvision's logits, as data: `imagenet.csv`, which
//! `tests/reference/imagenet_classes.py` prints from torchvision's metadata and a list of `WordNet`
//! ids.

use std::sync::LazyLock;

pub(super) const IMAGENET_CSV: &str = include_str!("imagenet.csv");

static CLASSES: LazyLock<Vec<ImagenetClass>> = LazyLock::new(|| {
    let rows = IMAGENET_CSV.lines().skip(1).filter_map(|row| row.split_once(','));
    rows.map(|(synset, name)| ImagenetClass { synset, name }).collect()
});

/// A class of ImageNet-1K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagenetClass {
    /// Its `WordNet` id, as ImageNet's folders are called: `n01440764`.
    pub synset: &'static str,
    /// Its name in torchvision's metadata: `tench`. No two are the same, though two differ in case
    /// alone (`Cardigan`, a dog, and `cardigan`).
    pub name: &'static str,
}

/// All 1000, in the order of the logits.
pub fn imagenet_classes() -> &'static [ImagenetClass] {
    &CLASSES
}
