//! Logits + targets → counts (added up on the device), then figures.
#![allow(missing_docs, clippy::todo)] // interface draft: remove

use tch::{Device, Tensor};

/// Running sums over batches, kept on the device: reading them is the only synchronisation.
#[derive(Debug)]
pub struct Running {}

/// What [`Running`] has summed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Sum over samples of the loss (batch mean × batch size).
    pub loss_sum: f64,
    pub correct: u64,
    pub correct_top5: u64,
    pub count: u64,
}

impl Totals {
    pub fn loss(&self) -> f64 {
        todo!()
    }
    pub fn accuracy(&self) -> f64 {
        todo!()
    }
    pub fn top5_accuracy(&self) -> f64 {
        todo!()
    }
}

impl Running {
    pub fn new(device: Device) -> Running {
        let _ = device;
        todo!()
    }
    /// Continues from sums read earlier (a resumed epoch).
    pub fn from_totals(totals: Totals, device: Device) -> Running {
        let _ = (totals, device);
        todo!()
    }
    /// `loss`: scalar, mean over the batch; `logits` `[N, K]`; `targets` `[N]` i64.
    pub fn add(&mut self, loss: &Tensor, logits: &Tensor, targets: &Tensor) {
        let _ = (loss, logits, targets);
        todo!()
    }
    pub fn totals(&self) -> Totals {
        todo!()
    }
}
