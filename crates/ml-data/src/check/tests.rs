//! The parts by themselves; whole examinations of messy folders are in
//! `tests/integration/check.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use image::ImageFormat;

use super::header::{self, Mode};
use super::look::Look;
use super::near::join_alike;
use super::*;
use crate::decode::{Pixels, decode};
use crate::transform::ops::resize;
use crate::transform::{Interpolation, Size};
use crate::union::Union;

fn tests_folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn look(path: &str) -> Look {
    Look::of(decode(&tests_folder().join(path)).unwrap())
}

/// An image of its own for each seed: coarse noise, smoothly enlarged.
fn image(seed: u32, side: u32) -> Pixels {
    use rand::Rng;
    let mut random = crate::rng::stream(u64::from(seed), crate::rng::Purpose::Order, 0, 0);
    let data = (0..12 * 12 * 3).map(|_| random.random()).collect();
    let size = Size { height: side, width: side };
    resize(Pixels { width: 12, height: 12, data }, size, Interpolation::Bicubic)
}

#[test]
fn hashes_are_those_of_the_reference() {
    let text = fs::read_to_string(tests_folder().join("reference/phash.json")).unwrap();
    let reference: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    assert!(reference.len() >= 9);
    for (name, hash) in reference {
        let expected = u64::from_str_radix(&hash, 16).unwrap();
        let found = look(&name).hash;
        // A frequency right at the median may fall on either side of it.
        let bits = (found ^ expected).count_ones();
        assert!(bits <= 2, "{name}: {found:016x} and {expected:016x} differ in {bits} bits");
    }
}

#[test]
fn resized_copies_look_alike_and_other_images_do_not() {
    let looks: Vec<Look> = (1..60).map(|seed| Look::of(image(seed, 90))).collect();
    for (seed, original) in (1..).zip(&looks) {
        let size = Size { height: 61, width: 72 };
        let copy = Look::of(resize(image(seed, 90), size, Interpolation::Bicubic));
        assert!(original.distance(&copy) <= 6 && original.confirms(&copy), "{seed}");
        for other in &looks[seed as usize..] {
            assert!(original.distance(other) > 6 || !original.confirms(other), "{seed}");
        }
    }
}

#[test]
fn the_search_finds_what_comparing_all_pairs_finds() {
    // Every image in several versions whose hashes differ in 0 to 9 bits spread over the bands.
    let mut looks = Vec::new();
    for seed in 1..80_u32 {
        let base = Look::of(image(seed, 32));
        for step in 0..4_u64 {
            let mut version = base.clone();
            for bit in 0..(u64::from(seed) + step * 3) % 8 {
                version.hash ^= 1 << ((bit * 23 + u64::from(seed) * 7 + step) % 64);
            }
            looks.push(version);
        }
    }
    let numbered: Vec<(u32, &Look)> = (0..).zip(&looks).collect();
    for distance in [0, 3, 6, 7] {
        let (mut expected, mut found) = (Union::new(looks.len()), Union::new(looks.len()));
        let mut pairs = 0;
        for (i, a) in &numbered {
            for (j, b) in &numbered[..*i as usize] {
                if a.distance(b) <= distance && a.confirms(b) {
                    expected.join(*i, *j);
                    pairs += 1;
                }
            }
        }
        assert!(!join_alike(&numbered, distance, &mut found, &|| false).unwrap());
        let roots = |groups: &mut Union| (0..looks.len() as u32).map(|i| groups.root(i)).collect::<Vec<_>>();
        assert_eq!(roots(&mut found), roots(&mut expected), "distance {distance}");
        assert!(
            (pairs > 10 || distance == 0) && roots(&mut found).iter().collect::<BTreeSet<_>>().len() >= 79,
            "{pairs}"
        );
    }
}

