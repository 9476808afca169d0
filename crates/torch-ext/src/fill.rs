//! A tensor made of bytes that come part by part, without a copy in between.

use tch::{Device, Kind, Tensor};

use crate::{Error, first_line};

/// A flat tensor on the CPU that is being filled from its beginning.
#[derive(Debug)]
pub struct TensorWriter {
    tensor: Tensor,
    bytes: usize,
    done: usize,
}

impl TensorWriter {
    /// Room for `len` elements of `kind`, whose bytes may have any value: not for bool.
    ///
    /// # Errors
    /// No memory, more bytes than the machine can address, or `kind` is bool.
    pub fn new(len: u64, kind: Kind) -> Result<TensorWriter, Error> {
        if kind == Kind::Bool {
            return Err(Error("a bool cannot have any byte".to_owned()));
        }
        let too_large = || Error(format!("{len} elements are more than fit into memory"));
        let bytes =
            len.checked_mul(kind.elt_size_in_bytes() as u64).and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(too_large)?;
        let len = i64::try_from(len).map_err(|_| too_large())?;
        let tensor =
            Tensor::f_empty([len], (kind, Device::Cpu)).map_err(|error| Error(first_line(&error)))?;
        Ok(TensorWriter { tensor, bytes, done: 0 })
    }

    /// Adds `part` to what is there.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn add(&mut self, part: &[u8]) -> Result<(), Error> {
        if part.len() > self.bytes - self.done {
            return Err(Error(format!("{} bytes for a tensor of {}", self.done + part.len(), self.bytes)));
        }
        // SAFETY: the tensor is flat, dense and on the CPU, so that its `bytes` bytes lie in one
        // piece from `data_ptr` on; nobody else has it; `done + part.len()` is at most `bytes`;
        // `part` is other memory.
        unsafe {
            let start = self.tensor.data_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping(part.as_ptr(), start.add(self.done), part.len());
        }
        self.done += part.len();
        Ok(())
    }

    /// The tensor `[len]`.
    ///
    /// # Errors
    /// It is not full.
    pub fn finish(self) -> Result<Tensor, Error> {
        if self.done == self.bytes {
            Ok(self.tensor)
        } else {
            Err(Error(format!("{} bytes for a tensor of {}", self.done, self.bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_tensor_and_too_few_or_too_many_do_not() {
        let bytes: Vec<u8> = [1.5f32, -2.0, 3.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut writer = TensorWriter::new(3, Kind::Float).unwrap();
        writer.add(&bytes[..5]).unwrap();
        writer.add(&bytes[5..]).unwrap();
        assert!(writer.add(&[0]).is_err());
        assert_eq!(Vec::<f32>::try_from(writer.finish().unwrap()).unwrap(), [1.5, -2.0, 3.0]);
        assert!(TensorWriter::new(1, Kind::Int64).unwrap().finish().is_err());
        assert_eq!(TensorWriter::new(0, Kind::Float).unwrap().finish().unwrap().size(), [0]);
        assert!(TensorWriter::new(1, Kind::Bool).is_err());
        assert!(TensorWriter::new(u64::MAX, Kind::Double).is_err());
    }
}
