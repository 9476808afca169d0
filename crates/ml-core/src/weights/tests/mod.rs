//! The table against torchvision's, names, the cache, transfers from a local server, and files in
//! networks.

mod fetch;
#[path = "../../../../../tests/integration/http.rs"]
mod http;
mod load;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::imagenet::IMAGENET_CSV;
use super::table::CSV;
use super::*;
use crate::network::Architecture;
use test_support::python;

#[test]
fn the_table_is_torchvisions() {
    assert_eq!(python("weights_table.py", &[]), CSV);
    for architecture in Architecture::ALL.iter().filter(|architecture| architecture.is_torchvisions()) {
        let name = architecture.name();
        assert_eq!(Published::of(name).filter(|published| published.is_default).count(), 1, "{name}");
    }
    for published in Published::all() {
        assert!(published.file.contains(&format!("-{}.", published.sha256)), "{published:?}");
        for transform in [published.eval_transform(), published.train_transform()] {
            assert_eq!(transform.problems(), [], "{published:?}");
            let size = transform.output_size().unwrap();
            assert!(size.height >= published.min_size && size.width == size.height, "{published:?}");
        }
    }
}

#[test]
fn imagenets_classes_are_torchvisions_in_the_order_of_their_wordnet_ids() {
    let classes = imagenet_classes();
    let folder = tempfile::tempdir().unwrap();
    let synsets = folder.path().join("synsets.txt");
    let lines: Vec<&str> = classes.iter().map(|class| class.synset).collect();
    std::fs::write(&synsets, lines.join("\n")).unwrap();
    // It also checks that there are 1000 different names, and as many ids in ascending order.
    assert_eq!(python("imagenet_classes.py", &[&synsets]), IMAGENET_CSV);
    // From WordNet, since torchvision has no ids.
    for (number, synset, name) in [
        (0, "n01440764", "tench"),
        (134, "n02012849", "crane bird"),
        (281, "n02123045", "tabby"),
        (517, "n03126707", "crane"),
        (638, "n03710637", "maillot"),
        (639, "n03710721", "maillot tank suit"),
        (999, "n15075141", "toilet tissue"),
    ] {
        assert_eq!(classes[number], ImagenetClass { synset, name });
    }
}

#[test]
fn weights_are_named_by_default_member_full_name_or_path() {
    let published = |given: &str, architecture: &str| match Choice::read(given, architecture) {
        Ok(Choice::Published(published)) => published.full_name(),
        other => panic!("{given}: {other:?}"),
    };
    assert_eq!(published("DEFAULT", "resnet50"), "ResNet50_Weights.IMAGENET1K_V2");
    assert_eq!(published("IMAGENET1K_V1", "resnet50"), "ResNet50_Weights.IMAGENET1K_V1");
    assert_eq!(published("ResNet50_Weights.IMAGENET1K_V1", "resnet50"), "ResNet50_Weights.IMAGENET1K_V1");
    assert_eq!(published("ResNet18_Weights.DEFAULT", "resnet18"), "ResNet18_Weights.IMAGENET1K_V1");
    for path in
        ["net.pt", "a/b", "net.PTH", "x.safetensors", "mnasnet0.5_top1_67.823.pth", "./DEFAULT", "./net"]
    {
        let file = Choice::File { path: PathBuf::from(path), key: None };
        assert_eq!(Choice::read(path, "resnet18"), Ok(file));
    }
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("a:b.pth");
    std::fs::write(&there, "").unwrap();
    let there = there.to_str().unwrap();
    let with_key = format!("{there}:teacher");
    for (given, path, key) in [
        ("net.pt:teacher", "net.pt", Some("teacher")),
        ("a/net:state_dict.student", "a/net", Some("state_dict.student")),
        ("a:b/net.pt", "a:b/net.pt", None),
        ("net.pt:", "net.pt:", None),
        (there, there, None),
        (&with_key, there, Some("teacher")),
    ] {
        let choice = Choice::read(given, "resnet18");
        if given == "net.pt:" {
            assert!(choice.is_err(), "{choice:?}");
            continue;
        }
        let file = Choice::File { path: PathBuf::from(path), key: key.map(str::to_owned) };
        assert_eq!(choice, Ok(file.clone()), "{given}");
        assert_eq!(file.to_string(), given);
    }
    assert!(Choice::read("IMAGENET1K_V1:teacher", "resnet18").is_err());
    assert_eq!(Choice::label("a/net.pt:teacher"), "net_teacher");
}

