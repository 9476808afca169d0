//! The structure of the workspace: crates and the modules of `ml-core` import in one direction, and
//! no files of a crate use each other in a circle. docs/architecture.md shows the order.
//!
//! Code for tests (`#[cfg(test)]`) may use what it likes. A module's file and its own submodules may
//! use each other: `loader/mod.rs` presents what `loader/pool.rs` defines, which uses its errors.

mod graph;
mod scan;

use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use graph::{Edge, Modules, circles};

/// Each crate may depend on those of later rows.
const CRATES: [&[&str]; 6] = [
    &["ml-cli"],
    &["ml-report"],
    &["ml-core", "ml-search"],
    &["ml-data", "torch-file"],
    &["test-support", "torch-ext", "jpeg-ext", "xtask"],
    &["atomic-file"],
];
/// Only for tests: a dev-dependency of any crate.
const TEST_SUPPORT: &str = "test-support";
/// The modules of `ml-core`: each may use those before it.
const ML_CORE: [&str; 20] = [
    "torch_error",
    "device",
    "distributed",
    "loader",
    "network",
    "features",
    "loss",
    "optimizer",
    "metrics",
    "evaluation",
    "attribution",
    "checkpoint",
    "weights",
    "policy",
    "config",
    "run",
    "trainer",
    "starter",
    "job",
    "inference",
];

/// What is against the rules, and where.
#[derive(Debug)]
struct Finding {
    file: PathBuf,
    line: usize,
    what: String,
}

impl Display for Finding {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// # Errors
/// A file cannot be read, or something is against the rules; each is named with file and line.
pub fn run(root: &Path) -> Result<()> {
    let findings = check(&root.join("crates"))?;
    for finding in &findings {
        let file = finding.file.strip_prefix(root).unwrap_or(&finding.file).to_owned();
        eprintln!("{}", Finding { file, line: finding.line, what: finding.what.clone() });
    }
    if !findings.is_empty() {
        bail!("{} uses are against the order or in a circle", findings.len());
    }
    Ok(())
}

fn check(crates: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for folder in sorted_folder(crates)?.iter().filter(|folder| folder.join("Cargo.toml").exists()) {
        let name = file_name(folder);
        let manifest = folder.join("Cargo.toml");
        findings.extend(check_manifest(&name, &manifest, &read(&manifest)?));
        for root in roots(folder)? {
            let modules = Modules::read(&root)?;
            let edges = modules.edges();
            if name == "ml-core" {
                findings.extend(check_order(&modules, &edges));
                findings.extend(check_waits(&root)?);
            }
            findings.extend(check_circles(&edges));
        }
    }
    Ok(findings)
}

/// Modules that run at every step, epoch or evaluation.
const COUNTED: [&str; 7] =
    ["evaluation", "features", "loss", "metrics", "network/layers", "optimizer", "trainer"];
/// What waits for a device without being counted; a copy from pageable memory does, in either
/// direction.
const UNCOUNTED: [&str; 3] = ["double_value(", "int64_value(", "to_device("];
/// Files that copy to a device what is made once a run, or once for a size of images.
const COPY_ONCE: [&str; 7] = [
    "evaluation/out_of_distribution.rs",
    "loss/bce.rs",
    "loss/cross_entropy.rs",
    "loss/focal.rs",
    "network/layers/window.rs",
    "optimizer/update.rs",
    "trainer/teacher.rs",
];

/// Every wait for a device in the modules of ml-core that run at every step is one that
/// `torch_ext::host_waits` counts.
fn check_waits(library: &Path) -> Result<Vec<Finding>> {
    let source = library.parent().context("a library lies in a folder")?;
    let mut findings = Vec::new();
    for module in COUNTED {
        let mut files = vec![source.join(format!("{module}.rs"))];
        if source.join(module).is_dir() {
            files.extend(sorted_folder(&source.join(module))?);
        }
        files.retain(|file| file.is_file() && file.file_name().is_some_and(|name| name != "tests.rs"));
        for file in files {
            let text = read(&file)?;
            let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let may_copy = COPY_ONCE.iter().any(|known| file.ends_with(known));
            let waits = |line: &str, call: &str| {
                let copies = call == "to_device(" && !line.contains("to_device(Device::Cpu)");
                line.contains(call) && !(copies && (may_copy || line.contains("fn to_device(")))
            };
            for (number, line) in code.lines().enumerate() {
                if let Some(call) = UNCOUNTED.iter().find(|call| waits(line, call)) {
                    let what = format!(
                        "`{call}` waits for a device uncounted; torch_ext::to_host counts, and tensors can be \
                         made where they are needed"
                    );
                    findings.push(Finding { file: file.clone(), line: number + 1, what });
                }
            }
        }
    }
    Ok(findings)
}

/// The library and the programs of a crate.
fn roots(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut roots = vec![folder.join("src/lib.rs"), folder.join("src/main.rs")];
    let programs = folder.join("src/bin");
    if programs.is_dir() {
        for entry in sorted_folder(&programs)? {
            roots.push(if entry.is_dir() { entry.join("main.rs") } else { entry });
        }
    }
    roots.retain(|root| root.is_file());
    Ok(roots)
}

fn check_manifest(name: &str, manifest: &Path, text: &str) -> Vec<Finding> {
    let row = |name: &str| CRATES.iter().position(|row| row.contains(&name));
    let finding = |number: usize, what: String| Finding { file: manifest.to_owned(), line: number + 1, what };
    let Some(own) = row(name) else {
        return vec![finding(0, format!("`{name}` has no place in the order of crates (CRATES in xtask)"))];
    };
    let (mut section, mut findings) = ("", Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim();
            continue;
        }
        let dependency = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let Some(other) = row(dependency).filter(|_| section.ends_with("dependencies]")) else { continue };
        if dependency == TEST_SUPPORT {
            if section != "[dev-dependencies]" {
                findings.push(finding(number, format!("{TEST_SUPPORT} is for dev-dependencies only")));
            }
        } else if other <= own {
            findings.push(finding(number, format!("{name} depends on {dependency}, against the order")));
        }
    }
    findings
}

fn check_order(modules: &Modules, edges: &[Edge]) -> Vec<Finding> {
    let place = |name: &str| ML_CORE.iter().position(|module| *module == name);
    let unknown = modules.top_level().filter(|(name, _)| place(name).is_none()).map(|(name, file)| Finding {
        file: file.to_owned(),
        line: 1,
        what: format!("`{name}` has no place in the order of modules (ML_CORE in xtask)"),
    });
    let against = edges.iter().filter_map(|edge| {
        let (from, to) = (edge.from.first()?, edge.to.first()?);
        (place(from)? < place(to)?).then(|| Finding {
            file: edge.file.clone(),
            line: edge.line,
            what: format!("`{from}` uses `{to}`, which comes after it in the order of modules"),
        })
    });
    unknown.chain(against).collect()
}

fn check_circles(edges: &[Edge]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for circle in circles(edges) {
        let files: BTreeSet<String> = circle.iter().map(|edge| short(&edge.file)).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        findings.extend(circle.iter().map(|edge| Finding {
            file: edge.file.clone(),
            line: edge.line,
            what: format!("uses {}; in a circle: {files}", short(&edge.to_file)),
        }));
    }
    findings
}

/// The path below `src/`.
fn short(file: &Path) -> String {
    let text = file.display().to_string();
    text.rsplit_once("/src/").map_or(text.clone(), |(_, below)| below.to_owned())
}

fn sorted_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests;
