//! Does the cases of a reference program: `transform_cases CASES.json IMAGES OUT`.
//!
//! In: `{"cases": [{"source": …, "operation": …, …, "result": …}, …]}`, as
//! `tests/reference/augment.json`, and the folder of the sources. Out: one PNG a case in the folder
//! `OUT`, by the name of its `result`. With the fourth argument `--time` each case is timed
//! instead, in microseconds an image.

#![allow(clippy::unwrap_used)]

#[path = "../src/transform/tests/apply.rs"]
mod apply;

use std::path::Path;
use std::time::Instant;

use ml_data::decode::{Pixels, decode};
use serde_json::Value;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cases, images, out, rest @ ..] = &arguments[..] else {
        eprintln!("usage: transform_cases CASES.json IMAGES OUT [--time]");
        std::process::exit(2)
    };
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(cases).unwrap()).unwrap();
    for case in cases["cases"].as_array().unwrap() {
        let source = decode(&Path::new(images).join(case["source"].as_str().unwrap())).unwrap();
        if rest.iter().any(|argument| argument == "--time") {
            println!("{:8.0} us  {case}", time(case, &source));
        } else {
            let Pixels { width, height, data } = apply::apply(case, source);
            let path = Path::new(out).join(case["result"].as_str().unwrap());
            image::RgbImage::from_raw(width, height, data).unwrap().save(path).unwrap();
        }
    }
}

/// The shortest of some runs, in microseconds, without the copy of the source.
fn time(case: &Value, source: &Pixels) -> f64 {
    let run = |_| {
        let pixels = source.clone();
        let start = Instant::now();
        let result = apply::apply(case, pixels);
        let elapsed = start.elapsed();
        assert!(!result.data.is_empty());
        elapsed.as_secs_f64() * 1e6
    };
    (0..20).map(run).fold(f64::INFINITY, f64::min)
}
