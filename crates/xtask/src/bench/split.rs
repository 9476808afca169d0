//! `ml-split` on 60,000 files in ten classes, and how soon it shows its help.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::Comparison;
use super::{Bench, in_turn, measure};

const CLASSES: usize = 10;
const FILES_A_CLASS: usize = 6_000;

pub fn run(bench: &Bench) -> Result<Vec<Comparison>> {
    let raw = bench.scratch.join("raw");
    write_images(&raw)?;
    let ours = || {
        // Where ml-split writes by default.
        fresh(&bench.scratch, "splits")?;
        let mut command = bench.shell.command(bench.programs.join("ml-split"));
        command.arg(&raw).args(["--ratio", "0.7", "0.15", "0.15", "--seed", "42"]);
        Ok(measure::timed(&mut command)?.seconds)
    };
    let theirs = || {
        let out = fresh(&bench.scratch, "theirs")?;
        let mut command = bench.shell.command(&bench.python);
        Ok(measure::timed(command.arg("benches/python/split.py").arg(&raw).arg(out))?.seconds)
    };
    let (our_times, their_times) = in_turn(bench.rounds, "split", ours, theirs)?;
    let split = Comparison {
        what: "ml-split of 60000 files".into(),
        peer: "scikit-learn",
        unit: "s",
        ours: our_times,
        theirs: their_times,
        target: None,
        below: Some(1.0),
    };

    let ours = || {
        let mut command = bench.shell.command(bench.programs.join("ml-split"));
        Ok(measure::timed(command.arg("--help"))?.seconds * 1e3)
    };
    let theirs = || {
        let mut command = bench.shell.command(&bench.python);
        Ok(measure::timed(command.args(["benches/python/split.py", "--help"]))?.seconds * 1e3)
    };
    let (our_times, their_times) = in_turn(bench.rounds, "help", ours, theirs)?;
    let help = Comparison {
        what: "ml-split --help".into(),
        peer: "scikit-learn",
        unit: "ms",
        ours: our_times,
        theirs: their_times,
        target: None,
        below: Some(20.0),
    };
    Ok(vec![split, help])
}

fn fresh(scratch: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = scratch.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot delete {}", folder.display()))?;
    }
    Ok(folder)
}

/// Small images, no two alike.
fn write_images(raw: &Path) -> Result<()> {
    eprintln!("split: writing {} images", CLASSES * FILES_A_CLASS);
    for class in 0..CLASSES {
        let folder = raw.join(format!("class_{class}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for number in 0..FILES_A_CLASS {
            let path = folder.join(format!("{number:05}.bmp"));
            fs::write(&path, bmp(class * FILES_A_CLASS + number))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// An image of 16 by 16 pixels in 24 bits, its pixels a function of `seed`.
fn bmp(seed: usize) -> Vec<u8> {
    const SIDE: u32 = 16;
    const HEADER: u32 = 54;
    let size = HEADER + SIDE * SIDE * 3;
    let mut bytes = Vec::with_capacity(size as usize);
    bytes.extend(b"BM");
    for field in [size, 0, HEADER, 40, SIDE, SIDE, 1 | 24 << 16, 0, size - HEADER, 2835, 2835, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    let mut state = seed as u64;
    while bytes.len() < size as usize {
        // Knuth's linear congruential generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.push((state >> 56) as u8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_the_size_that_their_header_tells_and_differ() {
        let image = bmp(1);
        assert_eq!(image.len(), 822);
        assert_eq!(u32::from_le_bytes(image[2..6].try_into().unwrap()), 822);
        assert_eq!(u16::from_le_bytes(image[28..30].try_into().unwrap()), 24, "bits a pixel");
        assert_ne!(image, bmp(2));
    }
}
