//! A `.safetensors` file → a dict of tensors by name. Its format is data alone: a JSON header and
//! the elements.

use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

use super::error::{Problem, first_line};
use crate::value::{Key, Value};

/// Whether a file that begins so is one: the header's length (a u64), then its opening brace.
pub(super) fn is_safetensors(head: &[u8]) -> bool {
    head.len() > 8 && head[8] == b'{' && head[4..8] == [0; 4]
}

/// The tensors of the file's `bytes`, sorted by name.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Problem> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| Problem::damaged(format!("{error:?}")))?;
    let mut tensors = file.tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let entries = tensors.into_iter().map(|(name, view)| {
        let kind =
            kind(view.dtype()).ok_or_else(|| Problem::Unsupported(format!("{:?} numbers", view.dtype())))?;
        let size: Vec<i64> = view.shape().iter().map(|&length| length as i64).collect();
        // A bool is one byte that must be 0 or 1; any other is undefined behaviour in C++.
        let stored = if kind == Kind::Bool { Kind::Uint8 } else { kind };
        let tensor = Tensor::f_from_data_size(view.data(), &size, stored)
            .and_then(|tensor| if kind == Kind::Bool { tensor.f_ne(0) } else { Ok(tensor) })
            .map_err(|error| Problem::damaged(first_line(&error)))?;
        Ok((Key::Str(name), Value::Tensor(tensor)))
    });
    Ok(Value::Dict(entries.collect::<Result<_, Problem>>()?))
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}