#[test]
fn a_crowd_of_one_hash_is_searched_in_bounded_time() {
    let started = Instant::now();
    let same = Look::of(image(1, 32));
    let alike: Vec<(u32, &Look)> = (0..50_000).map(|i| (i, &same)).collect();
    let mut groups = Union::new(alike.len());
    assert!(!join_alike(&alike, 6, &mut groups, &|| false).unwrap());
    assert!((0..50_000).all(|i| groups.root(i) == 0));
    // Hashes within 7 bits of each other, of images that do not look alike: nothing joins, and it
    // says so.
    let mut strangers: Vec<Look> = (0..6_000).map(|seed| Look::of(image(seed, 32))).collect();
    for (i, stranger) in (0_u64..).zip(&mut strangers) {
        stranger.hash = (i % 8) | (i / 8 % 4) << 16;
    }
    let numbered: Vec<(u32, &Look)> = (0..).zip(&strangers).collect();
    assert!(join_alike(&numbered, 6, &mut Union::new(numbered.len()), &|| false).unwrap());
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    let stopped = join_alike(&numbered, 6, &mut Union::new(numbered.len()), &|| true);
    assert!(matches!(stopped, Err(CheckError::Interrupted)));
}

#[test]
fn headers_say_what_an_image_is() {
    for (name, mode, oriented, animated) in [
        ("rgb.jpg", Mode::Rgb, false, false),
        ("progressive.jpg", Mode::Rgb, false, false),
        ("grey.jpg", Mode::Grey, false, false),
        ("cmyk.jpg", Mode::Cmyk, false, false),
        ("cmyk.tif", Mode::Cmyk, false, false),
        ("orientation_1.jpg", Mode::Rgb, false, false),
        ("orientation_6.jpg", Mode::Rgb, true, false),
        ("orientation_6.png", Mode::Rgb, true, false),
        ("rgba.png", Mode::Rgba, false, false),
        ("rgba.webp", Mode::Rgba, false, false),
        ("grey_alpha.png", Mode::GreyAlpha, false, false),
        ("grey_16.png", Mode::Grey16, false, false),
        ("rgb_16.png", Mode::Rgb16, false, false),
        ("grey.pgm", Mode::Grey, false, false),
        ("bits_1.png", Mode::Grey, false, false),
    ] {
        let bytes = fs::read(tests_folder().join("data/images").join(name)).unwrap();
        let header = header::read(image::guess_format(&bytes).unwrap(), &bytes).unwrap();
        let turned = crate::decode::Encoded::read(&bytes).unwrap().is_turned();
        assert_eq!((header.mode, turned, header.animated), (mode, oriented, animated), "{name}");
        // Cut and changed anywhere: an answer or none, never a panic.
        for cut in 0..bytes.len().min(400) {
            header::read(image::guess_format(&bytes).unwrap(), &bytes[..cut]);
            let mut changed = bytes.clone();
            changed[cut] ^= 0xFF;
            header::read(image::guess_format(&bytes).unwrap(), &changed);
        }
    }
    let frames = |name: &str| {
        let bytes = fs::read(tests_folder().join("data/images").join(name)).unwrap();
        header::read(ImageFormat::Gif, &bytes).unwrap().animated
    };
    assert!(frames("animated.gif") && !frames("transparent.gif"));
}

#[test]
fn every_kind_has_a_name_of_its_own_and_kinds_come_worst_first() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(Kind::ALL.is_sorted_by_key(|kind| kind.severity()));
    let docs = fs::read_to_string(tests_folder().join("../docs/data.md")).unwrap();
    for kind in Kind::ALL {
        let row = format!("| {} | `{}` | {} |", kind.severity().name(), kind.name(), kind.meaning());
        assert!(docs.contains(&row), "docs/data.md lacks {row}");
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}

