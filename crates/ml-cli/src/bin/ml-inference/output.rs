//! Where results go: stdout, or a file that is complete or not there.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use atomic_file::AtomicFile;

/// Takes results line by line.
pub enum Output {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<AtomicFile>, path: PathBuf },
}

impl Output {
    /// Opens what `--output` names, so that it fails before the work if it has to.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Output> {
        let Some(path) = path else { return Ok(Output::Stdout(BufWriter::new(io::stdout()))) };
        let cannot = || format!("cannot write {}; name another file with --output", path.display());
        if path.is_dir() {
            return Err(anyhow::anyhow!("it is a folder")).with_context(cannot);
        }
        let file = BufWriter::new(AtomicFile::create(path).with_context(cannot)?);
        Ok(Output::File { file, path: path.to_owned() })
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) -> anyhow::Result<()> {
        match self {
            Output::Stdout(out) => writeln!(out, "{line}").context("cannot write to stdout"),
            Output::File { file, path, .. } => {
                writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }

    /// Makes what was written so far visible, if it goes to stdout.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Output::Stdout(out) => out.flush().context("cannot write to stdout"),
            Output::File { .. } => Ok(()),
        }
    }

    /// Ends the file, under its own name from now on.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.flush()?;
        let Output::File { file, path } = self else { return Ok(()) };
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(AtomicFile::commit)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A reader that has gone (`| head`) is no failure.
pub fn quietly(result: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
