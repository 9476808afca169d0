//! A network → the same made ready for evaluation alone.

use tch::Tensor;

use super::state::State;
use super::{Body, Classifier, Embedded, ForwardError, Input, ModuleKind, Network, Tapped};
use crate::device::{Compute, Precision};

/// A network for evaluation alone, made ready once: see [`Network::prepare`]. It has no state to be
/// saved or changed.
#[derive(Debug)]
pub struct PreparedNetwork {
    network: Network,
    folded: usize,
    tapped_layer: String,
}

impl Network {
    /// Makes it ready for many forward passes in evaluation under `compute`:
    ///
    /// - weights of convolutions are laid out as the memory format says;
    /// - in fp32, batch norms that follow a convolution become part of it, which changes logits
    ///   by less than 1e-5 of the largest; those elsewhere (before a convolution, or after what
    ///   joins several) stay;
    /// - under autocast, weights of convolutions and linear layers get its dtype now rather than in
    ///   every batch, which changes nothing.
    ///
    /// In precisions other than fp32, batch norms stay: folding them would change what is rounded to
    /// a few bits.
    ///
    /// A TorchScript module stays as it is.
    ///
    /// # Errors
    /// No memory.
    pub fn prepare(mut self, compute: &Compute) -> Result<PreparedNetwork, torch_ext::Error> {
        let (mut folded, tapped_layer) = (0, self.tapped_layer());
        if matches!(self.body, Body::Layers { .. }) {
            if compute.is_channels_last() {
                self.to_channels_last()?;
            }
            if let Some(kind) = compute.precision.autocast() {
                tch::no_grad(|| self.cast_weights(kind));
            }
            if compute.precision == Precision::Fp32 {
                folded = tch::no_grad(|| self.fold_batch_norms());
            }
            // What the layers no longer use is freed.
            self.state = State::of(Vec::new());
        }
        Ok(PreparedNetwork { network: self, folded, tapped_layer })
    }

    fn fold_batch_norms(&mut self) -> usize {
        match &mut self.body {
            Body::Layers { model, .. } => model.fold_batch_norms(),
            Body::Script(_) => 0,
        }
    }

    /// Of what autocast casts: convolutions, linear layers and the projections of attention.
    fn cast_weights(&self, kind: tch::Kind) {
        const CAST: [ModuleKind; 3] =
            [ModuleKind::Conv2d, ModuleKind::Linear, ModuleKind::MultiheadAttention];
        for module in self.modules().into_iter().filter(|module| CAST.contains(&module.kind())) {
            for (_, parameter) in module.parameters() {
                parameter.shallow_clone().set_data(&parameter.detach().to_kind(kind));
            }
        }
    }
}

impl PreparedNetwork {
    /// Batch norms that are part of a convolution now.
    pub fn num_folded(&self) -> usize {
        self.folded
    }
}

impl Classifier for PreparedNetwork {
    fn logits(&self, input: Input<'_>, compute: &Compute) -> Result<Tensor, ForwardError> {
        self.network.logits(input, compute)
    }

    fn embed(&self, images: &Tensor, compute: &Compute) -> Result<Embedded, ForwardError> {
        self.network.embed(images, compute)
    }

    fn tapped(&self, images: &Tensor, compute: &Compute) -> Result<Tapped, ForwardError> {
        // The network no longer knows the names of its layers.
        Ok(Tapped { layer: self.tapped_layer.clone(), ..self.network.tapped(images, compute)? })
    }
}