#[test]
fn tiff_headers_say_what_an_image_is() {
    for (name, mode, oriented, animated) in [
        ("bilevel_black_is_zero", Mode::Grey, false, false),
        ("grey_alpha", Mode::GreyAlpha, false, false),
        ("grey_12", Mode::Grey16, false, false),
        ("palette_4", Mode::Rgb, false, false),
        ("ycc_22", Mode::Rgb, false, false),
        ("rgba_none", Mode::Rgba, false, false),
        ("rgb_16_extra_2", Mode::Rgba16, false, false),
        ("cmyk_8", Mode::Cmyk, false, false),
        ("big_pillow", Mode::Rgb, false, false),
        ("orientation_6", Mode::Rgb, true, false),
        ("pages", Mode::Rgb, false, true),
        ("thumbnail", Mode::Rgb, false, false),
    ] {
        let bytes = fs::read(tests_folder().join(format!("reference/tiff_kinds/{name}.tif"))).unwrap();
        let header = header::read(ImageFormat::Tiff, &bytes).unwrap();
        let turned = crate::decode::Encoded::read(&bytes).unwrap().is_turned();
        assert_eq!((header.mode, turned, header.animated), (mode, oriented, animated), "{name}");
    }
}

#[test]
fn images_that_come_out_black_and_images_that_are_not_read_are_found_with_their_reasons() {
    use image::{ImageBuffer, Luma, Rgba};
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("cells");
    fs::create_dir(&class).unwrap();
    let deep = ImageBuffer::from_fn(16, 16, |x, y| Luma([(x * 16 + y) as u16 * 16]));
    deep.save(class.join("deep.png")).unwrap();
    let only_alpha = ImageBuffer::from_fn(16, 16, |x, y| Rgba([0_u8, 0, 0, (x * 16 + y) as u8]));
    only_alpha.save(class.join("alpha.png")).unwrap();
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    fs::write(class.join("named.jpg"), heic).unwrap();
    fs::write(class.join("phone.heic"), heic).unwrap();
    fs::write(class.join("pointer.png"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        .unwrap();
    fs::write(class.join("zeros.tif"), [0; 4096]).unwrap();
    let report = examine(folder.path(), &Options::default(), &mut |_| {}, &|| false).unwrap();
    for (kind, path, words) in [
        (Kind::NarrowRange, "cells/deep.png", "only 12 of 16 bits are used"),
        (Kind::OnlyAlpha, "cells/alpha.png", "in the alpha channel, which is dropped"),
        (Kind::Unsupported, "cells/named.jpg", "this is a HEIC (HEIF) image; convert it to JPEG"),
        (Kind::IgnoredImage, "cells/phone.heic", "is a HEIC (HEIF) image, which is not supported"),
        (Kind::NotAnImage, "cells/pointer.png", "this is a Git LFS pointer, not an image; fetch"),
        (Kind::NotAnImage, "cells/zeros.tif", "this is nothing but zeros"),
    ] {
        let is_it = |finding: &&Finding| finding.kind == kind && finding.path.as_deref() == Some(path);
        let finding = report.findings.iter().find(is_it).unwrap_or_else(|| panic!("{path}: {report:#?}"));
        assert!(finding.message.contains(words), "{}", finding.message);
    }
    let html = to_html(&report);
    for text in [report.to_json().unwrap(), html] {
        assert!(text.contains("12 of 16 bits") && text.contains("alpha channel"), "{text}");
    }
    assert!(!report.findings.iter().any(|finding| finding.kind == Kind::OneColor));
}

#[test]
fn many_black_images_are_one_group() {
    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("night");
    fs::create_dir(&class).unwrap();
    image::RgbImage::new(16, 16).save(class.join("0.png")).unwrap();
    let bytes = fs::read(class.join("0.png")).unwrap();
    for i in 1..3000 {
        fs::write(class.join(format!("{i}.png")), &bytes).unwrap();
    }
    let mut calls = 0;
    let report = examine(folder.path(), &Options::default(), &mut |_| calls += 1, &|| false).unwrap();
    assert_eq!((report.images, report.usable, calls), (3000, 3000, 3000));
    let groups = report.duplicate_groups();
    assert_eq!((groups.exact.len(), groups.exact[0].len()), (1, 3000));
    assert!(groups.near.is_empty() && groups.same_pixels.is_empty());
    // The page shows some of them and says how many it leaves out.
    let html = to_html(&report);
    assert!(html.len() < 200_000 && html.contains("2,994 more are left out"), "{}", html.len());
    let stopped = examine(folder.path(), &Options::default(), &mut |_| {}, &|| true);
    assert!(matches!(stopped, Err(CheckError::Interrupted)));
}
