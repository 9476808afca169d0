//! Multiply-adds of operators, as torchvision counts them in its tables of weights: a
//! multiplication with the addition that follows it is one; biases, norms, activations and poolings
//! count nothing.

use torch_ext::{Operator, Seen};

/// Of `operator`, if it is one of those that count: then what it is made of counts no more.
pub fn multiply_adds(operator: &Operator) -> Option<u64> {
    let name = operator.name.strip_prefix("aten::")?;
    let input = |place: usize| operator.inputs.get(place);
    let output = operator.outputs.first();
    match name {
        "convolution" | "_convolution" => {
            // [out, in / groups, kernel…], of a transposed one [in, out / groups, kernel…].
            let weight = input(1)?;
            let positions = if operator.is_transposed { input(0)? } else { output? };
            let each = elements(weight).checked_div(side(*weight.shape.first()?))?;
            Some(elements(positions) * each)
        }
        "linear" | "matmul" | "mm" | "bmm" | "mv" => Some(elements(output?) * last(input(0)?)),
        "addmm" | "baddbmm" | "addmv" => Some(elements(output?) * last(input(1)?)),
        "scaled_dot_product_attention" => {
            // [.., L, E], [.., S, E], [.., S, V]: L·S·E for the scores, L·S·V for the sums.
            let (query, key, value) = (input(0)?, input(1)?, input(2)?);
            let rows = elements(query).checked_div(last(query))?;
            let keys = side(*key.shape.iter().rev().nth(1)?);
            Some(rows * keys * (last(query) + last(value)))
        }
        _ => None,
    }
}

fn elements(tensor: &Seen) -> u64 {
    tensor.shape.iter().copied().map(side).product()
}

fn last(tensor: &Seen) -> u64 {
    tensor.shape.last().copied().map_or(1, side)
}

fn side(side: i64) -> u64 {
    u64::try_from(side).unwrap_or_default()
}
