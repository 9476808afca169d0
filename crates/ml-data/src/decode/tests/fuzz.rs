//! Mutated images: reading ends with pixels of the announced size or one line of an error, in
//! bounded memory and time. The suite goes through some thousands; `cargo xtask fuzz` through as
//! many as requested.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::*;

/// Mutants of each file in the suite.
const FEW: usize = 25;

/// Processor time for one image, in seconds, in the build that tests use. The largest image allowed
/// takes most of it.
const LIMIT: f64 = 10.0;

/// Memory that one image may take: what a decoder may allocate, and the pixels of the largest
/// image.
const MEMORY: u64 = MAX_ALLOCATION + 3 * MAX_PIXELS;

struct Seed {
    name: String,
    bytes: Vec<u8>,
}

fn seeds() -> Vec<Seed> {
    let mut seeds: Vec<Seed> =
        ["data/images", "reference/reduced", "reference/oddities", "reference/tiff_kinds"]
            .iter()
            .flat_map(|folder| fs::read_dir(tests_folder().join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|suffix| suffix != "py"))
            .map(|path| Seed {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                bytes: fs::read(path).unwrap(),
            })
            .collect();
    seeds.push(Seed { name: "lossless".to_owned(), bytes: lossless(40, 20) });
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

/// A place, half of them among the headers.
fn place(length: usize, random: &mut ChaCha8Rng) -> usize {
    if random.random() { random.random_range(0..length) } else { random.random_range(0..length.min(200)) }
}

/// A value that sizes, lengths and counts break at, in either byte order.
fn number(random: &mut ChaCha8Rng) -> Vec<u8> {
    const NUMBERS: [u32; 12] =
        [0, 1, 2, 3, 255, 256, 0x7FFF, 0xFFFF, 60_000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
    let number = NUMBERS[random.random_range(0..NUMBERS.len())];
    match random.random_range(0..4) {
        0 => number.to_be_bytes().to_vec(),
        1 => number.to_le_bytes().to_vec(),
        2 => (number as u16).to_be_bytes().to_vec(),
        _ => (number as u16).to_le_bytes().to_vec(),
    }
}

/// One to four changes: a bit, a byte, a number, a marker, a part gone, doubled, or from another
/// file, the end cut off.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=4) {
        if bytes.len() < 8 {
            return;
        }
        let at = place(bytes.len(), random);
        let end = (at + random.random_range(0..200)).min(bytes.len());
        match random.random_range(0..9) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 | 3 => {
                let number = number(random);
                let end = (at + number.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            // Of JPEG: another process of coding, tables, restarts, a scan.
            4 => {
                let marker = memchr::memchr(0xFF, &bytes[at..]).map_or(at, |found| at + found);
                if let Some(kind) = bytes.get_mut(marker + 1) {
                    *kind = random.random_range(0xC0..=0xDF);
                }
            }
            5 => drop(bytes.drain(at..end)),
            6 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            7 => {
                let from = place(other.len(), random);
                let part = &other[from..(from + end - at).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            _ => bytes.truncate(bytes.len() - random.random_range(0..bytes.len().min(400))),
        }
    }
}

/// Makes a PNG's checksums right, so that its decoder gets past them.
fn with_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = at + 8 + length;
        if bytes.len() < end + 4 {
            return;
        }
        let crc = !bytes[at + 4..end].iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
        });
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}

fn area_of(size: Size, random: &mut ChaCha8Rng) -> Area {
    let mut side = |length: u32| {
        let start = random.random_range(0..length);
        (start, random.random_range(1..=length - start))
    };
    let ((top, height), (left, width)) = (side(size.height), side(size.width));
    Area { top, left, size: Size { height, width } }
}

/// In full, reduced, and in part. What comes out whole comes out in part, alike.
fn read(bytes: &[u8], random: &mut ChaCha8Rng) -> Result<(), DecodeProblem> {
    let size = Encoded::read(bytes)?.size();
    assert!(u64::from(size.width) * u64::from(size.height) <= MAX_PIXELS);
    let encoded = || Encoded::read(bytes).expect("it was read before");
    match random.random_range(0..3) {
        0 => {
            let pixels = encoded().decode()?;
            assert_eq!(Size::of(&pixels), size);
            assert_eq!(pixels.data.len(), 3 * size.width as usize * size.height as usize);
        }
        1 => {
            let divisor = [2, 4, 8][random.random_range(0..3)];
            let is_reducible = encoded().is_reducible();
            let pixels = encoded().decode_reduced(divisor)?;
            let by = if is_reducible { divisor } else { 1 };
            assert_eq!((pixels.width, pixels.height), (size.width.div_ceil(by), size.height.div_ceil(by)));
        }
        _ => {
            let area = area_of(size, random);
            let (part, place) = encoded().decode_part(area)?;
            assert!(place.size == area.size && place.is_within(Size::of(&part)), "{area:?}: {place:?}");
            if let Ok(whole) = encoded().decode() {
                assert!(cut(&part, place) == cut(&whole, area), "{area:?} of {size:?} differs");
            }
        }
    }
    Ok(())
}

