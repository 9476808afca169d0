//! A YAML text → the line of each of its keys, and the keys that are given twice.
//!
//! `serde_yaml` gives values without positions, so this reads the text a second time. It never
//! refuses anything: what it cannot read has no lines.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser};

/// Deeper nesting is not followed; `serde_yaml` refuses it.
const MAX_DEPTH: usize = 128;

/// The key that merges other mappings into its own.
pub(super) const MERGE: &str = "<<";

/// Where the keys of a YAML text stand.
#[derive(Debug, Default)]
pub(super) struct Lines {
    root: Option<Rc<Node>>,
    /// Keys that their mapping has already.
    pub duplicates: Vec<Duplicate>,
}

/// A key that its mapping has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Duplicate {
    /// Dotted YAML path.
    pub path: String,
    /// Where it stands first, from 1.
    pub first: usize,
    /// Where it stands again.
    pub line: usize,
}

/// A mapping by key, a sequence by index, or a scalar without entries. Aliases share the node of
/// their anchor.
#[derive(Debug, Default)]
struct Node {
    is_sequence: bool,
    is_scalar: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    line: usize,
    value: Rc<Node>,
}

impl Lines {
    /// Reads as much of `text` as can be read.
    pub fn of(text: &str) -> Lines {
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            reader.take(event, span.start.line());
            if reader.open.len() > MAX_DEPTH {
                break;
            }
        }
        reader.lines
    }

    /// The line, from 1, of the key at a dotted path (`transforms.train.resize[0]`), or of the
    /// deepest key on the way to it that the text has.
    pub fn line(&self, path: &str) -> Option<usize> {
        let mut node = self.root.as_deref()?;
        let mut line = None;
        for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')) {
            let Some(entry) = node.find(part) else { break };
            line = Some(entry.line);
            node = &entry.value;
        }
        line
    }
}

impl Lines {
    /// The line of the first `<<` that brings something else than mappings.
    pub fn first_bad_merge(&self) -> Option<usize> {
        fn is_mapping(node: &Node) -> bool {
            !node.is_sequence && !node.is_scalar
        }
        fn search(node: &Node) -> Option<usize> {
            let lines = node.entries.iter().filter_map(|entry| {
                let value = &entry.value;
                let is_good = is_mapping(value)
                    || value.is_sequence && value.entries.iter().all(|item| is_mapping(&item.value));
                let is_bad = entry.name == MERGE && !node.is_sequence && !is_good;
                if is_bad { Some(entry.line) } else { search(value) }
            });
            lines.min()
        }
        search(self.root.as_deref()?)
    }
}

impl Node {
    /// Its own entry, or that of a mapping that is merged into it.
    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.name == name).or_else(|| {
            let mut merged = self.entries.iter().filter(|entry| entry.name == MERGE && !self.is_sequence);
            merged.find_map(|entry| {
                if entry.value.is_sequence {
                    entry.value.entries.iter().find_map(|item| item.value.find(name))
                } else {
                    entry.value.find(name)
                }
            })
        })
    }
}

/// A collection whose end has not come yet.
#[derive(Debug)]
struct Open {
    node: Node,
    anchor: usize,
    line: usize,
    /// The key whose value comes next, and its line.
    key: Option<(String, usize)>,
}

#[derive(Default)]
struct Reader {
    lines: Lines,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.value(Node { is_scalar: true, ..Node::default() }, anchor, &text, line);
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().unwrap_or_default();
                self.attach(value, "", line);
            }
            Event::MappingStart(anchor, _) => self.start(false, anchor, line),
            Event::SequenceStart(anchor, _) => self.start(true, anchor, line),
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Open { node, anchor, line, .. }) = self.open.pop() {
                    self.value(node, anchor, "", line);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, is_sequence: bool, anchor: usize, line: usize) {
        let node = Node { is_sequence, ..Node::default() };
        self.open.push(Open { node, anchor, line, key: None });
    }

    fn value(&mut self, node: Node, anchor: usize, text: &str, line: usize) {
        let node = Rc::new(node);
        // The parser counts anchors from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node, text, line);
    }

    /// Puts a node where it belongs: a key, a key's value, an item, or the whole.
    fn attach(&mut self, value: Rc<Node>, text: &str, line: usize) {
        let Some(open) = self.open.last_mut() else {
            self.lines.root.get_or_insert(value);
            return;
        };
        let (name, line) = if open.node.is_sequence {
            (open.node.entries.len().to_string(), line)
        } else if let Some(key) = open.key.take() {
            key
        } else {
            open.key = Some((text.to_owned(), line));
            return;
        };
        let first = open.node.entries.iter().find(|entry| entry.name == name).map(|entry| entry.line);
        open.node.entries.push(Entry { name: name.clone(), line, value });
        if let Some(first) = first {
            let path = self.path(&name);
            self.lines.duplicates.push(Duplicate { path, first, line });
        }
    }

    /// The dotted path of `name` in the innermost open collection.
    fn path(&self, name: &str) -> String {
        let mut path = String::new();
        let outer = self.open.iter().take(self.open.len().saturating_sub(1));
        for open in outer {
            match &open.key {
                Some((key, _)) if path.is_empty() => path.push_str(key),
                Some((key, _)) => path.push_str(&format!(".{key}")),
                None => path.push_str(&format!("[{}]", open.node.entries.len())),
            }
        }
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_line_and_what_is_not_there_that_of_what_it_lies_in() {
        let lines = Lines::of(
            "# a comment\nseed: 1\noptimizer:\n  name: sgd\n  # another\n  \"lr\": 0.1\ndata: {fold: 1,\n  \
             cache: ram}\nlist:\n  - 1\n  - a: 2\n",
        );
        for (path, line) in [
            ("seed", Some(2)),
            ("optimizer", Some(3)),
            ("optimizer.name", Some(4)),
            ("optimizer.lr", Some(6)),
            ("optimizer.momentum", Some(3)),
            ("data.fold", Some(7)),
            ("data.cache", Some(8)),
            ("list[1].a", Some(11)),
            ("list[0]", Some(10)),
            ("model.weights", None),
            ("", None),
        ] {
            assert_eq!(lines.line(path), line, "{path}");
        }
    }

    #[test]
    fn what_an_alias_or_a_merge_brings_stands_where_its_anchor_does() {
        let lines = Lines::of(
            "train: &t\n  resize: 1\n  channels: 3\nval: *t\ntest:\n  <<: *t\n  channels: 1\nmore:\n  <<: [*t]\n",
        );
        for (path, line) in
            [("val", 4), ("val.resize", 2), ("test.resize", 2), ("test.channels", 7), ("more.channels", 3)]
        {
            assert_eq!(lines.line(path), Some(line), "{path}");
        }
    }

    #[test]
    fn keys_given_twice_are_found_at_any_depth() {
        let duplicate = |path: &str, first, line| Duplicate { path: path.to_owned(), first, line };
        let lines = Lines::of("a: 1\nb:\n  - c: 1\n    d: {e: 1}\n    c: 2\na: 3\n");
        assert_eq!(lines.duplicates, [duplicate("b[0].c", 3, 5), duplicate("a", 1, 6)]);
    }

    #[test]
    fn hostile_texts_end() {
        for text in
            ["", "[", "a: [", "\t", "a: *b", "{{{{", "\u{0}", &"[".repeat(100_000), &"- ".repeat(5000)]
        {
            let _ = Lines::of(text).line("a.b[3]");
        }
    }
}
