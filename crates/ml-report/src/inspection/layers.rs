//! The operators that one image goes through → a table of layers, named after the parameters that
//! they take.

use std::collections::HashMap;

use serde::Serialize;
use tch::{Device, Tensor};
use torch_ext::{Operator, record_operators, storage_address};

use super::InspectionError;
use super::cost::multiply_adds;
use ml_core::device::Compute;
use ml_core::network::Network;

/// One operator, or rather a layer where it has parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerRow {
    /// Of the module whose parameters it takes; empty where it takes none.
    pub name: String,
    /// The operator: `conv2d`.
    pub operator: String,
    /// Of its output, for a batch of one image.
    pub output: Vec<i64>,
    /// Elements of the parameters that no layer before takes.
    pub parameters: u64,
    /// See [`Inspection::multiply_adds`](super::Inspection::multiply_adds).
    pub multiply_adds: u64,
}

/// Operators that compute nothing; they are left out unless they make a copy of a parameter.
const VIEWS: [&str; 34] = [
    "_unsafe_view",
    "alias",
    "arange",
    "as_strided",
    "chunk",
    "clone",
    "contiguous",
    "copy",
    "detach",
    "empty",
    "expand",
    "expand_as",
    "flatten",
    "full",
    "lift_fresh",
    "narrow",
    "numpy_T",
    "ones",
    "permute",
    "reshape",
    "select",
    "size",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "to",
    "transpose",
    "unbind",
    "unsqueeze",
    "view",
    "view_as",
    "zeros",
];

/// A tensor of the network's state.
struct Known<'a> {
    name: &'a str,
    /// Whose own it is.
    module: &'a str,
    elements: u64,
    is_parameter: bool,
}

/// The layers that `images` (one) goes through in evaluation mode, and its logits.
pub fn of(network: &Network, images: &Tensor) -> Result<(Vec<LayerRow>, Tensor), InspectionError> {
    let (logits, operators) = record_operators(|| network.logits(images, &Compute::fp32(Device::Cpu)))?;
    let mut known: HashMap<usize, Known> = HashMap::new();
    network.root().visit(&mut |module| {
        let parameters = module.parameters().map(|named| (named, true));
        let buffers = module.buffers().map(|named| (named, false));
        for ((name, tensor), is_parameter) in parameters.chain(buffers) {
            let elements = tensor.numel() as u64;
            let entry = Known { name, module: module.name(), elements, is_parameter };
            known.insert(storage_address(tensor), entry);
        }
    });
    let mut rows = Vec::new();
    let mut counted = None;
    for operator in &operators {
        if operator.depth == 0 {
            rows.push(row(operator, &mut known));
            counted = None;
        }
        if counted.is_some_and(|depth| operator.depth > depth) {
            continue;
        }
        counted = None;
        if let (Some(row), Some(count)) = (rows.last_mut(), multiply_adds(operator)) {
            row.multiply_adds += count;
            counted = Some(operator.depth);
        }
    }
    rows.retain(|row| !row.name.is_empty() || !VIEWS.contains(&row.operator.as_str()));
    Ok((rows, logits?))
}

fn row(operator: &Operator, known: &mut HashMap<usize, Known<'_>>) -> LayerRow {
    let name = operator.name.strip_prefix("aten::").unwrap_or(&operator.name);
    // In place or not is no difference to the reader.
    let name = name.strip_suffix('_').unwrap_or(name);
    let output = operator.outputs.first();
    let mut row = LayerRow {
        name: String::new(),
        operator: name.to_owned(),
        output: output.map(|seen| seen.shape.clone()).unwrap_or_default(),
        parameters: 0,
        multiply_adds: 0,
    };
    // What looks at a parameter in another way gives the parameter's memory on: who computes with
    // it takes it.
    let is_view =
        output.is_some_and(|output| operator.inputs.iter().any(|seen| seen.storage == output.storage));
    if is_view && VIEWS.contains(&name) {
        return row;
    }
    for seen in &operator.inputs {
        if let Some(entry) = known.get_mut(&seen.storage).filter(|entry| entry.is_parameter) {
            row.parameters += std::mem::take(&mut entry.elements);
        }
    }
    let taken = operator.inputs.iter().filter_map(|seen| known.get(&seen.storage));
    let tensors: Vec<(&str, &str)> = taken.map(|entry| (entry.module, entry.name)).collect();
    LayerRow { name: common_module(&tensors).to_owned(), ..row }
}

/// The innermost module that contains all `tensors`, given as (module, name); a lone parameter
/// (`class_token`) has a name of its own, and of parameters with nothing in common the first lends
/// its name.
fn common_module<'a>(tensors: &[(&'a str, &'a str)]) -> &'a str {
    let &[(mut module, first), ref others @ ..] = tensors else { return "" };
    let leaf = first.rsplit('.').next().unwrap_or_default();
    if module.is_empty() || (others.is_empty() && !["weight", "bias"].contains(&leaf)) {
        return first;
    }
    let contains =
        |module: &str, name: &str| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    while !module.is_empty() && !others.iter().all(|(_, name)| contains(module, name)) {
        module = module.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
    if module.is_empty() { first } else { module }
}

#[cfg(test)]
mod tests {
    use super::common_module;

    #[test]
    fn a_layer_is_called_after_the_module_of_its_parameters() {
        for (names, expected) in [
            (&["fc.weight", "fc.bias"][..], "fc"),
            (&["layer1.0.bn1.weight", "layer1.0.bn1.bias", "layer1.0.bn1.running_mean"], "layer1.0.bn1"),
            (&["class_token"], "class_token"),
            (&["encoder.pos_embedding"], "encoder.pos_embedding"),
            (&["a.b.c.weight", "a.b.d.weight"], "a.b"),
            (&["a.weight", "b.weight"], "a.weight"),
            (&[], ""),
        ] {
            let module = |name: &'static str| name.rsplit_once('.').map_or("", |(module, _)| module);
            let tensors: Vec<(&str, &str)> = names.iter().map(|name| (module(name), *name)).collect();
            assert_eq!(common_module(&tensors), expected);
        }
    }
}
