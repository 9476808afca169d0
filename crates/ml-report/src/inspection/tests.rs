//! Multiply-adds and parameters against torchvision's tables, and memory against steps that were
//! really taken.

use super::*;
use ml_core::config::{parse_set, resolve};
use ml_core::network::Architecture;
use ml_core::weights::Origin;
use test_support::{generator, python_json};

fn config(sets: &[&str]) -> Config {
    let sets: Vec<_> = sets.iter().map(|text| parse_set(text).unwrap()).collect();
    resolve(None, &sets, &Origin::read).unwrap().config
}

#[test]
fn parameters_and_multiply_adds_are_those_of_torchvisions_tables() {
    let names = ["resnet18", "resnext50_32x4d"];
    let reference = python_json("costs.py", &names.map(std::path::Path::new));
    for name in names {
        let architecture = format!("model.architecture={name}");
        let found = inspect(&config(&[&architecture, "training.batch_size=1"]), Some(1000)).unwrap();
        let expected = &reference[name];
        assert_eq!(found.trainable_parameters, expected["num_params"].as_u64().unwrap(), "{name}");
        assert_eq!((found.frozen_parameters, found.unused_parameters), (0, 0), "{name}");
        assert_eq!(found.buffers, expected["buffers"].as_u64().unwrap(), "{name}");
        // The tables have three decimals.
        let difference = found.gflops() - expected["ops"].as_f64().unwrap();
        assert!(difference.abs() <= 0.0005, "{name}: {} and {expected}", found.gflops());
    }
}

#[test]
fn a_torchscript_modules_attention_and_matrix_products_count_as_pytorch_counts_them() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("net.pt");
    let reference = python_json("torchscript.py", &["cost".as_ref(), &path]);
    let model = format!("model={{type: torchscript, path: {}}}", path.display());
    let sizes = "transforms={train: {resize: [16, 16]}, val: {resize: [16, 16]}}";
    let found = inspect(&config(&[&model, sizes]), None).unwrap();
    assert_eq!(Some(found.multiply_adds), reference["multiply_adds"].as_u64(), "{found}");
    assert_eq!(Some(found.trainable_parameters), reference["parameters"].as_u64());
    assert_eq!((found.num_classes, found.unused_parameters), (5, 0), "{found}");
    let up = found.layers.iter().find(|row| row.name == "mlp.0").unwrap();
    assert_eq!((up.output.as_slice(), up.multiply_adds), ([1, 64, 40].as_slice(), 64 * 24 * 40));
}

