//! Against Python: tests/reference/torchscript.py makes the files and says what it makes of them.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use crate::device::Compute;
use crate::network::{Classifier, ForwardError, Network, ScriptError, ScriptFile};
use test_support::{generator, python_json};

fn open(folder: &Path, name: &str) -> Result<Network, ScriptError> {
    Network::from_script(&ScriptFile::find(&[folder.join(name)], None)?, 3, Device::Cpu)
}

/// Opened and tried as before training.
fn tried(folder: &Path, name: &str) -> Result<(), String> {
    let network = open(folder, name).map_err(|error| error.to_string())?;
    let shape = [3, 16, 16];
    let _generator = generator();
    network
        .dry_run(shape, true)
        .and_then(|()| network.dry_run(shape, false))
        .map_err(|error| error.to_string())
}

fn image() -> Tensor {
    (Tensor::arange(2 * 3 * 16 * 16, (Kind::Double, Device::Cpu)) / 10.0)
        .sin()
        .to_kind(Kind::Float)
        .view([2, 3, 16, 16])
}

fn near(what: &str, got: &Tensor, expected: &serde_json::Value) {
    let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
    let got = Vec::<f64>::try_from(got.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap();
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(&expected) {
        // The same kernels on the same numbers; memory alignment may choose another.
        assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{what}: {got} and {expected}");
    }
}

#[test]
fn a_module_is_pythons_in_names_logits_gradients_and_buffers() {
    let place = tempfile::tempdir().unwrap();
    let reference = python_json("torchscript.py", &["make".as_ref(), place.path(), "3".as_ref()]);
    let network = open(place.path(), "net.pt").unwrap();
    let state: Vec<(String, Vec<i64>)> =
        network.state_dict().into_iter().map(|(name, tensor)| (name, tensor.size())).collect();
    assert_eq!(serde_json::json!(state), reference["state"]);
    let names: Vec<String> = network.parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(serde_json::json!(names), reference["parameters"]);

    tried(place.path(), "net.pt").unwrap();
    let copy = network.deep_copy().unwrap();
    for network in [&network, &copy] {
        near("logits", &tch::no_grad(|| network.forward_t(&image(), false)), &reference["eval_logits"]);
        let _generator = generator();
        tch::manual_seed(5);
        let logits = network.try_forward_t(&image(), true).unwrap();
        near("logits in training", &logits, &reference["train_logits"]);
        logits.square().sum(Kind::Float).backward();
        for (name, parameter) in network.parameters() {
            let grad = parameter.grad();
            assert_eq!(grad.defined(), reference["gradients"].get(&name).is_some(), "{name}");
            if grad.defined() {
                let sum = grad.to_kind(Kind::Double).abs().sum(Kind::Double);
                near(&name, &sum, &serde_json::json!([reference["gradients"][&name]]));
            }
        }
        for (name, buffer) in network.buffers() {
            let sum = buffer.to_kind(Kind::Double).sum(Kind::Double);
            near(&name, &sum, &serde_json::json!([reference["buffers"][&name]]));
        }
    }

    for error in [
        network.num_features().unwrap_err(),
        network.forward_features(&image(), false).unwrap_err(),
        network.pool(&image()).unwrap_err(),
        network.forward_head(&image(), false).unwrap_err(),
    ] {
        assert!(matches!(error, ScriptError::NoParts { .. }) && error.is_usage(), "{error}");
        assert!(error.to_string().contains("model.type: base"), "{error}");
    }
    let error = network.tapped(&image(), &Compute::fp32(Device::Cpu)).unwrap_err();
    assert!(matches!(error, ForwardError::Script(ScriptError::NoParts { .. })), "{error}");
    assert!(error.to_string().contains("Grad-CAM"), "{error}");
    let mut own = Vec::new();
    network.root().visit(&mut |module| own.extend(module.parameters().map(|(name, _)| name.to_owned())));
    assert_eq!(serde_json::json!(own), reference["parameters"]);
    everything_else_is_refused(place.path());
    an_average_and_another_state_go_through_names(&network, &copy);
}

fn everything_else_is_refused(folder: &Path) {
    tried(folder, "switchless.pt").unwrap();
    for (name, parts) in [
        ("traced.pt", ["`batch_norm` cannot switch", "torch.jit.script(net).save"]),
        ("wrapped.pt", ["cannot switch", "torch.jit.script(net).save"]),
        ("frozen.pt", ["no parameter to train", "before torch.jit.freeze"]),
        ("classes.pt", ["outputs 4 logits, but the data set has 3 classes", "build it with 3 outputs"]),
        ("two.pt", ["its output is Tuple[Tensor, Tensor]", "a single tensor"]),
        ("map.pt", ["gives Float [2, 12, 16, 16]", "[N, classes]"]),
        ("detached.pt", ["depends on no parameter", "detach()"]),
        ("weights.pt", ["holds no program", "torch.jit.script(net).save"]),
        ("garbage.pt", ["another kind of file", "torch.jit.script(net).save"]),
        ("cut.pt", ["another kind of file, or cut short", "torch.jit.script(net).save"]),
        ("none.pt", ["model.path", "does not exist"]),
    ] {
        let error = tried(folder, name).unwrap_err();
        assert!(error.contains(name), "{error}");
        for part in parts {
            assert!(error.contains(part), "{name}: `{part}` is not in: {error}");
        }
        assert!(!error.contains('\n') && !error.contains("0x"), "{error}");
    }
    let network = open(folder, "net.pt").unwrap();
    let error = network.dry_run([1, 16, 16], false).unwrap_err().to_string();
    assert!(error.contains("[2, 1, 16, 16]") && error.contains("to have 3 channels"), "{error}");
    let _generator = generator();
    let moody = open(folder, "moody.pt").unwrap();
    let step = || moody.try_forward_t(&image(), true).map(drop);
    step().and_then(|()| step()).unwrap();
    let error = step().unwrap_err().to_string();
    assert!(error.contains("ValueError: had enough") && error.contains("torchscript.py, line"), "{error}");
}

fn an_average_and_another_state_go_through_names(network: &Network, twin: &Network) {
    let config = crate::optimizer::EmaConfig { decay: 0.5, warmup_steps: 0 };
    let mut ema = crate::optimizer::Ema::new(&config, network).unwrap();
    let value = |state: &[(String, Tensor)], name: &str| {
        state.iter().find(|(known, _)| known == name).unwrap().1.flatten(0, -1).double_value(&[0])
    };
    let before = value(&network.state_dict(), "blocks.0.norm.bias");
    tch::no_grad(|| {
        for (_, mut parameter) in network.parameters() {
            let _ = parameter.g_add_scalar_(1.0);
        }
    });
    ema.set_num_updates(1);
    ema.update(network).unwrap();
    // A tensor with two names is averaged once.
    for name in ["blocks.0.norm.bias", "again.norm.bias"] {
        assert!((value(&ema.network().state_dict(), name) - before - 0.5).abs() < 1e-6);
    }
    assert!(value(&twin.state_dict(), "again.norm.bias") == before, "the twin is another network");
    twin.load_state_dict(&network.state_dict()).unwrap();
    let logits = |network: &Network| tch::no_grad(|| network.forward_t(&image(), false));
    assert_eq!(logits(network), logits(twin));
}

#[test]
fn the_first_file_with_the_right_content_is_taken() {
    let place = tempfile::tempdir().unwrap();
    let [one, two, none] = ["one.pt", "two.pt", "none.pt"].map(|name| place.path().join(name));
    std::fs::write(&one, "one").unwrap();
    std::fs::write(&two, "two").unwrap();
    let hash = ScriptFile::new(&two, b"two".to_vec()).sha256().to_owned();
    let find = |sha256| ScriptFile::find(&[none.clone(), one.clone(), two.clone()], sha256);
    assert_eq!(find(None).unwrap().path(), one);
    assert_eq!(find(Some(&hash)).unwrap().path(), two);
    let error = find(Some(&"0".repeat(64))).unwrap_err().to_string();
    for part in ["none.pt does not exist", "one.pt has another content", "Put that very file back"] {
        assert!(error.contains(part), "{error}");
    }
}
