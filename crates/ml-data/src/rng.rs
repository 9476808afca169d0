//! Randomness as a function: a stream is derived from what it is for, never stored or passed along,
//! so it does not depend on the number of workers or on how often a run was interrupted.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a random stream is for. Streams of different purposes are independent for the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Splitting a data set (one stream a class).
    Split = 1,
    /// The order of the samples in an epoch.
    Order = 2,
    /// The augmentation of one sample in one epoch.
    Augmentation = 3,
    /// Initial weights.
    Initialisation = 4,
    /// Dropout and whatever else draws from libtorch's generator during a step.
    Step = 5,
    /// What mixup or cutmix does to a batch (numbered by epoch and batch).
    Mix = 6,
    /// The values of a trial in a search for hyperparameters (numbered by trial and key).
    Search = 7,
}

/// The stream for `purpose`, numbered `a` and `b` (for example the epoch and the sample).
///
/// The four numbers are `ChaCha8`'s 256-bit key, so distinct arguments give independent streams.
pub fn stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (chunk, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
        chunk.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A 64-bit seed derived in the same way, for generators that are not ours (libtorch's).
pub fn derived_seed(seed: u64, purpose: Purpose, a: u64, b: u64) -> u64 {
    use rand_chacha::rand_core::RngCore;
    stream(seed, purpose, a, b).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::RngCore;

    #[test]
    fn every_argument_changes_the_stream_and_equal_arguments_repeat_it() {
        let first = |s, p, a, b| stream(s, p, a, b).next_u64();
        let reference = first(1, Purpose::Order, 2, 3);
        assert_eq!(reference, first(1, Purpose::Order, 2, 3));
        for other in [
            first(0, Purpose::Order, 2, 3),
            first(1, Purpose::Augmentation, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 2),
        ] {
            assert_ne!(reference, other);
        }
    }
}