#[test]
fn layers_are_named_after_the_modules_whose_parameters_they_take() {
    let _generator = generator();
    let sets =
        ["model.architecture=tiny_net", "transforms.train.resize=[16, 16]", "transforms.val.resize=[16, 16]"];
    let found = inspect(&config(&sets), Some(10)).unwrap();
    let rows: Vec<(&str, &str, &[i64], u64)> = found
        .layers
        .iter()
        .map(|row| (row.name.as_str(), row.operator.as_str(), row.output.as_slice(), row.parameters))
        .collect();
    assert_eq!(rows[0], ("features.0.conv", "conv2d", [1, 16, 16, 16].as_slice(), 432));
    assert_eq!(rows[1], ("features.0.bn", "batch_norm", [1, 16, 16, 16].as_slice(), 32));
    assert_eq!(rows[2], ("", "relu", [1, 16, 16, 16].as_slice(), 0));
    assert_eq!(rows.last().unwrap(), &("classifier", "linear", [1, 10].as_slice(), 650));
    assert_eq!(found.layers[0].multiply_adds, 16 * 16 * 432);
    assert_eq!(found.layers.last().unwrap().multiply_adds, 640);
    let text = found.to_string();
    for part in ["features.0.conv   conv2d", "multiply-adds of an image", "memory of a training step with 32"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn the_memory_of_a_large_batch_follows_from_that_of_two_small_ones() {
    let _generator = generator();
    for sets in [
        ["model.architecture=simple_cnn", "optimizer.name=sgd", "training.gradient_accumulation_steps=1"],
        ["model.architecture=resnet18", "optimizer.name=adamw", "training.gradient_accumulation_steps=2"],
    ] {
        let sizes = ["transforms.train.resize=[32, 32]", "transforms.val.resize=[32, 32]"];
        let batch = |count: &'static str| config(&[&sets[..], &sizes[..], &[count]].concat());
        let large = batch("training.batch_size=20");
        let network = network(&large, Some(10), [3, 32, 32]).unwrap();
        let memory = memory::of_step(&large, &network, 10, [3, 32, 32]).unwrap();
        let parameters = 4 * network.num_parameters() as u64;
        let moments = if sets[1].ends_with("adamw") { 2 } else { 1 };
        assert_eq!(memory.optimizer_state, moments * parameters);
        assert!(memory.weights > parameters && memory.gradients <= parameters);
        let really = memory::measured(&large, &network, 10, [3, 32, 32]).unwrap();
        let computed = memory.gradients + memory.activations;
        let apart = computed.abs_diff(really) as f64 / really as f64;
        // Kernels may be chosen by the batch's size; where they are for so small ones, which
        // depends on the number of threads, the summary says that the figure is rough.
        let allowed = if memory.is_rough { 0.3 } else { 0.02 };
        assert!(apart < allowed, "{sets:?}: {computed} computed, {really} in a step that was taken");
    }
}

#[test]
fn copies_of_the_weights_are_counted() {
    let _generator = generator();
    let of = |more: &[&str]| {
        let sets = ["model.architecture=tiny_net", "transforms.train.resize=[16, 16]", "optimizer.name=sgd"];
        let sizes = ["transforms.val.resize=[16, 16]"];
        inspect(&config(&[&sets[..], &sizes, more].concat()), Some(10)).unwrap()
    };
    let plain = of(&[]);
    let copied = of(&["training.sam={}", "training.ema={}", "training.swa={}"]);
    let parameters = 4 * plain.trainable_parameters;
    assert_eq!((plain.memory.sam_weights, plain.memory.averaged_weights), (0, 0));
    assert_eq!(copied.memory.sam_weights, parameters);
    assert_eq!(copied.memory.averaged_weights, 2 * plain.memory.weights);
    let parts = &copied.memory;
    let others = parts.weights + parts.optimizer_state + parts.images + parts.gradients + parts.activations;
    assert_eq!(parts.total, others + parts.averaged_weights + parts.sam_weights);
    assert!(copied.to_string().contains("(training.sam)") && !plain.to_string().contains("(training.sam)"));
}

#[test]
fn images_without_a_size_and_weights_of_other_classes_are_told() {
    let _generator = generator();
    // No configuration that was resolved is without a size.
    let mut without = config(&[]);
    without.transforms.train = ml_data::transform::TransformConfig::default();
    let error = inspect(&without, Some(3)).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("transforms.train.resize=[224,224]"), "{error}");
    let weights = ["model.architecture=tiny_net", "loss.class_weights=[1.0, 2.0]"];
    let error = inspect(&config(&weights), Some(3)).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("2 numbers for 3 classes"), "{error}");
}

#[test]
fn a_listed_network_has_torchvisions_figures() {
    let reference = python_json("costs.py", &["resnet50".as_ref()]);
    let listed = list::built(Architecture::Resnet50).unwrap();
    assert_eq!(Some(listed.parameters), reference["resnet50"]["num_params"].as_u64());
    assert!((listed.gflops - reference["resnet50"]["ops"].as_f64().unwrap()).abs() <= 0.0005, "{listed:?}");
    let text = Table(&[listed]).to_string();
    let line = text.lines().find(|line| line.starts_with("resnet50 ")).unwrap();
    assert!(line.contains("25.6 M") && line.contains("4.089") && line.contains("224"), "{text}");
}
