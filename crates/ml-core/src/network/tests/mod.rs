pub(crate) mod compare;
mod formats;
mod gradient_checkpointing;
#[path = "../../../../../docs/examples/plain_net.rs"]
pub(super) mod plain_net;
mod prefix;
mod prepared;
mod script;
pub(crate) mod transformers;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use compare::{Comparison, compare, digest};
use tch::Kind;
use test_support::{generator, python, python_json};

/// A light network of each family (of vision transformers, `tests/transformers.rs` compares a small
/// one); all others are compared by `cargo xtask reference --all` and swept by the ignored test.
pub(crate) const LIGHT: [Architecture; 21] = [
    Architecture::Alexnet,
    Architecture::Vgg11,
    Architecture::Squeezenet11,
    Architecture::Densenet121,
    Architecture::Googlenet,
    Architecture::InceptionV3,
    Architecture::ShufflenetV2x05,
    Architecture::Mnasnet05,
    Architecture::MobilenetV2,
    Architecture::MobilenetV3Small,
    Architecture::Resnet18,
    Architecture::Resnext50,
    Architecture::Resnet18Cifar,
    Architecture::Resnet9,
    Architecture::Resnet20,
    Architecture::EfficientnetB0,
    Architecture::EfficientnetV2S,
    Architecture::RegnetY400Mf,
    Architecture::ConvnextTiny,
    Architecture::MaxvitT,
    Architecture::SwinV2T,
];

/// Limit of [`Comparison::init`]: one unit in the last place of every element. The same calls to the
/// same generator are made, but the inverse of erf behind truncated normal distributions is MKL's,
/// whose last bit depends on the processor. Other random numbers differ by 1e-4 and more.
const INIT_LIMIT: f64 = f32::EPSILON as f64;

/// See [`compare::image`].
pub(crate) fn image(batch: i64, side: i64) -> Tensor {
    compare::image(batch, (side, side))
}