/// What this thread has computed, in seconds.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The largest size that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// Names that are written so: of formats, of chunks, of units.
const NAMES: [&str; 27] = [
    "WebP",
    "OpenEXR",
    "ImageMagick",
    "BigTIFF",
    "YCbCr",
    "LogLuv",
    "PackBits",
    "NeXT",
    "ThunderScan",
    "LittleCMS",
    "GiB",
    "MiB",
    "acTL",
    "cHRM",
    "eXIf",
    "fcTL",
    "fdAT",
    "fDAT",
    "gAMA",
    "iCCP",
    "iTXt",
    "pHYs",
    "sBIT",
    "sRGB",
    "tEXt",
    "tRNS",
    "zTXt",
];

/// Whether a message holds a value, a type or a path as Rust's `{:?}` writes them, rather than
/// words.
fn is_debugging_output(message: &str) -> bool {
    let camel_case = |word: &str| {
        let humps = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
        !NAMES.contains(&word) && word.as_bytes().windows(2).any(humps)
    };
    ["{", "}", "::", "Some(", "None", "Error", "Err(", "Ok(", "[", "]", "_", "&"]
        .iter()
        .any(|sign| message.contains(sign))
        || message.split(|c: char| !c.is_alphanumeric()).any(camel_case)
}

/// What became of one file's mutants.
#[derive(Default)]
struct Tally {
    good: usize,
    refused: usize,
    /// By the decoder's words, in any file.
    crashes: BTreeMap<String, usize>,
    slowest: f64,
    /// What was said of those refused, without the numbers.
    words: BTreeSet<String>,
}

/// `mutants` of each seed, drawn from `start`. Kept under `keep` if set: mutants that crash a
/// decoder or are slow.
fn fuzz(mutants: usize, start: u64, keep: Option<&Path>) {
    let seeds = seeds();
    let before = peak_memory();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let tallies: BTreeMap<usize, Tally> = std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= seeds.len() {
                    return mine;
                }
                mine.push((number, fuzz_one(&seeds, number, mutants, start, keep)));
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (number, Tally { good, refused, crashes, slowest, .. }) in &tallies {
        let crashed: usize = crashes.values().sum();
        println!(
            "{}: {mutants} mutants, {good} read, {refused} refused, {crashed} crashed a decoder, slowest {slowest:.3} s",
            seeds[*number].name
        );
        crashes.iter().for_each(|(words, count)| println!("    {count} times: {words}"));
    }
    let words: BTreeSet<&String> = tallies.values().flat_map(|tally| &tally.words).collect();
    words.iter().for_each(|words| println!("    {words}"));
    let all = mutants * seeds.len();
    let good: usize = tallies.values().map(|tally| tally.good).sum();
    assert!(good > all / 10 && good < all * 9 / 10, "{good} of {all} are read: both ways are taken");
    let growth = peak_memory().saturating_sub(before);
    println!("peak memory grew by {} MB with {threads} threads", growth >> 20);
    assert!(growth < threads as u64 * MEMORY, "peak memory grew by {growth} bytes");
}

fn fuzz_one(seeds: &[Seed], number: usize, mutants: usize, start: u64, keep: Option<&Path>) -> Tally {
    let Seed { name, bytes } = &seeds[number];
    let mut random = crate::rng::stream(start, crate::rng::Purpose::Order, 0, number as u64);
    let mut tally = Tally::default();
    for round in 0..mutants {
        let mut mutant = bytes.clone();
        let other = &seeds[random.random_range(0..seeds.len())].bytes;
        mutate(&mut mutant, other, &mut random);
        if mutant.starts_with(b"\x89PNG") && random.random() {
            with_checksums(&mut mutant);
        }
        let started = processor_time();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(&mutant, &mut random)));
        let seconds = processor_time() - started;
        let save = |why: &str| {
            if let Some(folder) = keep {
                fs::write(folder.join(format!("{why}_{round}_{name}")), &mutant).unwrap();
            }
        };
        let Ok(result) = result else {
            save("panic");
            panic!("{name}, round {round}: see above");
        };
        match result {
            Ok(()) => tally.good += 1,
            Err(problem) => {
                let words = problem.to_string();
                assert!(!words.contains('\n'), "{name}, round {round}: {words}");
                // What is no image is quoted, and other formats are named in our words.
                let is_ours = matches!(
                    problem,
                    DecodeProblem::UnknownFormat { .. }
                        | DecodeProblem::UnsupportedFormat { .. }
                        | DecodeProblem::NotAnImage { .. }
                );
                if !is_ours {
                    assert!(!is_debugging_output(&words), "{name}, round {round}: {words}");
                    tally.words.insert(words.replace(|c: char| c.is_ascii_digit(), ""));
                }
                if let DecodeProblem::Crashed { .. } = problem {
                    save("crash");
                    *tally.crashes.entry(words).or_default() += 1;
                } else {
                    tally.refused += 1;
                }
            }
        }
        if seconds > tally.slowest {
            tally.slowest = seconds;
            if seconds > 1.0 {
                save("slow");
            }
        }
        assert!(seconds < LIMIT, "{name}, round {round}: took {seconds} s");
    }
    tally
}

#[test]
fn mutated_images_never_panic() {
    fuzz(FEW, 2, None);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_mutated_images_never_panic() {
    let inputs = std::env::var("FUZZ_INPUTS").map_or(1_000_000, |inputs| inputs.parse().expect("a number"));
    let start = std::env::var("FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let keep = std::env::var_os("FUZZ_KEEP");
    fuzz(usize::div_ceil(inputs, seeds().len()), start, keep.as_deref().map(Path::new));
}
