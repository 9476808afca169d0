//! Which batches of an epoch are whose.

use std::ops::Range;

/// The part of every step that is a rank's: a run of its batches. All ranks together see each batch
/// once, in an order that does not depend on how many they are.
///
/// With W ranks that accumulate A batches each, a step takes the next W · A batches of the epoch; the
/// last may have fewer, and is shared as evenly as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    size: usize,
    /// Batches that all ranks take in a step.
    in_step: usize,
    /// Whether all ranks take as many.
    is_even: bool,
}

impl Share {
    /// Of rank `rank` of `size`, each of which takes `accumulated` batches a step.
    pub fn of_steps(rank: usize, size: usize, accumulated: usize) -> Share {
        Share { rank, size, in_step: accumulated.saturating_mul(size).max(1), is_even: false }
    }

    /// The same where all ranks take as many batches in every step: at the end of an epoch, fewer than
    /// there are ranks are left out.
    #[must_use]
    pub fn even(self) -> Share {
        Share { is_even: true, ..self }
    }

    /// How many of an epoch's `num_batches` are taken.
    pub fn taken(&self, num_batches: usize) -> usize {
        if self.is_even { num_batches - num_batches % self.size } else { num_batches }
    }

    /// Of a pass over all batches: a run of them.
    pub fn of_pass(rank: usize, size: usize) -> Share {
        Share { rank, size, in_step: usize::MAX, is_even: false }
    }

    /// The batches of the step that begins with batch `first` of `num_batches`, of all ranks.
    pub fn step(&self, first: usize, num_batches: usize) -> Range<usize> {
        first..first.saturating_add(self.in_step).min(num_batches.max(first))
    }

    /// Those of `step` that are `rank`'s.
    pub fn part(&self, step: &Range<usize>, rank: usize) -> Range<usize> {
        let bound = |rank: usize| {
            // Beyond 64 bits only for a count of batches that there cannot be.
            step.start + (step.len() as u128 * rank as u128 / self.size as u128) as usize
        };
        bound(rank)..bound(rank + 1)
    }

    /// This rank's batches from batch `first` on, in order.
    pub fn batches(&self, first: usize, num_batches: usize) -> Vec<usize> {
        let (mut first, mut own) = (first, Vec::new());
        while first < num_batches {
            let step = self.step(first, num_batches);
            own.extend(self.part(&step, self.rank));
            first = step.end;
        }
        own
    }

    /// This process's rank.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ranks_together_take_each_batch_once_and_steps_stay_in_order() {
        for (size, accumulated, num_batches, first) in [
            (1, 1, 5, 0),
            (2, 1, 7, 0),
            (3, 2, 20, 0),
            (3, 2, 20, 4),
            (4, 1, 2, 0),
            (2, 3, 0, 0),
            (5, 1, 9, 9),
        ] {
            let shares: Vec<Share> = (0..size).map(|rank| Share::of_steps(rank, size, accumulated)).collect();
            let mut all: Vec<usize> =
                shares.iter().flat_map(|share| share.batches(first, num_batches)).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(first..num_batches.max(first)), "{size} {accumulated} {num_batches}");
            let full = shares[0].step(first, usize::MAX);
            assert_eq!(full.len(), size * accumulated);
            for share in &shares {
                assert_eq!(share.part(&full, share.rank).len(), accumulated);
            }
        }
        let third = Share::of_steps(2, 3, 2);
        assert_eq!(third.batches(0, 12), [4, 5, 10, 11]);
        // Four batches are left: one, one, two.
        assert_eq!(third.batches(0, 10), [4, 5, 8, 9]);
    }

    #[test]
    fn where_all_take_as_many_the_rest_of_the_epoch_is_left_out() {
        for rank in 0..3 {
            let share = Share::of_steps(rank, 3, 2).even();
            let taken = share.taken(20);
            assert_eq!((taken, share.batches(0, taken).len()), (18, 6));
        }
        assert_eq!(Share::of_steps(0, 3, 2).taken(20), 20);
    }

    #[test]
    fn a_pass_is_cut_into_runs() {
        let of = |rank| Share::of_pass(rank, 3).batches(0, 8);
        assert_eq!([of(0), of(1), of(2)].concat(), (0..8).collect::<Vec<_>>());
        assert_eq!(of(1), [2, 3, 4]);
    }
}
