//! Images that look alike, without comparing each with each.
//!
//! The 64 bits of the hashes are cut into four bands of 16. Two hashes that differ in at most 7
//! bits differ in at most one bit of one of the bands, so it is enough to compare those that share
//! a band up to one bit: 17 look-ups a band, in a table of 65,536 places.
//!
//! Where thousands look alike (night, fog, scans), the images of one hash are first drawn together
//! around a few leaders, and look-ups in a crowded place stop at [`CROWD`] entries; the result says
//! if that happened.

use std::collections::HashMap;

use super::CheckError;
use super::look::Look;
use crate::union::Union;

/// The largest distance for which the search finds all pairs.
pub const MAX_DISTANCE: u32 = 7;

/// How many entries of a place in the table are compared with one hash.
const CROWD: usize = 1024;
/// How many images of close hashes and different looks are looked at for one image.
const STRANGERS: usize = 256;
/// How many different-looking leaders of one hash are kept apart.
const LEADERS: usize = 64;

const BANDS: usize = 4;

/// Joins the images in `looks` that look alike: at most `distance` bits apart and confirmed by
/// their miniatures. Whether the search was cut short is the result.
pub(super) fn join_alike(
    looks: &[(u32, &Look)],
    distance: u32,
    groups: &mut Union,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<bool, CheckError> {
    let (leaders, mut cut) = draw_together(looks, groups);
    let mut table: Vec<HashMap<u16, Vec<u32>>> = vec![HashMap::new(); BANDS];
    for (number, (_, look)) in leaders.iter().enumerate() {
        if number % 256 == 0 && stop() {
            return Err(CheckError::Interrupted);
        }
        cut |= compare(number, &leaders, &table, distance, groups);
        for (band, places) in table.iter_mut().enumerate() {
            places.entry(part(look.hash, band)).or_default().push(number as u32);
        }
    }
    Ok(cut)
}

/// Joins one leader with those before it in the table that look alike. Whether some were left out
/// is the result.
fn compare(
    number: usize,
    leaders: &[(u32, &Look)],
    table: &[HashMap<u16, Vec<u32>>],
    distance: u32,
    groups: &mut Union,
) -> bool {
    let (image, look) = leaders[number];
    let (mut cut, mut strangers) = (false, 0);
    for (band, places) in table.iter().enumerate() {
        for entries in close_to(part(look.hash, band)).filter_map(|place| places.get(&place)) {
            cut |= entries.len() > CROWD;
            // The latest: in order of names, what lies close is often alike.
            for other in entries.iter().rev().take(CROWD) {
                let (other, other_look) = leaders[*other as usize];
                if look.distance(other_look) > distance || groups.root(image) == groups.root(other) {
                    continue;
                }
                if look.confirms(other_look) {
                    groups.join(image, other);
                } else if strangers == STRANGERS {
                    return true;
                } else {
                    strangers += 1;
                }
            }
        }
    }
    cut
}

/// Joins images of one hash; what remains is one leader for each different look.
fn draw_together<'a>(looks: &[(u32, &'a Look)], groups: &mut Union) -> (Vec<(u32, &'a Look)>, bool) {
    let mut by_hash: HashMap<u64, Vec<u32>> = HashMap::new();
    let mut leaders: Vec<(u32, &Look)> = Vec::new();
    let mut cut = false;
    for &(image, look) in looks {
        let same = by_hash.entry(look.hash).or_default();
        if let Some(leader) = same.iter().find(|leader| look.confirms(leaders[**leader as usize].1)) {
            groups.join(image, leaders[*leader as usize].0);
        } else if same.len() < LEADERS {
            same.push(leaders.len() as u32);
            leaders.push((image, look));
        } else {
            cut = true;
        }
    }
    (leaders, cut)
}

fn part(hash: u64, band: usize) -> u16 {
    (hash >> (16 * band)) as u16
}

/// The place itself and those one bit away.
fn close_to(place: u16) -> impl Iterator<Item = u16> {
    std::iter::once(place).chain((0..16).map(move |bit| place ^ (1 << bit)))
}
