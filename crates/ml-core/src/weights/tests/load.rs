//! States of files in networks that differ from them.

use std::collections::HashSet;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::write;
use crate::network::{Architecture, Network, NetworkSpec};
use test_support::python_json;

use crate::testing::checkpoint;
use crate::weights::load::fit;
use crate::weights::{Loaded, Origin, Part, WeightsError, load};
use torch_file::Value;

type State = Vec<(String, Tensor)>;

fn tiny(spec: impl Into<NetworkSpec>, seed: i64) -> Network {
    Network::new(Architecture::TinyNet, spec, seed, Device::Cpu)
}

/// Loads `state` into `network` by way of a file.
fn load_state(network: &Network, state: State, part: Part) -> Result<Loaded, WeightsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    write(&path, &Value::dict(state)).unwrap();
    load(network, &path, part)
}

fn names(state: &State) -> Vec<&str> {
    state.iter().map(|(name, _)| name.as_str()).collect()
}

fn get<'a>(state: &'a State, name: &str) -> &'a Tensor {
    &state.iter().find(|(known, _)| known == name).unwrap().1
}

/// `[1, 1]` of this value, under this name.
fn entry(name: &str, value: f64) -> (String, Tensor) {
    (name.to_owned(), Tensor::full([1, 1], value, (Kind::Float, Device::Cpu)))
}

#[test]
fn files_of_other_programs_give_torchvisions_logits() {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<f64> =
        serde_json::from_value(python_json("weights_files.py", &[folder.path()])).unwrap();
    let images = (Tensor::arange(2 * 3 * 64 * 64, (Kind::Double, Device::Cpu)) / 10.0).sin();
    let images = images.to_kind(Kind::Float).view([2, 3, 64, 64]);
    let network = Network::new(Architecture::Resnet18, 5, 1, Device::Cpu);
    let blank = Network::new(Architecture::Resnet18, 5, 1, Device::Cpu).state_dict();
    for file in ["references.pth", "lightning.ckpt", "old.pth"] {
        network.load_state_dict(&blank).unwrap();
        let loaded = load(&network, &folder.path().join(file), Part::Whole).unwrap();
        assert_eq!(loaded, Loaded::default(), "{file}");
        let logits = tch::no_grad(|| network.forward_t(&images, false)).flatten(0, -1);
        for (got, expected) in Vec::<f64>::try_from(logits).unwrap().iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{file}: {got}, {expected}");
        }
    }
}

#[test]
fn a_classifier_of_other_classes_stays_as_it_was_and_all_else_is_copied() {
    let (network, theirs) = (tiny(7, 1), tiny(10, 2).state_dict());
    let before: Vec<Tensor> = network.state_dict().iter().map(|(_, tensor)| tensor.copy()).collect();
    let loaded = load_state(&network, tiny(10, 2).state_dict(), Part::Whole).unwrap();
    let fresh = ["classifier.weight", "classifier.bias"].map(str::to_owned).to_vec();
    assert_eq!(loaded, Loaded { fresh: fresh.clone(), classes: Some(10), ..Loaded::default() });
    for (((name, tensor), before), (_, theirs)) in network.state_dict().iter().zip(&before).zip(&theirs) {
        assert_eq!(tensor, if fresh.contains(name) { before } else { theirs }, "{name}");
    }
}

#[test]
fn of_weights_without_a_classifier_the_layers_before_it_are_copied() {
    let network = tiny(10, 1);
    let head = network.state_dict().pop().unwrap().1.copy();
    let mut state = tiny(10, 2).state_dict();
    let place = state.len() - 1;
    state[place].1 = Tensor::full([10], f64::NAN, (Kind::Float, Device::Cpu));
    let loaded = load_state(
        &network,
        state.iter().map(|(n, t)| (n.clone(), t.shallow_clone())).collect(),
        Part::Features,
    );
    assert_eq!(loaded.unwrap().fresh, ["classifier.weight", "classifier.bias"]);
    assert_eq!(network.state_dict().pop().unwrap().1, head);
    assert_eq!(network.state_dict()[0].1, state[0].1);

    let error = load_state(&network, state, Part::Whole).unwrap_err().to_string();
    assert!(error.contains("NaN or Inf, in `classifier.bias`") && error.contains("x.pt"), "{error}");
}

