//! States of files in networks that differ from them.

use std::collections::HashSet;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::write;
use crate::network::{Architecture, Network, NetworkSpec};
use test_support::python_json;

use crate::testing::checkpoint;
use crate::weights::fit::Target;
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
    load(network, &path, None, part)
}

fn names(state: &State) -> Vec<&str> {
    state.iter().map(|(name, _)| name.as_str()).collect()
}

fn get<'a>(state: &'a State, name: &str) -> &'a Tensor {
    &state.iter().find(|(known, _)| known == name).unwrap().1
}

/// What is made of the names of `state` that begin as most known ones do.
fn fit(own: &State, head: &HashSet<&str>, state: &State, part: Part) -> (State, Loaded) {
    let target = Target::new(own, head.clone(), part, &|_| Vec::new());
    let prefix = target.names.prefixes(state).first().map(|prefix| prefix.text.clone());
    let fit = target.fit(state, &prefix.unwrap_or_default());
    (fit.state, fit.loaded)
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
    let class = || Some("torchvision.models.resnet.ResNet".to_owned());
    for (file, key, prefix, module) in [
        ("references.pth", "model", "module.", None),
        ("lightning.ckpt", "state_dict", "net._orig_mod.", None),
        ("old.pth", "", "", None),
        ("objects.pth", "state_dict", "", None),
        ("whole.pth", "", "", class()),
        ("whole_legacy.pth", "", "", class()),
        ("yolo.pt", "model", "", class()),
    ] {
        network.load_state_dict(&blank).unwrap();
        let loaded = load(&network, &folder.path().join(file), None, Part::Whole).unwrap();
        let (key, prefix) = (key.to_owned(), prefix.to_owned());
        assert_eq!(loaded, Loaded { key, prefix, module, ..Loaded::default() }, "{file}");
        let logits = tch::no_grad(|| network.forward_t(&images, false)).flatten(0, -1);
        for (got, expected) in Vec::<f64>::try_from(logits).unwrap().iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-5, "{file}: {got}, {expected}");
        }
    }
    for (file, parts) in [
        (
            "call.pth",
            &["whole pickled object `posix.system`", "torch.save(model.state_dict(), 'weights.pth')"][..],
        ),
        (
            "called.pth",
            &["no weights in it", "`state_dict` (a Python object `posix.system`)", "state_dict()"],
        ),
        ("part.pth", &["`state_dict.fc.bias` should be a tensor, found a Python object `posix.system`"]),
        ("numbers.pth", &["no weights in it", "there is `epoch` (the int 3), `lr` (the float 0.1)"]),
    ] {
        let error = load(&network, &folder.path().join(file), None, Part::Whole).unwrap_err();
        assert!(error.is_usage(), "{error}");
        for part in [parts, &[file]].concat() {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
        assert!(!folder.path().join("executed").exists());
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
fn a_network_for_more_channels_takes_red_green_and_blue_in_turn() {
    let five = NetworkSpec { in_channels: 5, ..NetworkSpec::from(10) };
    let (network, theirs) = (tiny(five, 1), tiny(10, 2));
    let loaded = load_state(&network, theirs.state_dict(), Part::Whole).unwrap();
    assert!(loaded.adapted[0].contains("5 channels instead of 3"), "{:?}", loaded.adapted);
    let (ours, theirs) = (network.state_dict(), theirs.state_dict());
    let (ours, weight) = (&ours[0].1, &theirs[0].1);
    for (channel, of) in [0, 1, 2, 0, 1].into_iter().enumerate() {
        let difference = ours.select(1, channel as i64) - weight.select(1, of) * 0.6;
        assert!(difference.abs().max().double_value(&[]) < 1e-6, "{channel}");
    }
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
        assert_eq!(load(&network, &path, None, Part::Whole).unwrap().averaged, averaged);
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
    let (state, loaded) = fit(&of(own), &HashSet::new(), &of(old), Part::Whole);
    assert_eq!((names(&state), loaded), (own.to_vec(), Loaded::default()));
}

#[test]
fn auxiliary_classifiers_may_be_missing_or_left_over() {
    let with =
        || vec![entry("fc.weight", 1.0), entry("aux1.fc.weight", 2.0), entry("AuxLogits.fc.weight", 3.0)];
    let without = || vec![entry("fc.weight", 9.0)];
    let head = HashSet::from(["fc.weight", "aux1.fc.weight", "AuxLogits.fc.weight"]);
    let (state, loaded) = fit(&with(), &head, &without(), Part::Whole);
    assert_eq!(loaded.absent, ["AuxLogits", "aux1"]);
    assert_eq!(get(&state, "fc.weight").double_value(&[0, 0]), 9.0);
    assert_eq!(get(&state, "aux1.fc.weight").double_value(&[0, 0]), 2.0);
    let (state, loaded) = fit(&without(), &head, &with(), Part::Whole);
    assert_eq!((names(&state), loaded), (vec!["fc.weight"], Loaded::default()));

    let two_classes = |name: &str| (name.to_owned(), Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)));
    let theirs =
        vec![two_classes("fc.weight"), two_classes("aux1.fc.weight"), two_classes("AuxLogits.fc.weight")];
    let (_, loaded) = fit(&with(), &head, &theirs, Part::Whole);
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
    let error = load(&tiny(10, 1), &path, None, Part::Whole).unwrap_err().to_string();
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
    let error = load(&network, &path, None, Part::Whole).unwrap_err().to_string();
    assert!(error.contains("best.pt") && error.contains("reads up to 1: update it"), "{error}");
    assert_eq!(network.state_dict()[0].1, before);
    let error = Origin::read(&path).unwrap_err().to_string();
    assert!(error.contains("best.pt") && error.contains("reads up to 1: update it"), "{error}");
}