/// Compares networks, each with the arguments by which torchvision's becomes the same, in one run
/// of Python.
fn compared(networks: &[(Architecture, NetworkSpec, &str)]) -> Vec<(&'static str, Comparison)> {
    let arguments: Vec<String> = networks
        .iter()
        .flat_map(|(architecture, spec, more)| {
            let (name, size) = (architecture.name(), architecture.reference_size());
            [format!("{name}:{more}"), spec.num_classes.to_string(), size.to_string()]
        })
        .collect();
    let arguments: Vec<&std::path::Path> = arguments.iter().map(AsRef::as_ref).collect();
    let references = python("network.py", &arguments);
    assert_eq!(references.lines().count(), networks.len());
    let beside = |((architecture, spec, _), reference): (&(Architecture, NetworkSpec, &str), &str)| {
        let (name, size) = (architecture.name(), architecture.reference_size());
        let spec = NetworkSpec { image_size: Some((size, size)), ..spec.clone() };
        let network = Network::new(*architecture, spec, 7, Device::Cpu);
        let _generator = generator();
        let found = compare(&network, (size, size), &serde_json::from_str(reference).unwrap());
        (name, found.unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    networks.iter().zip(references.lines()).map(beside).collect()
}

/// Every network of a family has the same code; these are swept here.
#[test]
fn a_network_of_each_family_equals_torchvisions_in_names_initial_weights_logits_and_gradients() {
    for (name, found) in compared(&LIGHT.map(|architecture| (architecture, NetworkSpec::from(10), ""))) {
        assert!(found.init <= INIT_LIMIT, "{name}: {found:?}");
        // float32 over some dozen layers: other kernels may be chosen by memory alignment.
        assert!(found.logits <= 1e-5 && found.gradients <= 1e-4, "{name}: {found:?}");
        // Eight bits of mantissa; the same roundings but where a fused kernel does the work of
        // several.
        assert!(found.bf16_logits <= 3e-2, "{name}: {found:?}");
        // Statistics of a batch of two images amplify the same differences.
        assert!(found.train_logits <= 1e-3, "{name}: {found:?}");
    }
}

#[test]
fn what_the_spec_changes_is_what_torchvisions_arguments_change() {
    let spec = NetworkSpec { dropout: Some(0.25), ..NetworkSpec::from(10) };
    let transforming = NetworkSpec { transform_input: true, ..spec.clone() };
    let networks = [
        (Architecture::Squeezenet11, spec.clone(), "dropout=0.25"),
        (Architecture::Densenet121, spec.clone(), "drop_rate=0.25"),
        (Architecture::Googlenet, transforming, "dropout=0.25,transform_input=true"),
        (Architecture::Mnasnet05, spec.clone(), "dropout=0.25"),
        (Architecture::MobilenetV2, spec.clone(), "dropout=0.25"),
        (Architecture::MobilenetV3Small, spec.clone(), "dropout=0.25"),
        (
            Architecture::EfficientnetB0,
            NetworkSpec { drop_path: Some(0.5), ..spec },
            "dropout=0.25,stochastic_depth_prob=0.5",
        ),
    ];
    for (name, found) in compared(&networks) {
        assert!(found.logits <= 1e-5 && found.train_logits <= 1e-3, "{name}: {found:?}");
    }
}

#[test]
fn what_is_left_out_in_training_follows_the_given_probabilities() {
    for architecture in LIGHT {
        let size = architecture.reference_size();
        let changes = |dropout: f64, drop_path: f64| {
            let spec = NetworkSpec {
                dropout: Some(dropout),
                drop_path: Some(drop_path),
                image_size: Some((size, size)),
                ..NetworkSpec::from(5)
            };
            let network = Network::new(architecture, spec, 1, Device::Cpu);
            // Scales that begin near zero would hide what a branch gives.
            network
                .parameters()
                .iter()
                .filter(|(name, _)| name.ends_with("layer_scale"))
                .for_each(|(_, scale)| tch::no_grad(|| drop(scale.shallow_clone().fill_(1.0))));
            let _generator = generator();
            let [first, second] = [1, 2].map(|seed| {
                tch::manual_seed(seed);
                tch::no_grad(|| network.forward_t(&image(2, size), true))
            });
            let apart = (&first - second).abs().max().double_value(&[]);
            apart > 1e-3 * first.abs().max().double_value(&[])
        };
        let name = architecture.name();
        assert!(!changes(0.0, 0.0), "{name}");
        assert_eq!(changes(0.5, 0.0), architecture.has_dropout(), "{name}");
        assert_eq!(changes(0.0, 0.5), architecture.has_drop_path(), "{name}");
    }
}

#[test]
fn networks_for_small_images_have_the_published_sizes() {
    let [cifar, resnet18, resnet9] =
        [Architecture::Resnet18Cifar, Architecture::Resnet18, Architecture::Resnet9]
            .map(|architecture| Network::new(architecture, 10, 1, Device::Cpu));
    assert_eq!(cifar.num_parameters(), 11_173_962);
    assert_eq!(resnet9.num_parameters(), 6_573_120);
    let shapes = |network: &Network| -> Vec<(String, Vec<i64>)> {
        network.state_dict().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
    };
    let (mut expected, found) = (shapes(&resnet18), shapes(&cifar));
    expected[0].1 = vec![64, 3, 3, 3];
    assert_eq!(found, expected);
    for network in [cifar, resnet9] {
        assert_eq!(network.forward_t(&image(2, 32), false).size(), [2, 10]);
    }
}

/// In thousands and millions, table 6 of the paper: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M.
#[test]
fn residual_networks_for_cifar_have_the_papers_numbers_of_parameters() {
    for (architecture, parameters) in [
        (Architecture::Resnet20, 269_722),
        (Architecture::Resnet32, 464_154),
        (Architecture::Resnet44, 658_586),
        (Architecture::Resnet56, 853_018),
        (Architecture::Resnet110, 1_727_962),
    ] {
        let network = Network::new(architecture, 10, 1, Device::Cpu);
        assert_eq!(network.num_parameters(), parameters, "{}", architecture.name());
    }
}

/// Also: its smallest input works and none below it does, what can be left out in training is if
/// the spec says so, grey images and a single class are no exception, and in evaluation a single
/// image is none.
fn runs_learns_and_gives_its_state_back(architecture: Architecture) {
    let side = |least| i64::from(architecture.side_from(least));
    let (name, min) = (architecture.name(), side(1));
    let drops = architecture.has_dropout() || architecture.has_drop_path();
    for (in_channels, num_classes, size, probability) in [(1, 1, min, 0.0), (3, 1000, side(33), 0.5)] {
        let spec = NetworkSpec {
            in_channels,
            image_size: Some((size, size)),
            dropout: Some(probability),
            drop_path: Some(probability),
            ..NetworkSpec::from(num_classes)
        };
        let network = Network::new(architecture, spec, 1, Device::Cpu);
        // A vision transformer's head begins as zeros, which would hide what comes to it.
        let heads: HashSet<&str> = network.head().collect();
        assert!(!heads.is_empty(), "{name} has no head");
        for (_, head) in network.parameters().iter().filter(|(name, _)| heads.contains(name.as_str())) {
            let waves = Tensor::arange(head.numel() as i64, (Kind::Float, Device::Cpu)).sin() * 0.1;
            tch::no_grad(|| head.shallow_clone().copy_(&waves.view_as(head)));
        }
        let images = |batch, size| image(batch, size).narrow(1, 0, in_channels);
        let train = |size, seed| {
            let _generator = generator();
            tch::manual_seed(seed);
            network.forward_train(&images(2, size))
        };
        // A network for one size, or for multiples of a size, may take others that it does not mean
        // to.
        if size == min && min > 1 && side(min as u32 + 1) == min + 1 {
            assert!(architecture.size_problem((min as u32 - 1, min as u32)).is_some(), "{name}");
            let below = catch_unwind(AssertUnwindSafe(|| train(min - 1, 1)));
            assert!(below.is_err(), "{name} at {}", min - 1);
        }
        let outputs = train(size, 1);
        let varies = tch::no_grad(|| train(size, 2)).logits != outputs.logits;
        assert_eq!(varies, drops && probability > 0.0, "{name} with probability {probability}");
        let auxiliary = outputs.auxiliary.iter().map(|(_, logits)| logits);
        let loss: Tensor = std::iter::once(&outputs.logits)
            .chain(auxiliary)
            .inspect(|logits| assert_eq!(logits.size(), [2, num_classes], "{name}"))
            .map(|logits| logits.square().sum(Kind::Float))
            .sum();
        loss.backward();
        for (parameter, tensor) in network.parameters() {
            assert!(tensor.grad().defined(), "{name}: {parameter} has no gradient");
            let is_head = heads.contains(parameter.as_str());
            assert!(!is_head || tensor.size()[0] == num_classes, "{name}: {parameter} is in the head");
        }

        let evaluate = || tch::no_grad(|| network.forward_t(&images(1, size), false));
        let alone = evaluate();
        is_the_sum_of_its_parts(architecture, &network, &images(1, size), &alone);
        assert_eq!(alone.size(), [1, num_classes], "{name}");
        assert!(bool::try_from(alone.isfinite().all()).unwrap(), "{name}");
        let state = network.state_dict();
        let saved: Vec<_> =
            state.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect();
        tch::no_grad(|| state.iter().for_each(|(_, tensor)| drop(tensor.shallow_clone().zero_())));
        network.load_state_dict(&saved).unwrap();
        assert_eq!(evaluate(), alone, "{name}");
    }
}

/// Features, pooling and head one after another give the `logits` of the whole, to the bit, and the
/// embedding has the stated width, which is that of the first layer of torchvision's classifier.
fn is_the_sum_of_its_parts(architecture: Architecture, network: &Network, images: &Tensor, logits: &Tensor) {
    let name = architecture.name();
    let _no_grad = tch::no_grad_guard();
    let features = network.forward_features(images, false).unwrap();
    let embedding = network.pool(&features).unwrap();
    let before = embedding.copy();
    assert_eq!(network.forward_head(&embedding, false).unwrap(), *logits, "{name}");
    assert_eq!(embedding, before, "{name}: the head overwrites the embedding");
    let width = network.num_features().unwrap();
    assert_eq!(embedding.size()[1], width, "{name}");
    let is_tokens = name.starts_with("vit_");
    assert_eq!(features.dim(), if is_tokens { 3 } else { 4 }, "{name}");
    let is_convolutional = name.starts_with("squeezenet");
    assert_eq!(embedding.dim(), if is_convolutional { 4 } else { 2 }, "{name}");
    if architecture.is_torchvisions() {
        let mut inputs = Vec::new();
        let names = ["classifier", "fc", "head", "heads"];
        let head = network.root().children().find(|child| names.contains(&child.name())).unwrap();
        head.visit(&mut |module| {
            if matches!(module.kind(), ModuleKind::Linear | ModuleKind::Conv2d) {
                inputs.extend(module.parameters().next().map(|(_, weight)| weight.size()[1]));
            }
        });
        assert_eq!(inputs.first(), Some(&width), "{name}");
    }
}

#[test]
fn a_copy_has_the_layout_the_dtypes_and_the_frozen_parameters_of_the_original() {
    let network = Network::new(Architecture::TinyNet, 5, 3, Device::Cpu);
    network.to_channels_last().unwrap();
    network.freeze(&Freeze::Backbone).unwrap();
    let (_, mut classifier) = network.parameters().pop().unwrap();
    classifier.set_data(&classifier.detach().to_kind(Kind::Double));
    let _ = tch::no_grad(|| network.forward_features(&image(2, 16), true)).unwrap();
    let copy = network.deep_copy().unwrap();
    for ((name, own), (_, original)) in copy.state_dict().into_iter().zip(network.state_dict()) {
        assert_eq!(own, original, "{name}");
        assert_eq!((own.kind(), own.stride()), (original.kind(), original.stride()), "{name}");
        assert_eq!(own.requires_grad(), original.requires_grad(), "{name}");
        assert!(own.data_ptr() != original.data_ptr(), "{name} is shared");
    }
    let names = |network: &Network| -> Vec<(String, ModuleKind)> {
        network.modules().iter().map(|module| (module.name().to_owned(), module.kind())).collect()
    };
    assert_eq!(names(&copy), names(&network));
    // An exponential moving average adds up in place, which wants the layouts to be equal; the
    // first convolution of three channels is one whose strides differ between them.
    let floats = |network: &Network| -> Vec<Tensor> {
        let state = network.state_dict().into_iter().map(|(_, tensor)| tensor);
        state.filter(|tensor| tensor.kind() == Kind::Float).collect()
    };
    let before: Vec<Tensor> = floats(&copy).iter().map(Tensor::copy).collect();
    tch::no_grad(|| {
        floats(&network).iter().for_each(|tensor| drop(tensor.shallow_clone().g_add_scalar_(1.0)));
    });
    tch::no_grad(|| torch_ext::lerp(&floats(&copy), &floats(&network), 0.5)).unwrap();
    for (own, before) in floats(&copy).iter().zip(before) {
        // The mean of a and a + 1, rounded to float32.
        assert!(own.allclose(&(before + 0.5), 0.0, 1e-5, false));
    }
}

#[test]
fn the_tree_of_modules_has_every_tensor_once_and_names_the_single_value_batch_norm() {
    let network = Network::new(Architecture::Resnet18, 5, 3, Device::Cpu);
    let mut names = Vec::new();
    network.root().visit(&mut |module| {
        for (name, _) in module.parameters().chain(module.buffers()) {
            assert_eq!(name.rsplit_once('.').unwrap().0, module.name());
            names.push(name);
        }
        assert_eq!(module.is_head(), module.name() == "fc");
    });
    let state = network.state_dict();
    assert_eq!(names, state.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());
    let values: Vec<[f64; 3]> = state.iter().map(|(_, tensor)| digest(tensor)).collect();
    let found = |side| network.single_value_batch_norm([3, side, side]).unwrap();
    assert_eq!(found(32).as_deref(), Some("layer4.0.bn1"));
    assert_eq!(found(64), None);
    assert_eq!(values, network.state_dict().iter().map(|(_, tensor)| digest(tensor)).collect::<Vec<_>>());
}

#[test]
fn every_family_runs_learns_and_gives_its_state_back() {
    for architecture in LIGHT.into_iter().chain([Architecture::SimpleCnn, Architecture::TinyNet]) {
        runs_learns_and_gives_its_state_back(architecture);
    }
}

#[test]
#[ignore = "minutes, and 15 GB of memory; part of `cargo xtask reference --all`"]
fn every_network_runs_learns_and_gives_its_state_back() {
    for architecture in Architecture::ALL.iter().copied() {
        runs_learns_and_gives_its_state_back(architecture);
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
    let before: Vec<[f64; 3]> = network.state_dict().iter().map(|(_, tensor)| digest(tensor)).collect();
    let mut state = Network::new(Architecture::TinyNet, 7, 2, Device::Cpu).state_dict();
    state[0].0 = "stem.weight".to_owned();
    let error = network.load_state_dict(&state).unwrap_err();
    assert_eq!(error.missing, ["features.0.conv.weight"]);
    assert_eq!(error.unexpected, ["stem.weight"]);
    assert_eq!(error.misshapen.len(), 2, "{error}");
    assert!(error.to_string().contains("[10, 64] expected, Float [7, 64] found"), "{error}");
    let after: Vec<[f64; 3]> = network.state_dict().iter().map(|(_, tensor)| digest(tensor)).collect();
    assert_eq!(before, after);
}

#[test]
fn names_are_read_and_written() {
    for architecture in Architecture::ALL.iter().copied() {
        assert_eq!(Architecture::from_name(architecture.name()), Some(architecture));
        assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
    }
}
