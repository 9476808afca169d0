//! Exit codes, the same for every program: 0 done · 1 the run failed · 2 usage or configuration ·
//! 128 + n interrupted by signal n: 130 by SIGINT, 143 by SIGTERM.

use std::process::ExitCode;

/// The usage or the configuration is wrong: exit code 2. Wrap the cause in it to say so.
#[derive(Debug)]
pub struct UsageError(pub anyhow::Error);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for UsageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Runs a program's body; an error is printed to stderr, once, and becomes the exit code. A panic
/// is a defect: it says where, without a stack, and the exit code is 1.
pub fn finish(body: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("unknown");
        if ml_data::guard::is_expected(message) {
            return;
        }
        let place = info
            .location()
            .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        let first = message.lines().next().unwrap_or_default();
        crate::console::tell(format_args!(
            "error: a defect in this program{place}: {first}; please report it"
        ));
    }));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
        Err(_) => ExitCode::from(1),
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            crate::console::print_error(&error);
            code(&error)
        }
    }
}

/// What an error ends the program with.
pub fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.downcast_ref::<UsageError>().is_some() { 2 } else { 1 })
}

/// Ends the process with `code` once stdout is flushed, without the destructors of its libraries:
/// those of libtorch take 50 ms and more, for memory that the kernel takes back anyway. For the end
/// of `main`, where nothing is left to be written.
pub fn leave(code: ExitCode) -> ! {
    use std::io::Write;
    let flushed = std::io::stdout().flush();
    // What an exit code stands for cannot be asked.
    let number = (0..=u8::MAX).find(|&number| ExitCode::from(number) == code).unwrap_or(1);
    let number = match flushed {
        Err(error) if number == 0 && error.kind() != std::io::ErrorKind::BrokenPipe => {
            crate::console::tell(format_args!("error: cannot write to stdout: {error}"));
            1
        }
        _ => number,
    };
    signal_hook::low_level::exit(i32::from(number))
}

/// Ends the process, from any thread, with an error.
pub fn abort(message: &str) -> ! {
    crate::console::tell(format_args!("error: {message}"));
    leave(ExitCode::from(1))
}

/// `Err(UsageError)` with a message: the caller's mistake, exit code 2.
///
/// # Errors
/// Always.
pub fn usage<T>(message: impl std::fmt::Display) -> anyhow::Result<T> {
    Err(anyhow::Error::new(UsageError(anyhow::anyhow!("{message}"))))
}

/// A result on stdout. A reader that has gone away (`| head`) is no failure.
///
/// # Errors
/// stdout cannot be written.
pub fn print(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to stdout"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The completions of a program for a shell, on stdout.
///
/// # Errors
/// stdout cannot be written.
pub fn print_completions(
    shell: clap_complete::Shell,
    command: &mut clap::Command,
) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
