//! Which file of a crate uses which: modules by their paths, names resolved to the file that
//! defines them, through imports and re-exports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::scan::{Place, Scope, scan};

/// Names of modules from the crate's root on; none for the root itself.
pub type ModulePath = Vec<String>;

/// The modules of one crate, or of one program of it, without those that only tests have.
#[derive(Debug, Default)]
pub struct Modules(BTreeMap<ModulePath, Module>);

#[derive(Debug)]
struct Module {
    file: PathBuf,
    scope: Scope,
}

/// `from` uses `to`, first at `line` of its file.
#[derive(Debug)]
pub struct Edge {
    pub from: ModulePath,
    pub to: ModulePath,
    pub file: PathBuf,
    pub line: usize,
    pub to_file: PathBuf,
    /// A module is imported by its name, of which something may be used elsewhere in the file.
    pub names_module: bool,
}

/// Re-exports of re-exports: more than anyone writes, so that a circle of them ends.
const DEPTH: usize = 16;

impl Modules {
    /// The modules that `root` (`lib.rs` or `main.rs`) declares, and theirs.
    ///
    /// # Errors
    /// A file is missing, or is not Rust.
    pub fn read(root: &Path) -> Result<Modules> {
        let mut modules = Modules::default();
        let folder = root.parent().context("a file lies in a folder")?;
        modules.add(root, folder, &[])?;
        Ok(modules)
    }

    /// `file` is the module `path`; the files of its modules lie in `folder`.
    fn add(&mut self, file: &Path, folder: &Path, path: &[String]) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        for scope in scan(&text).with_context(|| format!("cannot parse {}", file.display()))? {
            let inner = [path, &scope.inline].concat();
            let inner_folder = scope.inline.iter().fold(folder.to_owned(), |folder, name| folder.join(name));
            for name in &scope.declared {
                let (flat, nested) = (inner_folder.join(format!("{name}.rs")), inner_folder.join(name));
                let child = child(&inner, name);
                let found = [flat, nested.join("mod.rs")].into_iter().find(|file| file.exists());
                let Some(found) = found else {
                    bail!("{}: `mod {name};` has no file", file.display());
                };
                self.add(&found, &nested, &child)?;
            }
            self.0.insert(inner, Module { file: file.to_owned(), scope });
        }
        Ok(())
    }

    /// Top-level modules and their files.
    pub fn top_level(&self) -> impl Iterator<Item = (&str, &Path)> {
        let top = self.0.iter().filter(|(path, _)| path.len() == 1);
        top.map(|(path, module)| (path[0].as_str(), module.file.as_path()))
    }

    /// Every use of another file, once for each pair of modules, at its first line.
    pub fn edges(&self) -> Vec<Edge> {
        let mut found: BTreeMap<(ModulePath, ModulePath, bool), Edge> = BTreeMap::new();
        for (from, module) in &self.0 {
            let imports = module.scope.uses.iter().map(|import| (&import.place, import.name.is_some()));
            let paths = module.scope.paths.iter().map(|place| (place, false));
            for (Place { path, line }, by_name) in imports.chain(paths) {
                let Some((to, is_module)) = self.resolve(from, path, 0) else { continue };
                let to_file = self.0[&to].file.clone();
                if to_file == module.file {
                    continue;
                }
                let names_module = by_name && is_module;
                let edge = found.entry((from.clone(), to.clone(), names_module)).or_insert_with(|| Edge {
                    from: from.clone(),
                    to,
                    file: module.file.clone(),
                    line: *line,
                    to_file,
                    names_module,
                });
                edge.line = edge.line.min(*line);
            }
        }
        found.into_values().collect()
    }

    /// The module that defines what `path` names in module `at`, and whether it is that module;
    /// `None` for what is of another crate or no module's (a type's constant).
    fn resolve(&self, at: &[String], path: &[String], depth: usize) -> Option<(ModulePath, bool)> {
        let (first, rest) = path.split_first()?;
        if depth > DEPTH {
            return None;
        }
        match first.as_str() {
            "crate" => self.descend(Vec::new(), rest, depth),
            "self" => self.descend(at.to_vec(), rest, depth),
            "super" => {
                let (_, mut parent) = at.split_last()?;
                let mut rest = rest;
                while rest.first().is_some_and(|segment| segment == "super") {
                    (_, parent) = parent.split_last()?;
                    rest = &rest[1..];
                }
                self.descend(parent.to_vec(), rest, depth)
            }
            _ if self.0.contains_key(&child(at, first)) => self.descend(child(at, first), rest, depth),
            _ => {
                let import = self.import(at, first)?;
                // `use tch;` names itself.
                (import != path).then(|| self.resolve(at, &[import, rest].concat(), depth + 1))?
            }
        }
    }

    /// The path that a `use` of module `at` has for `name`.
    fn import(&self, at: &[String], name: &str) -> Option<&[String]> {
        let uses = &self.0.get(at)?.scope.uses;
        let import = uses.iter().find(|import| import.name.as_deref() == Some(name))?;
        Some(&import.place.path)
    }

    /// As [`Modules::resolve`], for a path that begins in module `at`.
    fn descend(&self, mut at: ModulePath, mut path: &[String], depth: usize) -> Option<(ModulePath, bool)> {
        while let Some((first, rest)) = path.split_first() {
            let inner = child(&at, first);
            // A function may be called as the module that it comes from; as the last name it counts.
            let import = self.import(&at, first);
            if self.0.contains_key(&inner) && (!rest.is_empty() || import.is_none()) {
                (at, path) = (inner, rest);
                continue;
            }
            if let Some(import) = import {
                return self.resolve(&at, &[import, rest].concat(), depth + 1);
            }
            let scope = &self.0.get(&at)?.scope;
            if !scope.defined.contains(first) {
                let globs = scope.uses.iter().filter(|import| import.name.is_none());
                let targets = globs.filter_map(|glob| self.resolve(&at, &glob.place.path, depth + 1));
                for (target, _) in targets {
                    if self.offers(&target, first) {
                        return self.descend(target, path, depth + 1);
                    }
                }
            }
            return Some((at, false));
        }
        self.0.contains_key(&at).then_some((at, true))
    }

    fn offers(&self, at: &[String], name: &str) -> bool {
        self.0.get(at).is_some_and(|module| module.scope.defined.contains(name))
            || self.import(at, name).is_some()
    }
}

