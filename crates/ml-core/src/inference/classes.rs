//! Names of classes for weights that bring none: from a file, `ImageNet`'s, or numbers; and other
//! names that a model's classes go by.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::weights::imagenet_classes;

/// More bytes than names of classes take.
const MAX_BYTES: u64 = 1 << 24;

/// A file does not say what the classes are called.
#[derive(Debug, thiserror::Error)]
#[error("--classes {}: {problem}", path.display())]
pub struct ClassesError {
    path: PathBuf,
    problem: String,
}

/// The names in a file: one a line, or a JSON list of strings.
///
/// # Errors
/// The file cannot be read, or a name is empty or occurs twice.
pub fn read_classes(path: &Path) -> Result<Vec<String>, ClassesError> {
    let wrong = |problem: String| ClassesError { path: path.to_owned(), problem };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(format!("cannot be read as text: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong("is too large for a list of class names".to_owned()));
    }
    parse(&text).map_err(wrong)
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let names: Vec<String> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| format!("is no JSON list of names: {error}"))?
    } else {
        text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
    };
    if names.iter().all(String::is_empty) {
        return Err("is empty; it must have a name for each class, one a line".to_owned());
    }
    if let Some(place) = names.iter().position(String::is_empty) {
        return Err(format!("name {} is empty", place + 1));
    }
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (place, name) in (1..).zip(&names) {
        if let Some(before) = first.insert(name, place) {
            let name = name.escape_debug();
            return Err(format!("names {before} and {place} are both `{name}`; names must differ"));
        }
    }
    Ok(names)
}

/// The names of `count` classes of which nothing is known, and a line on them: `ImageNet`'s where
/// there are as many.
pub(super) fn assumed(count: usize) -> (Vec<String>, String) {
    let imagenet = imagenet_classes();
    if count == imagenet.len() {
        let names = imagenet.iter().map(|class| class.name.to_owned()).collect();
        return (names, format!("classes: ImageNet's, since there are {count} logits"));
    }
    let names: Vec<String> = (0..count).map(|number| format!("class_{number}")).collect();
    let last = count.saturating_sub(1);
    (names, format!("classes: class_0 to class_{last}; --classes FILE names them, one a line"))
}

/// That a list of names has one for each of `count` logits.
///
/// # Errors
/// It has more or fewer.
pub(super) fn check_count(names: &[String], count: usize) -> Result<(), String> {
    if names.len() == count {
        return Ok(());
    }
    Err(format!("--classes has {} names, but the model outputs {count} logits", names.len()))
}

/// The `WordNet` ids of classes that are all `ImageNet`'s, each with its class's place; none for
/// others.
pub(super) fn synsets(classes: &[String]) -> Vec<(&'static str, usize)> {
    let known: HashMap<&str, &'static str> =
        imagenet_classes().iter().map(|class| (class.name, class.synset)).collect();
    let synset = |(place, name): (usize, &String)| Some((*known.get(name.as_str())?, place));
    classes.iter().enumerate().map(synset).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_one_a_line_or_as_a_json_list() {
        let expected = Ok(vec!["cat".to_owned(), "a dog".to_owned()]);
        for text in ["cat\na dog\n", "cat\r\na dog", "\u{feff}cat\n a dog \n\n", "[\"cat\", \"a dog\"]"] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        for (text, part) in [
            ("", "is empty"),
            ("\n\n", "is empty"),
            ("[]", "is empty"),
            ("cat\n\ndog", "name 2 is empty"),
            ("cat\ndog\ncat", "names 1 and 3 are both `cat`"),
            ("[1, 2]", "no JSON list"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let missing = read_classes(&folder.path().join("no.txt")).unwrap_err().to_string();
        assert!(missing.contains("--classes") && missing.contains("no.txt"), "{missing}");
    }

    #[test]
    fn classes_that_are_imagenets_go_by_wordnet_ids_too() {
        let (names, note) = assumed(1000);
        assert!(note.contains("ImageNet") && names[0] == "tench");
        assert_eq!(synsets(&names)[134], ("n02012849", 134));
        let some = ["toilet tissue", "tench"].map(str::to_owned);
        assert_eq!(synsets(&some), [("n15075141", 0), ("n01440764", 1)]);
        let (others, note) = assumed(3);
        assert!(note.contains("class_0 to class_2") && synsets(&others).is_empty());
    }
}
