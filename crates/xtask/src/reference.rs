//! Compares networks with torchvision's, name by name, and writes what it found into
//! `docs/networks.md`; with `--all`, also runs the tests that sweep over every network.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Options, Purpose};
use crate::shell::{BUILD, Shell, output};
use crate::text::last_json;

/// Classes of the networks compared, as in `examples/reference.rs`.
const CLASSES: &str = "10";
/// The page with the table, and the line behind which it stands.
const PAGE: &str = "docs/networks.md";
const MARK: &str = "<!-- written by `cargo xtask reference --all` -->";
/// Largest differences allowed; see the page.
const LIMITS: [(&str, f64); 5] =
    [("init", 1.2e-7), ("logits", 1e-5), ("bf16_logits", 3e-2), ("gradients", 1e-4), ("train_logits", 1e-3)];

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Networks by name
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// Every network that torchvision has; writes the table in docs/networks.md, then puts every
    /// network through the tests that the suite makes of small ones (half an hour or more in all,
    /// and 15 GB of memory)
    #[arg(long, conflicts_with = "names")]
    all: bool,
    #[command(flatten)]
    options: Options,
}

/// # Errors
/// Set-up or the build fails; or a network differs by more than is allowed: all that do.
pub fn run(shell: &Shell, args: &Args) -> Result<()> {
    let shell = setup::run(shell, Purpose::Test, &args.options)?;
    shell.run("cargo", &[&BUILD[..], &["--release"]].concat())?;
    let target = shell.target_dir()?;
    let program = target.join("release/examples/reference");
    let known = output(shell.command(&program).arg("--list"))?;
    let known: Vec<(&str, &str)> = known.lines().filter_map(|line| line.split_once(' ')).collect();
    if let Some(unknown) = args.names.iter().find(|name| known.iter().all(|(known, _)| known != name)) {
        bail!("torchvision has no network called `{unknown}` that is here too");
    }
    let scratch = target.join(format!("reference-{}.json", std::process::id()));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    println!("{HEADER}");
    for (name, size) in known {
        if !args.all && !args.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        match compare(&shell, &program, &scratch, name, size) {
            Ok((row, beyond)) => {
                println!("{row}");
                rows.push(row);
                failures.extend(beyond);
            }
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    let _ = std::fs::remove_file(&scratch);
    if !failures.is_empty() {
        bail!("{} differ:\n{}", failures.len(), failures.join("\n"));
    }
    if args.all {
        write_table(&shell.path(PAGE), &rows)?;
        shell.run("cargo", &SWEEP)?;
    }
    Ok(())
}

/// The tests of every network, which the suite leaves out for their length; one at a time, for
/// their memory.
const SWEEP: [&str; 10] = [
    "test",
    "--release",
    "--package",
    "ml-core",
    "--lib",
    "--",
    "--ignored",
    "--test-threads",
    "1",
    "every_network",
];

/// The head of the table.
const HEADER: &str = "\
| name | parameters (10 classes) | tensors | image | initial weights | logits | bf16 logits | gradients | training logits |
|---|--:|--:|--:|--:|--:|--:|--:|--:|";

/// A row of the table, and what is beyond the limits.
fn compare(
    shell: &Shell,
    program: &Path,
    scratch: &Path,
    name: &str,
    size: &str,
) -> Result<(String, Option<String>)> {
    let script = shell.path("tests/reference/network.py");
    // As many threads on both sides, and always as many: the table's figures are of sums in one
    // order.
    let single = |program: &Path| {
        let mut command = shell.command(program);
        command.env("OMP_NUM_THREADS", "1");
        command
    };
    let python = setup::venv_python(shell);
    let reference = output(single(&python).arg(script).args([name, CLASSES, size]))?;
    std::fs::write(scratch, reference).with_context(|| format!("cannot write {}", scratch.display()))?;
    let found = last_json(&output(single(program).args([name, size]).arg(scratch))?)?;
    let mut row = format!("| {name} | {} | {} | {size} |", found["parameters"], found["tensors"]);
    let mut beyond = None;
    for (key, limit) in LIMITS {
        let value = found[key].as_f64().with_context(|| format!("no `{key}`"))?;
        row += &if value == 0.0 { " 0 |".to_owned() } else { format!(" {value:.1e} |") };
        if value > limit {
            beyond = Some(format!("{name}: {key} differ by {value:.1e}, and {limit:.0e} is allowed"));
        }
    }
    Ok((row, beyond))
}

fn write_table(page: &Path, rows: &[String]) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let head = text.split_once(MARK).map(|(head, _)| head);
    let head = head.with_context(|| format!("{} has no line `{MARK}`", page.display()))?;
    let text = format!("{head}{MARK}\n\n{HEADER}\n{}\n", rows.join("\n"));
    std::fs::write(page, text).with_context(|| format!("cannot write {}", page.display()))
}
