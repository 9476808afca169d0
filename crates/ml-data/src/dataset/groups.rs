//! Which images must stay together: sets that are merged where they share an image, and the names
//! of those that have one.

use std::collections::HashMap;

use regex::Regex;

use super::split_error::SplitError;
use crate::union::Union;

/// What makes images a group.
#[derive(Clone, Debug)]
pub enum Grouping {
    /// The folder that an image lies in below its class folder; with labels from a CSV, its folder.
    Folder,
    /// The column `group` of a CSV of labels.
    Column,
    /// The first capture group of a regular expression on the path, or the whole match.
    Pattern(Regex),
}

impl Grouping {
    /// `folder`, `csv`, or a regular expression.
    ///
    /// # Errors
    /// The expression is none.
    pub fn parse(text: &str) -> Result<Grouping, SplitError> {
        match text {
            "folder" => Ok(Grouping::Folder),
            "csv" => Ok(Grouping::Column),
            pattern => Regex::new(pattern).map(Grouping::Pattern).map_err(|error| SplitError::Pattern {
                pattern: pattern.to_owned(),
                // The last line says what is wrong; those before draw the place.
                problem: {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default().trim();
                    last.strip_prefix("error: ").unwrap_or(last).to_owned()
                },
            }),
        }
    }

    /// As the manifest records it.
    pub(super) fn name(&self) -> &str {
        match self {
            Grouping::Folder => "folder",
            Grouping::Column => "csv",
            Grouping::Pattern(pattern) => pattern.as_str(),
        }
    }

    /// The group that `path`, with `/` between folders, names; `in_class`: its first folder is the
    /// class's.
    pub(super) fn key<'a>(&self, path: &'a str, in_class: bool) -> Option<&'a str> {
        match self {
            Grouping::Folder if in_class => {
                let (folder, _) = path.split_once('/')?.1.split_once('/')?;
                Some(folder)
            }
            Grouping::Folder => path.rsplit_once('/').map(|(folder, _)| folder),
            Grouping::Pattern(pattern) => {
                let captures = pattern.captures(path)?;
                let key = if captures.len() > 1 { captures.get(1) } else { captures.get(0) };
                key.map(|key| key.as_str()).filter(|key| !key.is_empty())
            }
            Grouping::Column => None,
        }
    }
}

/// No name.
const NONE: u32 = u32::MAX;

/// Disjoint sets of images, known by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// Empty as long as all stand alone.
    sets: Union,
    /// Of each image: its name's place.
    name: Vec<u32>,
    names: Vec<String>,
    places: HashMap<String, (u32, u32)>,
}

impl Groups {
    /// Puts `image` of `count` into the group called `name`.
    pub(super) fn put(&mut self, count: usize, image: u32, name: &str) {
        self.prepare(count);
        let first = if let Some(&(place, first)) = self.places.get(name) {
            self.name[image as usize] = place;
            first
        } else {
            let place = self.names.len() as u32;
            self.names.push(name.to_owned());
            self.places.insert(name.to_owned(), (place, image));
            self.name[image as usize] = place;
            image
        };
        self.join(count, first, image);
    }

    /// Keeps two images of `count` together.
    pub(super) fn join(&mut self, count: usize, a: u32, b: u32) {
        self.prepare(count);
        self.sets.join(a, b);
    }

    fn prepare(&mut self, count: usize) {
        if self.sets.len() == 0 {
            self.sets = Union::new(count);
            self.name = vec![NONE; count];
        }
    }

    /// The sets of two images or more, each in ascending order, by their first image.
    pub(super) fn sets(&mut self) -> Vec<Vec<u32>> {
        let mut size = vec![0u32; self.sets.len()];
        let leaders: Vec<u32> = (0..size.len() as u32).map(|image| self.sets.root(image)).collect();
        leaders.iter().for_each(|leader| size[*leader as usize] += 1);
        let mut place = HashMap::new();
        let mut sets: Vec<Vec<u32>> = Vec::new();
        for (image, leader) in (0..).zip(leaders) {
            if size[leader as usize] > 1 {
                let place = *place.entry(leader).or_insert(sets.len());
                if place == sets.len() {
                    sets.push(Vec::with_capacity(size[leader as usize] as usize));
                }
                sets[place].push(image);
            }
        }
        sets
    }

    /// The name that an image was given.
    pub(super) fn name(&self, image: u32) -> Option<&str> {
        let place = *self.name.get(image as usize)?;
        self.names.get(place as usize).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_merge_where_they_share_an_image() {
        let mut groups = Groups::default();
        assert!(groups.sets().is_empty());
        groups.put(8, 5, "anna");
        groups.put(8, 1, "anna");
        groups.put(8, 2, "bert");
        groups.put(8, 7, "alone");
        assert_eq!(groups.sets(), [[1, 5]]);
        groups.join(8, 6, 5);
        groups.join(8, 6, 2);
        groups.join(8, 0, 3);
        assert_eq!(groups.sets(), [vec![0, 3], vec![1, 2, 5, 6]]);
        let names = [0, 1, 2, 6, 7].map(|image| groups.name(image));
        assert_eq!(names, [None, Some("anna"), Some("bert"), None, Some("alone")]);
    }

    #[test]
    fn keys_are_folders_below_the_class_or_what_the_expression_catches() {
        let key =
            |grouping: &str, path| Grouping::parse(grouping).unwrap().key(path, true).map(str::to_owned);
        assert_eq!(key("folder", "cat/p1/left/1.png").as_deref(), Some("p1"));
        assert_eq!(key("folder", "cat/1.png"), None);
        assert_eq!(Grouping::Folder.key("scans/p1/1.png", false), Some("scans/p1"));
        assert_eq!(key(r"/(p\d+)_", "cat/p12_3.png").as_deref(), Some("p12"));
        assert_eq!(key(r"p\d+", "cat/p12_3.png").as_deref(), Some("p12"));
        // A group that took no part in the match, or matched nothing, names nobody.
        assert_eq!(key(r"(p\d+)?_3", "cat/q_3.png"), None);
        assert_eq!(key(r"x*", "cat/q_3.png"), None);
        let message = Grouping::parse("(p").unwrap_err().to_string();
        assert!(message.contains("`(p`") && message.contains("unclosed group"), "{message}");
        assert!(!message.contains('\n'));
    }
}
