//! Comments in a run's `config.yaml`: why a value is what it is.

/// Columns of a comment.
const WIDTH: usize = 100;

/// What is said of a key, as a comment above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Dotted YAML path; empty for the whole file.
    pub path: String,
    /// In words, without line ends.
    pub text: String,
}

/// `yaml`, as [`ml_data::yaml::to_string`] writes it, with the notes above the keys that they are of. A
/// note on a key that is not there is left out.
pub fn annotated(yaml: &str, notes: &[Note]) -> String {
    let mut text = String::new();
    for note in notes.iter().filter(|note| note.path.is_empty()) {
        comment(&mut text, "", &note.text);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let mut keys = Keys::default();
    for line in yaml.lines() {
        if let Some(path) = keys.path(line) {
            let indent = &line[..line.len() - line.trim_start().len()];
            for note in notes.iter().filter(|note| note.path == path) {
                comment(&mut text, indent, &note.text);
            }
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The notes in `old`, a file that [`annotated`] made, on keys that have the same value in `new`; that on
/// the whole file is kept too.
pub fn kept(old: &str, new: &str) -> Vec<Note> {
    let mut keys = Keys::default();
    let values: Vec<(String, &str)> =
        new.lines().filter_map(|line| Some((keys.path(line)?, line.trim()))).collect();
    let mut keys = Keys::default();
    let (mut notes, mut words) = (Vec::new(), Vec::new());
    for line in old.lines() {
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            words.push(comment.trim());
            continue;
        }
        let text = std::mem::take(&mut words).join(" ");
        let path = if line.is_empty() { Some(String::new()) } else { keys.path(line) };
        let Some(path) = path.filter(|_| !text.is_empty()) else { continue };
        if path.is_empty() || values.iter().any(|(own, value)| *own == path && *value == line.trim()) {
            notes.push(Note { path, text });
        }
    }
    notes
}

fn comment(text: &mut String, indent: &str, note: &str) {
    let mut line = format!("{indent}#");
    let mut has_words = false;
    for word in note.split_whitespace() {
        if has_words && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
        has_words = true;
    }
    text.push_str(&line);
    text.push('\n');
}

/// The keys around a line, outermost first, each with its indentation.
#[derive(Default)]
struct Keys(Vec<(usize, String)>);

impl Keys {
    /// The path of the key that `line` begins with; none of another line.
    fn path(&mut self, line: &str) -> Option<String> {
        let rest = line.trim_start();
        let (key, _) = rest.split_once(':')?;
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let indent = line.len() - rest.len();
        self.0.retain(|(outer, _)| *outer < indent);
        self.0.push((indent, key.to_owned()));
        Some(self.0.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "seed: 42\noptimizer:\n  name: sgd\n  lr: 0.1\n  betas:\n  - 0.9\n  - 0.99\ntraining:\n  \
                        batch_size: 8\n";

    fn note(path: &str, text: &str) -> Note {
        Note { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn notes_stand_above_their_keys_and_are_kept_while_the_value_is() {
        let long = "word ".repeat(50).trim().to_owned();
        let notes =
            [note("", "All of it."), note("optimizer.lr", &long), note("training.batch_size", "Few.")];
        let text = annotated(YAML, &[&notes[..], &[note("model.nothing", "Not there.")]].concat());
        assert!(text.starts_with("# All of it.\n\nseed: 42\n"), "{text}");
        assert!(text.contains("  # Few.\n  batch_size: 8\n"), "{text}");
        assert!(!text.contains("Not there"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        let (plain, noted): (serde_yaml::Value, serde_yaml::Value) =
            (serde_yaml::from_str(YAML).unwrap(), serde_yaml::from_str(&text).unwrap());
        assert_eq!(plain, noted);
        assert_eq!(kept(&text, YAML), notes);
        let changed = YAML.replace("batch_size: 8", "batch_size: 16");
        assert_eq!(kept(&text, &changed), notes[..2]);
        assert_eq!(kept(YAML, YAML), []);
    }
}
