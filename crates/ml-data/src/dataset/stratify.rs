//! Images that must stay together + the counts that each class is to have in each part → the part
//! of each image. No group is torn apart; each class comes as close to its counts as groups allow.
//!
//! The measure is, summed over classes and the total, `Σ (count − target)² / (target · images of
//! the class)`: the squared relative error of each part, weighed by its share. Groups are dealt
//! first, those that weigh most in it before others, each to the part where it makes the sum
//! smallest; then single groups change places, and pairs, as long as that makes it smaller. Images
//! that stand alone fill what is left, so that counts are exact where no group is in the way. (For
//! equal shares this is the idea of scikit-learn's `StratifiedGroupKFold`.)

use rand_chacha::rand_core::RngCore;

use super::divide::{TRAIN, shuffled};
use crate::rng::{Purpose, stream};

/// About how many sums are compared while groups change places.
const EFFORT: usize = 100_000_000;
/// Groups that may be swapped in pairs: all pairs are tried.
const MOST_SWAPPED: usize = 1500;

/// What is split.
pub(super) struct Task<'a> {
    /// Images of each class; they are numbered through all classes.
    pub sizes: &'a [usize],
    /// By class and part: how many images are wanted.
    pub targets: &'a [Vec<u32>],
    /// Sets of at least two images, each in ascending order, disjoint, by their first image.
    pub groups: &'a [Vec<u32>],
    /// Parts with a number below it are folds: a class is trained on if it is in two of them. 0:
    /// part [`TRAIN`] is trained on.
    pub folds: usize,
    pub seed: u64,
}

/// The part of each image, by class.
pub(super) fn assign(task: &Task<'_>) -> Vec<Vec<u16>> {
    let offsets: Vec<usize> = task
        .sizes
        .iter()
        .scan(0, |sum, size| {
            *sum += size;
            Some(*sum - size)
        })
        .collect();
    let class_of = |image: u32| offsets.partition_point(|offset| *offset <= image as usize) - 1;
    let groups: Vec<Group> = task.groups.iter().map(|members| Group::new(members, class_of, task)).collect();
    let mut table = Table::new(task);
    let mut parts = table.deal(&groups, task.seed);
    table.improve(&groups, &mut parts);

    let mut alone = task.sizes.to_vec();
    for group in &groups {
        group.classes(task).for_each(|(class, count)| alone[class] -= count);
    }
    let fills: Vec<Vec<u32>> = (0..alone.len()).map(|class| table.fill(class, alone[class])).collect();
    table.repair(task, &groups, &mut parts);

    let mut result: Vec<Vec<u16>> = task.sizes.iter().map(|size| vec![u16::MAX; *size]).collect();
    for (members, part) in task.groups.iter().zip(parts) {
        for &image in members {
            let class = class_of(image);
            result[class][image as usize - offsets[class]] = part as u16;
        }
    }
    for (class, fill) in fills.into_iter().enumerate() {
        let free: Vec<usize> = (0..task.sizes[class]).filter(|i| result[class][*i] == u16::MAX).collect();
        // Backwards, so that the test split comes first, as it does without groups.
        let dealt = fill.iter().enumerate().rev().flat_map(|(part, n)| (0..*n).map(move |_| part as u16));
        for (place, part) in shuffled(free.len(), task.seed, class as u64).into_iter().zip(dealt) {
            result[class][free[place]] = part;
        }
    }
    result
}

/// How many images a group has in each row of the table, rows in ascending order.
struct Group {
    rows: Vec<(u32, f64)>,
    /// What it weighs in the measure.
    weight: f64,
}

impl Group {
    fn new(members: &[u32], class_of: impl Fn(u32) -> usize, task: &Task<'_>) -> Group {
        let mut rows: Vec<(u32, f64)> = Vec::new();
        for &image in members {
            let class = class_of(image) as u32;
            match rows.last_mut() {
                Some((last, count)) if *last == class => *count += 1.0,
                _ => rows.push((class, 1.0)),
            }
        }
        let share = |(class, count): &(u32, f64)| (count / task.sizes[*class as usize] as f64).powi(2);
        let weight = rows.iter().map(share).sum();
        rows.push((task.sizes.len() as u32, members.len() as f64));
        Group { rows, weight }
    }

    fn classes(&self, task: &Task<'_>) -> impl Iterator<Item = (usize, usize)> {
        let classes = task.sizes.len();
        let rows = self.rows.iter().map(|(row, count)| (*row as usize, *count as usize));
        rows.filter(move |(row, _)| *row < classes)
    }
}