#[test]
fn an_unknown_name_lists_the_known_ones_and_a_near_one() {
    for (given, architecture, parts) in [
        (
            "IMAGENET1K_V3",
            "resnet50",
            &["(IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT)", "did you mean `IMAGENET1K_V2`?"][..],
        ),
        ("default", "resnet18", &["known for resnet18", "did you mean `DEFAULT`?"]),
        ("imagenet1k-v1", "resnet18", &["did you mean `IMAGENET1K_V1`?"]),
        ("ResNet50_Weights.IMAGENET1K_V9", "resnet50", &["IMAGENET1K_V2"]),
        (
            "ResNet50_Weights.IMAGENET1K_V2",
            "resnet18",
            &["are weights of resnet50", "is resnet18", "(IMAGENET1K_V1, DEFAULT)"],
        ),
        ("DEFAULT", "tiny_net", &["known for tiny_net (there are none)"]),
        ("", "resnet18", &["neither a file"]),
        // Whether there is such a file is not looked at.
        ("src", "resnet18", &["neither a file", "is written ./src"]),
    ] {
        let error = Choice::read(given, architecture).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }
}

/// The cache's path of a file under these variables.
fn place(variables: &[(&str, &str)], home: Option<&str>) -> Result<(PathBuf, String), WeightsError> {
    let find = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    };
    let cache = Cache::from_variables(find, home.map(Path::new))?;
    let published = Published::of("resnet18").next().unwrap();
    Ok((cache.path(published), cache.url(published)))
}

#[test]
fn the_cache_is_pytorchs_folder() {
    let file = "hub/checkpoints/resnet18-f37072fd.pth";
    let url = "https://download.pytorch.org/models/resnet18-f37072fd.pth";
    let (xdg, torch) = (("XDG_CACHE_HOME", "/x"), ("TORCH_HOME", "/t"));
    for (variables, path) in [
        (&[][..], Path::new("/home/a/.cache/torch")),
        (&[xdg], Path::new("/x/torch")),
        (&[xdg, torch], Path::new("/t")),
        (&[("TORCH_HOME", "~/t")], Path::new("/home/a/t")),
    ] {
        assert_eq!(place(variables, Some("/home/a")).unwrap(), (path.join(file), url.to_owned()));
    }
    assert!(place(&[torch], None).is_ok());
    assert!(place(&[], None).unwrap_err().to_string().contains("TORCH_HOME"));
    let (_, url) = place(&[torch, (MIRROR, "http://mirror:8000/models/")], None).unwrap();
    assert_eq!(url, "http://mirror:8000/models/resnet18-f37072fd.pth");
    let error = place(&[torch, (MIRROR, "mirror/models")], None).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("http://"), "{error}");
}

#[test]
fn a_cached_file_of_another_size_is_refused_and_one_of_the_published_size_taken() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let cache = Cache::from_variables(|name| (name == "TORCH_HOME").then(|| home.into()), None).unwrap();
    let published = Published::of("resnet18").next().unwrap();
    assert_eq!(cache.find(published).unwrap(), None);
    let path = cache.path(published);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    // The published file has 46,830,571 bytes.
    file.set_len(46_830_571).unwrap();
    assert_eq!(cache.find(published).unwrap(), Some(path.clone()));
    file.set_len(46_000_000).unwrap();
    let error = cache.find(published).unwrap_err().to_string();
    assert!(error.contains("46000000 bytes") && error.contains("delete it"), "{error}");
    assert!(error.contains(&path.display().to_string()), "{error}");
}
