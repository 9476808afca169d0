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
        Value::Opaque(_) => json!(value.describe()),
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
        let value = read(&folder.path().join(file)).unwrap_or_else(|error| panic!("{error}"));
        if file.contains("objects") {
            check_objects(file, &value);
        }
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
    assert_eq!(expected.as_object().unwrap().len(), 21);
    for file in ["pickled_module.pt", "legacy_module.pt"] {
        let Value::Opaque(module) = read(&folder.path().join(file)).unwrap() else { panic!("{file}") };
        assert_eq!(module.class, "torch.nn.modules.container.Sequential");
        let tensors = module.state_dict.unwrap();
        let wanted = expected["objects.pt"].as_object().unwrap();
        assert_eq!(tensors.len(), wanted.len(), "{file}");
        for ((name, tensor), (python_name, python)) in tensors.iter().zip(wanted) {
            assert_eq!((name, Json::from(hex(tensor))), (python_name, python["bytes"].clone()), "{file}");
        }
    }
    for file in ["evil.pt", "legacy_evil.pt"] {
        let value = read(&folder.path().join(file)).unwrap();
        assert_eq!(value.get("evil").unwrap().value().describe(), "a Python object `posix.system`");
        assert!(value.get("weight").unwrap().as_tensor().is_ok());
    }

    for file in ["views.pt", "legacy_views.pt"] {
        let views = state(&read(&folder.path().join(file)).unwrap());
        let [(_, transposed), _, (_, whole), ..] = views.as_slice() else { panic!("in order") };
        assert_eq!(transposed.data_ptr(), whole.data_ptr(), "what shared a storage shares it again");
    }

    for (file, word) in [
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

/// Objects of every kind beside weights: some are data, of the others the class is known.
fn check_objects(file: &str, value: &Value) {
    let known = value.get("known").unwrap();
    let shown = |name: &str| format!("{:?}", known.get(name).unwrap().value());
    assert_eq!(
        shown("numbers"),
        format!(
            "{:?}",
            Value::dict([
                ("float64", Value::Float(0.9)),
                ("float32", Value::Float(0.5)),
                ("int64", Value::Int(-7)),
                ("uint8", Value::Int(255)),
                ("bool", Value::Bool(true)),
                ("big", Value::Int(3)),
            ])
        ),
        "{file}"
    );
    let one = format!("{:?}", Value::dict([("a", 1_i64)]));
    for name in ["simple", "defaultdict"] {
        assert_eq!(shown(name), one, "{file}: {name}");
    }
    if file != "objects_1.pt" {
        assert_eq!(shown("mapping"), one, "{file}");
    }
    assert_eq!(shown("deque"), format!("{:?}", Value::list([1_i64, 2])), "{file}");
    assert_eq!(shown("bytearray"), format!("{:?}", Value::Bytes(vec![0, 255])), "{file}");
    assert_eq!(shown("keys"), format!("{:?}", Value::dict([("a", 5_i64)])), "{file}");
    assert_eq!(hex(known.get("tagged").unwrap().as_tensor().unwrap()), "000000000000803f00000040", "{file}");
    assert_eq!(hex(known.get("subclass").unwrap().as_tensor().unwrap()), "0000803f0000803f", "{file}");

    let opaque = value.get("opaque").unwrap().entries().unwrap();
    assert!(opaque.len() > 45, "{file}");
    for (name, field) in opaque {
        assert!(matches!(field.value(), Value::Opaque(_)), "{file}: {name}: {field:?}");
        assert!(field.check_plain().unwrap_err().to_string().contains("found a "), "{file}: {name}");
    }
    let class = |name: &str| value.get("opaque").unwrap().get(name).unwrap().value().describe();
    for (name, wanted) in [
        ("path", "pathlib"),
        ("time", "`datetime.datetime`"),
        ("thing", "`__main__.Thing`"),
        ("evil", "`posix.system`"),
        ("class", "`__main__.Thing`"),
        ("array", "`numpy."),
        ("complex64", "`tensor of torch.complex64`"),
        ("huge", "`int beyond 64 bits`"),
    ] {
        assert!(class(name).contains(wanted), "{file}: {name}: {}", class(name));
    }
    assert!(value.field().check_plain().is_err() && value.get("state_dict").unwrap().check_plain().is_ok());
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
