//! Running commands in the workspace: where it is, the environment they get, and how they are
//! shown.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Builds all programs and examples. The chores build nothing less, since cargo compiles a crate anew
/// for every other selection of packages that gives it other features.
pub const BUILD: [&str; 5] = ["build", "--locked", "--workspace", "--bins", "--examples"];

/// The link to libtorch, which `.cargo/config.toml` names.
pub const LIBTORCH_LINK: &str = ".libtorch";

/// The workspace, and the commands that run in it.
#[derive(Clone, Debug)]
pub struct Shell {
    root: PathBuf,
    /// `LIBTORCH` for the commands: the user's own, unless an option says otherwise.
    libtorch: Option<PathBuf>,
}

impl Shell {
    /// # Errors
    /// The workspace has gone since this program was built.
    pub fn at_workspace_root() -> Result<Self> {
        let manifest_dir =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest_dir).join("../..");
        let root = root.canonicalize().with_context(|| format!("no workspace at {}", root.display()))?;
        let libtorch = users_libtorch(std::env::var_os("LIBTORCH").as_deref(), &root);
        Ok(Self { root, libtorch })
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the workspace.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The variable `LIBTORCH`, where the user has set it.
    pub fn libtorch(&self) -> Option<&Path> {
        self.libtorch.as_deref()
    }

    /// One in which the link decides, whatever `LIBTORCH` says.
    pub fn without_libtorch_variable(&self) -> Self {
        Self { root: self.root.clone(), libtorch: None }
    }

    /// A command that starts in the workspace's root.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        // Cargo has set the variable from its configuration for this program too. Commands get it
        // only if the user set it: what cargo sees must not differ from what it sees when called by
        // hand, or else libtorch's bindings would be compiled again.
        match &self.libtorch {
            Some(path) => command.env("LIBTORCH", path),
            None => command.env_remove("LIBTORCH"),
        };
        // Likewise what it says of this program: build scripts, ring's for one, run again where it
        // differs.
        for (name, _) in std::env::vars_os() {
            let is_of_this_program =
                name.to_str().is_some_and(|name| OF_THIS_PROGRAM.iter().any(|start| name.starts_with(start)));
            if is_of_this_program {
                command.env_remove(name);
            }
        }
        command
    }

    /// Shows a command as a user would type it, runs it, and expects it to succeed.
    ///
    /// # Errors
    /// It cannot be started or fails.
    pub fn run(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Result<()> {
        let shown = self.show(program.as_ref(), args);
        eprintln!("\n$ {shown}");
        check(self.command(program).args(args), &shown)
    }

    /// A command line to paste in the workspace's root.
    pub fn show(&self, program: &OsStr, args: &[&str]) -> String {
        let program = Path::new(program);
        let program = program.strip_prefix(&self.root).unwrap_or(program);
        let words =
            std::iter::once(program.display().to_string()).chain(args.iter().map(ToString::to_string));
        words.map(|word| quote(&word)).collect::<Vec<_>>().join(" ")
    }

    /// Where cargo puts what it builds.
    ///
    /// # Errors
    /// Cargo does not say.
    pub fn target_dir(&self) -> Result<PathBuf> {
        let mut command = self.command("cargo");
        let metadata = output(command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata = crate::text::last_json(&metadata).context("cargo metadata")?;
        let folder =
            metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
        Ok(PathBuf::from(folder))
    }
}

/// How the variables begin by which cargo tells a program what it is.
const OF_THIS_PROGRAM: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];

/// `LIBTORCH` if it is the user's own: cargo sets it to the link when it starts this program.
fn users_libtorch(variable: Option<&OsStr>, root: &Path) -> Option<PathBuf> {
    let path = PathBuf::from(variable.filter(|value| !value.is_empty())?);
    (path != root.join(LIBTORCH_LINK)).then_some(path)
}

/// Runs a command and expects it to succeed.
///
/// # Errors
/// It cannot be started or fails.
pub fn check(command: &mut Command, shown: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Whether a program is there: it answers `--version`.
pub fn starts(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a command prints to stdout; its stderr is passed through.
///
/// # Errors
/// It cannot be started or fails.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{name}`"))?;
    if !output.status.success() {
        bail!("`{name}` failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A word as a POSIX shell wants it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_that_cargo_set_is_not_taken_for_the_users() {
        let root = Path::new("/clone");
        assert_eq!(users_libtorch(None, root), None);
        assert_eq!(users_libtorch(Some(OsStr::new("")), root), None);
        assert_eq!(users_libtorch(Some(OsStr::new("/clone/.libtorch")), root), None);
        assert_eq!(users_libtorch(Some(OsStr::new("/opt/libtorch")), root), Some("/opt/libtorch".into()));
    }

    #[test]
    fn commands_are_shown_as_they_can_be_pasted() {
        let shell = Shell { root: "/clone".into(), libtorch: None };
        let shown =
            shell.show(OsStr::new("/clone/target/release/ml-train"), &["--config", "my file.yaml", "it's"]);
        assert_eq!(shown, r"target/release/ml-train --config 'my file.yaml' 'it'\''s'");
    }

    #[test]
    fn commands_get_libtorch_only_from_the_user() {
        let variable = |libtorch| {
            let shell = Shell { root: "/clone".into(), libtorch };
            let command = shell.command("cargo");
            command
                .get_envs()
                .find(|(key, _)| *key == "LIBTORCH")
                .map(|(_, value)| value.map(OsStr::to_owned))
        };
        assert_eq!(variable(None), Some(None), "removed");
        assert_eq!(variable(Some("/opt/libtorch".into())), Some(Some("/opt/libtorch".into())));
    }

    /// Else ring and what stands on it would be compiled again after a build by hand.
    #[test]
    fn commands_do_not_see_what_cargo_says_of_this_program() {
        let command = Shell { root: "/clone".into(), libtorch: None }.command("cargo");
        let is_removed = |name: &str| command.get_envs().any(|(key, value)| key == name && value.is_none());
        // Cargo sets them for tests too.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_none() || is_removed("CARGO_PKG_NAME"));
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_none() || is_removed("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let error = check(&mut Command::new("false"), "cargo fmt").unwrap_err().to_string();
        assert!(error.contains("`cargo fmt` failed"), "{error}");
        let error = format!("{:#}", check(&mut Command::new("/no/such"), "such --that").unwrap_err());
        assert!(error.contains("cannot start `such --that`"), "{error}");
    }
}
