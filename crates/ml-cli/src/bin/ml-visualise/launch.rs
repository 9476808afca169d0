//! A run folder, or a folder of runs → TensorBoard, running until it is interrupted.
//!
//! Finds the events and a TensorBoard, checks the port, starts it, says when it answers, and passes
//! signals on.

use std::io::Write;
use std::process::{Command, ExitCode};

use ml_cli::console::tell;
use ml_cli::exit::{self, usage};

use crate::address::Address;
use crate::args::LaunchArgs;
use crate::child::Child;
use crate::events;
use crate::locate::{self, TensorBoard};

/// Starts TensorBoard and waits for its end; `quiet` leaves out what is not its address.
///
/// # Errors
/// There is nothing to show, no TensorBoard, or it fails.
pub fn run(args: &LaunchArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    if let Some(flag) = args.more.iter().find(|flag| is_ours(flag)) {
        return usage(format!(
            "{}: --port and --host stand before the `--`, and the folder is an argument without a flag",
            flag.display()
        ));
    }
    let folder = events::find(&args.folder)?;
    let Some(tensorboard) = TensorBoard::find() else {
        return Err(anyhow::anyhow!(locate::MISSING));
    };
    let address = Address::resolve(&args.host, args.port)?;
    let mut command = tensorboard.command();
    command.arg("--logdir").arg(&folder).args(["--host", &args.host, "--port", &address.port().to_string()]);
    command.args(&args.more);
    if args.print_command {
        return exit::print(&shown(&command));
    }
    let mut child = Child::start(command, &tensorboard)?;
    if !quiet {
        tell(format_args!("starting {tensorboard} on {} …", folder.display()));
    }
    if let Some(code) = child.wait_until_it_answers(&address)? {
        return Ok(code);
    }
    // The one line that scripts may want. Nobody may be listening; TensorBoard runs all the same.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "TensorBoard is ready at {}", address.url()).and_then(|()| stdout.flush());
    if !quiet {
        tell("stop it with Ctrl-C");
    }
    child.wait()
}

/// A flag of TensorBoard that is set here.
fn is_ours(flag: &std::ffi::OsStr) -> bool {
    let flag = flag.to_string_lossy();
    ["--port", "--host", "--logdir"].contains(&flag.split('=').next().unwrap_or_default())
}

/// As one would type it.
fn shown(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}