/// Loads what a file with this content holds into a network for 10 classes; what was done, and the
/// seed of the weights that it has then.
fn load_value(value: &Value, key: Option<&str>) -> Result<(Loaded, i64), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pth");
    write(&path, value).unwrap();
    let network = tiny(10, 1);
    let before = network.state_dict()[0].1.copy();
    let loaded = load(&network, &path, key, Part::Whole);
    let after = network.state_dict()[0].1.copy();
    match loaded {
        Ok(loaded) => {
            let seed = (2..9).find(|seed| after == tiny(10, *seed).state_dict()[0].1);
            Ok((loaded, seed.expect("they are those of a seed")))
        }
        Err(error) => {
            assert_eq!(after, before, "nothing is changed");
            assert!(error.is_usage(), "{error}");
            Err(error.to_string().replace(&path.display().to_string(), "x.pth"))
        }
    }
}

/// The weights of a seed, with this before each name.
fn prefixed(prefix: &str, seed: i64) -> State {
    tiny(10, seed)
        .state_dict()
        .into_iter()
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
        .collect()
}

/// Without the classifier.
fn headless(prefix: &str, seed: i64) -> State {
    let mut state = prefixed(prefix, seed);
    state.retain(|(name, _)| !name.contains("classifier"));
    state
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::dict(entries)
}

const FRESH: [&str; 2] = ["classifier.weight", "classifier.bias"];

#[test]
fn weights_are_found_under_any_key() {
    for key in [
        "net",
        "params",
        "params_ema",
        "model_ema",
        "state_dict_ema",
        "model",
        "state_dict",
        "model_state_dict",
        "teacher",
        "student",
        "ema",
        "module",
        "weights",
        "network",
        "encoder",
        "G",
    ] {
        let value =
            dict([(key, Value::dict(prefixed("", 2))), ("epoch", 7_i64.into()), ("acc", 94.1.into())]);
        let (loaded, seed) = load_value(&value, None).unwrap();
        assert_eq!((loaded, seed), (Loaded { key: key.to_owned(), ..Loaded::default() }, 2));
    }
    let state = || Value::dict(prefixed("module.", 2));
    let slots = Value::dict([("exp_avg", Tensor::zeros([16, 3, 3, 3], (Kind::Float, Device::Cpu)))]);
    let optimizer = || Value::dict([("state", Value::dict([(0_i64, slots.shallow_clone())]))]);
    for (value, key) in [
        (dict([("model", dict([("state_dict", state())]))]), "model.state_dict"),
        (dict([("checkpoint", dict([("model", state())])), ("optimizer", optimizer())]), "checkpoint.model"),
        (dict([("model", state()), ("opt", optimizer())]), "model"),
        (Value::Tuple(vec![state(), 3_i64.into()]), "0"),
    ] {
        let (loaded, seed) = load_value(&value, None).unwrap();
        assert_eq!((loaded.key.as_str(), loaded.prefix.as_str(), seed), (key, "module.", 2));
    }
}

