//! The transformers, made small: beside torchvision's with all kinds of dropout, and weights for
//! other images.

use std::sync::LazyLock;

use serde_json::Value;

use super::*;
use crate::network::{swin, vit};

const CLASSES: i64 = 5;
const VIT: vit::Variant =
    vit::Variant { patch: 8, depth: 2, heads: 2, width: 16, mlp_width: 24, attention_dropout: 0.2 };
const SWIN: swin::Variant = swin::Variant {
    version: swin::Version::One,
    width: 32,
    depths: [2, 2, 1, 2],
    drop_path: 0.2,
    attention_dropout: 0.2,
};
const SWIN_V2: swin::Variant = swin::Variant { version: swin::Version::Two, ..SWIN };

/// What `transformers.py` prints.
static REFERENCE: LazyLock<Value> = LazyLock::new(|| python_json("transformers.py", &[]));

fn spec(height: i64, width: i64) -> NetworkSpec {
    NetworkSpec {
        image_size: Some((height, width)),
        dropout: Some(0.1),
        drop_path: Some(0.3),
        ..NetworkSpec::from(CLASSES)
    }
}

/// A network that is in no list, from seed 7.
pub(super) fn small(spec: NetworkSpec, build: impl Fn(&Scope, &NetworkSpec) -> Model) -> Network {
    let scope = Scope::root();
    let model = build(&scope, &spec);
    Network {
        body: Body::Layers { architecture: Architecture::VitB16, spec, model },
        device: Device::Cpu,
        state: scope.finish(7),
    }
}

pub(crate) fn small_vit(side: i64) -> Network {
    small(spec(side, side), |scope, spec| vit::build(scope, spec, &VIT))
}

pub(crate) fn small_swin_v2() -> Network {
    small(spec(32, 32), |scope, spec| swin::build(scope, spec, &SWIN_V2))
}

/// Position embeddings of `side` by `side` patches by the formula of `transformers.py`.
fn positions(side: i64) -> Tensor {
    let wave = Tensor::arange((1 + side * side) * VIT.width, (Kind::Double, Device::Cpu)) / 7.0;
    wave.sin().to_kind(Kind::Float).view([1, -1, VIT.width])
}

fn replaced(network: &Network, name: &str, tensor: &Tensor) -> Vec<(String, Tensor)> {
    let mut state = network.state_dict();
    let place = state.iter().position(|(known, _)| known == name).unwrap();
    state[place].1 = tensor.shallow_clone();
    state
}

#[test]
fn dropouts_and_odd_sizes_are_torchvisions() {
    for name in ["vit", "swin", "swin_v2"] {
        let case = &REFERENCE["networks"][name];
        let size = (case["height"].as_i64().unwrap(), case["width"].as_i64().unwrap());
        let network = small(spec(size.0, size.1), |scope, spec| match name {
            "vit" => vit::build(scope, spec, &VIT),
            "swin" => swin::build(scope, spec, &SWIN),
            _ => swin::build(scope, spec, &SWIN_V2),
        });
        let _generator = generator();
        let found =
            compare(&network, size, &case["figures"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Limits as for the networks themselves; nothing amplifies here.
        assert!(found.init <= INIT_LIMIT, "{name}: {found:?}");
        assert!(found.logits <= 1e-5 && found.gradients <= 1e-4, "{name}: {found:?}");
        assert!(found.train_logits <= 1e-5, "{name}: {found:?}");
        let others = tch::no_grad(|| network.forward_t(&compare::image(2, size), true));
        let again = tch::no_grad(|| network.forward_t(&compare::image(2, size), true));
        assert_ne!(others, again, "{name}: nothing is dropped");
    }
}

#[test]
fn position_embeddings_for_another_size_are_interpolated_as_by_torchvision() {
    for case in REFERENCE["positions"].as_array().unwrap() {
        let (from, to) = (case["from"].as_i64().unwrap(), case["to"].as_i64().unwrap());
        let (given, wanted) = (small_vit(from * VIT.patch), small_vit(to * VIT.patch));
        let mut state = replaced(&given, vit::POSITIONS, &positions(from));
        let changes = wanted.adapt_state(&mut state);
        let line =
            format!("encoder.pos_embedding was interpolated from {from} x {from} patches to {to} x {to}");
        assert_eq!(changes, [line]);
        wanted.load_state_dict(&state).unwrap();
        let (_, loaded) = wanted.state_dict().into_iter().find(|(name, _)| name == vit::POSITIONS).unwrap();
        let expected: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
        let expected = Tensor::from_slice(&expected).view_as(&loaded);
        // The same kernel of the same library; a few ulps of float32 in case another is chosen.
        assert!(loaded.detach().allclose(&expected, 0.0, 1e-6, false), "{from} to {to}");
    }
}

#[test]
fn weights_that_fit_or_cannot_be_made_to_are_left_alone() {
    let network = small_vit(24);
    let mut state = network.state_dict();
    assert!(network.adapt_state(&mut state).is_empty());
    network.load_state_dict(&state).unwrap();
    for shape in [[1, 7, VIT.width], [1, 17, 2 * VIT.width], [2, 17, VIT.width], [1, 1, VIT.width]] {
        let tensor = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let mut state = replaced(&network, vit::POSITIONS, &tensor);
        assert!(network.adapt_state(&mut state).is_empty(), "{shape:?}");
        let error = network.load_state_dict(&state).unwrap_err().to_string();
        assert!(error.contains("encoder.pos_embedding"), "{error}");
    }
    let swin = small(spec(32, 32), |scope, spec| swin::build(scope, spec, &SWIN));
    assert!(swin.adapt_state(&mut state).is_empty());
}

#[test]
fn windows_are_masked_for_the_size_of_each_batch() {
    let swin = || small(spec(32, 32), |scope, spec| swin::build(scope, spec, &SWIN));
    let network = swin();
    let logits =
        |network: &Network, size| tch::no_grad(|| network.forward_t(&compare::image(1, size), false));
    for size in [(64, 64), (40, 96), (96, 40), (64, 64)] {
        assert_eq!(logits(&network, size), logits(&swin(), size), "{size:?}");
    }
}