/// Rows are the classes and their total.
struct Table {
    parts: usize,
    /// Parts that are to have images.
    open: Vec<usize>,
    /// `[row · parts + part]`: how many images are still wanted.
    wanted: Vec<f64>,
    targets: Vec<f64>,
    /// `1 / (target · images of the row)`.
    scale: Vec<f64>,
}

impl Table {
    fn new(task: &Task<'_>) -> Table {
        let parts = task.targets.first().map_or(0, Vec::len);
        let total = |part: usize| task.targets.iter().map(|row| row[part]).sum::<u32>();
        let totals: Vec<u32> = (0..parts).map(total).collect();
        let mut targets = Vec::with_capacity((task.sizes.len() + 1) * parts);
        let mut scale = Vec::with_capacity(targets.capacity());
        for row in task.targets.iter().chain([&totals]) {
            let size: u32 = row.iter().sum();
            for &target in row {
                targets.push(f64::from(target));
                scale.push(1.0 / (f64::from(target.max(1)) * f64::from(size.max(1))));
            }
        }
        let open = (0..parts).filter(|part| totals[*part] > 0).collect();
        Table { parts, open, wanted: targets.clone(), targets, scale }
    }

    /// What the measure grows by when `group` is added to `part`.
    fn gain(&self, group: &Group, part: usize) -> f64 {
        let of_row = |(row, n): &(u32, f64)| {
            let cell = *row as usize * self.parts + part;
            n * (n - 2.0 * self.wanted[cell]) * self.scale[cell]
        };
        group.rows.iter().map(of_row).sum()
    }

    /// What it grows by when `group` is taken out of `part`.
    fn loss(&self, group: &Group, part: usize) -> f64 {
        let of_row = |(row, n): &(u32, f64)| {
            let cell = *row as usize * self.parts + part;
            n * (n + 2.0 * self.wanted[cell]) * self.scale[cell]
        };
        group.rows.iter().map(of_row).sum()
    }

    /// Adds it (`sign` 1) or takes it out (−1).
    fn put(&mut self, group: &Group, part: usize, sign: f64) {
        for (row, n) in &group.rows {
            self.wanted[*row as usize * self.parts + part] -= sign * n;
        }
    }

    /// The part where `group` costs least, of equal ones the first.
    fn best(&self, group: &Group) -> (f64, usize) {
        let costs = self.open.iter().map(|part| (self.gain(group, *part), *part));
        costs.fold((f64::INFINITY, 0), |best, cost| if cost.0 < best.0 { cost } else { best })
    }

    /// Each group to its best part, the heaviest first, equal ones in random order.
    fn deal(&mut self, groups: &[Group], seed: u64) -> Vec<usize> {
        let mut rng = stream(seed, Purpose::Split, 0, 1);
        let mut order: Vec<(u64, usize)> = (0..groups.len()).map(|group| (rng.next_u64(), group)).collect();
        order.sort_unstable_by(|(a, i), (b, j)| {
            groups[*j].weight.total_cmp(&groups[*i].weight).then(a.cmp(b)).then(i.cmp(j))
        });
        let mut parts = vec![0; groups.len()];
        for (_, group) in order {
            let (_, part) = self.best(&groups[group]);
            self.put(&groups[group], part, 1.0);
            parts[group] = part;
        }
        parts
    }

    /// Moves and swaps, as long as they help and the effort allows.
    fn improve(&mut self, groups: &[Group], parts: &mut [usize]) {
        let mut effort = EFFORT;
        loop {
            let mut helped = false;
            for (group, part) in groups.iter().zip(parts.iter_mut()) {
                let out = self.loss(group, *part);
                self.put(group, *part, -1.0);
                let (cost, best) = self.best(group);
                // The margin keeps rounding from going on for ever.
                if best != *part && cost + out < -1e-12 {
                    *part = best;
                    helped = true;
                }
                self.put(group, *part, 1.0);
            }
            if groups.len() <= MOST_SWAPPED {
                helped |= self.swap(groups, parts);
                effort = effort.saturating_sub(groups.len() * groups.len() * 4);
            }
            effort = effort.saturating_sub(groups.len() * self.open.len() * 4);
            if !helped || effort == 0 {
                return;
            }
        }
    }

