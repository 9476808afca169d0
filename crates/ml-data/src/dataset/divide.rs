//! Numbers of images a class + ratios or folds + seed → the part that each image belongs to.
//!
//! Counts are exact. A class of `n` images has the quota `n · share` in each part, raised to one
//! image where the class has enough of them. Quotas are rounded by the largest remainder, for each
//! class and for the parts' totals; where the two disagree, single images move between parts of a
//! class, along the cheapest roundings, until the totals are right too. So every count is its quota
//! rounded down or up, in each class and in total (controlled rounding; it exists for up to three
//! parts).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand_chacha::rand_core::RngCore;

use super::manifest::Method;
use super::split_error::SplitError;
use crate::rng::{Purpose, stream};

/// One whole image (or all of the shares) in the unit of quotas: they are integers, so nothing
/// depends on how floating-point numbers round.
const ONE: u64 = 1_000_000_000;

/// Shares of training, validation and test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    /// Of train, val, test; their sum is [`ONE`].
    weights: [u64; 3],
}

impl Ratio {
    /// From two or three shares (train, val and perhaps test) that sum to 1, or to 100.
    ///
    /// # Errors
    /// Another number of shares, a negative or not finite one, no training or validation share,
    /// another sum.
    pub fn new(shares: &[f64]) -> Result<Ratio, SplitError> {
        let given = || shares.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        let bad = |problem: &str| Err(SplitError::Ratio { given: given(), problem: problem.to_owned() });
        let (train, val, test) = match *shares {
            [train, val] => (train, val, 0.0),
            [train, val, test] => (train, val, test),
            _ => return bad("takes two or three numbers, for train, val and test"),
        };
        if !shares.iter().all(|share| share.is_finite() && *share >= 0.0) {
            return bad("the numbers must be finite and not negative");
        }
        let sum = train + val + test;
        let whole = match sum {
            _ if (sum - 1.0).abs() <= 1e-6 => 1.0,
            _ if (sum - 100.0).abs() <= 1e-4 => 100.0,
            _ => return bad(&format!("the numbers must sum to 1 (or to 100), not to {sum:.6}")),
        };
        let weight = |share: f64| (share / whole * ONE as f64).round() as u64;
        let (val, test) = (weight(val), weight(test));
        match ONE.checked_sub(val + test) {
            None | Some(0) => bad("the training share must be more than 0"),
            Some(_) if val == 0 => bad("the validation share must be more than 0"),
            Some(train) => Ok(Ratio { weights: [train, val, test] }),
        }
    }
}

/// Shares of train, val and test used if no others are requested.
pub const DEFAULT_RATIO: [f64; 3] = [0.7, 0.15, 0.15];
/// Share of the test split beside folds, likewise.
pub const DEFAULT_TEST_RATIO: f64 = 0.15;
/// Seed of the split, likewise.
pub const DEFAULT_SEED: u64 = 42;

impl Method {
    /// The flags of `ml-split` that split so; those that say what is the default are left out.
    pub(super) fn flags(&self) -> Vec<String> {
        match *self {
            Method::Ratio { train, val, test } if [train, val, test] == DEFAULT_RATIO => Vec::new(),
            Method::Ratio { train, val, test: 0.0 } => vec![format!("--ratio {train} {val}")],
            Method::Ratio { train, val, test } => vec![format!("--ratio {train} {val} {test}")],
            Method::Folds { folds, test } => {
                let test = (test != DEFAULT_TEST_RATIO).then(|| format!("--test_ratio {test}"));
                std::iter::once(format!("--folds {folds}")).chain(test).collect()
            }
            Method::Given { .. } => Vec::new(),
        }
    }
}

/// How to split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Division {
    /// Into train, val and test.
    Ratio(Ratio),
    /// Into one test split and `folds` folds of the rest.
    Folds {
        /// 2 to 1000.
        folds: u32,
        /// Share of the test split, at least 0 and less than 1.
        test_ratio: f64,
    },
}

impl Division {
    /// The share of each part in any unit, in the order of parts.
    pub(super) fn shares(&self) -> Result<Vec<u64>, SplitError> {
        match *self {
            Division::Ratio(Ratio { weights }) => Ok(weights.to_vec()),
            Division::Folds { folds, test_ratio } => {
                let test = test_weight(folds, test_ratio)?;
                // Equal shares, exactly.
                let mut shares = vec![ONE - test; folds as usize];
                shares.push(test * u64::from(folds));
                Ok(shares)
            }
        }
    }

    /// As the manifest records it.
    pub(super) fn method(&self) -> Method {
        match *self {
            Division::Ratio(Ratio { weights }) => {
                let [train, val, test] = weights.map(|weight| weight as f64 / ONE as f64);
                Method::Ratio { train, val, test }
            }
            Division::Folds { folds, test_ratio } => Method::Folds { folds, test: test_ratio },
        }
    }
}

