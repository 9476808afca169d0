//! Saving and loading beside Python's, on demand:
//! `cargo test -p ml-core -- --ignored --nocapture saving_and_loading`

use std::path::Path;
use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::super::archive::ArchiveWriter;
use super::super::{pickle, read, write, write_entries};
use crate::testing::python_json;
use crate::value::Value;

/// 161 tensors of 103 MB in all, as large and small as those of ResNet-50.
fn state() -> Value {
    let sizes = (0..161).map(|i| match i % 3 {
        0 => 160_000 + 4_600 * i,
        _ => 64 + 8 * i,
    });
    Value::dict(
        sizes
            .enumerate()
            .map(|(i, size)| (format!("layer{i}.weight"), Tensor::rand([size], (Kind::Float, Device::Cpu)))),
    )
}

#[test]
#[ignore = "measures speed"]
fn saving_and_loading_are_no_slower_than_pythons() {
    const ROUNDS: usize = 6;
    const IN_A_ROW: usize = 4;
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("speed.pt");
    let state = state();
    let (mut ours, mut python) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
    write(&path, &state).unwrap();
    println!("{} bytes", std::fs::metadata(&path).unwrap().len());
    for _ in 0..ROUNDS {
        // As often in a row as Python does in one process.
        for _ in 0..IN_A_ROW {
            let time = |times: &mut Vec<f64>, work: &mut dyn FnMut()| {
                let start = Instant::now();
                work();
                times.push(start.elapsed().as_secs_f64() * 1e3);
            };
            time(&mut ours[0], &mut || {
                let Ok(pickled) = pickle::write::pickle(&state) else { panic!("it can be written") };
                let file = std::fs::File::create(folder.path().join("unsynced.pt")).unwrap();
                let mut archive = ArchiveWriter::new(std::io::BufWriter::new(file));
                write_entries(&mut archive, &pickled).unwrap();
                archive.finish().unwrap();
            });
            std::fs::File::open(folder.path().join("unsynced.pt")).unwrap().sync_all().unwrap();
            time(&mut ours[1], &mut || write(&path, &state).unwrap());
            time(&mut ours[2], &mut || drop(read(&path).unwrap()));
        }
        let times = python_json("checkpoint_speed.py", &[&path, Path::new(&IN_A_ROW.to_string())]);
        for (all, name) in python.iter_mut().zip(["save", "sync", "load"]) {
            all.extend(times[name].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()));
        }
    }
    for ((name, ours), python) in ["save", "save and sync", "load"].iter().zip(&mut ours).zip(&mut python) {
        ours.sort_by(f64::total_cmp);
        python.sort_by(f64::total_cmp);
        let (median, theirs) = (ours[ours.len() / 2], python[python.len() / 2]);
        println!(
            "{name}: {median:.0} ms {ours:.0?}, Python {theirs:.0} ms {python:.0?}, ratio: {:.2}",
            median / theirs
        );
    }
}