    /// Every pair of groups in different parts once; whether any swap helped.
    fn swap(&mut self, groups: &[Group], parts: &mut [usize]) -> bool {
        let mut helped = false;
        for i in 0..groups.len() {
            for j in i + 1..groups.len() {
                let (a, b) = (parts[i], parts[j]);
                if a == b || groups[i].rows == groups[j].rows {
                    continue;
                }
                let mut change = self.loss(&groups[i], a);
                self.put(&groups[i], a, -1.0);
                change += self.loss(&groups[j], b);
                self.put(&groups[j], b, -1.0);
                change += self.gain(&groups[j], a);
                self.put(&groups[j], a, 1.0);
                change += self.gain(&groups[i], b);
                if change < -1e-12 {
                    self.put(&groups[i], b, 1.0);
                    parts.swap(i, j);
                    helped = true;
                } else {
                    self.put(&groups[j], a, -1.0);
                    self.put(&groups[j], b, 1.0);
                    self.put(&groups[i], a, 1.0);
                }
            }
        }
        helped
    }

    /// How many of `alone` images of a class go to each part: to the one that lacks the largest
    /// share of its target, of equal ones to the one whose total lacks most.
    fn fill(&mut self, class: usize, alone: usize) -> Vec<u32> {
        let mut fill = vec![0; self.parts];
        let total = self.targets.len() - self.parts;
        for _ in 0..alone {
            let lacks = |part: usize| {
                let cell = class * self.parts + part;
                (self.wanted[cell] / self.targets[cell].max(0.5), self.wanted[total + part])
            };
            let most = self.open.iter().fold(None, |most: Option<(usize, (f64, f64))>, part| {
                let lack = lacks(*part);
                if most.is_some_and(|(_, most)| most >= lack) { most } else { Some((*part, lack)) }
            });
            let part = most.map_or(TRAIN as usize, |(part, _)| part);
            fill[part] += 1;
            self.wanted[class * self.parts + part] -= 1.0;
            self.wanted[total + part] -= 1.0;
        }
        fill
    }

    fn count(&self, row: usize, part: usize) -> f64 {
        let cell = row * self.parts + part;
        self.targets[cell] - self.wanted[cell]
    }

    /// Whether a class is in what is trained on, in each fold.
    fn is_trained(&self, task: &Task<'_>, class: usize) -> bool {
        match task.folds {
            0 => self.count(class, TRAIN as usize) > 0.0,
            folds => (0..folds).filter(|fold| self.count(class, *fold) > 0.0).count() > 1,
        }
    }

    /// Moves a group for each class that is not trained on, and for each part without images, if
    /// one can be moved without doing the same elsewhere.
    fn repair(&mut self, task: &Task<'_>, groups: &[Group], parts: &mut [usize]) {
        let classes = task.sizes.len();
        for part in self.open.clone() {
            if self.count(classes, part) == 0.0 {
                self.move_one(task, groups, parts, &[part], |table| table.count(classes, part) > 0.0);
            }
        }
        let trained: Vec<usize> = match task.folds {
            0 => vec![TRAIN as usize],
            folds => (0..folds).collect(),
        };
        for class in 0..classes {
            if !self.is_trained(task, class) {
                self.move_one(task, groups, parts, &trained, |table| table.is_trained(task, class));
            }
        }
    }

    /// The cheapest move of a group to one of `to` after which `repaired` holds and nothing else is
    /// broken.
    fn move_one(
        &mut self,
        task: &Task<'_>,
        groups: &[Group],
        parts: &mut [usize],
        to: &[usize],
        repaired: impl Fn(&Table) -> bool,
    ) {
        let mut best: Option<(f64, usize, usize)> = None;
        for (number, group) in groups.iter().enumerate() {
            let from = parts[number];
            let trained = |table: &Table| {
                group.classes(task).filter(|(class, _)| table.is_trained(task, *class)).count()
            };
            let before = trained(self);
            let out = self.loss(group, from);
            self.put(group, from, -1.0);
            for &part in to.iter().filter(|part| **part != from) {
                let cost = out + self.gain(group, part);
                self.put(group, part, 1.0);
                let breaks = self.count(task.sizes.len(), from) == 0.0 || trained(self) < before;
                if !breaks && repaired(self) && best.is_none_or(|(least, ..)| cost < least) {
                    best = Some((cost, number, part));
                }
                self.put(group, part, -1.0);
            }
            self.put(group, from, 1.0);
        }
        if let Some((_, number, part)) = best {
            self.put(&groups[number], parts[number], -1.0);
            self.put(&groups[number], part, 1.0);
            parts[number] = part;
        }
    }
}

#[cfg(test)]
mod tests;
