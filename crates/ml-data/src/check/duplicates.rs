//! Facts of all images → groups of those that are the same file, the same pixels, or alike.

use std::collections::HashMap;
use std::hash::Hash;

use super::CheckError;
use super::examine::Facts;
use super::look::Look;
use super::near;
use crate::union::Union;

/// Groups of at least two images, by number; sorted by their first members, and within.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// The same content, byte by byte.
    pub exact: Vec<Vec<u32>>,
    /// The same pixels, in files that are not all the same.
    pub pixels: Vec<Vec<u32>>,
    /// Looking alike, and not all of the same pixels. Contains the copies of its members.
    pub near: Vec<Vec<u32>>,
    /// Whether there were too many to compare them all.
    pub cut: bool,
}

pub(super) fn find(
    facts: &[Facts],
    distance: u32,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Duplicates, CheckError> {
    let numbered = || (0..).zip(facts);
    let exact = groups_by(numbered().filter_map(|(i, facts)| Some((facts.content?, i))));
    let by_pixels =
        groups_by(numbered().filter_map(|(i, facts)| Some((facts.seen.as_ref().ok()?.pixels, i))));
    let mut groups = Union::new(facts.len());
    for group in &by_pixels {
        group.iter().for_each(|member| groups.join(group[0], *member));
    }
    // One of each set of equal pixels stands for all.
    let looks: Vec<(u32, &Look)> = numbered()
        .filter_map(|(i, facts)| Some((i, facts.seen.as_ref().ok()?.look.as_deref()?)))
        .filter(|(i, _)| groups.root(*i) == *i)
        .collect();
    let cut = near::join_alike(&looks, distance, &mut groups, stop)?;
    let same_file = |group: &[u32]| {
        let content = |member: u32| facts[member as usize].content;
        group.iter().all(|member| content(*member) == content(group[0]))
    };
    let same_pixels = |group: &[u32]| {
        let pixels = |member: u32| facts[member as usize].seen.as_ref().ok().map(|seen| seen.pixels);
        group.iter().all(|member| pixels(*member) == pixels(group[0]))
    };
    let alike = groups_by((0..facts.len() as u32).map(|i| (groups.root(i), i)));
    Ok(Duplicates {
        exact,
        pixels: by_pixels.into_iter().filter(|group| !same_file(group)).collect(),
        near: alike.into_iter().filter(|group| !same_pixels(group)).collect(),
        cut,
    })
}

/// Numbers that share a key with another; the numbers come in order.
fn groups_by<K: Hash + Eq>(keyed: impl Iterator<Item = (K, u32)>) -> Vec<Vec<u32>> {
    let mut groups: HashMap<K, Vec<u32>> = HashMap::new();
    for (key, number) in keyed {
        groups.entry(key).or_default().push(number);
    }
    let mut groups: Vec<Vec<u32>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}
