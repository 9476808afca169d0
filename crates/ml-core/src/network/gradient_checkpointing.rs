//! Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): the forward pass of training keeps
//! what enters each segment of a network, not what is within; the backward pass runs each segment
//! once more, from the last to the first.
//!
//! Gradients have the bits of those without it: a segment runs with the same operations and the same
//! random numbers both times, and what batch norms add to their statistics counts once.

use tch::Tensor;
use torch_ext::RngState;

use super::forward::{ForwardError, Input, in_f32};
use super::layers::TrainOutputs;
use super::model::{Model, run};
use super::{Architecture, Network, StatisticsCopy};
use crate::device::Compute;

/// A forward pass of training, and the way back.
#[derive(Debug)]
pub struct TrainPass<'a> {
    /// As [`Network::train_outputs`] gives them.
    pub outputs: TrainOutputs,
    /// None where everything was kept.
    checkpoints: Option<Checkpoints<'a>>,
}

/// What a forward pass has kept.
#[derive(Debug)]
struct Checkpoints<'a> {
    model: &'a Model,
    compute: Compute,
    segments: Vec<Segment>,
    /// What enters the last segment, all of which is kept.
    last: Tensor,
    /// Behind the forward pass.
    generator: RngState,
    statistics: StatisticsCopy,
}

/// A segment that is computed twice.
#[derive(Debug)]
struct Segment {
    /// In [`Model::layers`].
    layers: std::ops::Range<usize>,
    /// A leaf, with a gradient if something in front of it is trained.
    input: Tensor,
    generator: RngState,
}

impl Network {
    /// As [`Network::train_outputs`]; the backward pass is [`TrainPass::backward`]. With
    /// `checkpointing` it takes less memory and more time, where the network can be cut: not a
    /// TorchScript module, nor one with auxiliary heads.
    ///
    /// # Errors
    /// As [`Network::train_outputs`].
    pub fn train_pass(
        &self,
        input: Input<'_>,
        compute: &Compute,
        checkpointing: bool,
    ) -> Result<TrainPass<'_>, ForwardError> {
        let has_heads = self.architecture().is_none_or(Architecture::has_auxiliary_heads);
        if !checkpointing || has_heads {
            return Ok(TrainPass { outputs: self.train_outputs(input, compute)?, checkpoints: None });
        }
        let model = self.model()?;
        let (first, input) = match input {
            Input::Images(images) => (0, compute.images(images)?),
            Input::Features(rows, prefix) => (prefix.num_layers(), prefix.layer_input(rows)),
        };
        let mut cuts = model.cuts();
        cuts.retain(|&cut| cut > first);
        let (segments, last) = segments(model, compute, input, first, &cuts)?;
        let begin = cuts.last().copied().unwrap_or(first);
        let outputs = compute.run(|| run(&model.layers()[begin..], &last, true))?;
        let TrainOutputs { logits, embedding, auxiliary } = outputs;
        let embedding = embedding.map(|embedding| in_f32(embedding, compute));
        let outputs = TrainOutputs { logits: in_f32(logits, compute), embedding, auxiliary };
        let (generator, statistics) = (RngState::of(&last)?, self.copy_statistics()?);
        let compute = *compute;
        let checkpoints = Checkpoints { model, compute, segments, last, generator, statistics };
        Ok(TrainPass { outputs, checkpoints: Some(checkpoints) })
    }
}

/// Runs all segments but the last, and lets go of what is within each; they end at `cuts`. Also
/// gives what enters the last.
fn segments(
    model: &Model,
    compute: &Compute,
    mut input: Tensor,
    first: usize,
    cuts: &[usize],
) -> Result<(Vec<Segment>, Tensor), ForwardError> {
    let (layers, mut begin) = (model.layers(), first);
    let mut segments = Vec::with_capacity(cuts.len());
    for &end in cuts {
        let generator = RngState::of(&input)?;
        // With gradients recorded: without, libtorch may take other kernels.
        let output = compute.run(|| run(&layers[begin..end], &input, true))?.logits;
        let boundary = output.detach().set_requires_grad(output.requires_grad());
        segments.push(Segment { layers: begin..end, input, generator });
        (input, begin) = (boundary, end);
    }
    Ok((segments, input))
}

impl TrainPass<'_> {
    /// The backward pass from `loss`, a scalar made of the outputs.
    ///
    /// # Errors
    /// libtorch's: no memory.
    pub fn backward(self, loss: &Tensor) -> Result<(), ForwardError> {
        let Some(Checkpoints { model, compute, mut segments, last, generator: end, statistics }) =
            self.checkpoints
        else {
            loss.backward();
            return Ok(());
        };
        let layers = model.layers();
        let mut gradient = torch_ext::backward(loss, None, needing_grad(&last))?;
        drop(last);
        while let (Some(arrived), Some(segment)) = (gradient, segments.pop()) {
            let Segment { layers: own, input, generator } = segment;
            generator.restore()?;
            let output = compute.run(|| run(&layers[own], &input, true))?.logits;
            gradient = torch_ext::backward(&output, Some(&arrived), needing_grad(&input))?;
        }
        end.restore()?;
        Ok(statistics.put_back()?)
    }
}

fn needing_grad(tensor: &Tensor) -> Option<&Tensor> {
    Some(tensor).filter(|tensor| tensor.requires_grad())
}
