//! numpy's scalars → plain numbers: a type and the bytes of one number.

use super::Node;

/// Of what type a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    class: Class,
    /// In bytes.
    width: usize,
    pub(super) big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bool,
    Signed,
    Unsigned,
    Float,
}

impl Dtype {
    /// Reads numpy's short name: `f8`, `<i4`. Others than those of plain numbers give none.
    pub(super) fn read(code: &str) -> Option<Dtype> {
        let (big_endian, code) = match code.strip_prefix('>') {
            Some(code) => (true, code),
            None => (false, code.trim_start_matches(['<', '|', '='])),
        };
        let (class, width) = match code {
            "b1" => (Class::Bool, 1),
            "i1" => (Class::Signed, 1),
            "i2" => (Class::Signed, 2),
            "i4" => (Class::Signed, 4),
            "i8" => (Class::Signed, 8),
            "u1" => (Class::Unsigned, 1),
            "u2" => (Class::Unsigned, 2),
            "u4" => (Class::Unsigned, 4),
            "u8" => (Class::Unsigned, 8),
            "f4" => (Class::Float, 4),
            "f8" => (Class::Float, 8),
            _ => return None,
        };
        Some(Dtype { class, width, big_endian })
    }

    /// The number that `bytes` are, if there are as many as it has and a [`Node`] holds it.
    pub(super) fn number(self, bytes: &[u8]) -> Option<Node> {
        if bytes.len() != self.width {
            return None;
        }
        let most_significant = if self.big_endian { bytes.first() } else { bytes.last() };
        let is_negative = self.class == Class::Signed && most_significant? & 0x80 != 0;
        let mut wide = if is_negative { [0xff; 8] } else { [0; 8] };
        wide[..bytes.len()].copy_from_slice(bytes);
        if self.big_endian {
            wide[..bytes.len()].reverse();
        }
        Some(match self.class {
            Class::Bool => Node::Bool(wide[0] != 0),
            Class::Signed => Node::Int(i64::from_le_bytes(wide)),
            Class::Unsigned => Node::Int(i64::try_from(u64::from_le_bytes(wide)).ok()?),
            Class::Float if self.width == 4 => {
                Node::Float(f32::from_bits(u32::from_le_bytes([wide[0], wide[1], wide[2], wide[3]])).into())
            }
            Class::Float => Node::Float(f64::from_le_bytes(wide)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(code: &str, bytes: &[u8]) -> String {
        format!("{:?}", Dtype::read(code).and_then(|dtype| dtype.number(bytes)))
    }

    #[test]
    fn numbers_of_every_width_and_order_are_read() {
        assert_eq!(number("f8", &0.9_f64.to_le_bytes()), "Some(Float(0.9))");
        assert_eq!(number(">f8", &0.9_f64.to_be_bytes()), "Some(Float(0.9))");
        assert_eq!(number("<f4", &0.5_f32.to_le_bytes()), "Some(Float(0.5))");
        assert_eq!(number("i2", &(-2_i16).to_le_bytes()), "Some(Int(-2))");
        assert_eq!(number(">i2", &(-2_i16).to_be_bytes()), "Some(Int(-2))");
        assert_eq!(number("u1", &[255]), "Some(Int(255))");
        assert_eq!(number("|b1", &[1]), "Some(Bool(true))");
        for (code, bytes) in
            [("u8", &[255; 8][..]), ("f8", &[0; 4]), ("U3", &[0; 12]), ("f2", &[0; 2]), ("", &[])]
        {
            assert_eq!(number(code, bytes), "None", "{code}");
        }
    }
}
