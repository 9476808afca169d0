//! A run's name: what was overridden, in a fixed order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher;

use serde_yaml::Value;

use crate::config::Override;
use crate::weights::Choice;

/// Longest name; a longer one is cut and ends in a hash of the whole.
const LONGEST: usize = 100;

/// Keys with a short name, in the order in which they stand in a run's name. All others follow by
/// path.
const SHORT: [(&str, &str); 16] = [
    ("data.fold", "fold"),
    ("model.architecture", "arch"),
    ("model.path", "script"),
    ("model.weights", "weights"),
    ("training.batch_size", "batch"),
    ("training.num_epochs", "epochs"),
    ("training.max_steps", "steps"),
    ("training.max_time", "time"),
    ("optimizer.lr", "lr"),
    ("optimizer.momentum", "momentum"),
    ("optimizer.weight_decay", "wd"),
    ("scheduler.step_size", "step"),
    ("scheduler.gamma", "gamma"),
    ("training.precision", "precision"),
    ("seed", "seed"),
    ("deterministic", "deterministic"),
];

/// Keys that never change a result: how images are loaded, what is checked of them, where a run trains
/// and in how much memory, and how often TensorBoard gets to see it.
pub const INCIDENTAL: [&str; 16] = [
    "data.num_workers",
    "data.cache",
    "data.cache_max_gb",
    "data.cache_dir",
    "data.on_leak",
    "data.on_change",
    "training.device",
    "training.threads",
    "training.gradient_checkpointing",
    "training.feature_cache.in",
    "training.feature_cache.max_gb",
    "training.tensorboard",
    "training.tensorboard.scalars_every_seconds",
    "training.tensorboard.histograms_every_steps",
    "training.distributed.backend",
    "training.distributed.timeout_seconds",
];

/// Keys that, besides, are not in a run's name: paths of this machine, and when checkpoints are
/// written.
const UNNAMED: [&str; 5] = [
    "data.data_dir",
    "training.checkpoint.every_epochs",
    "training.checkpoint.every_steps",
    "training.checkpoint.every_minutes",
    "training.checkpoint.keep_top_k",
];

/// The run's name: `base` without overrides, else `batch_32_lr_0.01` and the like.
pub fn run_name(overrides: &[Override]) -> String {
    let mut given: BTreeMap<&str, &Value> = overrides.iter().map(|o| (o.path.as_str(), &o.value)).collect();
    given.retain(|path, _| !INCIDENTAL.contains(path) && !UNNAMED.contains(path));
    let mut parts: Vec<String> = SHORT
        .iter()
        .filter_map(|(path, short)| given.remove(path).map(|value| format!("{short}_{}", text(path, value))))
        .collect();
    parts.extend(given.into_iter().map(|(path, value)| format!("{path}_{}", text(path, value))));
    if parts.is_empty() {
        return "base".to_owned();
    }
    let name: String = parts.join("_").chars().map(clean).collect();
    if name.len() <= LONGEST { name } else { format!("{}_{:08x}", &name[..LONGEST - 9], hash(&name)) }
}

fn text(path: &str, value: &Value) -> String {
    match value {
        Value::String(text) if path == "model.weights" => Choice::label(text),
        Value::String(text) if path == "model.path" => {
            std::path::Path::new(text).file_stem().unwrap_or_default().to_string_lossy().into_owned()
        }
        Value::String(text) => text.clone(),
        Value::Sequence(items) => items.iter().map(|item| text("", item)).collect::<Vec<_>>().join("-"),
        Value::Mapping(entries) => {
            let mut all = String::new();
            for (key, value) in entries {
                let _ = write!(all, "-{}-{}", text("", key), text("", value));
            }
            all.trim_start_matches('-').to_owned()
        }
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    }
}

/// What every file system and shell takes as it is; one byte a character, so that a name can be cut
/// anywhere.
fn clean(character: char) -> char {
    if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' }
}

/// FNV-1a: stable across versions and machines, unlike the standard library's hashers.
fn hash(name: &str) -> u32 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(name.as_bytes());
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse_set};

    fn flag(path: &str, yaml: &str) -> Override {
        let value = serde_yaml::from_str(yaml).unwrap();
        Override { path: path.into(), value, source: Source::Flag("--flag"), argument: None }
    }

    #[test]
    fn a_run_is_named_after_its_overrides_in_a_fixed_order() {
        assert_eq!(run_name(&[]), "base");
        let (lr, batch) = (flag("optimizer.lr", "0.01"), flag("training.batch_size", "32"));
        assert_eq!(run_name(&[lr.clone(), batch.clone()]), "batch_32_lr_0.01");
        assert_eq!(run_name(&[batch, lr]), "batch_32_lr_0.01");
        assert_eq!(run_name(&[parse_set("optimizer.lr=1e-2").unwrap()]), "lr_0.01");
        assert_eq!(
            run_name(&[parse_set("transforms.train.resize=[64, 64]").unwrap(), flag("seed", "7")]),
            "seed_7_transforms.train.resize_64-64"
        );
        for (weights, name) in [
            ("/a/b c/net.pt", "weights_net"),
            ("DEFAULT", "weights_DEFAULT"),
            ("ResNet50_Weights.IMAGENET1K_V2", "weights_IMAGENET1K_V2"),
            ("runs/base/best.pt", "weights_best"),
        ] {
            assert_eq!(run_name(&[flag("model.weights", weights)]), name);
        }
    }

    #[test]
    fn what_cannot_change_the_result_is_not_in_the_name() {
        let unnamed =
            [flag("data.data_dir", "x"), flag("data.num_workers", "3"), flag("training.device", "cpu")];
        assert_eq!(run_name(&unnamed), "base");
    }

    #[test]
    fn a_long_name_is_cut_and_still_tells_runs_apart() {
        let long = |end: &str| run_name(&[flag("model.architecture", &format!("{}{end}", "é".repeat(200)))]);
        assert!(long("a").len() == LONGEST && long("a") != long("b"), "{}", long("a"));
    }
}
