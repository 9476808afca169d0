//! What was measured earlier on this machine: a small JSON file in the user's cache folder, so that
//! runs of the same network decide alike.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::network::{Freeze, ScriptFile};

/// Of the file's layout.
const VERSION: u32 = 1;
/// A larger file is not one of these.
const MAX_BYTES: u64 = 4 << 20;
/// Above that, the entries are thrown away and measured again as they are needed.
const MAX_ENTRIES: usize = 2000;

/// What the time of a step depends on.
pub(super) struct Key(String);

impl Key {
    pub(super) fn new(config: &Config, script: Option<&ScriptFile>) -> Key {
        let train = &config.transforms.train;
        let size = train.output_size().map_or_else(String::new, |s| format!("{}x{}", s.height, s.width));
        let network =
            script.map_or_else(|| config.model.name().into_owned(), |file| file.sha256().to_owned());
        let teacher = config.training.distillation.as_ref().map_or_else(String::new, |distillation| {
            format!(", teacher {}", distillation.sha256.as_deref().unwrap_or_default())
        });
        let freeze = config.model.base().map_or(&Freeze::None, |base| &base.freeze);
        let views = config.training.jensen_shannon.as_ref();
        let views = views.map_or_else(String::new, |consistency| format!(", {} views", consistency.splits));
        let recomputed = if config.training.gradient_checkpointing { ", gradient checkpointing" } else { "" };
        Key(format!(
            "{network}, {}x{size}, batch {}{views}, freeze {freeze}{recomputed}{teacher}; {}, {} threads; libtorch {}, version {}",
            train.channels.count(),
            config.training.batch_size,
            processor(),
            tch::get_num_threads(),
            *crate::LIBTORCH_VERSION,
            env!("CARGO_PKG_VERSION"),
        ))
    }
}

#[cfg(test)]
impl Key {
    pub(super) fn called(name: &str) -> Key {
        Key(name.to_owned())
    }
}

/// The processor's name, on Linux.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format_version: u32,
    /// By [`Key`]: seconds of a step, by the name of the way it is computed.
    steps: BTreeMap<String, BTreeMap<String, f64>>,
}

/// The file's content.
pub(super) struct Kept {
    /// None without a home folder.
    path: Option<PathBuf>,
    content: Content,
}

impl Kept {
    /// `ml-train/steps.json` in `$XDG_CACHE_HOME`, else in `~/.cache`. A damaged file is as none,
    /// and is told.
    pub(super) fn open() -> Kept {
        let given = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
        let folder = given.map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
        Kept::at(folder.map(|folder| folder.join("ml-train/steps.json")))
    }

    /// At this place.
    pub(super) fn at(path: Option<PathBuf>) -> Kept {
        let content = path.as_deref().and_then(|path| match read(path) {
            Ok(content) => content,
            Err(problem) => {
                tracing::warn!("{}: {problem}; the speeds that it kept are measured again", path.display());
                None
            }
        });
        Kept { path, content: content.unwrap_or_default() }
    }

    pub(super) fn place(&self) -> String {
        self.path.as_deref().unwrap_or(Path::new("")).display().to_string()
    }

    /// Seconds of a step in each of the ways called `names`, if all are known.
    pub(super) fn get(&self, key: &Key, names: &[String]) -> Option<Vec<f64>> {
        let known = self.content.steps.get(&key.0)?;
        let seconds: Option<Vec<f64>> = names.iter().map(|name| known.get(name).copied()).collect();
        seconds.filter(|seconds| seconds.iter().all(|&s| s.is_finite() && s > 0.0))
    }

    /// Keeps what was measured. That it cannot be written is told; it costs the next run some
    /// seconds.
    pub(super) fn put(&mut self, key: Key, names: &[String], seconds: &[f64]) {
        let Some(path) = &self.path else {
            tracing::warn!("what was measured is not kept: there is no home folder; set XDG_CACHE_HOME");
            return;
        };
        self.content.format_version = VERSION;
        if self.content.steps.len() >= MAX_ENTRIES {
            self.content.steps.clear();
        }
        let measured = names.iter().cloned().zip(seconds.iter().copied());
        self.content.steps.entry(key.0).or_default().extend(measured);
        if let Err(error) = write(path, &self.content) {
            tracing::warn!("{}: what was measured cannot be kept: {error}", path.display());
        }
    }
}

fn read(path: &Path) -> Result<Option<Content>, String> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| format!("cannot be read: {error}"))?,
    };
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    let content: Content = serde_json::from_str(&text).map_err(|error| format!("is damaged: {error}"))?;
    // Of another version: to be written anew.
    Ok((content.format_version == VERSION).then_some(content))
}

fn write(path: &Path, content: &Content) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(content)?;
    atomic_file::replace(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_kept_and_a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/steps.json");
        let names = ["fp32".to_owned(), "bf16".to_owned()];
        let key = || Key("resnet18".to_owned());
        let mut kept = Kept::at(Some(path.clone()));
        assert_eq!(kept.get(&key(), &names), None);
        kept.put(key(), &names, &[2.0, 1.0]);
        let kept = Kept::at(Some(path.clone()));
        assert_eq!(kept.get(&key(), &names), Some(vec![2.0, 1.0]));
        assert_eq!(kept.get(&key(), &["tf32".to_owned()]), None);
        assert_eq!(kept.get(&Key("resnet50".to_owned()), &names), None);
        for damaged in ["", "{", "[1]", r#"{"format_version": 1, "steps": {"resnet18": {"fp32": "x"}}}"#] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(Kept::at(Some(path.clone())).get(&key(), &names), None, "{damaged}");
        }
        let zeros = r#"{"format_version": 1, "steps": {"resnet18": {"fp32": 0.0, "bf16": 1.0}}}"#;
        fs::write(&path, zeros).unwrap();
        assert_eq!(Kept::at(Some(path)).get(&key(), &names), None);
    }
}
