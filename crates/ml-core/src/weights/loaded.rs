//! What is wanted of a file of weights, and what was done with it.

/// Which of a file's weights are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// Those before the classifier, which stays as it was initialised.
    Features,
}

/// Which weights were taken, and what was done beside copying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Where in the file they are: keys joined by dots, empty at the root.
    pub key: String,
    /// What stands before each of their names in the file, as in `module.`.
    pub prefix: String,
    /// The class of the whole pickled module that they are of.
    pub module: Option<String>,
    /// Other weights of the file that fit as well, as `FILE:key` names them.
    pub others: Vec<String>,
    /// Tensors beside them that the network has no place for, by the file's names.
    pub extra: Vec<String>,
    /// Parameters of the classifier (and of auxiliary ones) that stay as they were initialised.
    pub fresh: Vec<String>,
    /// Classes of the file's classifier, where it was left out for their number.
    pub classes: Option<i64>,
    /// Auxiliary classifiers that the file lacks, which stay as they were initialised.
    pub absent: Vec<String>,
    /// Input channels of the file's first convolution, where they were added up to the network's
    /// one.
    pub summed_channels: Option<i64>,
    /// Whether they are the averaged weights of a run of ours that is judged by them.
    pub averaged: bool,
    /// What was made of the file's for images of another size, in words.
    pub adapted: Vec<String>,
}
