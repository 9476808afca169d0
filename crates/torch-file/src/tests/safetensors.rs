//! Files of the safetensors format, made by hand from its description.

use super::read_bytes;
use crate::Value;

/// The header's length as a u64, the header, the elements.
fn file_with(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

const HEADER: &str = r#"{"__metadata__":{"format":"pt"},"fc.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"fc.bias":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},"seen":{"dtype":"I64","shape":[],"data_offsets":[10,18]}}"#;

/// Two weights and a count.
pub fn file() -> Vec<u8> {
    let mut data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    data.extend([0x00, 0x3c]); // 1.0 in half precision
    data.extend(7i64.to_le_bytes());
    file_with(HEADER, &data)
}

#[test]
fn its_tensors_are_read_by_name() {
    let value = read_bytes(&file()).unwrap();
    let state = value.field().as_tensors().unwrap();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["fc.bias", "fc.weight", "seen"]);
    assert_eq!(state[0].1.double_value(&[0]), 1.0);
    assert_eq!(state[1].1.size(), [1, 2]);
    assert_eq!(state[1].1.double_value(&[0, 1]), -2.0);
    assert_eq!(state[2].1.int64_value(&[]), 7);
    assert!(matches!(value, Value::Dict(entries) if entries.len() == 3), "no metadata among them");
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let whole = file();
    for length in 9..whole.len() {
        let error = read_bytes(&whole[..length]).unwrap_err();
        assert!(error.contains("is damaged"), "at {length}: {error}");
    }
    for header in [
        r#"{"w": 1}"#,
        r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#,
        r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
    ] {
        let error = read_bytes(&file_with(header, &[0; 8])).unwrap_err();
        assert!(error.contains("is damaged") && error.lines().count() == 1, "{error}");
    }
}