/// The test split's share beside folds, in units of [`ONE`].
fn test_weight(folds: u32, test_ratio: f64) -> Result<u64, SplitError> {
    if !(2..=1000).contains(&folds) {
        return Err(SplitError::Folds(folds));
    }
    if !(0.0..1.0).contains(&test_ratio) {
        return Err(SplitError::TestRatio(test_ratio));
    }
    Ok(((test_ratio * ONE as f64).round() as u64).min(ONE - 1))
}

/// Part of an image, split by ratio.
pub(super) const TRAIN: u16 = 0;
pub(super) const VAL: u16 = 1;
pub(super) const TEST: u16 = 2;

/// The part of each image, by class: [`TRAIN`], [`VAL`] or [`TEST`]; with folds, the fold's number,
/// or `folds` for the test split. A class has at least one image.
///
/// In each class, images are shuffled, and then the first become test, the next validation images:
/// the test split is the same for ratios and folds that give it the same numbers.
pub(super) fn divide(sizes: &[usize], division: &Division, seed: u64) -> Result<Vec<Vec<u16>>, SplitError> {
    let shuffled = |class: usize| shuffled(sizes[class], seed, class as u64);
    match *division {
        Division::Ratio(Ratio { weights }) => {
            let minima = weights.map(|weight| u64::from(weight > 0));
            let quotas: Vec<_> = sizes
                .iter()
                .map(|&size| {
                    let size = size as u64;
                    // Too few for each split: train first, then val.
                    quotas(size, weights, minima)
                        .unwrap_or([size.min(1), size.saturating_sub(1), 0].map(|n| n * ONE))
                })
                .collect();
            let counts = round(&quotas);
            Ok((0..sizes.len())
                .map(|class| {
                    let [_, val, test] = counts[class].map(|count| count as usize);
                    let mut parts = vec![TRAIN; sizes[class]];
                    for (place, image) in shuffled(class).into_iter().enumerate().take(test + val) {
                        parts[image] = if place < test { TEST } else { VAL };
                    }
                    parts
                })
                .collect())
        }
        Division::Folds { folds, test_ratio } => {
            let test = test_weight(folds, test_ratio)?;
            let minima = [u64::from(folds), u64::from(test > 0)];
            let quotas: Vec<_> = sizes
                .iter()
                .map(|&size| {
                    let size = size as u64;
                    // Too few for each fold: two to train and validate with, then one to test.
                    let scarce = u64::from(size > 2 && test > 0);
                    quotas(size, [ONE - test, test], minima)
                        .unwrap_or([size - scarce, scarce].map(|n| n * ONE))
                })
                .collect();
            let counts = round(&quotas);
            // Dealt round and round, on from class to class: folds differ by at most one image in a
            // class and in total.
            let mut next = (0..folds as u16).cycle();
            Ok((0..sizes.len())
                .map(|class| {
                    let test = counts[class][1] as usize;
                    let mut parts = vec![folds as u16; sizes[class]];
                    for image in shuffled(class).into_iter().skip(test) {
                        parts[image] = next.next().unwrap_or_default();
                    }
                    parts
                })
                .collect())
        }
    }
}

/// `size` images in proportion to `weights`, none below its minimum, in units of [`ONE`]; they sum
/// to `size`. None if there are fewer images than the minima ask for.
fn quotas<const PARTS: usize>(
    size: u64,
    weights: [u64; PARTS],
    minima: [u64; PARTS],
) -> Option<[u64; PARTS]> {
    let mut rest = size.checked_sub(minima.iter().sum())? * ONE + minima.iter().sum::<u64>() * ONE;
    let mut quotas = [0; PARTS];
    let mut open: Vec<usize> = (0..PARTS).filter(|part| weights[*part] > 0).collect();
    loop {
        let weight: u64 = open.iter().map(|part| weights[*part]).sum();
        for &part in &open {
            quotas[part] = (u128::from(rest) * u128::from(weights[part]) / u128::from(weight)) as u64;
        }
        let (low, fine): (Vec<_>, Vec<_>) = open.iter().partition(|&&part| quotas[part] < minima[part] * ONE);
        if low.is_empty() {
            break;
        }
        for part in low {
            quotas[part] = minima[part] * ONE;
            rest -= quotas[part];
        }
        open = fine;
    }
    // What the divisions cut off, less than one unit a part.
    quotas[open[0]] += size * ONE - quotas.iter().sum::<u64>();
    Some(quotas)
}

