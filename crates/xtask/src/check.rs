//! Every check, in the order in which they are quickest to fail, each under a heading; the first
//! failure ends it. All use the `dev` profile and the same flags, so that libtorch's bindings are
//! compiled once.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::setup::{self, Options, Purpose};
use crate::shell::{self, Shell};

/// A command that must succeed.
struct Check {
    name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const PYTHON: &str = "the Python of .venv";

/// The tests come last: what cargo prints of them ends the output.
const CHECKS: [Check; 9] = [
    Check { name: "formatting", program: "cargo", args: &["fmt", "--all", "--check"], env: &[] },
    Check { name: "structure", program: "cargo", args: &["xtask", "structure"], env: &[] },
    Check {
        name: "syntax of the Python programs",
        program: PYTHON,
        args: &["-m", "compileall", "-q", "-f", "tests", "benches"],
        // Keeps compiled files out of the source folders.
        env: &[("PYTHONPYCACHEPREFIX", "target/pycache")],
    },
    Check {
        name: "lints",
        program: "cargo",
        args: &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: &[],
    },
    Check {
        name: "documentation",
        program: "cargo",
        args: &["doc", "--locked", "--workspace", "--no-deps"],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Check {
        name: "examples in the documentation",
        program: "cargo",
        args: &["test", "--locked", "--workspace", "--doc"],
        env: &[],
    },
    Check {
        name: "killed and resumed runs",
        program: "cargo",
        args: &["xtask", "chaos", "--debug", "--kills", "9"],
        env: &[],
    },
    Check {
        name: "the checks of a GPU, on the CPU",
        program: "cargo",
        args: &["xtask", "gpu", "--try-on-cpu"],
        env: &[],
    },
    Check {
        name: "tests",
        program: "cargo",
        args: &[
            "test",
            "--locked",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
            "--no-fail-fast",
        ],
        // Several tests compute at once, and threads that spin would keep them from it.
        env: &[("OMP_WAIT_POLICY", "passive")],
    },
];

/// # Errors
/// Set-up or a check fails.
pub fn run(shell: &Shell, options: &Options) -> Result<()> {
    let start = Instant::now();
    let shell = &setup::run(shell, Purpose::Test, options)?;
    eprintln!("set-up: ok, {:.0} s", start.elapsed().as_secs_f64());
    for (number, check) in CHECKS.iter().enumerate() {
        let heading = format!("[{}/{}] {}", number + 1, CHECKS.len(), check.name);
        let start = Instant::now();
        run_one(shell, check, &heading).with_context(|| {
            format!(
                "{heading} failed after {:.0} s; what it said stands above",
                start.elapsed().as_secs_f64()
            )
        })?;
        if number + 1 < CHECKS.len() {
            eprintln!("{}: ok, {:.0} s", check.name, start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn run_one(shell: &Shell, check: &Check, heading: &str) -> Result<()> {
    let python = setup::venv_python(shell);
    let program = if check.program == PYTHON { python.as_os_str() } else { check.program.as_ref() };
    let variables = check.env.iter().map(|(key, value)| format!("{key}='{value}'"));
    let shown = variables.chain([shell.show(program, check.args)]).collect::<Vec<_>>().join(" ");
    eprintln!("\n== {heading}\n$ {shown}");
    let mut command = shell.command(program);
    // What the tests expect is computed on the CPU, also where there is a GPU.
    command.args(check.args).env("CUDA_VISIBLE_DEVICES", "").envs(check.env.iter().copied());
    shell::check(&mut command, &shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_check_changes_how_the_bindings_are_compiled() {
        for check in &CHECKS {
            assert!(check.env.iter().all(|(key, _)| *key != "RUSTFLAGS"), "{}", check.name);
            assert!(
                !check.args.contains(&"--release") && !check.args.contains(&"--profile"),
                "{}",
                check.name
            );
        }
    }

    #[test]
    fn the_tests_come_last_so_that_their_result_ends_the_output() {
        let last = CHECKS.last().unwrap();
        assert_eq!((last.program, last.args[0]), ("cargo", "test"));
    }
}
