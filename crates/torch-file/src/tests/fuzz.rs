//! Mutated files: reading ends with a value or one line of an error, never with a panic, in little
//! memory.
//!
//! The suite goes through some thousands; `cargo xtask fuzz` through a million.

use super::{SplitMix, bytes_of, file_of, read_bytes, sample};
use crate::{pickle, tensors};

/// Inputs of each kind in the suite.
const FEW: usize = 2500;

/// Memory that reading files of some kilobytes may take beyond what the process has.
const MEMORY: u64 = 256 << 20;

type MakeFile = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// What is mutated, and how a mutant becomes a file.
struct Seed {
    bytes: Vec<u8>,
    file: MakeFile,
    /// Bytes that mean something in this format.
    dictionary: &'static [u8],
}

/// The opcodes that checkpoints use.
const OPCODES: &[u8] = b"(.012FGIJKLMNPQRTUXBC]abcd}eghijlopqrst)u\x80\x81\x82\x85\x89\x8a\x8c\x92\x93\x94";

/// A whole file as it is.
fn file(bytes: Vec<u8>, dictionary: &'static [u8]) -> Seed {
    Seed { bytes, file: Box::new(<[u8]>::to_vec), dictionary }
}

/// The pickle of a file whose checksums are right whatever it says.
fn pickle_of(value: &crate::value::Value) -> Seed {
    let Ok(pickled) = pickle::write::pickle(value) else { panic!("it can be written") };
    let storages: Vec<Vec<u8>> = pickled
        .storages
        .iter()
        .map(|tensor| {
            let mut bytes = Vec::new();
            tensors::write(tensor, &mut bytes, &mut Vec::new()).unwrap();
            bytes
        })
        .collect();
    let file = move |pickle: &[u8]| {
        let storages: Vec<&[u8]> = storages.iter().map(Vec::as_slice).collect();
        file_of(pickle, &storages)
    };
    Seed { bytes: pickled.bytes, file: Box::new(file), dictionary: OPCODES }
}

/// A module, calls of functions that are not known, and numbers of numpy's, in every way in which a
/// pickle makes objects; its file has one storage.
fn objects() -> Seed {
    let pickle = [
        &b"\x80\x04}(\x8c\x01mcnet\nNet\n)\x81q\x00}(\x8c\x0b_parameters}\x8c\x01w"[..],
        b"ctorch._utils\n_rebuild_tensor_v2\n((\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x02tQ",
        b"K\x00K\x02\x85K\x01\x85\x89}tRs\x8c\x08_buffers}\x8c\x08_modules}\x8c\x01aNsub",
        b"\x8c\x01ncnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R",
        b"(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbC\x08\0\0\0\0\0\0\xe0?\x86R",
        b"\x8c\x01scos\nsystem\n\x8c\x04true\x85R\x8c\x01d\x8c\x04easy\x8c\x04Dict\x93)\x81(K\x01K\x02u}b",
        b"\x8c\x01qccollections\ndeque\n)K\x05\x86R(K\x01K\x02e\x8c\x01xcmy\nThing\n)}\x92",
        b"\x8c\x01o(cmy\nThing\nK\x01o\x8c\x01i(K\x01imy\nThing\n\x8c\x01e\x82\x07)R\x8c\x01pK\x07Q",
        b"\x8c\x01ccmy\nThing\n)\x81q\x01h\x01bI12\nL3L\nF1.5\nI01\nu.",
    ];
    let file = |pickle: &[u8]| file_of(pickle, &[&[0; 8]]);
    Seed { bytes: pickle.concat(), file: Box::new(file), dictionary: OPCODES }
}

fn seeds() -> [Seed; 5] {
    [
        file(bytes_of(&sample()), b"PK\x01\x02\x03\x04\x05\x06\x07\x08\xff\0"),
        file(super::safetensors::file(), b"{}[]\":,0123456789FIBU"),
        file(super::legacy::file_of(&sample()), OPCODES),
        pickle_of(&sample()),
        objects(),
    ]
}

/// One to four changes: a byte, one of the dictionary, a bit, a part gone, doubled or moved, the
/// end cut off.
fn mutate(bytes: &mut Vec<u8>, dictionary: &[u8], random: &mut SplitMix) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let (at, from, length) = (random.below(bytes.len()), random.below(bytes.len()), random.below(40));
        match random.below(7) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] = dictionary[random.below(dictionary.len())],
            2 => bytes[at] ^= 1 << random.below(8),
            3 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
            4 => {
                let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..(at + length).min(bytes.len()), part);
            }
            _ => bytes.truncate(bytes.len() - random.below(bytes.len().min(200))),
        }
    }
}

/// The largest size that this process has had, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

fn fuzz(inputs_a_seed: usize, start: u64) {
    let before = peak_memory();
    for (number, seed) in seeds().iter().enumerate() {
        assert!(read_bytes(&(seed.file)(&seed.bytes)).is_ok(), "seed {number} is whole");
        let mut random = SplitMix(start + number as u64);
        let (mut good, mut bad) = (0, 0);
        for round in 0..inputs_a_seed {
            let mut mutant = seed.bytes.clone();
            mutate(&mut mutant, seed.dictionary, &mut random);
            match read_bytes(&(seed.file)(&mutant)) {
                Ok(value) => {
                    good += 1;
                    // What can be read can be looked at.
                    let _ = value.field().as_tensors();
                }
                Err(error) => {
                    bad += 1;
                    let in_words = error.starts_with("`x.pt`") && !error.contains('\n');
                    assert!(in_words, "seed {number}, round {round}: {error}");
                }
            }
        }
        println!("seed {number}: {inputs_a_seed} mutants, {good} read, {bad} refused");
        assert!(good > 0 && bad > inputs_a_seed / 20, "seed {number}: {good} and {bad}: both ways are taken");
    }
    let growth = peak_memory().saturating_sub(before);
    println!("peak memory grew by {} MB", growth >> 20);
    assert!(growth < MEMORY, "peak memory grew by {growth} bytes");
}

#[test]
fn mutated_files_never_panic() {
    fuzz(FEW, 2);
}

#[test]
#[ignore = "takes minutes"]
fn a_million_mutated_files_never_panic() {
    let inputs = std::env::var("FUZZ_INPUTS").map_or(1_000_000, |inputs| inputs.parse().expect("a number"));
    let start = std::env::var("FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    fuzz(inputs / seeds().len(), start);
}