/// Quotas as whole images, each rounded down or up, with the right sums in classes and in parts.
fn round<const PARTS: usize>(quotas: &[[u64; PARTS]]) -> Vec<[u64; PARTS]> {
    let mut counts: Vec<_> = quotas.iter().map(largest_remainder).collect();
    let mut totals = [0; PARTS];
    for quota in quotas {
        for part in 0..PARTS {
            totals[part] += quota[part];
        }
    }
    Leveller::new(quotas, &mut counts).level(&largest_remainder(&totals));
    counts
}

/// Each part rounded down, and the largest remainders up; for equal ones, the first part's.
fn largest_remainder<const PARTS: usize>(quotas: &[u64; PARTS]) -> [u64; PARTS] {
    let mut counts = quotas.map(|quota| quota / ONE);
    let missing = quotas.iter().sum::<u64>() / ONE - counts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..PARTS).collect();
    order.sort_by_key(|part| Reverse(quotas[*part] % ONE));
    for part in order.into_iter().take(missing as usize) {
        counts[part] += 1;
    }
    counts
}

/// Costs and classes, the cheapest on top.
type Moves = BinaryHeap<Reverse<(i64, usize)>>;

/// Moves images of a class from a part that was rounded up to one that was rounded down.
struct Leveller<'a, const PARTS: usize> {
    quotas: &'a [[u64; PARTS]],
    counts: &'a mut [[u64; PARTS]],
    /// By part from, part to; entries may be outdated.
    moves: Vec<Vec<Moves>>,
}

impl<'a, const PARTS: usize> Leveller<'a, PARTS> {
    fn new(quotas: &'a [[u64; PARTS]], counts: &'a mut [[u64; PARTS]]) -> Self {
        let moves = vec![vec![BinaryHeap::new(); PARTS]; PARTS];
        let mut leveller = Leveller { quotas, counts, moves };
        for class in 0..quotas.len() {
            leveller.offer(class);
        }
        leveller
    }

    /// How far a move takes a class from its quotas; none if a count would leave its quota's
    /// roundings.
    fn cost(&self, class: usize, from: usize, to: usize) -> Option<i64> {
        let surplus = |part: usize| (self.counts[class][part] * ONE) as i64 - self.quotas[class][part] as i64;
        (surplus(from) > 0 && surplus(to) < 0).then(|| surplus(to) - surplus(from))
    }

    fn offer(&mut self, class: usize) {
        for from in 0..PARTS {
            for to in 0..PARTS {
                if let Some(cost) = self.cost(class, from, to) {
                    self.moves[from][to].push(Reverse((cost, class)));
                }
            }
        }
    }

    /// The cheapest class that can move an image.
    fn cheapest(&mut self, from: usize, to: usize) -> Option<(i64, usize)> {
        while let Some(&Reverse((cost, class))) = self.moves[from][to].peek() {
            if self.cost(class, from, to) == Some(cost) {
                return Some((cost, class));
            }
            self.moves[from][to].pop();
        }
        None
    }

    fn shift(&mut self, class: usize, from: usize, to: usize) {
        self.counts[class][from] -= 1;
        self.counts[class][to] += 1;
        self.offer(class);
    }

    fn level(&mut self, targets: &[u64; PARTS]) {
        let mut totals = [0; PARTS];
        for count in self.counts.iter() {
            for part in 0..PARTS {
                totals[part] += count[part];
            }
        }
        while let Some(from) = (0..PARTS).find(|part| totals[*part] > targets[*part]) {
            let short: Vec<usize> = (0..PARTS).filter(|part| totals[*part] < targets[*part]).collect();
            let direct = short.iter().filter_map(|&to| Some((self.cheapest(from, to)?, to))).min();
            if let Some(((_, class), to)) = direct {
                self.shift(class, from, to);
                totals[to] += 1;
            } else {
                // By way of a third part, in two classes.
                let detour = short.iter().find_map(|&to| {
                    (0..PARTS).find_map(|via| {
                        Some((self.cheapest(from, via)?.1, via, self.cheapest(via, to)?.1, to))
                    })
                });
                let Some((first, via, second, to)) = detour else {
                    debug_assert!(false, "a controlled rounding exists for three parts");
                    return;
                };
                self.shift(first, from, via);
                self.shift(second, via, to);
                totals[to] += 1;
            }
            totals[from] -= 1;
        }
    }
}

/// `0..size` in random order: Fisher and Yates's shuffle, from the class's own stream.
pub(super) fn shuffled(size: usize, seed: u64, class: u64) -> Vec<usize> {
    let mut rng = stream(seed, Purpose::Split, class, 0);
    let mut order: Vec<usize> = (0..size).collect();
    for last in (1..size).rev() {
        // The high half of a product maps 64 random bits to 0..=last; the bias is below size /
        // 2^64.
        let chosen = ((u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, chosen);
    }
    order
}

#[cfg(test)]
mod tests;
