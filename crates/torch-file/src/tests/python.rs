//! Files go to PyTorch and come from it with equal bits.

use std::path::Path;

use serde_json::{Value as Json, json};
use tch::Tensor;
use test_support::python_json;

use super::{bytes_of, hex, sample};
use crate::archive::ArchiveWriter;
use crate::{Key, Value, pickle, read, write, write_entries};

/// As `describe` in `checkpoint_read.py`.
fn describe(value: &Value) -> Json {
    let list = |name: &str, items: &[Value]| {
        std::iter::once(Json::from(name)).chain(items.iter().map(describe)).collect()
    };
    let float = |number: f64| {
        if number.is_infinite() { format!("float {number}") } else { format!("float {number:?}") }
    };
    match value {
        Value::None => json!("NoneType None"),
        Value::Bool(value) => json!(if *value { "bool True" } else { "bool False" }),
        Value::Int(number) => json!(format!("int {number}")),
        Value::Float(number) => json!(float(*number)),
        Value::Str(text) => json!(format!("str '{text}'")),
        Value::Bytes(_) => json!("bytes b'\\x00\\x7f\\xff'"),
        Value::List(items) => list("list", items),
        Value::Tuple(items) => list("tuple", items),
        Value::Dict(entries) => entries
            .iter()
            .map(|(key, value)| match key {
                Key::Str(text) => (format!("str {text}"), describe(value)),
                Key::Int(number) => (format!("int {number}"), describe(value)),
            })
            .collect(),
        Value::Tensor(tensor) => {
            let kind = pickle::kind_name(tensor.kind()).expect("all are written");
            json!({"dtype": kind, "shape": tensor.size(), "bytes": hex(tensor)})
        }
    }
}

fn check_in_python(path: &Path) {
    let found = python_json("checkpoint_read.py", &[path]);
    assert_eq!(found["content"], describe(&sample()));
    assert_eq!(found["mapped_is_equal"], true);
    assert_eq!(found["damaged"], Json::Null);
    assert_eq!(found["aligned"], true);
    // weight and tied share one; transposed, scalar, größe; ten kinds, of which int64 is größe's
    // own.
    assert_eq!(found["storages"], 4 + 9);
}

#[test]
fn python_loads_what_is_written_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("größe.pt");
    write(&path, &sample()).unwrap();
    check_in_python(&path);
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["größe.pt"], "nothing is left beside it");
}

#[test]
fn python_loads_the_64_bit_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.pt");
    let Ok(pickled) = pickle::write::pickle(&sample()) else { panic!("it can be written") };
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes);
    archive.large = 30;
    write_entries(&mut archive, &pickled).unwrap();
    archive.finish().unwrap();
    std::fs::write(&path, bytes).unwrap();
    check_in_python(&path);
    assert_eq!(bytes_of(&read(&path).unwrap()), bytes_of(&sample()));
}

/// The tensors of a file that is a state dict, or has one under one of the usual names; without the
/// `module.` of `DataParallel`.
fn state(value: &Value) -> Vec<(String, Tensor)> {
    let names = ["model_state_dict", "state_dict", "model"];
    let inner = names.iter().find_map(|name| value.get(*name).ok());
    let tensors = inner.unwrap_or_else(|| value.field()).as_tensors().unwrap().into_iter();
    tensors.map(|(name, tensor)| (name.trim_start_matches("module.").to_owned(), tensor)).collect()
}

#[test]
fn files_of_python_are_read_and_others_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let expected = python_json("checkpoint_write.py", &[folder.path()]);
    for (file, tensors) in expected.as_object().unwrap() {
        let value = read(&folder.path().join(file)).unwrap();
        if file.ends_with("training.pt") {
            check_training(&value);
            continue;
        }
        let state = state(&value);
        let tensors = tensors.as_object().unwrap();
        assert_eq!(state.len(), tensors.len(), "{file}");
        for ((name, tensor), (python_name, python)) in state.iter().zip(tensors) {
            assert_eq!(name, python_name, "{file}");
            let ours = json!({"stride": tensor.stride(), "shape": tensor.size(), "bytes": hex(tensor)});
            assert_eq!(ours, *python, "{file}: {name}");
        }
    }
    assert_eq!(expected.as_object().unwrap().len(), 16);

    for file in ["views.pt", "legacy_views.pt"] {
        let views = state(&read(&folder.path().join(file)).unwrap());
        let [(_, transposed), _, (_, whole), ..] = views.as_slice() else { panic!("in order") };
        assert_eq!(transposed.data_ptr(), whole.data_ptr(), "what shared a storage shares it again");
    }

    for (file, word) in [
        ("evil.pt", "system"),
        ("pickled_module.pt", "`torch.nn.modules.container.Sequential`, which is not data"),
        ("huge_int.pt", "an int beyond 64 bits"),
        ("complex.pt", "`torch.ComplexFloatStorage`"),
        ("uint16.pt", "_rebuild_tensor_v3"),
        ("legacy_evil.pt", "system"),
        ("legacy_module.pt", "`torch.nn.modules.container.Sequential`, which is not data"),
        ("old.tar", "tar file"),
        ("script.pt", "TorchScript"),
        ("compressed.pt", "compressed"),
        ("other.zip", "without the `data.pkl`"),
    ] {
        let error = read(&folder.path().join(file)).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(file), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

fn check_training(value: &Value) {
    let group = &value.get("optimizer").unwrap().get("param_groups").unwrap().items().unwrap()[0];
    assert_eq!(group.get("lr").unwrap().as_f64().unwrap(), 0.01);
    let state = value.get("optimizer").unwrap().get("state").unwrap().get(0).unwrap();
    assert_eq!(state.get("exp_avg").unwrap().as_tensor().unwrap().size(), [4, 3, 3, 3]);
    let milestones = value.get("lr_scheduler").unwrap().get("milestones").unwrap();
    assert_eq!(milestones.get(30).unwrap().as_i64().unwrap(), 1);
    let found = format!("{:?}", value.get("plain").unwrap().value());
    let wanted = format!(
        "{:?}",
        Value::dict([
            ("none", Value::None),
            ("yes", true.into()),
            ("int", (-5_i64).into()),
            ("large", (1_i64 << 40).into()),
            ("float", 0.1.into()),
            ("str", "Grün".into()),
            ("bytes", Value::Bytes(vec![0, 255])),
            ("list", Value::List(vec![1_i64.into(), Value::list([2_i64])])),
            ("tuple", Value::Tuple(vec![1_i64.into(), 2_i64.into(), 3_i64.into(), 4_i64.into()])),
            ("size", Value::Tuple(vec![2_i64.into(), 3_i64.into()])),
            ("set", Value::list([7_i64])),
            ("dtype", "torch.float16".into()),
            ("device", "cuda:1".into()),
            ("int keys", Value::dict([(0_i64, "a"), (-1, "b")])),
            ("shared", Value::List(vec![Value::list([9_i64]), Value::list([9_i64])])),
            ("negative", Value::list([-1_i64, -(1 << 31) - 1, 255, 65535, 65536])),
        ])
    );
    assert_eq!(found, wanted);
    assert_eq!(value.get("args").unwrap().get("epochs").unwrap().items().unwrap().len(), 2);
    assert_eq!(
        format!("{:?}", value.get("ordered").unwrap().value()),
        r#"Dict([(Str("b"), Int(1)), (Str("a"), Int(2))])"#
    );
}
