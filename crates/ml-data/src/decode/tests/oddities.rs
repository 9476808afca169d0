//! Files that break a rule of their format or use a rare part of it, made by
//! `tests/reference/oddities.py`, which says what Pillow makes of them.

use sha2::Digest;

use super::*;

/// A file, what is odd about it, and what should become of it.
#[derive(serde::Deserialize)]
struct OddFile {
    name: String,
    format: String,
    oddity: String,
    /// Absent if Pillow refuses it.
    pillow: Option<ImageDigest>,
    /// As it is stored, of what Pillow refuses.
    stored: Option<ImageDigest>,
    here: String,
}

/// An image's size and a hash of its pixels.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct ImageDigest {
    width: u32,
    height: u32,
    sha256: String,
}

impl ImageDigest {
    fn of(pixels: &Pixels) -> ImageDigest {
        let sha256 = hex::encode(Sha256::digest(&pixels.data));
        ImageDigest { width: pixels.width, height: pixels.height, sha256 }
    }
}

impl OddFile {
    fn bytes(&self) -> Vec<u8> {
        fs::read(tests_folder().join("reference/oddities").join(&self.name)).unwrap()
    }

    /// As the table has it.
    fn outcome(&self) -> String {
        match decode_bytes(&self.bytes()) {
            Ok(pixels) if self.pillow.as_ref() == Some(&ImageDigest::of(&pixels)) => "same image".to_owned(),
            Ok(pixels) if self.stored.as_ref() == Some(&ImageDigest::of(&pixels)) => "read".to_owned(),
            Ok(pixels) => format!("other pixels: {:?}", ImageDigest::of(&pixels)),
            Err(DecodeProblem::CutShort { .. }) => "refused: cut short".to_owned(),
            Err(DecodeProblem::Damaged { .. }) if self.here == "refused: damaged" => self.here.clone(),
            Err(DecodeProblem::Damaged { .. }) if self.here == "refused" => self.here.clone(),
            Err(problem) => format!("refused: {problem}"),
        }
    }
}

fn oddities() -> Vec<OddFile> {
    let text = fs::read_to_string(tests_folder().join("reference/oddities.json")).unwrap();
    let listed: Vec<OddFile> = serde_json::from_str(&text).unwrap();
    assert!(listed.len() > 150, "{}", listed.len());
    listed
}

#[test]
fn odd_files_come_out_as_the_list_says() {
    let failures: Vec<String> = oddities()
        .iter()
        .filter(|file| file.outcome() != file.here)
        .map(|file| format!("{}: {}, not {}", file.name, file.outcome(), file.here))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_table_in_the_documentation_is_what_happens() {
    const START: &str = "<!-- printed by tests/reference/oddities.py -->\n";
    let page = fs::read_to_string(tests_folder().join("../docs/loading.md")).unwrap();
    let table = page.split_once(START).unwrap().1.split_once("<!-- end -->").unwrap().0;
    let mut rows = vec!["| format | oddity | Pillow | here |".to_owned(), "|---|---|---|---|".to_owned()];
    rows.extend(oddities().iter().map(|file| {
        let pillow = if file.pillow.is_some() { "read" } else { "refused" };
        format!("| {} | {} | {pillow} | {} |", file.format, file.oddity, file.outcome())
    }));
    let shown: Vec<&str> = table.trim().lines().collect();
    let differences: Vec<_> = rows.iter().zip(&shown).filter(|(row, shown)| row != shown).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(shown.len(), rows.len());
}

#[test]
fn a_part_of_an_odd_file_has_the_pixels_of_the_whole() {
    let mut parts = 0;
    for (number, file) in oddities().iter().enumerate() {
        let bytes = file.bytes();
        if decode_bytes(&bytes).is_ok() {
            parts += check_parts(&bytes, &file.name, [1, number as u64], 40);
        }
    }
    assert!(parts > 300, "{parts}");
}

#[test]
fn an_odd_file_cut_anywhere_is_an_error_or_complete() {
    for file in oddities() {
        let bytes = file.bytes();
        let Ok(whole) = decode_bytes(&bytes) else { continue };
        for cut in (0..bytes.len()).filter(|cut| cut.is_multiple_of(7) || cut + 40 > bytes.len()) {
            match decode_bytes(&bytes[..cut]) {
                // Metadata behind the pixels may be missing.
                Ok(pixels) => {
                    let mut sorted = [pixels.data, whole.data.clone()];
                    sorted.iter_mut().for_each(|data| data.sort_unstable());
                    assert_eq!(sorted[0], sorted[1], "{} cut to {cut} bytes", file.name);
                }
                Err(problem) => {
                    assert!(!matches!(problem, DecodeProblem::Crashed { .. }), "{}: {problem}", file.name);
                }
            }
        }
    }
}
