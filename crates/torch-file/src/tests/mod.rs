//! Files against Python, against broken and hostile bytes, and against failing disks.

mod faults;
mod fuzz;
mod hostile;
mod legacy;
mod python;
mod safetensors;

use tch::{Kind, Tensor};

use super::archive::ArchiveWriter;
use super::{Value, pickle, read_from, tensors, write_entries};

/// A small state with every kind of value in it.
fn sample() -> Value {
    let weight = Tensor::from_slice(&[1.5_f32, f32::NAN, -0.0, f32::INFINITY, 1e-42, 3.0]).view([2, 3]);
    let all = Tensor::from_slice(&[0_i64, 1, 127, 3]);
    let kinds = [
        Kind::Float,
        Kind::Double,
        Kind::Half,
        Kind::BFloat16,
        Kind::Int64,
        Kind::Int,
        Kind::Int16,
        Kind::Int8,
        Kind::Uint8,
        Kind::Bool,
    ]; // in torch's order
    let kinds = kinds.map(|kind| (format!("{kind:?}"), all.to_kind(kind)));
    Value::dict([
        ("tied", Value::Tensor(weight.shallow_clone())),
        ("transposed", Value::Tensor(weight.tr())),
        ("weight", Value::Tensor(weight)),
        ("scalar", Value::Tensor(Tensor::from(2.5_f64))),
        ("empty", Value::Tensor(Tensor::zeros([0, 7], (Kind::Float, tch::Device::Cpu)))),
        ("größe 写.weight", Value::Tensor(all.shallow_clone())),
        ("kinds", Value::dict(kinds)),
        (
            "plain",
            Value::List(vec![
                Value::None,
                true.into(),
                false.into(),
                0_i64.into(),
                255_i64.into(),
                (-1_i64).into(),
                65_536_i64.into(),
                i64::MAX.into(),
                i64::MIN.into(),
                0.1.into(),
                f64::NEG_INFINITY.into(),
                "Grün 写".into(),
                Value::Bytes(vec![0, 127, 255]),
                Value::Tuple(vec![]),
                Value::Tuple((0..4).map(Value::Int).collect()),
            ]),
        ),
        ("int keys", Value::dict([(-1_i64, "a"), (1 << 40, "b")])),
    ])
}

/// The file that `value` makes.
fn bytes_of(value: &Value) -> Vec<u8> {
    let Ok(pickled) = pickle::write::pickle(value) else { panic!("it can be written") };
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes);
    write_entries(&mut archive, &pickled).unwrap();
    archive.finish().unwrap();
    bytes
}

/// A file with this `data.pkl` and these storages.
fn file_of(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes);
    archive.bytes("archive/data.pkl", pickle).unwrap();
    for (key, storage) in storages.iter().enumerate() {
        archive.bytes(&format!("archive/data/{key}"), storage).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

fn hex(tensor: &Tensor) -> String {
    use std::fmt::Write;
    let mut bytes = Vec::new();
    tensors::write(tensor, &mut bytes, &mut Vec::new()).unwrap();
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Reads bytes as a file; the error as the user sees it.
fn read_bytes(bytes: &[u8]) -> Result<Value, String> {
    read_from(bytes).map_err(|problem| problem.at(std::path::Path::new("x.pt")).to_string())
}

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014); enough for choosing
/// mutations.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
