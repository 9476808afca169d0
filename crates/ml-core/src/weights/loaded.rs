//! What is wanted of a file of weights, and what was done with it.

use ml_data::text::listed;

use super::choice::Choice;

/// Names that a note lists.
const LISTED: usize = 8;

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

impl Loaded {
    /// What a user should know of weights that were taken as `choice` says, a line each.
    pub fn notes(&self, choice: &Choice) -> Vec<String> {
        let mut notes = self.origin(choice);
        if !self.extra.is_empty() {
            let names: Vec<String> = self.extra.iter().map(|name| name.escape_debug().to_string()).collect();
            notes.push(format!(
                "left out, since the network has no place for them ({}): {}",
                names.len(),
                listed(&names, LISTED)
            ));
        }
        if self.averaged {
            notes.push("the EMA weights (ema_state_dict), which that run is judged by".to_owned());
        }
        let fresh = listed(&self.fresh, LISTED);
        match self.classes {
            Some(classes) => {
                notes.push(format!("they are for {classes} classes; newly initialised for these: {fresh}"));
            }
            None if !fresh.is_empty() => {
                notes.push(format!("they have no classifier; newly initialised: {fresh}"));
            }
            None => {}
        }
        if !self.absent.is_empty() {
            let absent = listed(&self.absent, LISTED);
            notes
                .push(format!("auxiliary classifiers that are not in the file, newly initialised: {absent}"));
        }
        notes.extend(self.adapted.iter().cloned());
        if let Some(channels) = self.summed_channels {
            notes.push(format!(
                "the first convolution has one channel instead of {channels}: the sum over them"
            ));
        }
        notes
    }

    /// Where in the file they are, and what else could have been meant.
    fn origin(&self, choice: &Choice) -> Vec<String> {
        let mut notes = Vec::new();
        let quoted = |name: &String| format!("`{}`", name.escape_debug());
        let Loaded { key, prefix, module, others, .. } = self;
        if let Some(class) = module {
            notes.push(format!("of a whole pickled module {}, whose tensors alone were read", quoted(class)));
        }
        match (key.as_str(), prefix.as_str()) {
            ("", "") => {}
            (_, "") => notes.push(format!("taken from {}", quoted(key))),
            ("", _) => notes.push(format!("taken from the names after {}", quoted(prefix))),
            _ => notes.push(format!("taken from {}, from the names after {}", quoted(key), quoted(prefix))),
        }
        if let (Choice::File { path, .. }, Some(other)) = (choice, others.first()) {
            let all: Vec<String> = others.iter().map(quoted).collect();
            notes.push(format!(
                "others in the file fit too: {}; to take those, name them: {}:{}",
                listed(&all, LISTED),
                path.display(),
                other.escape_debug()
            ));
        }
        notes
    }
}
