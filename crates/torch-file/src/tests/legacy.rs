//! The format of before PyTorch 1.6, put together by hand: whole, cut, and contradicting itself.

use super::{bytes_of, read_bytes, sample};
use crate::{Value, pickle, tensors};

/// What comes before the tree: the magic number, the version, and the machine.
fn preface(little_endian: bool) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec();
    bytes.extend(pickled(&Value::Int(1001)));
    bytes.extend(pickled(&Value::dict([
        ("protocol_version", 1001_i64.into()),
        ("little_endian", Value::Bool(little_endian)),
    ])));
    bytes
}

fn pickled(value: &Value) -> Vec<u8> {
    let Ok(pickled) = pickle::write::pickle(value) else { panic!("it can be written") };
    pickled.bytes
}

/// A file whose storages have these keys, in this order, and what is added to their numbers of
/// elements.
fn file_with(value: &Value, keys: &[usize], more: u64) -> Vec<u8> {
    let Ok(pickle::write::Pickled { bytes: tree, storages }) = pickle::write::pickle(value) else {
        panic!("it can be written")
    };
    let mut bytes = preface(true);
    bytes.extend(tree);
    bytes.extend(pickled(&Value::list(keys.iter().map(usize::to_string))));
    for key in keys {
        bytes.extend((storages[*key].numel() as u64 + more).to_le_bytes());
        tensors::write(&storages[*key], &mut bytes, &mut Vec::new()).unwrap();
    }
    bytes
}

/// The same content as `bytes_of` in this format.
pub fn file_of(value: &Value) -> Vec<u8> {
    let Ok(pickled) = pickle::write::pickle(value) else { panic!("it can be written") };
    file_with(value, &(0..pickled.storages.len()).rev().collect::<Vec<_>>(), 0)
}

#[test]
fn it_holds_what_the_format_of_today_holds() {
    let whole = file_of(&sample());
    assert_eq!(bytes_of(&read_bytes(&whole).unwrap()), bytes_of(&sample()));
    let longer = [&whole[..], b"what PyTorch does not look at"].concat();
    assert_eq!(bytes_of(&read_bytes(&longer).unwrap()), bytes_of(&sample()));
}

#[test]
fn a_file_of_it_cut_at_any_byte_is_refused() {
    let whole = file_of(&sample());
    for length in 15..whole.len() {
        let error = read_bytes(&whole[..length]).expect_err("it is cut");
        assert!(error.contains("`x.pt` is cut short"), "at {length}: {error}");
    }
}

#[test]
fn a_pickle_larger_than_the_first_look_is_read() {
    let long = Value::dict([("text", Value::from("a".repeat(1 << 20))), ("more", sample())]);
    assert_eq!(bytes_of(&read_bytes(&file_of(&long)).unwrap()), bytes_of(&long));
}

#[test]
fn storages_that_contradict_the_tree_are_refused() {
    let one = || Value::dict([("w", Value::Tensor(tch::Tensor::from_slice(&[1.0_f32, 2.0])))]);
    assert!(read_bytes(&file_with(&one(), &[0], 0)).is_ok());
    for (file, word) in [
        (file_with(&one(), &[], 0), "storage \"0\" is missing"),
        (file_with(&one(), &[0, 0], 0), "two storages are called \"0\""),
        (file_with(&one(), &[0], 1), "3 elements instead of 2"),
        (file_with(&one(), &[0], u64::MAX - 2), "elements instead of 2"),
        (
            [preface(true), pickled(&Value::None), pickled(&Value::list(["7"]))].concat(),
            "nothing has storage \"7\"",
        ),
        ([preface(true), pickled(&Value::None), pickled(&Value::None)].concat(), "list of storages"),
        (preface(false), "big-endian"),
    ] {
        let error = read_bytes(&file).unwrap_err();
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}
