//! Weights for another size of images → weights that load, as torchvision does it.
//!
//! Position embeddings of vision transformers are interpolated. Swin needs nothing of the kind: its
//! position tables belong to the window, whose side is the same for all sizes of images;
//! torchvision does not interpolate them either, and a table for another window is of another
//! network.

use tch::Tensor;

use super::Network;
use super::vit::{POSITIONS, interpolate_positions, square_root};

impl Network {
    /// Changes `state` so that [`Network::load_state_dict`] takes it, where all that keeps it from
    /// doing so is that it is for another size of images. Tells what was changed, a line each.
    pub fn adapt_state(&self, state: &mut [(String, Tensor)]) -> Vec<String> {
        self.interpolate(state).into_iter().collect()
    }

    fn interpolate(&self, state: &mut [(String, Tensor)]) -> Option<String> {
        let wanted = &self.state.entries.iter().find(|entry| entry.name == POSITIONS)?.tensor;
        let (_, positions) = state.iter_mut().find(|(name, _)| name == POSITIONS)?;
        let (found, length) = (positions.size(), wanted.size()[1]);
        let is_alike = positions.kind() == wanted.kind()
            && found.len() == 3
            && found[2] == wanted.size()[2]
            && found[1] != length;
        if !is_alike {
            return None;
        }
        *positions = tch::no_grad(|| interpolate_positions(positions, length))?;
        let (from, to) = (square_root(found[1] - 1)?, square_root(length - 1)?);
        Some(format!("{POSITIONS} was interpolated from {from} x {from} patches to {to} x {to}"))
    }
}
