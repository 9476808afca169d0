//! `--preset`: a name → settings that are chosen for the images, or those of a file in `configs/`.

use crate::config::{Source, unknown_name};

/// Where a preset stands between short and accurate trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A first look.
    Fast,
    /// The usual.
    Balanced,
    /// What takes long.
    Best,
}

impl Level {
    /// What a training may take unless a time limit is given.
    pub(super) fn seconds(self) -> f64 {
        match self {
            Level::Fast => 300.0,
            Level::Balanced => 1800.0,
            Level::Best => 14_400.0,
        }
    }
}

/// A preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Chosen for the images, by its name.
    Chosen(&'static str, Level),
    /// A file in `configs/`: its name and its text.
    Named(&'static str, &'static str),
}

/// Those that are chosen for the images, with what they are.
const CHOSEN: [(&str, Level, &str); 4] = [
    (
        "auto",
        Level::Balanced,
        "chosen for the images, this machine and --time_limit; half an hour without one",
    ),
    ("fast", Level::Fast, "chosen likewise, for a first look: at most about 5 minutes"),
    ("balanced", Level::Balanced, "another name of auto"),
    ("best", Level::Best, "chosen likewise, for accuracy: at most about 4 hours"),
];

/// The files.
const NAMED: [(&str, &str); 9] = [
    ("digits", include_str!("../../../../configs/digits.yaml")),
    ("cifar10_resnet18", include_str!("../../../../configs/cifar10_resnet18.yaml")),
    ("cifar10_fast", include_str!("../../../../configs/cifar10_fast.yaml")),
    ("imagenette_128", include_str!("../../../../configs/imagenette_128.yaml")),
    ("finetune_photos", include_str!("../../../../configs/finetune_photos.yaml")),
    ("linear_probe", include_str!("../../../../configs/linear_probe.yaml")),
    ("imagenet_resnet50", include_str!("../../../../configs/imagenet_resnet50.yaml")),
    ("rsb_a2", include_str!("../../../../configs/rsb_a2.yaml")),
    ("rsb_a3", include_str!("../../../../configs/rsb_a3.yaml")),
];

impl Preset {
    /// What is taken where nothing is said.
    pub const AUTO: Preset = Preset::Chosen("auto", Level::Balanced);

    /// The one of this name.
    ///
    /// # Errors
    /// There is none; in words.
    pub fn from_name(name: &str) -> Result<Preset, String> {
        let chosen = CHOSEN.iter().find(|(known, ..)| *known == name);
        let chosen = chosen.map(|(known, level, _)| Preset::Chosen(known, *level));
        let named = NAMED.iter().find(|(known, _)| *known == name);
        chosen.or(named.map(|(known, text)| Preset::Named(known, text))).ok_or_else(|| {
            let known: Vec<&str> =
                Preset::all().into_iter().map(|(known, _)| known).chain(["none"]).collect();
            format!("{}; `ml-train --list_presets` shows all", unknown_name(name, &known))
        })
    }

    /// All of them, each with what it is.
    pub fn all() -> Vec<(&'static str, &'static str)> {
        let chosen = CHOSEN.iter().map(|(name, _, what)| (*name, *what));
        let first =
            |text: &'static str| text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
        chosen.chain(NAMED.iter().map(|(name, text)| (*name, first(text)))).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Chosen(name, _) | Preset::Named(name, _) => name,
        }
    }

    /// Where its values come from.
    pub fn source(self) -> Source {
        Source::Preset(self.name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse_set, resolve_over};

    #[test]
    fn every_file_in_configs_is_a_preset_and_says_what_it_is() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            files.extend(name.strip_suffix(".yaml").map(str::to_owned));
        }
        files.retain(|name| name != "default");
        files.sort();
        let mut named: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        assert_eq!(files, named);
        for (name, text) in NAMED {
            let preset = Preset::from_name(name).unwrap();
            let resolved = resolve_over(Some((text, preset.source())), None, &[], &|_| Ok(None)).unwrap();
            // That one trains at another size than it is validated at.
            assert_eq!(resolved.warnings().len(), usize::from(name == "rsb_a3"), "{name}");
            assert!(
                !text.contains("\n  test:"),
                "{name}: a test pipeline would outlive a val pipeline of the user"
            );
            assert!(text.starts_with("# ") && text.contains(" %"), "{name} says what is reported of it");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_a_near_one() {
        let error = Preset::from_name("balancd").unwrap_err();
        assert!(error.contains("did you mean `balanced`?") && error.contains("--list_presets"), "{error}");
        assert_eq!(Preset::from_name("auto"), Ok(Preset::AUTO));
    }

    #[test]
    fn what_is_given_wins_over_a_preset_and_another_choice_drops_its_keys() {
        let preset = Preset::from_name("cifar10_fast").unwrap();
        let Preset::Named(_, text) = preset else { panic!("{preset:?}") };
        let resolved = |sets: &[&str]| {
            let sets: Vec<_> = sets.iter().map(|set| parse_set(set).unwrap()).collect();
            resolve_over(Some((text, preset.source())), None, &sets, &|_| Ok(None)).unwrap()
        };
        let own = resolved(&["training.batch_size=64", "optimizer.lr=0.01"]);
        assert_eq!((own.config.training.batch_size, own.config.optimizer.lr()), (64, 0.01));
        assert_eq!(own.sources["optimizer.nesterov"], preset.source());
        let other = resolved(&["optimizer.name=adamw"]);
        assert_eq!(other.config.optimizer.lr(), 0.001, "0.4 is for SGD");
        assert!(!other.sources.contains_key("optimizer.nesterov"));
    }
}
