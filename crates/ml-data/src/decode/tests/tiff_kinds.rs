//! TIFF of every kind, against Pillow (`tests/reference/tiff_kinds.py`).

use super::*;

fn reference() -> serde_json::Map<String, serde_json::Value> {
    let text = fs::read_to_string(tests_folder().join("reference/tiff_kinds.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    fs::read(tests_folder().join(format!("reference/tiff_kinds/{name}.tif"))).unwrap()
}

fn hash(pixels: &Pixels) -> String {
    Sha256::digest(&pixels.data).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn every_kind_of_tiff_has_the_pixels_of_the_reference_or_is_refused_by_name() {
    let mut failures = Vec::new();
    for (name, entry) in reference() {
        let result = decode_bytes(&file(&name));
        match (&result, entry["refused"].as_str()) {
            (Err(problem), Some(words)) => {
                let message = problem.to_string();
                let is_named = message.starts_with("unsupported TIFF file: ") && message.contains(words);
                if !is_named || !message.contains("magick") {
                    failures.push(format!("{name}: {message}"));
                }
            }
            (Ok(pixels), None) => {
                let size = serde_json::json!([pixels.width, pixels.height]);
                if entry["size"] != size || entry["pixels"] != hash(pixels) {
                    failures.push(format!("{name}: other pixels, {size}"));
                }
            }
            (Ok(_), Some(_)) => failures.push(format!("{name}: is read")),
            (Err(problem), None) => failures.push(format!("{name}: {problem}")),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The cells of a row of the table: what Pillow does with its files, and what is done here.
fn cells(entries: &[serde_json::Value]) -> String {
    let all = |test: fn(&serde_json::Value) -> bool| entries.iter().all(test);
    let pillow = if all(|entry| entry["pillow"] == "reads") {
        "reads"
    } else if all(|entry| entry["pillow"] == "refuses") {
        "refuses"
    } else {
        "reads some"
    };
    let here = if all(|entry| !entry["refused"].is_null()) {
        "refused"
    } else if all(|entry| entry["like_pillow"] == true) {
        "the same pixels"
    } else {
        "read"
    };
    let remark = entries.iter().find_map(|entry| entry["remark"].as_str());
    format!("{pillow} | {here}{}", remark.map_or(String::new(), |remark| format!("; {remark}")))
}

#[test]
fn the_table_in_the_documentation_is_that_of_the_reference() {
    let docs = fs::read_to_string(tests_folder().join("../docs/loading.md")).unwrap();
    let (_, rest) = docs.split_once("<!-- begin: tests/reference/tiff_kinds.py -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end: tests/reference/tiff_kinds.py -->").unwrap();
    let mut rows: Vec<(String, Vec<serde_json::Value>)> = Vec::new();
    for (_, entry) in reference() {
        let row = entry["row"].as_str().unwrap();
        match rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, entries)) => entries.push(entry),
            None => rows.push((row.to_owned(), vec![entry])),
        }
    }
    let rows: String =
        rows.iter().map(|(row, entries)| format!("| {row} | {} |\n", cells(entries))).collect();
    assert_eq!(table, format!("| TIFF | Pillow | here |\n|---|---|---|\n{rows}"));
}

#[test]
fn tiff_cut_anywhere_is_refused_or_complete() {
    let mut refused = 0;
    for (name, entry) in reference() {
        let (bytes, is_read) = (file(&name), entry["refused"].is_null());
        for part in 1..25 {
            let cut = bytes.len() * part / 25;
            match decode_bytes(&bytes[..cut]) {
                Ok(pixels) => assert!(is_read && entry["pixels"] == hash(&pixels), "{name} cut to {cut}"),
                Err(problem) => {
                    refused += 1;
                    let words = problem.to_string();
                    assert!(!["{ ", "Some(", "::", "\n"].iter().any(|sign| words.contains(sign)), "{words}");
                    assert!(!matches!(problem, DecodeProblem::Crashed { .. }), "{name} at {cut}: {words}");
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

/// A TIFF of one row of zeros, by its tags.
fn announced(width: u32, height: u32, samples: u16, bits: u16, tile: Option<u32>) -> Vec<u8> {
    let mut tags: Vec<(u16, u16, u32)> = vec![
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits.into()),
        (259, 3, 8),
        (262, 3, 1),
        (277, 3, samples.into()),
    ];
    match tile {
        Some(side) => tags.extend([(322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, 8)]),
        None => tags.extend([(273, 4, 8), (279, 4, 8)]),
    }
    tags.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, value) in tags {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn tiff_bombs_are_refused_before_anything_is_allocated() {
    let started = Instant::now();
    for (width, height, samples, bits, tile) in [
        (60_000, 60_000, 1, 8, None),
        (u32::MAX, u32::MAX, 1, 8, None),
        (10_000, 10_000, 200, 16, None),
        (8, 8, 1, 8, Some(1 << 31)),
        (100_000_000, 1, 32, 1, None),
        (13_000, 13_000, 1, 8, Some(1)),
        (1, 1, u16::MAX, 16, Some(60_000)),
    ] {
        let problem = decode_bytes(&announced(width, height, samples, bits, tile)).unwrap_err();
        let words = problem.to_string();
        assert!(!matches!(problem, DecodeProblem::Crashed { .. }), "{words}");
        assert!(words.contains("make it smaller") || words.contains("strips or tiles"), "{words}");
    }
    assert!(started.elapsed() < Duration::from_secs(2));
}
