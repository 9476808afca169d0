//! A network of this library in its three parts: features, pooling, head.

use tch::Tensor;

use super::layers::{Cut, Layer, Tap, TrainOutputs, forward_all};

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

    /// Images → logits in evaluation, with `tap` on the feature map within the last layer that has
    /// one, else on the features. What comes before it records no gradients; what comes after does
    /// as the caller has set.
    pub fn forward_tapped(&self, images: &Tensor, tap: Tap<'_>) -> Tensor {
        let layers = self.layers();
        let tapped =
            layers.iter().enumerate().rev().find_map(|(place, at)| Some((place, at.layer.as_tapped()?)));
        let Some((place, layer)) = tapped else {
            let features = tch::no_grad(|| self.forward_features(images, false));
            return self.forward_head(&self.pool(&tap(&features)), false);
        };
        let input = tch::no_grad(|| run(&layers[..place], images, false).logits);
        run(&layers[place + 1..], &layer.forward_tapped(&input, tap), false).logits
    }

    /// See [`Layer::fold_batch_norms`].
    pub fn fold_batch_norms(&mut self) -> usize {
        self.features.fold_batch_norms() + self.pool.fold_batch_norms() + self.head.fold_batch_norms()
    }

    /// Images → logits in training, with those of auxiliary heads.
    pub fn forward_train(&self, images: &Tensor) -> TrainOutputs {
        let (features, auxiliary) = self.features.forward_train(images);
        let embedding = self.pool(&features);
        TrainOutputs { logits: self.forward_head(&embedding, true), embedding: Some(embedding), auxiliary }
    }

    /// All layers from images to logits, one after another; those of nested sequences each by
    /// itself.
    pub fn layers(&self) -> Vec<LayerInOrder<'_>> {
        let (mut layers, mut sequences) = (Vec::new(), 0);
        for part in [&self.features, &self.pool] {
            add_layers(part.as_ref(), None, &mut sequences, &mut layers);
        }
        let head = layers.len();
        add_layers(self.head.as_ref(), None, &mut sequences, &mut layers);
        layers[head].begins_head = true;
        layers
    }

    /// Places in [`Model::layers`] at which gradient checkpointing cuts the features: behind each block
    /// and pooling but the last, to which what is left of the network belongs.
    pub fn cuts(&self) -> Vec<usize> {
        let (mut cuts, mut place) = (Vec::new(), 0);
        add_cuts(self.features.as_ref(), &mut place, &mut cuts);
        cuts.pop();
        let layers = self.layers();
        // An activation may be a part of the norm in front of it, or work in place.
        cuts.retain(|&cut| layers[cut].layer.as_norm_activation().is_none());
        cuts
    }
}

/// Whether there is more in it than single operations.
fn has_block(layer: &dyn Layer) -> bool {
    match layer.sequence() {
        Some(parts) => parts.iter().any(|part| has_block(part.as_ref())),
        None => layer.cut() != Cut::Nowhere,
    }
}

/// `place` is that of `layer`, and then of what comes behind it. A sequence without a block is one.
fn add_cuts(layer: &dyn Layer, place: &mut usize, cuts: &mut Vec<usize>) {
    let before = *place;
    match layer.sequence() {
        Some(parts) if has_block(layer) => {
            return parts.iter().for_each(|part| add_cuts(part.as_ref(), place, cuts));
        }
        Some(_) => *place += num_layers(layer),
        None => *place += 1,
    }
    let cut = if layer.sequence().is_some() { Cut::Behind } else { layer.cut() };
    if cut == Cut::Joined && cuts.last() == Some(&before) {
        cuts.pop();
    }
    if cut != Cut::Nowhere {
        cuts.push(*place);
    }
}

/// Those of nested sequences each counted.
fn num_layers(layer: &dyn Layer) -> usize {
    layer.sequence().map_or(1, |parts| parts.iter().map(|part| num_layers(part.as_ref())).sum())
}

/// One of a network's layers.
#[derive(Clone, Copy, Debug)]
pub struct LayerInOrder<'a> {
    layer: &'a dyn Layer,
    /// The number of the sequence that it stands in; none of a whole part.
    sequence: Option<usize>,
    /// Whether its input is the embedding.
    begins_head: bool,
}

/// `sequences` have been seen so far.
fn add_layers<'a>(
    layer: &'a dyn Layer,
    sequence: Option<usize>,
    sequences: &mut usize,
    layers: &mut Vec<LayerInOrder<'a>>,
) {
    let Some(parts) = layer.sequence() else {
        return layers.push(LayerInOrder { layer, sequence, begins_head: false });
    };
    let own = Some(*sequences);
    *sequences += 1;
    parts.iter().for_each(|part| add_layers(part.as_ref(), own, sequences, layers));
}

/// Runs layers one after another, those of a sequence as it runs them, in training with auxiliary
/// heads.
pub fn run(layers: &[LayerInOrder<'_>], input: &Tensor, train: bool) -> TrainOutputs {
    let mut outputs = TrainOutputs { logits: input.shallow_clone(), embedding: None, auxiliary: Vec::new() };
    for group in layers.chunk_by(|one, next| one.sequence == next.sequence) {
        if group.first().is_some_and(|first| first.sequence.is_some() && first.begins_head) {
            outputs.embedding = Some(outputs.logits.shallow_clone());
        }
        let alone = group.iter().filter(|layer| layer.sequence.is_none());
        for LayerInOrder { layer, begins_head, .. } in alone {
            if *begins_head {
                outputs.embedding = Some(outputs.logits.shallow_clone());
            }
            let (output, auxiliary) = if train {
                layer.forward_train(&outputs.logits)
            } else {
                (layer.forward_t(&outputs.logits, false), Vec::new())
            };
            outputs.logits = output;
            outputs.auxiliary.extend(auxiliary);
        }
        let together: Vec<&dyn Layer> =
            group.iter().filter(|layer| layer.sequence.is_some()).map(|layer| layer.layer).collect();
        outputs.logits = forward_all(&together, &outputs.logits, train);
    }
    outputs
}
