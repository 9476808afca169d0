//! The layers at a network's beginning whose output for an image never changes, and what they make
//! of images as rows of a table.
//!
//! Which layers those are is not listed by architecture but found by running them once: in training
//! a layer belongs to the rest of the network if its output needs a gradient (something in it is
//! trained, and a batch norm that is trained also changes its statistics), if it draws random
//! numbers (dropout, stochastic depth), or if it has an auxiliary head.

use tch::{Device, Kind, Tensor};

use super::layers::TrainOutputs;
use super::model::{LayerInOrder, Model, run};
use super::{Body, Network};
use crate::device::Compute;

/// The frozen layers at a network's beginning, and the layout of their output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// How many of [`Model::layers`].
    layers: usize,
    /// Whether they run as in training.
    train: bool,
    /// Of an image's features, without the batch dimension.
    shape: Vec<i64>,
    /// The dimensions of `shape`, outermost in memory first.
    order: Vec<i64>,
    kind: Kind,
}

impl Prefix {
    /// F: numbers that an image becomes.
    pub fn num_features(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }

    /// Shape of an image's features: `[D]`, `[D, H, W]` or `[T, D]`.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Of the features: f32, or that of autocast.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes of an image's features.
    pub fn bytes(&self) -> usize {
        self.num_features() * self.kind.elt_size_in_bytes()
    }

    /// How many layers these are.
    pub fn num_layers(&self) -> usize {
        self.layers
    }

    /// Images → rows `[N, F]`, in the order in which the features lie in memory.
    pub(super) fn forward(&self, model: &Model, images: &Tensor) -> Tensor {
        let layers = model.layers();
        let run = || run(&layers[..self.layers], images, self.train).logits;
        let features = if self.train { run() } else { tch::no_grad(run) };
        let outermost_first: Vec<i64> =
            std::iter::once(0).chain(self.order.iter().map(|dim| dim + 1)).collect();
        features.detach().permute(outermost_first).flatten(1, -1)
    }

    /// Rows `[N, F]` → what the rest of the network makes of them.
    pub(super) fn forward_rest(&self, model: &Model, rows: &Tensor, train: bool) -> TrainOutputs {
        run(&model.layers()[self.layers..], &self.layer_input(rows), train)
    }

    /// Rows `[N, F]` as the layer behind the prefix gets them.
    pub(super) fn layer_input(&self, rows: &Tensor) -> Tensor {
        let size = |dim: &i64| self.shape[*dim as usize];
        let sizes: Vec<i64> = rows.size()[..1].iter().copied().chain(self.order.iter().map(size)).collect();
        let mut back = vec![0; self.order.len() + 1];
        for (place, dim) in (1..).zip(&self.order) {
            back[*dim as usize + 1] = place;
        }
        rows.view(sizes.as_slice()).permute(back)
    }

    /// A prefix of so many layers that end in `features`; none where these do not fill their memory
    /// image by image.
    fn ending_in(features: &Tensor, layers: usize, train: bool) -> Option<Prefix> {
        let (sizes, strides) = (features.size(), features.stride());
        let mut order: Vec<i64> = (0..sizes.len() as i64 - 1).collect();
        order.sort_by_key(|dim| std::cmp::Reverse(strides[*dim as usize + 1]));
        let outermost_first: Vec<i64> = std::iter::once(0).chain(order.iter().map(|dim| dim + 1)).collect();
        let is_dense = features.permute(outermost_first).is_contiguous();
        is_dense.then(|| Prefix { layers, train, shape: sizes[1..].to_vec(), order, kind: features.kind() })
    }
}

/// Why a network has no [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPrefix {
    /// It is a TorchScript module.
    #[error("a TorchScript module cannot be run in parts")]
    Script,
    /// The first layer has parameters that are trained.
    #[error("no layer lies wholly in front of those that are trained")]
    Trained,
    /// The first layer draws random numbers.
    #[error("dropout or stochastic depth begins in the first layer")]
    Random,
    /// Auxiliary heads begin in the first layer.
    #[error("its auxiliary heads, which are trained, lie within its frozen layers")]
    Auxiliary,
}

