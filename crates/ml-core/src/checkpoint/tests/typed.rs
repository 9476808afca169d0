//! The typed state, and weights found in dicts of other programs.

use ml_data::dataset::Task;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tch::Tensor;
use torch_file::{Key, Opaque, Value};

use super::super::{Checkpoint, FORMAT_VERSION, model_state_from};
use super::bytes_of;

fn weights() -> Vec<(String, Tensor)> {
    vec![
        ("fc.weight".into(), Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 2])),
        ("fc.bias".into(), Tensor::from_slice(&[3.0_f32])),
    ]
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        epoch: 3,
        step: 120,
        batch_in_epoch: 7,
        running: Value::dict([("loss", 12.5)]),
        model_state_dict: weights(),
        optimizer_state_dict: Value::dict([("state", Value::Dict(vec![]))]),
        scheduler_state_dict: Value::dict([("last_step", 120_i64)]),
        ema_state_dict: None,
        ema_num_updates: None,
        swa_state_dict: None,
        swa: None,
        average: None,
        scaler_state_dict: None,
        rng_state: Value::dict([("seed", Value::Int(42)), ("cpu", Tensor::from_slice(&[1_u8, 2]).into())]),
        metrics: Value::list([Value::dict([("val_accuracy", 0.5)])]),
        best: Value::dict([("epoch", 1_i64)]),
        early_stopping: Value::None,
        divergence: Value::None,
        dataset: Value::dict([("fingerprint", "abc")]),
        config: json!({"optimizer": {"lr": 0.1, "name": "sgd"}, "data": {"fold": null}, "sizes": [1, 2]}),
        classes: vec!["Löwe".into(), "cat".into()],
        task: Task::SingleLabel,
        thresholds: None,
        eval_transform: json!({"resize": [224, 224]}),
        calibration: Some(serde_json::json!({"temperature": 1.5})),
        out_of_distribution: Some(Value::dict([("threshold", Value::Float(2.0))])),
        timestamp: "2026-11-23T10:15:00Z".into(),
        versions: json!({"libtorch": "2.11.0"}),
        extra: vec![(Key::Str("note".into()), "kept".into())],
    }
}

#[test]
fn a_checkpoint_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.pt");
    checkpoint().save(&path).unwrap();
    let back = Checkpoint::load(&path).unwrap();
    assert_eq!((back.epoch, back.step, back.batch_in_epoch), (3, 120, 7));
    assert_eq!(back.config, checkpoint().config);
    assert_eq!(back.classes, checkpoint().classes);
    assert!(back.ema_state_dict.is_none() && back.scaler_state_dict.is_none());
    assert_eq!(back.extra.len(), 1);
    assert_eq!(bytes_of(&back.into_value().unwrap()), bytes_of(&checkpoint().into_value().unwrap()));

    let with_ema =
        Checkpoint { ema_state_dict: Some(weights()), scaler_state_dict: Some(1_i64.into()), ..checkpoint() };
    let back = Checkpoint::from_value(&with_ema.into_value().unwrap()).unwrap();
    assert_eq!(back.ema_state_dict.unwrap()[0].0, "fc.weight");
    assert!(back.scaler_state_dict.is_some());
}

#[test]
fn thresholds_and_task_come_back_and_an_older_file_has_one_label_an_image() {
    let older = Checkpoint::from_value(&checkpoint().into_value().unwrap()).unwrap();
    assert_eq!((older.task, older.thresholds), (Task::SingleLabel, None));
    let thresholds = Some(vec![0.1, 0.75]);
    let several = Checkpoint { task: Task::MultiLabel, thresholds: thresholds.clone(), ..checkpoint() };
    let back = Checkpoint::from_value(&several.into_value().unwrap()).unwrap();
    assert_eq!((back.task, back.thresholds), (Task::MultiLabel, thresholds));
    let entry = |name: &str, value: Value| {
        let key = Key::Str(name.into());
        spoilt(move |entries| entries.push((key, value)))
    };
    let error = entry("task", Value::Str("labels".into()));
    assert!(error.contains("`task` should be single_label or multi_label"), "{error}");
    let error = entry("thresholds", Value::list([2.0]));
    assert!(error.contains("`thresholds[0]` should be a number in 0 to 1"), "{error}");
}

/// The entries of a good checkpoint, for spoiling.
fn spoilt(spoil: impl FnOnce(&mut Vec<(Key, Value)>)) -> String {
    let Value::Dict(mut entries) = checkpoint().into_value().unwrap() else { panic!("it is a dict") };
    spoil(&mut entries);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.pt");
    super::super::write(&path, &Value::Dict(entries)).unwrap();
    let error = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(error.contains("best.pt") && !error.contains('\n'), "{error}");
    error
}

