//! Images with several labels + shares of parts → the part of each image, by iterative
//! stratification (Sechidis, Tsoumakas, Vlahavas: "On the Stratification of Multi-Label Data", ECML
//! PKDD 2011).
//!
//! The label with the fewest images left is dealt out first: each of its images goes to the part
//! that still wants most images with this label; of equal ones to the part that wants most images
//! at all, of equal ones by the seed. Images without labels come last, to the parts that want most.
//! A group goes as a whole, the larger before the smaller.

use rand_chacha::rand_core::RngCore;

use super::label_sets::LabelSets;
use crate::rng::{Purpose, stream};

/// What is split.
pub(super) struct Images<'a> {
    /// The labels of each image.
    pub sets: &'a LabelSets,
    pub num_classes: usize,
    /// Sets of at least two images that stay together, disjoint.
    pub groups: &'a [Vec<u32>],
    pub seed: u64,
}

/// Images that go to one part together.
struct Item {
    images: Vec<u32>,
    /// Labels, ascending, and how many of the images have each.
    labels: Vec<(u32, i64)>,
    /// Its place among equals.
    rank: u64,
}

/// The part of each image; `shares` are those of the parts, in any unit. A part without a share gets
/// none.
pub(super) fn assign(images: &Images<'_>, shares: &[u64]) -> Vec<u16> {
    let items = items(images);
    let mut deal = Deal::new(images, &items, shares);
    let mut holders: Vec<Vec<u32>> = vec![Vec::new(); images.num_classes];
    for (number, item) in (0..).zip(&items) {
        item.labels.iter().for_each(|(label, _)| holders[*label as usize].push(number));
    }
    let mut rng = stream(images.seed, Purpose::Split, 1, 2);
    let label_ranks: Vec<u64> = holders.iter().map(|_| rng.next_u64()).collect();
    // A label that was dealt out has no images left, so each comes up once.
    while let Some(label) = (0..images.num_classes)
        .filter(|label| deal.left[*label] > 0)
        .min_by_key(|label| (deal.left[*label], label_ranks[*label]))
    {
        let mut dealt = std::mem::take(&mut holders[label]);
        dealt.retain(|item| deal.part_of[*item as usize].is_none());
        dealt.sort_by_key(|item| {
            let item = &items[*item as usize];
            let count = item.labels.binary_search_by_key(&(label as u32), |(label, _)| *label);
            (std::cmp::Reverse(count.map_or(0, |place| item.labels[place].1)), item.rank)
        });
        for item in dealt {
            deal.put(item, &items[item as usize], Some(label));
        }
    }
    let mut rest: Vec<u32> =
        (0..items.len() as u32).filter(|i| deal.part_of[*i as usize].is_none()).collect();
    rest.sort_by_key(|item| {
        (std::cmp::Reverse(items[*item as usize].images.len()), items[*item as usize].rank)
    });
    for item in rest {
        deal.put(item, &items[item as usize], None);
    }
    let mut parts = vec![0; images.sets.len()];
    for (item, part) in items.iter().zip(deal.part_of) {
        item.images.iter().for_each(|image| parts[*image as usize] = part.unwrap_or_default());
    }
    parts
}

fn items(images: &Images<'_>) -> Vec<Item> {
    let mut is_grouped = vec![false; images.sets.len()];
    images.groups.iter().flatten().for_each(|image| is_grouped[*image as usize] = true);
    let alone = (0..images.sets.len() as u32).filter(|image| !is_grouped[*image as usize]);
    let members = images.groups.iter().cloned().chain(alone.map(|image| vec![image]));
    let mut rng = stream(images.seed, Purpose::Split, 0, 2);
    members
        .map(|members| {
            let mut all: Vec<u32> =
                members.iter().flat_map(|image| images.sets.of(*image as usize)).copied().collect();
            all.sort_unstable();
            let labels = all.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as i64)).collect();
            Item { images: members, labels, rank: rng.next_u64() }
        })
        .collect()
}

/// What is left to deal out, and what each part still wants.
struct Deal {
    parts: usize,
    /// Parts that are to have images.
    open: Vec<usize>,
    /// The sum of the shares: one image.
    one: i128,
    /// `[label · parts + part]`, in units of shares: the numbers are exact.
    wanted: Vec<i128>,
    /// Of each part, images in all.
    wanted_in_all: Vec<i128>,
    /// Images with each label that are in no part yet.
    left: Vec<i64>,
    part_of: Vec<Option<u16>>,
    ties: rand_chacha::ChaCha8Rng,
}

impl Deal {
    fn new(images: &Images<'_>, items: &[Item], shares: &[u64]) -> Deal {
        let left: Vec<i64> =
            images.sets.counts(images.num_classes).into_iter().map(|count| count as i64).collect();
        let want = |count: i64| shares.iter().map(move |share| i128::from(count) * i128::from(*share));
        Deal {
            parts: shares.len(),
            open: (0..shares.len()).filter(|part| shares[*part] > 0).collect(),
            one: shares.iter().map(|share| i128::from(*share)).sum(),
            wanted: left.iter().flat_map(|count| want(*count)).collect(),
            wanted_in_all: want(images.sets.len() as i64).collect(),
            left,
            part_of: vec![None; items.len()],
            ties: stream(images.seed, Purpose::Split, 2, 2),
        }
    }

    /// Puts an item into the part that wants it most, for its `label` if it is dealt out for one.
    fn put(&mut self, number: u32, item: &Item, label: Option<usize>) {
        let wants = |part: usize| {
            let of_label = label.map_or(0, |label| self.wanted[label * self.parts + part]);
            (of_label, self.wanted_in_all[part])
        };
        let most = self.open.iter().map(|part| wants(*part)).max();
        let best: Vec<usize> = self.open.iter().copied().filter(|part| Some(wants(*part)) == most).collect();
        let part = match best[..] {
            [] => return,
            [only] => only,
            _ => best[(self.ties.next_u64() % best.len() as u64) as usize],
        };
        for (label, count) in &item.labels {
            self.wanted[*label as usize * self.parts + part] -= i128::from(*count) * self.one;
            self.left[*label as usize] -= count;
        }
        self.wanted_in_all[part] -= item.images.len() as i128 * self.one;
        self.part_of[number as usize] = Some(part as u16);
    }
}

#[cfg(test)]
mod tests;