#[test]
fn a_network_for_one_channel_takes_the_sum_over_three() {
    let grey = || NetworkSpec { in_channels: 1, ..NetworkSpec::from(10) };
    let (network, theirs) = (tiny(grey(), 1), tiny(10, 2));
    let loaded = load_state(&network, theirs.state_dict(), Part::Whole).unwrap();
    assert_eq!(loaded, Loaded { summed_channels: Some(3), ..Loaded::default() });
    // A grey image looks to the one as it looks, in three equal channels, to the other.
    let grey_image = (Tensor::arange(2 * 256, (Kind::Float, Device::Cpu)) / 10.0).sin().view([2, 1, 16, 16]);
    let ours = tch::no_grad(|| network.forward_t(&grey_image, false));
    let expected = tch::no_grad(|| theirs.forward_t(&grey_image.expand([2, 3, 16, 16], false), false));
    assert!((ours - expected).abs().max().double_value(&[]) < 1e-5);

    let error = load_state(&theirs, tiny(grey(), 3).state_dict(), Part::Whole).unwrap_err().to_string();
    assert!(
        error.contains("features.0.conv.weight: Float [16, 3, 3, 3] expected, Float [16, 1, 3, 3] found"),
        "{error}"
    );
}

#[test]
fn other_number_formats_become_the_networks() {
    let network = tiny(10, 1);
    let theirs = tiny(10, 2).state_dict();
    for kind in [Kind::Half, Kind::Double] {
        let state = theirs.iter().map(|(name, tensor)| {
            let is_count = tensor.kind() == Kind::Int64;
            (name.clone(), tensor.to_kind(if is_count { Kind::Int } else { kind }))
        });
        load_state(&network, state.collect(), Part::Whole).unwrap();
        let expected = theirs[0].1.to_kind(kind).to_kind(Kind::Float);
        assert_eq!(network.state_dict()[0].1, expected, "{kind:?}");
    }
}

#[test]
fn of_a_run_that_is_judged_by_its_averaged_weights_these_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let state = |seed| tiny(10, seed).state_dict();
    for (monitor, averaged) in [("ema_val_accuracy", true), ("val_accuracy", false)] {
        let mut checkpoint = checkpoint(1, 0.0);
        checkpoint.model_state_dict = state(2);
        checkpoint.ema_state_dict = Some(state(3));
        checkpoint.best = Value::Dict(vec![("monitor".into(), Value::Str(monitor.to_owned()))]);
        checkpoint.save(&path).unwrap();
        let network = tiny(10, 1);
        assert_eq!(load(&network, &path, Part::Whole).unwrap().averaged, averaged);
        assert_eq!(network.state_dict()[0].1, state(if averaged { 3 } else { 2 })[0].1, "{monitor}");
    }
}

#[test]
fn names_that_torchvision_has_changed_are_those_of_today() {
    let own = [
        "features.denseblock1.denselayer12.norm1.running_mean",
        "features.denseblock1.denselayer12.conv2.weight",
        "features.norm5.weight",
        "encoder.layers.encoder_layer_0.mlp.0.weight",
        "encoder.layers.encoder_layer_0.mlp.3.bias",
    ];
    let old = [
        "features.denseblock1.denselayer12.norm.1.running_mean",
        "features.denseblock1.denselayer12.conv.2.weight",
        "features.norm5.weight",
        "encoder.layers.encoder_layer_0.mlp.linear_1.weight",
        "encoder.layers.encoder_layer_0.mlp.linear_2.bias",
    ];
    let of = |names: [&str; 5]| names.map(|name| entry(name, 1.0)).into_iter().collect::<State>();
    let (state, loaded) = fit(&of(own), &HashSet::new(), of(old), Part::Whole);
    assert_eq!((names(&state), loaded), (own.to_vec(), Loaded::default()));
}