#[test]
fn what_is_wrong_with_a_checkpoint_is_named() {
    let set = |name: &str, value: Value| {
        let key = Key::Str(name.into());
        spoilt(move |entries| entries.push((key, value)))
    };
    for key in ["format_version", "epoch", "model_state_dict", "classes", "config", "rng_state"] {
        let error = spoilt(|entries| entries.retain(|(k, _)| *k != Key::Str(key.into())));
        assert!(error.contains(&format!("`{key}` should be there, found nothing")), "{error}");
    }
    let error = set("epoch", (-1_i64).into());
    assert!(error.contains("`epoch` should be an int of at least 0, found the int -1"), "{error}");
    let error = set("classes", Value::list([1_i64]));
    assert!(error.contains("`classes[0]` should be a str, found the int 1"), "{error}");
    let error = set("model_state_dict", Value::dict([("fc.weight", 1_i64)]));
    assert!(error.contains("`model_state_dict.fc.weight` should be a tensor, found the int 1"), "{error}");
    let error = set("config", Value::dict([("lr", f64::NAN)]));
    assert!(error.contains("`config.lr` should be a finite number"), "{error}");
    let error = set("format_version", Value::Int(FORMAT_VERSION as i64 + 1));
    assert!(error.contains("this program reads up to 1: update it"), "{error}");
}

#[test]
fn something_opaque_anywhere_in_a_checkpoint_is_named() {
    let opaque = || Value::Opaque(Opaque { class: "my.Thing".into(), state_dict: None });
    for (key, value, path) in [
        ("epoch", opaque(), "epoch"),
        (
            "optimizer_state_dict",
            Value::dict([("state", Value::list([opaque()]))]),
            "optimizer_state_dict.state[0]",
        ),
        ("note", opaque(), "note"),
    ] {
        let Value::Dict(mut entries) = checkpoint().into_value().unwrap() else { panic!("it is a dict") };
        entries.retain(|(known, _)| *known != Key::Str(key.into()));
        entries.push((key.into(), value));
        let error = Checkpoint::from_value(&Value::Dict(entries)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{path}` should be ")) && error.contains("`my.Thing`"), "{error}");
    }
}

#[test]
fn weights_are_found_in_every_common_form() {
    let names = |value: &Value| {
        model_state_from(value).map(|state| state.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    let prefixed = || weights().into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor));
    let bare = Value::dict(weights());
    for value in [
        bare.shallow_clone(),
        Value::dict(prefixed()),
        Value::dict([("model", bare.shallow_clone()), ("epoch", 1_i64.into())]),
        Value::dict([("state_dict", Value::dict(prefixed()))]),
        checkpoint().into_value().unwrap(),
    ] {
        assert_eq!(names(&value).unwrap(), ["fc.weight", "fc.bias"]);
    }
    let some_prefixed = Value::dict(prefixed().chain(weights()));
    assert_eq!(names(&some_prefixed).unwrap()[0], "module.fc.weight", "then it is a layer's name");
    for (value, word) in [
        (Value::Int(1), "should be a dict, found the int 1"),
        (Value::Dict(vec![]), "a state dict with weights in it"),
        (Value::dict([("epoch", 1_i64)]), "`epoch` should be a tensor"),
        (Value::dict([("model", Value::dict([("x", 1_i64)]))]), "`model.x` should be a tensor"),
    ] {
        let error = names(&value).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn configuration_trees_survive_and_numbers_beyond_64_bits_are_named() {
    let tree = json!({"a": [1, -2.5, true, null, "x"], "b": {}, "c": {"d": 1e300}});
    assert_eq!(Value::from_json(&tree).unwrap().to_plain_json().unwrap(), tree);
    let error = Value::from_json(&json!({"data": {"seeds": [1, u64::MAX]}})).unwrap_err();
    assert_eq!(error.path, "data.seeds.1");
}

/// Whatever tree stands in a file: reading it ends with a checkpoint or one line of an error.
#[test]
fn trees_with_anything_anywhere_never_panic() {
    fn odd(random: &mut ChaCha8Rng) -> Value {
        match random.random_range(0..9) {
            0 => Value::None,
            1 => Value::Bool(true),
            2 => Value::Int(random.random_range(-2..3)),
            3 => Value::Int(i64::MIN),
            4 => Value::Float(f64::NAN),
            5 => Value::Str("val_loss".into()),
            6 => Value::List(vec![Value::None]),
            7 => Value::Dict(vec![(Key::Int(0), Value::None)]),
            _ => Tensor::from_slice(&[1.0_f32]).into(),
        }
    }
    fn mutate(value: &mut Value, random: &mut ChaCha8Rng) {
        match value {
            Value::Dict(entries) if !entries.is_empty() && random.random_bool(0.8) => {
                let at = random.random_range(0..entries.len());
                if random.random_bool(0.2) {
                    drop(entries.remove(at));
                } else {
                    mutate(&mut entries[at].1, random);
                }
            }
            Value::List(items) | Value::Tuple(items) if !items.is_empty() && random.random_bool(0.8) => {
                let at = random.random_range(0..items.len());
                mutate(&mut items[at], random);
            }
            other => *other = odd(random),
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut read, mut refused) = (0, 0);
    for round in 0..3000 {
        let mut value = checkpoint().into_value().unwrap();
        (0..random.random_range(1..4)).for_each(|_| mutate(&mut value, &mut random));
        let _ = model_state_from(&value);
        match Checkpoint::from_value(&value) {
            Ok(_) => read += 1,
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "round {round}: {error}");
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused: both ways are taken");
}