impl Network {
    /// The longest beginning of the network whose output for an image `[C, H, W]` is the same in
    /// every step, as the parameters are frozen now: in training if `train`, else in evaluation,
    /// where nothing is random. Reseeds libtorch's generator; nothing else of the network changes.
    ///
    /// # Errors
    /// No memory, or libtorch has no such autocast.
    pub fn frozen_prefix(
        &self,
        [channels, height, width]: [i64; 3],
        train: bool,
        compute: &Compute,
    ) -> Result<Result<Prefix, NoPrefix>, torch_ext::Error> {
        let Ok(model) = self.model() else { return Ok(Err(NoPrefix::Script)) };
        let images = Tensor::zeros([2, channels, height, width], (Kind::Float, self.device));
        let images = compute.images(&images)?;
        // The first layer behind the prefix runs too, and may be a batch norm.
        let buffers = self.buffers();
        let before: Vec<Tensor> = buffers.iter().map(|(_, buffer)| buffer.copy()).collect();
        let found = tch::with_grad(|| compute.run(|| longest(&model.layers(), &images, train)));
        for ((_, buffer), before) in buffers.into_iter().zip(before) {
            tch::no_grad(|| buffer.shallow_clone().copy_(&before));
        }
        found?
    }

    /// Which layers it consists of.
    pub(crate) fn description(&self) -> String {
        match &self.body {
            Body::Layers { architecture, spec, .. } => format!("{} {spec:?}", architecture.name()),
            Body::Script(_) => "a TorchScript module".to_owned(),
        }
    }

    /// Whether `other`, a copy of this network, has the same values wherever this one is frozen.
    pub fn frozen_part_equals(&self, other: &Network) -> bool {
        self.modules().into_iter().zip(other.modules()).all(|(own, others)| {
            let is_frozen = |tensor: &Tensor| !tensor.requires_grad();
            let mut parameters = own.parameters().zip(others.parameters());
            let same = parameters.all(|((_, a), (_, b))| !is_frozen(a) || a.equal(b));
            let keeps_buffers = own.parameters().all(|(_, tensor)| is_frozen(tensor));
            let mut buffers = own.buffers().zip(others.buffers());
            same && (!keeps_buffers || buffers.all(|((_, a), (_, b))| a.equal(b)))
        })
    }
}

fn longest(
    layers: &[LayerInOrder<'_>],
    images: &Tensor,
    train: bool,
) -> Result<Result<Prefix, NoPrefix>, torch_ext::Error> {
    let mut found = Err(NoPrefix::Trained);
    let mut x = images.shallow_clone();
    for (number, layer) in layers.iter().enumerate() {
        let (outputs, draws) = noting_draws(images.device(), || run(&[*layer], &x, train))?;
        let obstacle = if !outputs.auxiliary.is_empty() {
            Some(NoPrefix::Auxiliary)
        } else if outputs.logits.requires_grad() {
            Some(NoPrefix::Trained)
        } else {
            draws.then_some(NoPrefix::Random)
        };
        if let Some(obstacle) = obstacle {
            return Ok(found.map_err(|_| obstacle));
        }
        x = outputs.logits;
        found = Prefix::ending_in(&x, number + 1, train).ok_or(NoPrefix::Trained).or(found);
    }
    Ok(found)
}

/// Whether `body` draws from libtorch's generator: what comes after it then is not what comes
/// first.
fn noting_draws<T>(device: Device, body: impl FnOnce() -> T) -> Result<(T, bool), torch_ext::Error> {
    let draw = || Tensor::rand([16], (Kind::Float, device));
    torch_ext::manual_seed(0)?;
    let first = draw();
    torch_ext::manual_seed(0)?;
    let result = body();
    Ok((result, !draw().equal(&first)))
}