#[test]
fn auxiliary_classifiers_may_be_missing_or_left_over() {
    let with =
        || vec![entry("fc.weight", 1.0), entry("aux1.fc.weight", 2.0), entry("AuxLogits.fc.weight", 3.0)];
    let without = || vec![entry("fc.weight", 9.0)];
    let head = HashSet::from(["fc.weight", "aux1.fc.weight", "AuxLogits.fc.weight"]);
    let (state, loaded) = fit(&with(), &head, without(), Part::Whole);
    assert_eq!(loaded.absent, ["AuxLogits", "aux1"]);
    assert_eq!(get(&state, "fc.weight").double_value(&[0, 0]), 9.0);
    assert_eq!(get(&state, "aux1.fc.weight").double_value(&[0, 0]), 2.0);
    let (state, loaded) = fit(&without(), &head, with(), Part::Whole);
    assert_eq!((names(&state), loaded), (vec!["fc.weight"], Loaded::default()));

    let two_classes = |name: &str| (name.to_owned(), Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)));
    let theirs =
        vec![two_classes("fc.weight"), two_classes("aux1.fc.weight"), two_classes("AuxLogits.fc.weight")];
    let (_, loaded) = fit(&with(), &head, theirs, Part::Whole);
    assert_eq!((loaded.fresh.len(), loaded.classes), (3, Some(2)));
}

#[test]
fn what_differs_otherwise_is_listed_to_the_last_name() {
    let network = Network::new(Architecture::Resnet18, 10, 1, Device::Cpu);
    let before = network.state_dict()[0].1.copy();
    let error = load_state(&network, tiny(10, 2).state_dict(), Part::Whole).unwrap_err().to_string();
    let names = |network: &Network| network.state_dict().into_iter().map(|(name, _)| name).collect();
    let (mut own, theirs): (Vec<String>, Vec<String>) = (names(&network), names(&tiny(10, 2)));
    // Old files lack these, so that they are not missed.
    own.retain(|name| !name.ends_with("num_batches_tracked"));
    let [first, missing, unexpected] = error.lines().collect::<Vec<_>>()[..] else { panic!("{error}") };
    assert!(first.contains("x.pt") && first.ends_with("the weights are of another network"), "{error}");
    assert_eq!(missing, format!("  missing ({}): {}", own.len(), own.join(", ")));
    assert_eq!(unexpected, format!("  unexpected ({}): {}", theirs.len(), theirs.join(", ")));
    assert_eq!(network.state_dict()[0].1, before);
}

#[test]
fn a_file_of_another_kind_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    std::fs::write(&path, "<!DOCTYPE html><html>Please sign in</html>").unwrap();
    let error = load(&tiny(10, 1), &path, Part::Whole).unwrap_err().to_string();
    assert!(error.contains("x.pth") && error.contains("does not begin as"), "{error}");
}

#[test]
fn of_a_newer_program_no_weights_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    let network = tiny(3, 1);
    let before = network.state_dict()[0].1.copy();
    let mut newer = checkpoint(1, 0.0);
    newer.model_state_dict = tiny(3, 2).state_dict();
    newer.ema_state_dict = Some(tiny(3, 3).state_dict());
    newer.best = Value::dict([("monitor", Value::from("ema_val_accuracy".to_owned()))]);
    let Value::Dict(mut entries) = newer.into_value().unwrap() else { panic!("it is a dict") };
    entries[0] = ("format_version".into(), Value::Int(2));
    write(&path, &Value::Dict(entries)).unwrap();
    let error = load(&network, &path, Part::Whole).unwrap_err().to_string();
    assert!(error.contains("best.pt") && error.contains("reads up to 1: update it"), "{error}");
    assert_eq!(network.state_dict()[0].1, before);
    let error = Origin::read(&path).unwrap_err().to_string();
    assert!(error.contains("best.pt") && error.contains("reads up to 1: update it"), "{error}");
}