fn child(at: &[String], name: &str) -> ModulePath {
    [at, &[name.to_owned()]].concat()
}

impl Edge {
    /// Whether it can be part of a circle. What a module's file uses of its own submodules does not
    /// count: it presents them, and they may use what it defines. A program's `main.rs` presents
    /// nothing.
    fn counts(&self) -> bool {
        let own_submodule = self.to.starts_with(&self.from) && !self.file.ends_with("main.rs");
        !self.names_module && !own_submodule
    }
}

/// Groups of files that use each other in a circle, each with the edges between its files.
pub fn circles(edges: &[Edge]) -> Vec<Vec<&Edge>> {
    let mut uses: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    let edges = || edges.iter().filter(|edge| edge.counts());
    for edge in edges() {
        uses.entry(&edge.file).or_default().insert(&edge.to_file);
    }
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        uses.keys().map(|file| (*file, reachable(file, &uses))).collect();
    let both_ways = |one: &Path, other: &Path| {
        let reaches = |from: &Path, to: &Path| reached.get(from).is_some_and(|files| files.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let mut groups: Vec<Vec<&Edge>> = Vec::new();
    for edge in edges().filter(|edge| both_ways(&edge.file, &edge.to_file)) {
        match groups.iter_mut().find(|group| both_ways(&group[0].file, &edge.file)) {
            Some(group) => group.push(edge),
            None => groups.push(vec![edge]),
        }
    }
    groups
}

fn reachable<'a>(from: &'a Path, uses: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> BTreeSet<&'a Path> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(uses.get(file).into_iter().flatten().filter(|next| reached.insert(**next)));
    }
    reached
}
