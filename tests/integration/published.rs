//! `ml-inference --weights`: published weights and state dicts of other programs, without a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ml_core::weights::imagenet_classes;
use serde_json::Value;

use crate::http::{Reply, Server, nowhere};
use crate::support::{fails, ok, read, start, train};
use crate::train::python;

/// The published file of resnet18.
const FILE: &str = "resnet18-f37072fd.pth";
const SIZE: &str = "46830571";

/// The images that [`reference`] writes.
const IMAGES: [&str; 3] = ["0.png", "1.png", "2.png"];

/// `ml-inference` with this cache; nothing goes to the network unless `args` or a mirror say so.
fn inference(place: &Path, args: &[&str]) -> Command {
    let mut command = start(env!("CARGO_BIN_EXE_ml-inference"));
    command.current_dir(place).args(["--device", "cpu"]).args(args);
    command.env("TORCH_HOME", place.join("torch")).env("ML_WEIGHTS_MIRROR", nowhere());
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    command
}

/// What it prints for the images as JSON, and what it says.
fn predicted(place: &Path, args: &[&str]) -> (Vec<Value>, String) {
    let mut command = inference(place, args);
    command.args(["--format", "jsonl"]).args(IMAGES);
    let output = ok(command);
    let lines = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

/// PyTorch's probabilities of all classes, of each image; writes the file of weights, and the images
/// into `place`.
fn reference(args: &[&Path], place: &Path) -> Vec<Vec<f64>> {
    serde_json::from_str(&python("weights_predict.py", &[args, &[place]].concat())).unwrap()
}

/// That each line has the `k` most probable classes of the reference, under these names.
fn assert_same(lines: &[Value], expected: &[Vec<f64>], names: &[String], k: usize) {
    assert_eq!(lines.len(), expected.len());
    for (line, probabilities) in lines.iter().zip(expected) {
        let top_k = line["top_k"].as_array().unwrap();
        assert_eq!(top_k.len(), k);
        let mut largest = probabilities.clone();
        largest.sort_by(|a, b| b.total_cmp(a));
        for (found, expected) in top_k.iter().zip(largest) {
            let probability = found["probability"].as_f64().unwrap();
            assert!((probability / expected - 1.0).abs() < 1e-4, "{line}: {expected}");
            let class = names.iter().position(|name| *name == found["class"]).unwrap();
            // Classes that are nearly as probable as each other may change places.
            assert!((probabilities[class] / expected - 1.0).abs() < 1e-4, "{line}: {expected}");
        }
    }
}

fn cached(place: &Path) -> PathBuf {
    let folder = place.join("torch/hub/checkpoints");
    fs::create_dir_all(&folder).unwrap();
    folder.join(FILE)
}

fn imagenet() -> Vec<String> {
    imagenet_classes().iter().map(|class| class.name.to_owned()).collect()
}

#[test]
fn published_weights_predict_what_torchvision_does_with_imagenets_class_names() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let file = cached(place);
    let expected = reference(&[Path::new("published"), &file, Path::new(SIZE)], place);
    let (lines, said) = predicted(place, &["--weights", "resnet18:DEFAULT"]);
    assert_same(&lines, &expected, &imagenet(), 5);
    for part in [
        "resnet18, 1000 classes, from ",
        "resize 256, crop 224x224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (that of ResNet18_Weights.IMAGENET1K_V1)",
        "classes: ImageNet's, since there are 1000 logits",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    for args in [
        &["--weights", "ResNet18_Weights.IMAGENET1K_V1"][..],
        &["--weights", "DEFAULT", "--architecture", "resnet18"],
        &["--weights", file.to_str().unwrap(), "--architecture", "resnet18"],
    ] {
        assert_eq!(predicted(place, args).0, lines, "{args:?}");
    }
    // Half the size: the shorter side and the crop.
    let (_, said) = predicted(place, &["--weights", "resnet18:DEFAULT", "--image_size", "112"]);
    assert!(said.contains("resize 128, crop 112x112") && said.contains("changed as said"), "{said}");
    for (fit, part) in
        [("pad", "pad to 224x224,"), ("squash", "resize 224x224,"), ("crop", "resize 256, crop 224x224")]
    {
        let (padded, said) = predicted(place, &["--weights", "resnet18:DEFAULT", "--fit", fit]);
        assert!(said.contains(part), "{said}");
        assert_eq!(padded == lines, fit == "crop", "{fit}");
    }
}

#[test]
fn labelled_folders_called_by_wordnet_ids_are_matched_with_imagenets_classes() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let expected = reference(&[Path::new("published"), &cached(place), Path::new(SIZE)], place);
    let best = |probabilities: &Vec<f64>| {
        (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap()
    };
    let classes: Vec<usize> = expected.iter().map(best).collect();
    for (image, class) in IMAGES.iter().zip(&classes) {
        let folder = place.join("val").join(imagenet_classes()[*class].synset);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(place.join(image), folder.join(image)).unwrap();
    }
    // One that is wrong, in a folder called by the name.
    let wrong = (0..1000).find(|class| !classes.contains(class)).unwrap();
    let folder = place.join("val").join(imagenet_classes()[wrong].name);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(place.join("0.png"), folder.join("wrong.png")).unwrap();
    let args = ["--weights", "resnet18:DEFAULT", "--data_dir", "val", "--json"];
    let report: Value = serde_json::from_slice(&ok(inference(place, &args)).stdout).unwrap();
    assert_eq!((report["num_samples"].as_u64(), report["accuracy"].as_f64()), (Some(4), Some(0.75)));
    assert_eq!(report["classes"][wrong]["support"], 1);
    assert_eq!(report["classes"][wrong]["class"], imagenet_classes()[wrong].name);
    // The split of a data folder, and no run to take another one from.
    let data = place.join("imagenet");
    fs::create_dir(&data).unwrap();
    fs::rename(place.join("val"), data.join("val")).unwrap();
    let args = ["--weights", "resnet18:DEFAULT", "--data_dir", "imagenet", "--split", "val", "--json"];
    let of_split: Value = serde_json::from_slice(&ok(inference(place, &args)).stdout).unwrap();
    assert!(of_split["split"] == "val" && of_split["classes"] == report["classes"]);
    fails(inference(place, &["--weights", "resnet18:DEFAULT"]), 2, &["--data_dir"]);
    fs::create_dir_all(data.join("val/n00000001")).unwrap();
    fs::copy(place.join("0.png"), data.join("val/n00000001/1.png")).unwrap();
    fails(inference(place, &args), 2, &["does not know the class `n00000001`"]);
}

#[test]
fn a_state_dict_of_another_program_predicts_what_its_own_network_does() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let file = place.join("model.th");
    let expected = reference(&[Path::new("cifar"), &file], place);
    let names: Vec<String> =
        "plane car bird cat deer dog frog horse ship truck".split(' ').map(str::to_owned).collect();
    fs::write(place.join("names.txt"), names.join("\n") + "\n").unwrap();
    let weights = ["--weights", "model.th", "--architecture", "resnet20"];
    let args = [&weights[..], &["--classes", "names.txt", "--top_k", "10"]].concat();
    let (lines, said) = predicted(place, &args);
    assert_same(&lines, &expected, &names, 10);
    for part in [
        "resnet20, 10 classes, from model.th",
        "weights: taken from `state_dict`, from the names after `module.`",
        "resize 32x32, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (that of resnet20)",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let (lines, said) = predicted(place, &[&weights[..], &["--top_k", "10"]].concat());
    let numbers: Vec<String> = (0..10).map(|number| format!("class_{number}")).collect();
    assert_same(&lines, &expected, &numbers, 10);
    assert!(said.contains("class_0 to class_9; --classes FILE"), "{said}");
    let other = ["--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5"];
    let (_, said) = predicted(place, &[&weights[..], &other].concat());
    assert!(said.contains("mean 0.5 0.5 0.5, std 0.5 0.5 0.5"), "{said}");
    // Folders of its own classes.
    for (image, name) in IMAGES.iter().zip(&names) {
        let folder = place.join("data").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(place.join(image), folder.join("1.png")).unwrap();
    }
    let labelled = [&weights[..], &["--classes", "names.txt", "--data_dir", "data", "--json"]].concat();
    let report: Value = serde_json::from_slice(&ok(inference(place, &labelled)).stdout).unwrap();
    assert_eq!(report["num_samples"], 3);
    fs::rename(place.join("data/car"), place.join("data/n01440764")).unwrap();
    fails(inference(place, &labelled), 2, &["n01440764", "WordNet id", "`car`"]);
}

#[test]
fn what_does_not_suit_weights_is_said_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    reference(&[Path::new("cifar"), &place.join("model.th")], place);
    let weights =
        |given: &str, more: &[&str]| inference(place, &[&["--weights", given, "0.png"][..], more].concat());
    for (given, more, parts) in [
        ("resnet5:DEFAULT", &[][..], &["unknown name `resnet5`", "did you mean `resnet5"][..]),
        ("resnet18", &[], &["--weights resnet18:DEFAULT"]),
        ("DEFAULT", &[], &["no network is named", "--architecture"]),
        ("resnet18:IMAGENET1K_V7", &[], &["known for resnet18", "IMAGENET1K_V1"]),
        ("model.th", &[], &["--architecture NAME"]),
        ("model.th", &["--architecture", "resnet81"], &["resnet81", "did you mean", "--list_architectures"]),
        ("resnet18:DEFAULT", &["--architecture", "resnet34"], &["are of resnet18", "resnet34"]),
        ("no.pth", &["--architecture", "resnet18"], &["no.pth", "no such file"]),
        (
            "model.th",
            &["--architecture", "resnet32"],
            &["another network", "they fit --architecture resnet20"],
        ),
        ("vgg16:IMAGENET1K_FEATURES", &[], &["have no classifier"]),
        ("resnet18:DEFAULT", &["--checkpoint", "runs/base"], &["--checkpoint"]),
        ("resnet18:DEFAULT", &["--ema", "always"], &["--ema"]),
        ("vit_b_16:DEFAULT", &["--image_size", "100"], &["--image_size", "multiples of 16"]),
        ("resnet18:DEFAULT", &["--image_size", "0"], &["--image_size", "must be a whole number"]),
        ("resnet18:DEFAULT", &["--fit", "stretch"], &["--fit", "must be crop, pad or squash"]),
        ("resnet18:DEFAULT", &["--mean", "0.5", "0.5", "0.5"], &["--std"]),
        ("resnet18:DEFAULT", &["--mean", "9", "0", "0", "--std", "1", "1", "0"], &["--mean and --std"]),
    ] {
        fails(weights(given, more), 2, parts);
    }
    let architecture = ["--architecture", "resnet20", "--classes", "names.txt"];
    fails(weights("model.th", &architecture), 2, &["--classes names.txt"]);
    for (names, part) in [
        ("a\nb\n", "--classes has 2 names, but the model outputs 10 logits"),
        ("", "is empty"),
        ("a\nb\na\n", "names 1 and 3 are both `a`"),
        ("[\"a\", 1]", "no JSON list"),
    ] {
        fs::write(place.join("names.txt"), names).unwrap();
        fails(weights("model.th", &architecture), 2, &[part]);
    }
    for flag in ["--architecture", "--classes", "--image_size", "--fit"] {
        let value = if flag == "--fit" { "pad" } else { "32" };
        fails(
            inference(place, &["--checkpoint", "runs/base", flag, value]),
            2,
            &[flag, "belongs to --weights"],
        );
    }
    let missing = Server::start(|_, _| Reply::status("404 Not Found"));
    let mut command = weights("resnet18:DEFAULT", &[]);
    command.env("ML_WEIGHTS_MIRROR", missing.url());
    fails(command, 1, &["fetching ResNet18_Weights.IMAGENET1K_V1", "404", "ML_WEIGHTS_MIRROR"]);
}

#[test]
fn a_checkpoint_of_a_run_is_no_file_of_weights() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let data = crate::train::digits(place, 2, 8);
    ok(train(place, &["--data_dir", data.to_str().unwrap(), "--run_name", "r", "--num_epochs", "1"]));
    let args = ["--weights", "runs/r/best.pt", "--architecture", "tiny_net"];
    fails(inference(place, &args), 2, &["checkpoint of ml-train", "--checkpoint runs/r/best.pt"]);
    let args = ["--weights", "runs/r", "--architecture", "tiny_net"];
    fails(inference(place, &args), 2, &["is a folder", "--checkpoint"]);
    assert!(read(place.join("runs/r/config.yaml")).contains("tiny_net"));
}
