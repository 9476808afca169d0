//! Decodes image files: paths on stdin, one a line; for each a line on stdout: `ok`, width, height
//! and a hash of the RGB pixels (SHA-256), or `refused` and the reason, or `panic`, separated by
//! tabs. With a path as argument, that image's RGB bytes go to stdout.

use std::io::{BufRead as _, Write as _};
use std::panic::catch_unwind;
use std::path::Path;

use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    if let Some(path) = std::env::args_os().nth(1) {
        out.write_all(&ml_data::decode::decode(Path::new(&path))?.data)?;
        return Ok(());
    }
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let line = match catch_unwind(|| ml_data::decode::decode(Path::new(&path))) {
            Ok(Ok(pixels)) => {
                let hash = hex::encode(Sha256::digest(&pixels.data));
                format!("ok\t{}\t{}\t{hash}", pixels.width, pixels.height)
            }
            Ok(Err(error)) => format!("refused\t{}", error.problem),
            Err(_) => "panic".to_owned(),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}
