//! The batches that several processes compute at a time, one each.

use tch::Tensor;

use super::{FeatureError, disk};
use crate::distributed::World;
use crate::network::Prefix;

/// A batch's rows.
pub(super) struct Part {
    /// The number of its first image in the index.
    pub first: usize,
    /// `[N, F]`.
    pub rows: Tensor,
}

/// Why a process has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was told to stop.
    Stopped,
    /// An image's features depend on its batch.
    Dependent,
    /// An image cannot be read, and is left out.
    Unreadable,
}

/// What each of the processes has of a round, in their order; the first refusal, if there is one. A
/// process without a batch in the round has none.
pub(super) fn exchange(
    world: &World,
    prefix: &Prefix,
    own: Option<Result<Part, Refusal>>,
) -> Result<Result<Vec<Part>, Refusal>, FeatureError> {
    if world.is_alone() {
        return Ok(own.into_iter().collect());
    }
    let told = match &own {
        None => Vec::new(),
        Some(Err(refusal)) => vec![to_byte(*refusal)],
        Some(Ok(Part { first, rows })) => {
            let head = [&[0][..], &(*first as u64).to_le_bytes()].concat();
            [head, disk::bytes(rows)?].concat()
        }
    };
    let all = world.gather(&told)?;
    all.iter().filter(|told| !told.is_empty()).map(|told| received(told, prefix)).collect()
}

fn to_byte(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::Stopped => 1,
        Refusal::Dependent => 2,
        Refusal::Unreadable => 3,
    }
}

fn received(told: &[u8], prefix: &Prefix) -> Result<Result<Part, Refusal>, FeatureError> {
    let part = match told.split_first() {
        Some((0, part)) => part,
        Some((1, _)) => return Ok(Err(Refusal::Stopped)),
        Some((2, _)) => return Ok(Err(Refusal::Dependent)),
        _ => return Ok(Err(Refusal::Unreadable)),
    };
    let Some((first, rows)) = part.split_first_chunk() else { return Ok(Err(Refusal::Unreadable)) };
    let size = [(rows.len() / prefix.bytes().max(1)) as i64, prefix.num_features() as i64];
    let rows = Tensor::f_from_data_size(rows, &size, prefix.kind())?;
    Ok(Ok(Part { first: u64::from_le_bytes(*first) as usize, rows }))
}
