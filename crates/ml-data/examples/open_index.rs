//! Opens a data folder and audits it, each timed: `open_index DATA_DIR [open|audit]`. Run it under
//! `/usr/bin/time -v` for its memory: with `open`, that is the index's alone.

use std::path::Path;
use std::time::Instant;

use ml_data::dataset::{Checks, Dataset};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let data_dir = args.next().ok_or("give a data folder")?;
    let started = Instant::now();
    let dataset = Dataset::open(Path::new(&data_dir), &ml_data::dataset::OpenOptions::default())?;
    let count = [Some(&dataset.train), Some(&dataset.val), dataset.test.as_ref()];
    let count: usize = count.into_iter().flatten().map(|index| index.samples.len()).sum();
    println!("{count} samples opened in {:.3} s", started.elapsed().as_secs_f64());
    if args.next().as_deref() != Some("open") {
        let checks = Checks { tolerate_missing: false, changes: true, leaks: true, remember: true };
        let started = Instant::now();
        let audit = dataset.audit(checks, || false)?;
        println!("looked through in {:.3} s: {audit:?}", started.elapsed().as_secs_f64());
    }
    Ok(())
}
