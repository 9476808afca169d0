//! Little made-up workspaces.

use super::*;

/// What is found in a workspace of these files, below `crates/`. Crates need no manifest text.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let name = name.split('/').next().unwrap();
        let manifest = root.path().join(name).join("Cargo.toml");
        if !manifest.exists() {
            fs::write(manifest, "").unwrap();
        }
    }
    let findings = check(root.path()).unwrap();
    let text = findings.iter().map(ToString::to_string);
    text.map(|line| line.replace(&format!("{}/", root.path().display()), "")).collect()
}

#[test]
fn modules_that_import_in_the_order_are_fine() {
    let files = [
        ("ml-core/src/lib.rs", "pub mod config;\npub mod loss;\npub mod trainer;\npub use config::Config;"),
        ("ml-core/src/config.rs", "use crate::loss::Loss;\npub struct Config(Loss);"),
        ("ml-core/src/loss.rs", "pub struct Loss;\n#[cfg(test)]\nmod tests { use crate::trainer; }"),
        ("ml-core/src/trainer.rs", "use crate::{Config, loss};\nfn f(_: Config) -> loss::Loss { todo!() }"),
    ];
    assert_eq!(found(&files), [""; 0]);
}

#[test]
fn an_import_against_the_order_is_named_by_file_and_line() {
    let files = [
        ("ml-core/src/lib.rs", "pub mod loss;\npub mod trainer;"),
        ("ml-core/src/loss.rs", "//! Losses.\n\nfn f() -> u8 { crate::trainer::g() }"),
        ("ml-core/src/trainer.rs", "pub fn g() -> u8 { 1 }"),
    ];
    assert_eq!(
        found(&files),
        ["ml-core/src/loss.rs:3: `loss` uses `trainer`, which comes after it in the order of modules"]
    );
}

#[test]
fn a_module_without_a_place_in_the_order_is_reported() {
    let files = [("ml-core/src/lib.rs", "mod helpers;"), ("ml-core/src/helpers.rs", "")];
    assert!(found(&files)[0].starts_with("ml-core/src/helpers.rs:1: `helpers` has no place"));
}

#[test]
fn a_wait_for_the_device_that_nobody_counts_is_named() {
    let files = [
        ("ml-core/src/lib.rs", "pub mod network;\npub mod optimizer;\npub mod trainer;"),
        ("ml-core/src/network.rs", "fn f(t: T) { t.double_value(&[]); }"),
        ("ml-core/src/optimizer/mod.rs", "mod update;"),
        (
            "ml-core/src/optimizer/update.rs",
            "fn load(t: T, d: Device) {\n    t.to_device(d);\n    t.to_device(Device::Cpu);\n}",
        ),
        ("ml-core/src/trainer/mod.rs", "mod step;\nfn f(t: T, d: Device) {\n    t.to_device(d);\n}"),
        (
            "ml-core/src/trainer/step.rs",
            "fn f(t: T) {\n    t.int64_value(&[]);\n}\n\n#[cfg(test)]\nmod tests {\n    fn g(t: T) { t.double_value(&[]); }\n}",
        ),
    ];
    let wait = |place: &str, call: &str| {
        format!(
            "ml-core/src/{place}: `{call}` waits for a device uncounted; torch_ext::to_host counts, and tensors can \
             be made where they are needed"
        )
    };
    // A file that copies once a run may copy to a device, not from it.
    assert_eq!(
        found(&files),
        [
            wait("optimizer/update.rs:3", "to_device("),
            wait("trainer/mod.rs:3", "to_device("),
            wait("trainer/step.rs:2", "int64_value("),
        ]
    );
}

#[test]
fn a_circle_is_reported_with_each_of_its_imports() {
    let files = [
        ("ml-data/src/lib.rs", "mod a;\nmod b;\nmod c;"),
        ("ml-data/src/a.rs", "use crate::b::B;\npub struct A(B);"),
        ("ml-data/src/b.rs", "\nuse super::c;\npub struct B(c::C);"),
        ("ml-data/src/c/mod.rs", "pub mod d;\npub use d::C;"),
        ("ml-data/src/c/d.rs", "use crate::a::A;\npub struct C(Box<A>);"),
    ];
    // `c::C` is defined in c/d.rs; c/mod.rs only passes it on, and is in no circle.
    assert_eq!(
        found(&files),
        [
            "ml-data/src/a.rs:1: uses b.rs; in a circle: a.rs, b.rs, c/d.rs",
            "ml-data/src/b.rs:3: uses c/d.rs; in a circle: a.rs, b.rs, c/d.rs",
            "ml-data/src/c/d.rs:1: uses a.rs; in a circle: a.rs, b.rs, c/d.rs",
        ]
    );
}

#[test]
fn a_program_whose_parts_use_its_main_file_is_a_circle() {
    let files = [
        ("ml-cli/src/bin/tool/main.rs", "mod part;\nstruct Whole;\nfn main() { part::run() }"),
        ("ml-cli/src/bin/tool/part.rs", "use super::Whole;\npub fn run() {}"),
    ];
    assert_eq!(found(&files).len(), 2);
}

#[test]
fn a_module_may_present_its_submodules_and_they_may_use_it_but_not_each_other_in_a_circle() {
    let lib = ("ml-data/src/lib.rs", "pub mod a;");
    let parent = ("ml-data/src/a/mod.rs", "mod b;\nmod c;\npub use b::B;\npub struct Error(c::C);");
    let b = ("ml-data/src/a/b.rs", "use super::{Error, c::C};\npub struct B(Error, C);");
    let mut files = [lib, parent, b, ("ml-data/src/a/c.rs", "use super::Error;\npub struct C(Box<Error>);")];
    assert_eq!(found(&files), [""; 0]);
    files[3].1 = "pub struct C(Box<super::B>);";
    assert_eq!(found(&files).len(), 2);
}

#[test]
fn names_that_come_through_a_glob_lead_to_where_they_are_defined() {
    let files = [
        ("ml-data/src/lib.rs", "mod a;\nmod b;"),
        ("ml-data/src/a/mod.rs", "mod inner;\npub use inner::*;\nfn f(_: crate::b::B) {}"),
        ("ml-data/src/a/inner.rs", "pub struct Inner;"),
        ("ml-data/src/b.rs", "use crate::a::Inner;\npub struct B(Inner);"),
    ];
    assert_eq!(found(&files), [""; 0]);
}

#[test]
fn crates_depend_downwards_only_and_on_test_support_only_in_tests() {
    let files = [
        ("ml-data/Cargo.toml", "[dependencies]\njpeg-ext.workspace = true\nml-core.workspace = true\n"),
        ("torch-file/Cargo.toml", "[dependencies]\ntest-support = { path = \"../test-support\" }\n"),
        ("torch-ext/Cargo.toml", "[dev-dependencies]\ntest-support.workspace = true\n"),
        ("extra/Cargo.toml", "[package]\n"),
    ];
    let found = found(&files);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("extra/Cargo.toml:1: `extra` has no place"), "{found:#?}");
    assert_eq!(found[1], "ml-data/Cargo.toml:3: ml-data depends on ml-core, against the order");
    assert_eq!(found[2], "torch-file/Cargo.toml:2: test-support is for dev-dependencies only");
}

#[test]
fn a_module_without_a_file_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("lib.rs"), "mod gone;").unwrap();
    let error = Modules::read(&root.path().join("lib.rs")).unwrap_err().to_string();
    assert!(error.contains("lib.rs: `mod gone;` has no file"), "{error}");
}
