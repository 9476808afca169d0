mod channels;
mod fuzz;
mod oddities;
mod tiff_kinds;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::Rng;
use sha2::{Digest, Sha256};

use super::*;
use crate::geometry::Area;

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// All image files of `tests/data/images`, as the reference lists them.
fn image_names() -> Vec<String> {
    let text = fs::read_to_string(tests_folder().join("reference/decode.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names = reference["images"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn image(name: &str) -> PathBuf {
    tests_folder().join("data/images").join(name)
}

/// Largest and mean difference of a channel.
fn difference(a: &Pixels, b: &Pixels) -> (u8, f64) {
    assert_eq!((a.width, a.height), (b.width, b.height));
    let differences = a.data.iter().zip(&b.data).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap(), sum as f64 / a.data.len() as f64)
}

#[test]
fn every_kind_of_image_comes_out_as_pillow_has_it() {
    let mut failures = Vec::new();
    let names = image_names();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let reference = decode(&tests_folder().join(format!("reference/decode/{name}.png"))).unwrap();
        match decode(&image(&name)) {
            Ok(pixels) if (pixels.width, pixels.height) != (reference.width, reference.height) => {
                failures.push(format!("{name}: size {} x {}", pixels.width, pixels.height));
            }
            Ok(pixels) => {
                // To the bit: Pillow decodes JPEG with the same library and settings.
                let (max, average) = difference(&pixels, &reference);
                if max > 0 {
                    failures.push(format!("{name}: max {max}, mean {average:.3}"));
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The part of `whole` that is `area`.
fn cut(whole: &Pixels, area: Area) -> Vec<u8> {
    let row = |y: u32| {
        let start = ((area.top + y) * whole.width + area.left) as usize * 3;
        &whole.data[start..start + area.size.width as usize * 3]
    };
    (0..area.size.height).flat_map(row).copied().collect()
}

#[test]
fn a_part_has_the_pixels_of_the_whole() {
    let mut parts = 0;
    let images = image_names().into_iter().map(|name| (fs::read(image(&name)).unwrap(), name));
    let jpegs = SUBSAMPLINGS.map(|name| (subsampled(name), name.to_owned()));
    for (bytes, name) in images.chain(jpegs) {
        parts += check_parts(&bytes, &name, [0, 0], 60);
    }
    // JPEG alone is decoded in part.
    assert!(parts > 300, "{parts}");
}

/// That `count` random areas are to the bit those of the whole image; how many of them were not
/// decoded as a whole. `stream` numbers the areas.
fn check_parts(bytes: &[u8], name: &str, stream: [u64; 2], count: u64) -> usize {
    let whole = decode_bytes(bytes).unwrap();
    let of = Size::of(&whole);
    let mut parts = 0;
    for i in 0..count {
        let mut rng = crate::rng::stream(stream[0], crate::rng::Purpose::Order, i, stream[1]);
        let size = Size { height: rng.random_range(1..=of.height), width: rng.random_range(1..=of.width) };
        let top = rng.random_range(0..=of.height - size.height);
        let left = rng.random_range(0..=of.width - size.width);
        let area = Area { top, left, size };
        let (pixels, within) = Encoded::read(bytes).unwrap().decode_part(area).unwrap();
        assert_eq!(within.size, size);
        assert_eq!(cut(&pixels, within), cut(&whole, area), "{name}: {area:?}");
        parts += usize::from(Size::of(&pixels) != of);
    }
    parts
}

/// JPEGs of every chroma subsampling; made with their hashes by tests/reference/reduced.py.
const SUBSAMPLINGS: [&str; 5] = ["444", "422", "420", "progressive", "restart"];

fn subsampled(name: &str) -> Vec<u8> {
    fs::read(tests_folder().join(format!("reference/reduced/{name}.jpg"))).unwrap()
}

#[test]
fn reduced_jpegs_are_to_the_bit_what_pillow_drafts() {
    let text = fs::read_to_string(tests_folder().join("reference/reduced.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in SUBSAMPLINGS {
        let bytes = subsampled(name);
        for divisor in [1, 2, 4, 8] {
            let pixels = Encoded::read(&bytes).unwrap().decode_reduced(divisor).unwrap();
            assert_eq!((pixels.height, pixels.width), (251_u32.div_ceil(divisor), 333_u32.div_ceil(divisor)));
            let hash = Sha256::digest(&pixels.data).iter().map(|b| format!("{b:02x}")).collect::<String>();
            assert_eq!(hash, reference[name][divisor.to_string()].as_str().unwrap(), "{name} / {divisor}");
        }
    }
}

#[test]
fn orientation_changes_the_size_and_the_corner() {
    let upright = decode(&image("orientation_1.jpg")).unwrap();
    let turned = decode(&image("orientation_6.jpg")).unwrap();
    assert_eq!((turned.width, turned.height), (upright.height, upright.width));
    assert_ne!(upright.data[..30], turned.data[..30]);
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_complete_but_never_half_an_image() {
    let mut refused = 0;
    for name in image_names() {
        let bytes = fs::read(image(&name)).unwrap();
        let whole = decode_bytes(&bytes).unwrap();
        for part in 1..40 {
            let cut = bytes.len() * part / 40;
            match decode_bytes(&bytes[..cut]) {
                // Only what follows the pixels may be missing (an end marker, an animation's later
                // frames).
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
fn truncated_images_are_called_cut_short_by_path() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["rgb.png", "rgb.jpg", "progressive.jpg", "rgb.bmp", "rgb.tif", "animated.gif", "rgb.webp"] {
        let bytes = fs::read(image(name)).unwrap();
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
    for name in image_names() {
        let original = fs::read(image(&name)).unwrap();
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
fn what_is_no_image_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text.jpg"), "To whom it may concern").unwrap();
    fs::write(at("empty.png"), "").unwrap();
    fs::create_dir(at("folder.png")).unwrap();
    // An AVIF file's first bytes.
    fs::write(at("new.jpg"), b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B").unwrap();
    for (name, reason) in [
        ("text.jpg", "this is a plain text, not an image; put the image there"),
        ("empty.png", "is empty (0 bytes); remove it"),
        ("folder.png", "a directory stands where an image file should; remove it"),
        ("missing.png", "no such file; bring it back"),
        (
            "new.jpg",
            "unsupported format: this is an AVIF image; convert it to PNG, for example with: avifdec",
        ),
    ] {
        let error = decode(&at(name)).unwrap_err();
        assert_eq!(error.path(), at(name));
        let message = error.to_string();
        assert!(message.contains(reason) && message.contains(name), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// What is noted when an image is decoded.
fn noted(bytes: &[u8]) -> Option<Oddity> {
    let oddity = std::cell::Cell::new(None);
    Encoded::read(bytes).unwrap().noting(&oddity).decode().unwrap();
    oddity.get()
}

fn png(image: impl Into<image::DynamicImage>) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

#[test]
fn images_that_come_out_black_are_noted() {
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};
    let grey = |scale: u16| png(ImageBuffer::from_fn(9, 9, |x, y| Luma([(x * 9 + y) as u16 * scale])));
    assert_eq!(noted(&grey(50)), Some(Oddity::NarrowRange { bits: 12 }));
    assert_eq!(noted(&grey(12)), Some(Oddity::NarrowRange { bits: 10 }));
    assert_eq!(noted(&grey(0)), None);
    assert_eq!(noted(&grey(700)), None);
    let rgb = png(ImageBuffer::from_fn(9, 9, |x, _| Rgb([0, x as u16 * 400, 7])));
    assert_eq!(noted(&rgb), Some(Oddity::NarrowRange { bits: 12 }));
    // Alpha at its full range does not widen that of the colours.
    let rgba = png(ImageBuffer::from_fn(9, 9, |x, _| Rgba([x as u16, 0, 0, u16::MAX])));
    assert_eq!(noted(&rgba), Some(Oddity::NarrowRange { bits: 4 }));
    let only_alpha = |red: u8| png(ImageBuffer::from_fn(9, 9, |x, y| Rgba([x as u8 * red, 0, 0, y as u8])));
    assert_eq!(noted(&only_alpha(0)), Some(Oddity::OnlyAlpha));
    assert_eq!(noted(&only_alpha(1)), None);
    let grey_alpha = png(ImageBuffer::from_fn(9, 9, |_, y| LumaA([200_u8, y as u8])));
    assert_eq!(noted(&grey_alpha), Some(Oddity::OnlyAlpha));
    assert_eq!(noted(&png(ImageBuffer::from_pixel(9, 9, Rgba([1_u8, 2, 3, 4])))), None);
    for name in image_names() {
        assert_eq!(noted(&fs::read(image(&name)).unwrap()), None, "{name}");
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
    let jpeg = fs::read(image("rgb.jpg")).unwrap();
    let plain = decode_bytes(&jpeg).unwrap();
    let longer = [jpeg.as_slice(), b"appended by a camera"].concat();
    assert_eq!(decode_bytes(&longer).unwrap(), plain);
    // A whole JPEG as the content of an application segment: its end marker is not the image's.
    let segment = [&[0xFF, 0xE5], &(jpeg.len() as u16 + 2).to_be_bytes()[..], &jpeg].concat();
    let nested = [&jpeg[..2], &segment, &jpeg[2..]].concat();
    assert_eq!(decode_bytes(&nested).unwrap(), plain);
    let cut = &nested[..2 + segment.len() + jpeg.len() / 2];
    assert!(matches!(decode_bytes(cut), Err(DecodeProblem::CutShort { .. })));
}

/// A JPEG without transform (T.81, process 14), three components of one sample a unit, all
/// differences 0.
fn lossless(width: u16, height: u16) -> Vec<u8> {
    let [[w0, w1], [h0, h1]] = [width, height].map(u16::to_be_bytes);
    let mut file = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 17, 8, h0, h1, w0, w1, 3];
    file.extend([b'R', 0x11, 0, b'G', 0x11, 0, b'B', 0x11, 0]);
    // One code: a single 0 bit says that a sample is as predicted.
    file.extend([0xFF, 0xC4, 0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([0xFF, 0xDA, 0, 12, 3, b'R', 0, b'G', 0, b'B', 0, 1, 0, 0]);
    file.resize(file.len() + (usize::from(width) * usize::from(height) * 3).div_ceil(8), 0);
    file.extend([0xFF, 0xD9]);
    file
}

#[test]
fn a_lossless_jpeg_comes_whole_and_in_full_whatever_part_or_scale_is_asked_for() {
    for (width, height) in [(40, 20), (1, 9), (1, 1)] {
        let file = lossless(width, height);
        let read = || Encoded::read(&file).unwrap();
        let whole = read().decode().unwrap();
        assert_eq!((whole.width, whole.height), (width.into(), height.into()));
        assert!(whole.data.iter().all(|value| *value == 128));
        assert_eq!(read().is_reducible(), (width, height) == (1, 1));
        assert_eq!(read().decode_reduced(4).unwrap(), whole);
        let area = Area { top: height as u32 / 2, left: 0, size: Size { height: 1, width: 1 } };
        assert_eq!(read().decode_part(area).unwrap(), (whole, area));
    }
    let mut deep = lossless(8, 8);
    deep[6] = 12;
    assert!(matches!(Encoded::read(&deep), Err(DecodeProblem::Unsupported { .. })));
}
