use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// All picture files of `tests/data/pictures`, as the reference lists them.
fn picture_names() -> Vec<String> {
    let text = fs::read_to_string(tests_folder().join("reference/decode.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = reference["pictures"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn picture(name: &str) -> PathBuf {
    tests_folder().join("data/pictures").join(name)
}

/// Largest and mean difference of a channel.
fn difference(a: &Pixels, b: &Pixels) -> (u8, f64) {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let differences = a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap(), sum as f64 / a.data.len() as f64)
}

#[test]
fn every_kind_of_picture_comes_out_as_pillow_has_it() {
    let mut failures = Vec::new();
    let names = picture_names();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        // Lossless formats are exact. Of a JPEG, decoders may round the inverse transform and the colour
        // conversion differently (4), and interpolate halved colour differently at sharp edges (12).
        let (most, mean) = match name.as_str() {
            "png_inside.jpg" => (0, 0.0),
            "rgb.jpg" | "grey.jpg" | "cmyk.jpg" => (4, 0.5),
            name if name.split('.').next_back() == Some("jpg") => (12, 0.5),
            _ => (0, 0.0),
        };
        let reference = decode(&tests_folder().join(format!("reference/decode/{name}.png"))).unwrap();
        match decode(&picture(&name)) {
            Ok(pixels) if (pixels.width, pixels.height) != (reference.width, reference.height) => {
                failures.push(format!("{name}: size {} x {}", pixels.width, pixels.height));
            }
            Ok(pixels) => {
                let (max, average) = difference(&pixels, &reference);
                if max > most || average > mean {
                    failures.push(format!("{name}: max {max}, mean {average:.3}"));
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn orientation_changes_the_size_and_the_corner() {
    let upright = decode(&picture("orientation_1.jpg")).unwrap();
    let turned = decode(&picture("orientation_6.jpg")).unwrap();
    assert_eq!((turned.width, turned.height), (upright.height, upright.width));
    assert_ne!(upright.data[..30], turned.data[..30]);
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_complete_but_never_half_a_picture() {
    let mut refused = 0;
    for name in picture_names() {
        let bytes = fs::read(picture(&name)).unwrap();
        let whole = decode_bytes(&bytes).unwrap();
        for part in 1..40 {
            let cut = bytes.len() * part / 40;
            match decode_bytes(&bytes[..cut]) {
                // Only what follows the pixels may be missing (an end marker, an animation's later frames).
                Ok(pixels) => assert_eq!(pixels, whole, "{name} cut to {cut} of {} bytes", bytes.len()),
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains('\n'), "{error}");
                    assert!(!matches!(error, DecodeProblem::Crashed { .. }), "{name} at {cut}: {error}");
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn truncated_pictures_are_called_cut_short_by_path() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["rgb.png", "rgb.jpg", "progressive.jpg", "rgb.bmp", "rgb.tif", "animated.gif", "rgb.webp"] {
        let bytes = fs::read(picture(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &bytes[..bytes.len() * 2 / 5]).unwrap();
        let message = decode(&path).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()) && message.contains("cut short"), "{message}");
        assert!(!message.contains('\n'));
    }
}

#[test]
fn flipped_bits_never_panic_and_end_in_bounded_time() {
    let started = Instant::now();
    for name in picture_names() {
        let original = fs::read(picture(&name)).unwrap();
        for seed in 0..12_usize {
            let mut bytes = original.clone();
            for k in 0..4 {
                let at = (seed * 7919 + k * 104_729 + seed * seed * 31) % bytes.len();
                bytes[at] ^= 1 << ((seed + k) % 8);
            }
            if let Err(problem) = decode_bytes(&bytes) {
                assert!(!matches!(problem, DecodeProblem::Crashed { .. }), "{name}, seed {seed}: {problem}");
            }
        }
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_is_no_picture_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text.jpg"), "To whom it may concern").unwrap();
    fs::write(at("empty.png"), "").unwrap();
    fs::create_dir(at("folder.png")).unwrap();
    // An AVIF file's first bytes.
    fs::write(at("new.jpg"), b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B").unwrap();
    for (name, reason) in [
        ("text.jpg", "starts with \"To whom it may c\"; remove it"),
        ("empty.png", "is empty (0 bytes); remove it"),
        ("folder.png", "a directory stands where a picture file should; remove it"),
        ("missing.png", "no such file; bring it back"),
        ("new.jpg", "unsupported AVIF"),
    ] {
        let error = decode(&at(name)).unwrap_err();
        assert_eq!(error.path(), at(name));
        let message = error.to_string();
        assert!(message.contains(reason) && message.contains(name), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// A PNG whose header announces 60,000 x 60,000 pixels, in about a hundred bytes.
fn bomb(side: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind.as_slice(), data].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.write_all(&body).unwrap();
        png.extend(crc32(&body).to_be_bytes());
    };
    let side = side.to_be_bytes();
    chunk(b"IHDR", &[side.as_slice(), &side, &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x63, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01]);
    chunk(b"IEND", &[]);
    png
}

/// The checksum of PNG chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[test]
fn a_decompression_bomb_is_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.png");
    fs::write(&path, bomb(60_000)).unwrap();
    let started = Instant::now();
    let message = decode(&path).unwrap_err().to_string();
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(message.contains("bomb.png") && message.contains("60000 x 60000"), "{message}");
    // The same file with a modest header gets as far as its (missing) pixels: the header is sound.
    assert!(
        matches!(decode_bytes(&bomb(60)), Err(DecodeProblem::CutShort { .. })),
        "{:?}",
        decode_bytes(&bomb(60))
    );
}

#[test]
fn a_jpeg_may_have_something_behind_its_end_and_a_thumbnail_inside() {
    let jpeg = fs::read(picture("rgb.jpg")).unwrap();
    let plain = decode_bytes(&jpeg).unwrap();
    let longer = [jpeg.as_slice(), b"appended by a camera"].concat();
    assert_eq!(decode_bytes(&longer).unwrap(), plain);
    // A whole JPEG as the content of an application segment: its end marker is not the picture's.
    let segment = [&[0xFF, 0xE5], &(jpeg.len() as u16 + 2).to_be_bytes()[..], &jpeg].concat();
    let nested = [&jpeg[..2], &segment, &jpeg[2..]].concat();
    assert_eq!(decode_bytes(&nested).unwrap(), plain);
    let cut = &nested[..2 + segment.len() + jpeg.len() / 2];
    assert!(matches!(decode_bytes(cut), Err(DecodeProblem::CutShort { .. })));
}