#[test]
fn of_several_weights_that_fit_one_is_named() {
    let of = |seed| Value::dict(prefixed("", seed));
    let two = dict([("student", of(2)), ("teacher", of(3)), ("epoch", 7_i64.into())]);
    let error = load_value(&two, None).unwrap_err();
    for part in ["x.pth: several weights", "`student`, `teacher`", "--weights x.pth:student"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    assert_eq!(load_value(&two, Some("teacher")).unwrap().1, 3);
    let error = load_value(&two, Some("ema")).unwrap_err();
    assert!(error.contains("no weights called `ema`") && error.contains("`student`, `teacher`"), "{error}");

    // The same tensors twice are no choice, and what is established comes first.
    assert_eq!(load_value(&dict([("a", of(2)), ("b", of(2))]), None).unwrap().0.key, "a");
    let averaged = dict([("model_ema", of(3)), ("model", of(2))]);
    let (loaded, seed) = load_value(&averaged, None).unwrap();
    assert_eq!((seed, loaded.key.as_str(), loaded.others), (2, "model", vec!["model_ema".to_owned()]));
    assert_eq!(load_value(&averaged, Some("model_ema")).unwrap().1, 3);

    // By what names begin with, too, after a key or at the root.
    let both = || prefixed("student.backbone.", 2).into_iter().chain(prefixed("teacher.backbone.", 3));
    for (value, key) in
        [(Value::dict(both()), ""), (dict([("state_dict", Value::dict(both()))]), "state_dict.")]
    {
        let error = load_value(&value, None).unwrap_err();
        assert!(error.contains(&format!("`{key}student.backbone`, `{key}teacher.backbone`")), "{error}");
        for name in ["teacher", "teacher.backbone"] {
            let (loaded, seed) = load_value(&value, Some(&format!("{key}{name}"))).unwrap();
            assert_eq!((seed, loaded.prefix.as_str()), (3, "teacher.backbone."));
        }
    }

    // What is only compared with is not meant where both are there.
    for (own, other) in
        [("backbone.", "backbone_momentum."), ("base_encoder.", "momentum_encoder."), ("b.", "target_net.")]
    {
        let both = prefixed(own, 2).into_iter().chain(prefixed(other, 3));
        let (loaded, seed) = load_value(&Value::dict(both), None).unwrap();
        assert_eq!((seed, loaded.prefix.as_str()), (2, own));
    }
    let moco = prefixed("module.encoder_q.", 2).into_iter().chain(prefixed("module.encoder_k.", 3));
    let (loaded, seed) = load_value(&dict([("state_dict", Value::dict(moco))]), None).unwrap();
    assert_eq!((seed, loaded.prefix.as_str()), (2, "module.encoder_q."));
    assert_eq!(loaded.others, ["state_dict.module.encoder_k"]);
    assert_eq!(loaded.extra.len(), prefixed("", 2).len());
}

#[test]
fn names_may_begin_with_anything_and_stand_beside_others() {
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    for prefix in [
        "module.",
        "_orig_mod.",
        "model.",
        "backbone.",
        "encoder.",
        "net.",
        "base_model.",
        "student.backbone.",
        "module.model._orig_mod.",
        "backbone.body.",
        "features.",
    ] {
        let extra = || [("head.fc.weight".to_owned(), zeros(&[3, 9])), ("queue".to_owned(), zeros(&[2, 2]))];
        let state = prefixed(prefix, 2).into_iter().chain(extra());
        let (loaded, seed) = load_value(&Value::dict(state), None).unwrap();
        assert_eq!((seed, loaded.prefix.as_str()), (2, prefix));
        assert_eq!(
            (loaded.extra, loaded.fresh),
            (vec!["head.fc.weight".to_owned(), "queue".to_owned()], vec![])
        );

        let state = headless(prefix, 2).into_iter().chain(extra());
        let (loaded, seed) = load_value(&Value::dict(state), None).unwrap();
        assert_eq!((seed, loaded.prefix.as_str(), loaded.classes), (2, prefix, None));
        assert_eq!(loaded.fresh, FRESH);
    }
    // Wrappers of single modules, and what a profiler leaves.
    let wrapped = prefixed("", 2)
        .into_iter()
        .map(|(name, tensor)| (name.replace(".conv.", "._orig_mod.conv."), tensor));
    let counted = [("features.0.total_ops".to_owned(), zeros(&[1]))];
    assert_eq!(load_value(&Value::dict(wrapped.chain(counted)), None).unwrap().1, 2);
}

#[test]
fn a_missing_classifier_is_newly_initialised_and_another_kind_of_one_left_out() {
    let network = tiny(10, 1);
    let head = network.state_dict().pop().unwrap().1.copy();
    let loaded = load_state(&network, headless("", 2), Part::Whole).unwrap();
    assert_eq!(
        (loaded.fresh, loaded.classes, loaded.extra),
        (FRESH.map(str::to_owned).to_vec(), None, vec![])
    );
    assert_eq!(network.state_dict().pop().unwrap().1, head);
    let mut state = headless("", 2);
    state.push(("classifier.0.weight".to_owned(), Tensor::zeros([2, 2], (Kind::Float, Device::Cpu))));
    let loaded = load_state(&tiny(10, 1), state, Part::Whole).unwrap();
    assert_eq!(
        (loaded.fresh.as_slice(), loaded.extra.as_slice()),
        (&FRESH.map(str::to_owned)[..], &["classifier.0.weight".to_owned()][..])
    );
}

#[test]
fn a_part_of_the_network_or_a_larger_one_is_another_network() {
    let mut part = prefixed("backbone.", 2);
    part.retain(|(name, _)| !name.contains("features.1."));
    let error = load_value(&dict([("model", Value::dict(part))]), None).unwrap_err();
    for words in [
        "the weights are of another network",
        "missing (5): features.1.conv.weight, ",
        "tensors fit, of the names under `model` after `backbone.`",
    ] {
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
    assert!(!error.contains("unexpected"), "{error}");

    let mut larger = prefixed("module.", 2);
    larger.push(("module.features.9.conv.weight".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    let error = load_value(&Value::dict(larger), None).unwrap_err();
    assert!(error.contains("unexpected (1): module.features.9.conv.weight"), "{error}");

    // All of ResNet-18 is in ResNet-34.
    let network = |architecture| Network::new(architecture, 10, 1, Device::Cpu);
    let state = network(Architecture::Resnet34).state_dict();
    let error = load_state(&network(Architecture::Resnet18), state, Part::Whole).unwrap_err().to_string();
    assert!(
        error.contains("another network") && error.contains("unexpected (96): layer1.2.conv1.weight"),
        "{error}"
    );
    // The classifier alone is no network.
    let mut head = prefixed("", 2);
    head.retain(|(name, _)| name.contains("classifier"));
    assert!(load_value(&Value::dict(head), None).unwrap_err().contains("missing ("));
}

#[test]
fn names_of_any_length_take_no_time() {
    let long = |last: &str| {
        (format!("{}{last}", "a.".repeat(1 << 19)), Tensor::zeros([1], (Kind::Float, Device::Cpu)))
    };
    let started = std::time::Instant::now();
    assert!(load_value(&Value::dict([long("b"), long("features.0.conv.weight")]), None).is_err());
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}
