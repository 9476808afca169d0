use super::*;
use crate::testing::python_json;
use tch::Kind;

/// `[N, 3, S, S]`, made by a formula that both sides can compute: sin(i / 10) of the place i.
fn picture(batch: i64, size: i64) -> Tensor {
    (Tensor::arange(batch * 3 * size * size, (Kind::Double, Device::Cpu)) / 10.0)
        .sin()
        .to_kind(Kind::Float)
        .view([batch, 3, size, size])
}

/// Sum and sum of magnitudes in float64: what tells one tensor's values from another's.
fn digest(tensor: &Tensor) -> [f64; 2] {
    let tensor = tensor.detach().to_kind(Kind::Double);
    [tensor.sum(Kind::Double), tensor.abs().sum(Kind::Double)].map(|sum| sum.double_value(&[]))
}

fn close(got: f64, expected: f64, tolerance: f64) -> bool {
    (got - expected).abs() <= tolerance * (1.0 + expected.abs())
}

#[test]
fn resnets_equal_torchvisions_in_names_initial_weights_logits_gradients_and_statistics() {
    for architecture in [Architecture::Resnet18, Architecture::Resnet34, Architecture::Resnet50] {
        let reference = python_json("network.py", &[architecture.name().as_ref()]);
        let network = Network::new(architecture, 10, 7, Device::Cpu);
        let state = network.state_dict();
        let expected = reference["state"].as_array().unwrap();
        assert_eq!(state.len(), expected.len(), "{}", architecture.name());
        for ((name, tensor), expected) in state.iter().zip(expected) {
            assert_eq!(name.as_str(), expected["name"].as_str().unwrap());
            assert_eq!(serde_json::json!(tensor.size()), expected["shape"], "{name}");
            // The same calls to the same generator give the same bits; only the order of summing is open.
            let [sum, magnitude]: [f64; 2] = serde_json::from_value(expected["digest"].clone()).unwrap();
            let got = digest(tensor);
            assert!(close(got[0], sum, 1e-12) && close(got[1], magnitude, 1e-12), "{name}: {got:?}");
        }
        let input = picture(2, 64);
        // Other kernels may be chosen by memory alignment: float32 over some dozen layers.
        let compare = |what: &str, got: &Tensor| {
            let got = Vec::<f64>::try_from(got.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap();
            let expected: Vec<f64> = serde_json::from_value(reference[what].clone()).unwrap();
            assert_eq!(got.len(), expected.len());
            for (got, expected) in got.into_iter().zip(expected) {
                assert!(close(got, expected, 1e-5), "{} {what}: {got} and {expected}", architecture.name());
            }
        };
        compare("eval_logits", &tch::no_grad(|| network.forward_t(&input, false)));
        let logits = network.forward_t(&input, true);
        compare("train_logits", &logits);
        logits.cross_entropy_for_logits(&Tensor::from_slice(&[3i64, 8])).backward();
        for (name, tensor) in network.parameters() {
            if let Some(expected) = reference["gradients"].get(&name) {
                let [_, magnitude] = digest(&tensor.grad());
                assert!(close(magnitude, expected.as_f64().unwrap(), 1e-3), "gradient of {name}");
            }
        }
        let after = network.state_dict();
        for (name, tensor) in after.iter().filter(|(name, _)| name.starts_with("bn1.")) {
            let [sum, _] = digest(tensor);
            assert!(close(sum, reference["buffers"][name].as_f64().unwrap(), 1e-4), "{name}");
        }
    }
}

#[test]
fn every_network_runs_learns_and_gives_its_state_back() {
    for architecture in Architecture::ALL {
        for num_classes in [1, 1000] {
            let size = i64::from(architecture.min_input()).max(33);
            let network = Network::new(architecture, num_classes, 1, Device::Cpu);
            let logits = network.forward_t(&picture(2, size), true);
            assert_eq!(logits.size(), [2, num_classes], "{}", architecture.name());
            logits.square().sum(Kind::Float).backward();
            for (name, parameter) in network.parameters() {
                assert!(parameter.grad().defined(), "{}: {name} has no gradient", architecture.name());
            }
            let alone = tch::no_grad(|| network.forward_t(&picture(1, size), false));
            assert!(bool::try_from(alone.isfinite().all()).unwrap());

            let other = Network::new(architecture, num_classes, 2, Device::Cpu);
            other.load_state_dict(&network.state_dict()).unwrap();
            assert_eq!(tch::no_grad(|| other.forward_t(&picture(1, size), false)), alone);
        }
    }
}

#[test]
fn the_smallest_allowed_input_works() {
    for architecture in Architecture::ALL {
        let network = Network::new(architecture, 3, 1, Device::Cpu);
        let size = i64::from(architecture.min_input());
        let logits = tch::no_grad(|| network.forward_t(&picture(1, size), false));
        assert_eq!(logits.size(), [1, 3], "{}", architecture.name());
    }
}

#[test]
fn the_seed_alone_decides_the_initial_weights() {
    let weights =
        |seed| digest(&Network::new(Architecture::TinyNet, 10, seed, Device::Cpu).state_dict()[0].1);
    assert_eq!(weights(3), weights(3));
    assert_ne!(weights(3), weights(4));
}

#[test]
fn weights_of_another_network_are_refused_with_every_difference_and_nothing_is_changed() {
    let network = Network::new(Architecture::TinyNet, 10, 1, Device::Cpu);
    let before: Vec<[f64; 2]> = network.state_dict().iter().map(|(_, tensor)| digest(tensor)).collect();
    let mut state = Network::new(Architecture::TinyNet, 7, 2, Device::Cpu).state_dict();
    state[0].0 = "stem.weight".to_owned();
    let error = network.load_state_dict(&state).unwrap_err();
    assert_eq!(error.missing, ["features.0.conv.weight"]);
    assert_eq!(error.unexpected, ["stem.weight"]);
    assert_eq!(error.misshapen.len(), 2, "{error}");
    assert!(error.to_string().contains("[10, 64] expected, Float [7, 64] found"), "{error}");
    let after: Vec<[f64; 2]> = network.state_dict().iter().map(|(_, tensor)| digest(tensor)).collect();
    assert_eq!(before, after);
}

#[test]
fn names_are_read_and_written() {
    for architecture in Architecture::ALL {
        assert_eq!(Architecture::from_name(architecture.name()), Some(architecture));
        assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
    }
}
