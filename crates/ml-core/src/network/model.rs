//! A network of this library in its three parts: features, pooling, head.

use tch::Tensor;

use super::layers::{Layer, TrainOutputs};

/// A backbone (`features`, then `pool`) and a head, in timm's sense. Run one after another, they
/// are the network: the same operators in the same order as torchvision's `forward`.
#[derive(Debug)]
pub struct Model {
    features: Box<dyn Layer>,
    pool: Box<dyn Layer>,
    head: Box<dyn Layer>,
    num_features: i64,
}

impl Model {
    /// - `features`: images `[N, C, H, W]` → a feature map `[N, D, H', W']`, or tokens `[N, T, D]`;
    /// - `pool`, which has no parameters: → the embedding `[N, D]`;
    /// - `head`, all that torchvision calls the classifier, hidden layers included: → logits `[N,
    ///   K]`;
    /// - `num_features`: D of the embedding.
    ///
    /// None of the parts may begin with what works in place: its input is the caller's.
    pub fn new(
        features: impl Layer + 'static,
        pool: impl Layer + 'static,
        head: impl Layer + 'static,
        num_features: i64,
    ) -> Model {
        Model { features: Box::new(features), pool: Box::new(pool), head: Box::new(head), num_features }
    }

    /// Images → features.
    pub fn forward_features(&self, images: &Tensor, train: bool) -> Tensor {
        self.features.forward_t(images, train)
    }

    /// Features → embedding. The same in training and evaluation.
    pub fn pool(&self, features: &Tensor) -> Tensor {
        self.pool.forward_t(features, false)
    }

    /// Embedding → logits.
    pub fn forward_head(&self, embedding: &Tensor, train: bool) -> Tensor {
        self.head.forward_t(embedding, train)
    }

    /// Width of the embedding.
    pub fn num_features(&self) -> i64 {
        self.num_features
    }

    /// Images → logits.
    pub fn forward_t(&self, images: &Tensor, train: bool) -> Tensor {
        self.forward_head(&self.pool(&self.forward_features(images, train)), train)
    }

    /// See [`Layer::fold_batch_norms`].
    pub fn fold_batch_norms(&mut self) -> usize {
        self.features.fold_batch_norms() + self.pool.fold_batch_norms() + self.head.fold_batch_norms()
    }

    /// Images → logits in training, with those of auxiliary heads.
    pub fn forward_train(&self, images: &Tensor) -> TrainOutputs {
        let (features, auxiliary) = self.features.forward_train(images);
        TrainOutputs { logits: self.forward_head(&self.pool(&features), true), auxiliary }
    }
}
